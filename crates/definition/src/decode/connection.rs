use indexmap::IndexMap;

use super::{Decoder, Fields, Key, Place, TITLE, TextRule};
use crate::auth::{Auth, Credential, TextOrSecret};
use crate::connection::{Connection, RateLimit};
use crate::name::Name;
use crate::node::Content;
use crate::problem::{nearest, quoted};
use crate::schema;
use crate::span::{Span, SpanUnit};

pub(crate) const CONNECTION: &[Key] = &[
    Key::optional("kind", "`connection`", || schema::constant("connection")),
    Key::required("name", "the name other definitions use", schema::name),
    Key::optional("title", "what people call it", schema::line),
    Key::optional("description", "what it is", schema::text),
    Key::optional(
        "connector",
        "the entry of the API catalogue it was made from",
        schema::line,
    ),
    Key::optional(
        "base_url",
        "the address that every request path is below, `http` or `https`; a connector gives its own",
        schema::line,
    ),
    Key::optional(
        "auth",
        "how requests prove who they are; secrets are named, never written",
        schema::auth,
    ),
    Key::optional("headers", "headers of every request", schema::texts),
    Key::optional(
        "rate_limit",
        "what all fetchers together may send",
        schema::rate_limit,
    ),
    Key::later("variables"),
    Key::optional("paused", "whether its datasets rest", schema::boolean),
];

pub(crate) const RATE_LIMIT: &[Key] = &[
    Key::required("requests", "how many requests", || {
        schema::integer(1, 1_000_000)
    }),
    Key::required(
        "per",
        "in how long, from 1s to 31d; any window of this length counts",
        schema::span,
    ),
    Key::optional("concurrency", "how many at the same time", || {
        schema::integer(1, 256)
    }),
];

pub(crate) const CREDENTIAL: &[Key] = &[
    Key::required("secret", "the name of the secret", schema::name),
    Key::optional("prefix", "what comes before its value", schema::line),
];

const BASIC: &[Key] = &[
    Key::required("username", "text or { secret: name }", schema::anything),
    Key::required("password", "text or { secret: name }", schema::anything),
];

/// Kinds of authentication that come later.
const LATER: &[&str] = &["oauth2", "login", "jwt_bearer"];

pub(crate) fn connection(decoder: &mut Decoder, place: &Place<'_>) -> Option<Connection> {
    let fields = decoder.object(place, CONNECTION, "a connection")?;
    if fields.get("base_url").is_none() && fields.get("connector").is_none() {
        decoder.missing(
            place,
            "base_url",
            "the address that every request path is below",
        );
    }
    Some(Connection {
        name: fields
            .get("name")
            .and_then(|p| decoder.name(&p))
            .unwrap_or_else(Name::placeholder),
        title: fields.get("title").and_then(|p| decoder.text(&p, TITLE)),
        description: fields
            .get("description")
            .and_then(|p| decoder.text(&p, TextRule::Lines(10_000))),
        connector: fields
            .get("connector")
            .and_then(|p| decoder.text(&p, TITLE)),
        base_url: fields
            .get("base_url")
            .and_then(|p| decoder.text(&p, TextRule::Line(100_000)))
            .unwrap_or_default(),
        auth: fields
            .get("auth")
            .and_then(|p| auth(decoder, &p))
            .unwrap_or_default(),
        headers: headers(decoder, &fields),
        rate_limit: fields
            .get("rate_limit")
            .and_then(|p| rate_limit(decoder, &p)),
        paused: fields
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    })
}

/// Reads a map of texts; what the texts may be is checked later.
pub(super) fn texts(
    decoder: &mut Decoder,
    place: &Place<'_>,
    rule: TextRule,
) -> IndexMap<String, String> {
    let Some(fields) = decoder.map(place, "names and their texts") else {
        return IndexMap::new();
    };
    fields
        .each()
        .filter_map(|(entry, place)| Some((entry.key.clone(), decoder.scalar(&place, rule)?)))
        .collect()
}

pub(super) fn headers(decoder: &mut Decoder, fields: &Fields<'_>) -> IndexMap<String, String> {
    let Some(place) = fields.get("headers") else {
        return IndexMap::new();
    };
    let Some(fields) = decoder.map(&place, "header names and their values") else {
        return IndexMap::new();
    };
    let mut headers = IndexMap::new();
    for (entry, place) in fields.each() {
        let text = match &place.node.content {
            Content::Text(text) => Some(text.clone()), // its characters are checked by the header rules
            _ => decoder.scalar(&place, TITLE),
        };
        headers.extend(text.map(|text| (entry.key.clone(), text)));
    }
    headers
}

fn rate_limit(decoder: &mut Decoder, place: &Place<'_>) -> Option<RateLimit> {
    let fields = decoder.object(
        place,
        RATE_LIMIT,
        "a rate limit such as { requests: 120, per: 60s }",
    )?;
    let per = fields.get("per").and_then(|p| {
        let per = decoder.span(&p, "definition.rate_limit")?;
        let seconds = per.to_duration().as_secs();
        if seconds > 31 * 86_400 {
            decoder.problem(&p, "definition.rate_limit", "must be from 1s to 31d");
        }
        Some(per)
    });
    Some(RateLimit {
        requests: fields
            .get("requests")
            .and_then(|p| decoder.small(&p, 1, 1_000_000, "definition.rate_limit"))
            .unwrap_or(1),
        per: per.unwrap_or(Span::new(60, SpanUnit::Second)),
        concurrency: fields
            .get("concurrency")
            .and_then(|p| decoder.small(&p, 1, 256, "definition.rate_limit")),
    })
}

fn auth(decoder: &mut Decoder, place: &Place<'_>) -> Option<Auth> {
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
        later if LATER.contains(&later) => {
            decoder.not_yet(&inner, &format!("authentication by `{later}`"));
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

fn credential(decoder: &mut Decoder, place: &Place<'_>) -> Option<Credential> {
    if let Content::Text(_) = &place.node.content {
        decoder
            .problem(
                place,
                "definition.auth",
                "expected { secret: name }; a secret is never written in a definition",
            )
            .hint = Some("store it with `tidemark secret set NAME` and name it here".to_owned());
        return None;
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

fn text_or_secret(decoder: &mut Decoder, place: &Place<'_>) -> Option<TextOrSecret> {
    match &place.node.content {
        Content::Map(_) => credential_without_prefix(decoder, place).map(TextOrSecret::Secret),
        _ => decoder
            .scalar(place, TextRule::Line(1000))
            .map(TextOrSecret::Text),
    }
}

fn credential_without_prefix(decoder: &mut Decoder, place: &Place<'_>) -> Option<Name> {
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
