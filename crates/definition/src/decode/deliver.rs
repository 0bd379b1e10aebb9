use super::metric::word;
use super::{Decoder, Fields, Key, Place, TextRule};
use crate::deliver::{Email, SecretRef, Shape, Target, Webhook};
use crate::node::{Content, join};
use crate::schema;

pub(crate) const WEBHOOK: &[Key] = &[
    Key::required(
        "url",
        "the address, or its beginning where `path` is secret",
        schema::line,
    ),
    Key::optional(
        "path",
        "the secret that holds the rest of the address, or all of it: { secret: name }",
        schema::stored,
    ),
    Key::optional(
        "sign",
        "the secret that messages are signed with: { secret: name }",
        schema::stored,
    ),
    Key::optional(
        "shape",
        "the shape of the body: json (the default), slack or teams",
        || schema::words(Shape::WORDS),
    ),
    Key::optional(
        "template",
        "the body with placeholders, instead of a shape",
        schema::text,
    ),
    Key::optional(
        "content_type",
        "what a template's body is (application/json)",
        schema::line,
    ),
];

pub(crate) const EMAIL: &[Key] = &[Key::required(
    "to",
    "an address, or a list of at most 20",
    schema::lines,
)];

const CODE: &str = "definition.deliver";

/// Reads `deliver`: a list of targets.
pub(super) fn targets(decoder: &mut Decoder, f: &Fields<'_>) -> Vec<Target> {
    super::about::items(decoder, f, "deliver", Target::MOST, target)
}

pub(crate) fn target(decoder: &mut Decoder, place: &Place<'_>) -> Option<Target> {
    let entry = match &place.node.content {
        Content::Map(entries) if entries.len() == 1 => &entries[0],
        _ => {
            let message = "expected one of { webhook: … }, { email: … }";
            decoder.problem(place, CODE, message);
            return None;
        }
    };
    let inner = Place {
        node: &entry.value,
        path: join(&place.path, &entry.key),
    };
    match entry.key.as_str() {
        "webhook" => webhook(decoder, &inner).map(Target::Webhook),
        "email" => email(decoder, &inner).map(Target::Email),
        _ => {
            let message = format!("known are {}", Target::WORDS.join(", "));
            decoder.problem(&inner, CODE, message);
            None
        }
    }
}

fn webhook(decoder: &mut Decoder, place: &Place<'_>) -> Option<Webhook> {
    let fields = decoder.object(place, WEBHOOK, "{ url: https://… }")?;
    let f = &fields;
    let secret = |decoder: &mut Decoder, key: &str| {
        let place = f.get(key)?;
        let fields = decoder.object(&place, &super::CREDENTIAL[..1], "{ secret: name }")?;
        let secret = fields.get("secret").and_then(|p| decoder.name(&p))?;
        Some(SecretRef { secret })
    };
    let found = Webhook {
        url: f
            .get("url")
            .and_then(|p| decoder.text(&p, TextRule::Line(8_192)))
            .unwrap_or_default(),
        path: secret(decoder, "path"),
        sign: secret(decoder, "sign"),
        shape: word(decoder, f, "shape", Shape::WORDS, CODE, Shape::parse).unwrap_or(Shape::Json),
        template: f
            .get("template")
            .and_then(|p| decoder.text(&p, TextRule::Lines(16 * 1024))),
        content_type: f
            .get("content_type")
            .and_then(|p| decoder.text(&p, TextRule::Line(100))),
    };
    if let (Some(p), true) = (f.get("template"), f.get("shape").is_some()) {
        decoder.problem(&p, CODE, "`template` and `shape` exclude one another");
    }
    if let (Some(p), None) = (f.get("content_type"), f.get("template")) {
        decoder.problem(&p, CODE, "belongs to a `template`");
    }
    Some(found)
}

fn email(decoder: &mut Decoder, place: &Place<'_>) -> Option<Email> {
    let fields = decoder.object(place, EMAIL, "{ to: someone@example.com }")?;
    let place = fields.get("to")?;
    let places = match place.node.content {
        Content::List(_) => place.items(),
        _ => vec![place.clone()],
    };
    if places.is_empty() || places.len() > Email::MAX_TO {
        let message = format!("has 1 to {} addresses", Email::MAX_TO);
        decoder.problem(&place, CODE, message);
    }
    let mut to = Vec::new();
    for place in places.iter().take(Email::MAX_TO) {
        let Some(text) = decoder.text(place, TextRule::Line(254)) else {
            continue;
        };
        if is_address(&text) {
            to.push(text);
        } else {
            let message = "is no mail address such as someone@example.com";
            decoder.problem(place, CODE, message);
        }
    }
    Some(Email { to })
}

/// Tells whether a text is a plain mail address: no display name, no quoting, nothing that ends a line.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let dots = |part: &str| !part.starts_with('.') && !part.ends_with('.') && !part.contains("..");
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (1..=64).contains(&local.len())
        && (1..=189).contains(&domain.len())
        && dots(local)
        && dots(domain)
        && local.chars().all(is_local)
        && domain.chars().all(is_domain)
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn mail_addresses_are_plain() {
        for good in ["a@b.c", "first.last+tag@sub.example.com", "root@localhost"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "Ann <a@b.c>",
            "a@b\r\nBcc: x",
            ".a@b",
            "a@b..c",
            "a,b@c",
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}
