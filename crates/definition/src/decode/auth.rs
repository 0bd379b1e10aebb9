mod login;
mod oauth2;

use indexmap::IndexMap;

use super::{Decoder, Fields, Key, Place, TextRule};
use crate::auth::{Auth, Credential, Put, TextOrSecret};
use crate::name::Name;
use crate::node::Content;
use crate::problem::{nearest, quoted};
use crate::schema;

pub(crate) use login::{LOGIN, LOGIN_REQUEST};
pub(crate) use oauth2::OAUTH2;

pub(crate) const CREDENTIAL: &[Key] = &[
    Key::required("secret", "the name of the secret", schema::name),
    Key::optional("prefix", "what comes before its value", schema::line),
];

pub(crate) const BASIC: &[Key] = &[
    Key::required(
        "username",
        "text or { secret: name }",
        schema::text_or_secret,
    ),
    Key::required(
        "password",
        "text or { secret: name }",
        schema::text_or_secret,
    ),
];

pub(crate) const PUT: &[Key] = &[
    Key::optional("header", "the header that holds it", schema::line),
    Key::optional("prefix", "what comes before it in the header", schema::line),
    Key::optional("query", "the query parameter that holds it", schema::line),
    Key::optional("cookie", "the cookie that holds it", schema::line),
];

pub(super) fn auth(decoder: &mut Decoder, place: &Place<'_>) -> Option<Auth> {
    let hint = || format!("known are {}", Auth::WORDS.join(", "));
    let (kind, inner) = match &place.node.content {
        Content::Text(word) if word == "none" => return Some(Auth::None),
        Content::Text(word) if Auth::WORDS.contains(&word.as_str()) => {
            let message = format!("`{word}` needs its secrets, such as {}", example(word));
            decoder.problem(place, "definition.auth", message);
            return None;
        }
        Content::Map(entries) if entries.len() == 1 => {
            let path = crate::node::join(&place.path, &entries[0].key);
            (
                entries[0].key.as_str(),
                Place {
                    node: &entries[0].value,
                    path,
                },
            )
        }
        // Never repeat a text here: people paste secrets.
        _ => {
            decoder
                .problem(
                    place,
                    "definition.auth",
                    "expected `none` or one kind of authentication",
                )
                .hint = Some(hint());
            return None;
        }
    };
    match kind {
        "none" => Some(Auth::None),
        "basic" => {
            let fields = decoder.object(&inner, BASIC, "{ username, password }")?;
            let username = fields
                .get("username")
                .and_then(|p| text_or_secret(decoder, &p));
            let password = fields
                .get("password")
                .and_then(|p| text_or_secret(decoder, &p));
            Some(Auth::Basic {
                username: username?,
                password: password?,
            })
        }
        "bearer" => credential(decoder, &inner).map(Auth::Bearer),
        "header" => Some(Auth::Header(credentials(decoder, &inner, "header"))),
        "query" => Some(Auth::Query(credentials(decoder, &inner, "query"))),
        "oauth2" => oauth2::oauth2(decoder, &inner).map(|oauth2| Auth::OAuth2(Box::new(oauth2))),
        "login" => login::login(decoder, &inner).map(|login| Auth::Login(Box::new(login))),
        "jwt_bearer" => {
            let message = "`jwt_bearer` is a grant of `oauth2`";
            decoder.problem(&inner, "definition.auth", message).hint = Some(
                "write { oauth2: { grant: jwt_bearer, token_url: …, key: { secret: name } } }"
                    .to_owned(),
            );
            None
        }
        other => {
            let problem = decoder.problem(
                &inner,
                "definition.auth",
                format!("{} is no kind of authentication", quoted(other)),
            );
            problem.hint = Some(
                nearest(other, Auth::WORDS.iter().copied())
                    .map_or_else(hint, |near| format!("did you mean `{near}`?")),
            );
            None
        }
    }
}

fn example(kind: &str) -> &'static str {
    match kind {
        "basic" => "{ basic: { username: me, password: { secret: name } } }",
        "bearer" => "{ bearer: { secret: name } }",
        "oauth2" => {
            "{ oauth2: { grant: client_credentials, token_url: https://…, client_id: …, client_secret: { secret: name } } }"
        }
        "login" => {
            "{ login: { request: { path: /session, body: { user: me, password: { secret: name } } }, token: token } }"
        }
        "header" => "{ header: { X-Api-Key: { secret: name } } }",
        _ => "{ query: { api_key: { secret: name } } }",
    }
}

fn credentials(
    decoder: &mut Decoder,
    place: &Place<'_>,
    kind: &str,
) -> IndexMap<String, Credential> {
    let Some(fields) = decoder.map(place, "names and their secrets") else {
        return IndexMap::new();
    };
    let found: IndexMap<_, _> = fields
        .each()
        .filter_map(|(entry, place)| Some((entry.key.clone(), credential(decoder, &place)?)))
        .collect();
    if fields.each().next().is_none() {
        decoder.problem(
            place,
            "definition.auth",
            format!("needs at least one secret, such as {}", example(kind)),
        );
    }
    found
}

/// Refuses a secret that is written where its name belongs, without repeating it.
fn written<T>(decoder: &mut Decoder, place: &Place<'_>) -> Option<T> {
    decoder
        .problem(
            place,
            "definition.auth",
            "expected { secret: name }; a secret is never written in a definition",
        )
        .hint = Some("store it with `tidemark secret set NAME` and name it here".to_owned());
    None
}

fn credential(decoder: &mut Decoder, place: &Place<'_>) -> Option<Credential> {
    if let Content::Text(_) = &place.node.content {
        return written(decoder, place);
    }
    let fields = decoder.object(place, CREDENTIAL, "{ secret: name }")?;
    let secret = fields.get("secret").and_then(|p| decoder.name_unshown(&p));
    let prefix = fields
        .get("prefix")
        .and_then(|p| decoder.text(&p, TextRule::Line(100)));
    Some(Credential {
        secret: secret?,
        prefix,
    })
}

pub(super) fn text_or_secret(decoder: &mut Decoder, place: &Place<'_>) -> Option<TextOrSecret> {
    match &place.node.content {
        Content::Map(_) => secret(decoder, place).map(TextOrSecret::Secret),
        _ => decoder
            .scalar(place, TextRule::Line(1000))
            .map(TextOrSecret::Text),
    }
}

/// Reads `{ secret: name }` and nothing else.
pub(super) fn secret(decoder: &mut Decoder, place: &Place<'_>) -> Option<Name> {
    if !matches!(place.node.content, Content::Map(_)) {
        return written(decoder, place);
    }
    let fields = decoder.object(place, &CREDENTIAL[..1], "{ secret: name }")?;
    fields.get("secret").and_then(|p| decoder.name_unshown(&p))
}

impl Decoder {
    /// Reads the name of a secret; a wrong one is not shown, since it may be the secret itself.
    fn name_unshown(&mut self, place: &Place<'_>) -> Option<Name> {
        let name = match &place.node.content {
            Content::Text(text) => Name::parse(text).ok(),
            _ => None,
        };
        if name.is_none() {
            self.problem(
                place,
                "definition.name_invalid",
                "expected the name of a secret: lower-case letters, digits and `_`",
            )
            .hint = Some(
                "store the value with `tidemark secret set NAME` and write NAME here".to_owned(),
            );
        }
        name
    }
}

/// Reads where a token is put.
pub(super) fn put(decoder: &mut Decoder, place: &Place<'_>) -> Option<Put> {
    let fields = decoder.object(place, PUT, "{ header: Authorization, prefix: \"Bearer \" }")?;
    let one = one_of(decoder, &fields, &["header", "query", "cookie"])?;
    if let (Some(prefix), true) = (fields.get("prefix"), one.0 != "header") {
        let message = "`prefix` goes with `header` alone";
        decoder.problem(&prefix, "definition.auth", message);
    }
    Some(match one {
        ("header", header) => Put::Header {
            header,
            prefix: fields
                .get("prefix")
                .and_then(|p| decoder.text(&p, TextRule::Line(100)))
                .unwrap_or_default(),
        },
        ("query", query) => Put::Query { query },
        (_, cookie) => Put::Cookie { cookie },
    })
}

/// Reads the one text that is written among `keys`.
fn one_of(
    decoder: &mut Decoder,
    fields: &Fields<'_>,
    keys: &[&'static str],
) -> Option<(&'static str, String)> {
    let written: Vec<_> = keys
        .iter()
        .filter_map(|key| Some((*key, fields.get(key)?)))
        .collect();
    let [(key, place)] = written.as_slice() else {
        let message = format!("expected one of {}", keys.join(", "));
        decoder.problem(&fields.place, "definition.auth", message);
        return None;
    };
    let text = decoder.text(place, TextRule::Line(200))?;
    if text.trim().is_empty() {
        let message = "a name is needed, this one is empty";
        decoder.problem(place, "definition.required", message);
        return None;
    }
    Some((key, text))
}
