use indexmap::IndexMap;

use super::{put, secret, text_or_secret};
use crate::auth::{Algorithm, Assertion, ClientAuth, Grant, OAuth2, Put, Stored};
use crate::decode::connection::texts;
use crate::decode::{Decoder, Fields, Key, Place, TextRule};
use crate::schema;

pub(crate) const OAUTH2: &[Key] = &[
    Key::required("grant", "what the token server gives access for", || {
        schema::words(Grant::WORDS)
    }),
    Key::required(
        "token_url",
        "the token server's address; secrets are sent to its origin",
        schema::line,
    ),
    Key::optional(
        "authorize_url",
        "authorization_code: where a person consents",
        schema::line,
    ),
    Key::optional(
        "client_id",
        "who asks: text or { secret: name }",
        schema::text_or_secret,
    ),
    Key::optional(
        "client_secret",
        "what proves who asks: { secret: name }",
        schema::stored,
    ),
    Key::optional(
        "client_auth",
        "where client_id and client_secret are put: body (the default), or header (HTTP basic)",
        || schema::words(ClientAuth::WORDS),
    ),
    Key::optional(
        "refresh_token",
        "refresh_token, authorization_code: the secret that holds the refresh token",
        schema::stored,
    ),
    Key::optional(
        "key",
        "jwt_bearer: the private key as PEM, or a Google key file: { secret: name }",
        schema::stored,
    ),
    Key::optional("key_id", "jwt_bearer: which key it is", schema::line),
    Key::optional(
        "algorithm",
        "jwt_bearer: how the assertion is signed (RS256)",
        || schema::words(Algorithm::WORDS),
    ),
    Key::optional("issuer", "jwt_bearer: who says it", schema::line),
    Key::optional(
        "subject",
        "jwt_bearer: of whom it is said (the issuer)",
        schema::line,
    ),
    Key::optional(
        "lifetime",
        "jwt_bearer: how long an assertion holds, 1m to 1d (1h)",
        schema::span,
    ),
    Key::optional("claims", "jwt_bearer: further claims", schema::texts),
    Key::optional("scopes", "what the token is for", schema::lines),
    Key::optional(
        "audience",
        "for whom the token is; jwt_bearer: who reads the assertion (token_url)",
        schema::line,
    ),
    Key::optional(
        "parameters",
        "further fields of the token request; `grant_type` here replaces the standard one",
        schema::texts,
    ),
    Key::optional(
        "put",
        "where the access token is put; Authorization: Bearer … unless said otherwise",
        schema::put,
    ),
];

/// Keys that go with some grants alone.
const OF_GRANTS: &[(&str, &[&str])] = &[
    ("authorize_url", &["authorization_code"]),
    ("refresh_token", &["refresh_token", "authorization_code"]),
    ("key", &["jwt_bearer"]),
    ("key_id", &["jwt_bearer"]),
    ("algorithm", &["jwt_bearer"]),
    ("issuer", &["jwt_bearer"]),
    ("subject", &["jwt_bearer"]),
    ("lifetime", &["jwt_bearer"]),
    ("claims", &["jwt_bearer"]),
];

/// Room for an address, checked further once it is read.
const ADDRESS: TextRule = TextRule::Line(100_000);
const WORD: TextRule = TextRule::Line(1000);
const SCOPES: usize = 200;

pub(super) fn oauth2(decoder: &mut Decoder, place: &Place<'_>) -> Option<OAuth2> {
    let fields = decoder.object(
        place,
        OAUTH2,
        "{ grant: client_credentials, token_url: https://…, client_id, client_secret }",
    )?;
    let grant = fields.get("grant").and_then(|p| {
        let known = |word: &str| Grant::WORDS.iter().copied().find(|one| *one == word);
        decoder.word(&p, Grant::WORDS, "definition.auth", known)
    });
    for (key, grants) in OF_GRANTS {
        if let (Some(grant), Some(place)) = (grant, fields.get(key))
            && !grants.contains(&grant)
        {
            let message = format!(
                "`{key}` goes with the grant {}, not with {grant}",
                grants.join(" or ")
            );
            decoder.problem(&place, "definition.auth", message);
        }
    }
    let line = |decoder: &mut Decoder, key: &str, rule| {
        fields.get(key).and_then(|p| decoder.text(&p, rule))
    };
    let token_url = line(decoder, "token_url", ADDRESS).unwrap_or_default();
    let client_id = fields
        .get("client_id")
        .and_then(|p| text_or_secret(decoder, &p));
    let client_secret = stored(decoder, &fields, "client_secret");
    let client_auth = fields
        .get("client_auth")
        .and_then(|p| decoder.word(&p, ClientAuth::WORDS, "definition.auth", ClientAuth::parse))
        .unwrap_or(ClientAuth::Body);
    let scopes = fields
        .get("scopes")
        .map(|p| scopes(decoder, &p))
        .unwrap_or_default();
    let audience = line(decoder, "audience", WORD);
    let parameters = map(decoder, &fields, "parameters");
    let put = fields
        .get("put")
        .and_then(|p| put(decoder, &p))
        .unwrap_or_else(Put::bearer);
    let grant = match grant? {
        "client_credentials" => Grant::ClientCredentials,
        "refresh_token" => Grant::RefreshToken {
            refresh_token: needed(decoder, &fields, "refresh_token", "{ secret: name }")?,
        },
        "authorization_code" => {
            let refresh_token = needed(decoder, &fields, "refresh_token", "{ secret: name }");
            let authorize_url = line(decoder, "authorize_url", ADDRESS);
            if authorize_url.is_none() && fields.get("authorize_url").is_none() {
                missing(decoder, &fields, "authorize_url", "where a person consents");
            }
            Grant::AuthorizationCode {
                authorize_url: authorize_url?,
                refresh_token: refresh_token?,
            }
        }
        _ => Grant::JwtBearer(assertion(decoder, &fields)?),
    };
    Some(OAuth2 {
        grant,
        token_url,
        client_id,
        client_secret,
        client_auth,
        scopes,
        audience,
        parameters,
        put,
    })
}

fn assertion(decoder: &mut Decoder, fields: &Fields<'_>) -> Option<Assertion> {
    let key = needed(decoder, fields, "key", "{ secret: name }");
    let mut line = |key: &str| fields.get(key).and_then(|p| decoder.text(&p, WORD));
    let (key_id, issuer, subject) = (line("key_id"), line("issuer"), line("subject"));
    let algorithm = fields
        .get("algorithm")
        .and_then(|p| decoder.word(&p, Algorithm::WORDS, "definition.auth", Algorithm::parse))
        .unwrap_or(Algorithm::Rs256);
    let lifetime = fields.get("lifetime").and_then(|p| {
        let span = decoder.span(&p, "definition.auth")?;
        if !(60..=86_400).contains(&span.to_duration().as_secs()) {
            decoder.problem(&p, "definition.auth", "must be from 1m to 1d");
        }
        Some(span)
    });
    Some(Assertion {
        key: key?,
        key_id,
        algorithm,
        issuer,
        subject,
        lifetime: lifetime.unwrap_or(Assertion::DEFAULT_LIFETIME),
        claims: map(decoder, fields, "claims"),
    })
}

fn map(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> IndexMap<String, String> {
    fields
        .get(key)
        .map(|p| texts(decoder, &p, TextRule::Lines(10_000)))
        .unwrap_or_default()
}

fn stored(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<Stored> {
    let place = fields.get(key)?;
    secret(decoder, &place).map(|secret| Stored { secret })
}

fn needed(decoder: &mut Decoder, fields: &Fields<'_>, key: &str, what: &str) -> Option<Stored> {
    if fields.get(key).is_none() {
        missing(decoder, fields, key, what);
    }
    stored(decoder, fields, key)
}

fn missing(decoder: &mut Decoder, fields: &Fields<'_>, key: &str, what: &str) {
    let path = crate::node::join(&fields.place.path, key);
    let (line, column) = (fields.place.node.line, fields.place.node.column);
    let message = format!("this grant needs `{key}`: {what}");
    decoder.problem_at(path, line, column, "definition.required", message);
}

fn scopes(decoder: &mut Decoder, place: &Place<'_>) -> Vec<String> {
    let items = match &place.node.content {
        crate::node::Content::List(_) => place.items(),
        crate::node::Content::Text(_) => vec![place.clone()],
        _ => {
            decoder.wrong_type(place, "a list of scopes");
            return Vec::new();
        }
    };
    if items.len() > SCOPES {
        decoder.problem(place, "definition.auth", format!("at most {SCOPES} scopes"));
    }
    let mut scopes = Vec::new();
    for item in items {
        let Some(text) = decoder.text(&item, WORD) else {
            continue;
        };
        // RFC 6749, 3.3: printable ASCII; a text of several, as APIs print them, is several.
        if text.bytes().any(|b| !(0x20..0x7f).contains(&b)) || text.trim().is_empty() {
            decoder.problem(
                &item,
                "definition.auth",
                "is no scope: one word, without special characters",
            );
        }
        scopes.extend(text.split_ascii_whitespace().map(str::to_owned));
    }
    scopes
}
