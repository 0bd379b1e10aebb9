use indexmap::IndexMap;

use super::{BASIC, one_of, put, secret, text_or_secret};
use crate::auth::{Login, LoginRequest, Pair, Put, TextOrSecret, TokenSource};
use crate::decode::request::{body, method};
use crate::decode::{Decoder, Fields, Key, Place, TextRule};
use crate::node::Content;
use crate::request::Method;
use crate::schema;

pub(crate) const LOGIN: &[Key] = &[
    Key::required("request", "what to ask for a token", schema::login_request),
    Key::required(
        "token",
        "where the answer holds it: JSONata, { header: name } or { cookie: name }",
        schema::token_source,
    ),
    Key::optional(
        "lifetime",
        "how long a token is used, 1m to 31d; without it, until it is refused",
        schema::span,
    ),
    Key::optional(
        "put",
        "where the token is put; Authorization: Bearer … or the same cookie unless said otherwise",
        schema::put,
    ),
];

pub(crate) const LOGIN_REQUEST: &[Key] = &[
    Key::optional("method", "POST (the default) or GET", || {
        schema::words(Method::WORDS)
    }),
    Key::optional("path", "the path below base_url", schema::line),
    Key::optional(
        "url",
        "the whole address instead, where it is another server; secrets are sent to its origin",
        schema::line,
    ),
    Key::optional(
        "query",
        "query parameters; each is text or { secret: name }",
        schema::texts_or_secrets,
    ),
    Key::optional(
        "headers",
        "headers; each is text or { secret: name }",
        schema::texts_or_secrets,
    ),
    Key::optional(
        "basic",
        "HTTP basic authentication of this request",
        schema::basic,
    ),
    Key::optional(
        "body",
        "the JSON body; { secret: name } anywhere in it is that secret",
        schema::anything,
    ),
    Key::optional(
        "form",
        "the form body instead; each field is text or { secret: name }",
        schema::texts_or_secrets,
    ),
];

const TOKEN: &[Key] = &[
    Key::optional("header", "the header of the answer", schema::line),
    Key::optional("cookie", "the cookie the answer sets", schema::line),
];

pub(super) fn login(decoder: &mut Decoder, place: &Place<'_>) -> Option<Login> {
    let fields = decoder.object(place, LOGIN, "{ request, token }")?;
    let request = fields.get("request").and_then(|p| request(decoder, &p));
    let token = fields.get("token").and_then(|p| token(decoder, &p));
    let lifetime = fields.get("lifetime").and_then(|p| {
        let span = decoder.span(&p, "definition.auth")?;
        if !(60..=31 * 86_400).contains(&span.to_duration().as_secs()) {
            decoder.problem(&p, "definition.auth", "must be from 1m to 31d");
        }
        Some(span)
    });
    let put = fields.get("put").and_then(|p| put(decoder, &p));
    let token = token?;
    let put = put.unwrap_or_else(|| match &token {
        TokenSource::Cookie { cookie } => Put::Cookie {
            cookie: cookie.clone(),
        },
        TokenSource::Path(_) | TokenSource::Header { .. } => Put::bearer(),
    });
    Some(Login {
        request: request?,
        token,
        lifetime,
        put,
    })
}

fn token(decoder: &mut Decoder, place: &Place<'_>) -> Option<TokenSource> {
    if !matches!(place.node.content, Content::Map(_)) {
        return decoder.expression(place).map(TokenSource::Path);
    }
    let fields = decoder.object(
        place,
        TOKEN,
        "JSONata, { header: name } or { cookie: name }",
    )?;
    Some(match one_of(decoder, &fields, &["header", "cookie"])? {
        ("header", header) => TokenSource::Header { header },
        (_, cookie) => TokenSource::Cookie { cookie },
    })
}

fn request(decoder: &mut Decoder, place: &Place<'_>) -> Option<LoginRequest> {
    let fields = decoder.object(place, LOGIN_REQUEST, "{ path: /session, body: {…} }")?;
    let method = fields
        .get("method")
        .and_then(|p| method(decoder, &p))
        .unwrap_or(Method::Post);
    let mut address = |key: &str| {
        fields
            .get(key)
            .and_then(|p| decoder.text(&p, TextRule::Line(100_000)))
    };
    let (path, url) = (address("path"), address("url"));
    if fields.get("path").is_some() == fields.get("url").is_some() {
        let message = "expected `path`, below base_url, or `url`, the whole address";
        decoder.problem(place, "definition.auth", message);
    }
    Some(LoginRequest {
        method,
        path,
        url,
        query: parts(decoder, &fields, "query").unwrap_or_default(),
        headers: parts(decoder, &fields, "headers").unwrap_or_default(),
        basic: fields.get("basic").and_then(|p| pair(decoder, &p)),
        body: fields.get("body").and_then(|p| {
            leaves(decoder, &p);
            body(decoder, &p)
        }),
        form: parts(decoder, &fields, "form"),
    })
}

fn pair(decoder: &mut Decoder, place: &Place<'_>) -> Option<Pair> {
    let fields = decoder.object(place, BASIC, "{ username, password }")?;
    let mut part = |key| fields.get(key).and_then(|p| text_or_secret(decoder, &p));
    let (username, password) = (part("username"), part("password"));
    Some(Pair {
        username: username?,
        password: password?,
    })
}

fn parts(
    decoder: &mut Decoder,
    fields: &Fields<'_>,
    key: &str,
) -> Option<IndexMap<String, TextOrSecret>> {
    let place = fields.get(key)?;
    let fields = decoder.map(&place, "names, each with text or { secret: name }")?;
    let parts = fields
        .each()
        .filter_map(|(entry, place)| Some((entry.key.clone(), text_or_secret(decoder, &place)?)))
        .collect();
    Some(parts)
}

/// Refuses objects in a body that look like a secret's place and name none.
fn leaves(decoder: &mut Decoder, place: &Place<'_>) {
    match &place.node.content {
        Content::Map(entries)
            if entries.len() == 1
                && entries[0].key == "secret"
                && !matches!(entries[0].value.content, Content::Map(_)) =>
        {
            secret(decoder, place);
        }
        Content::Map(entries) => {
            for entry in entries {
                let path = crate::node::join(&place.path, &entry.key);
                let node = &entry.value;
                leaves(decoder, &Place { node, path });
            }
        }
        Content::List(_) => place.items().iter().for_each(|item| leaves(decoder, item)),
        _ => {}
    }
}
