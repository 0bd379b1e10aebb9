use indexmap::IndexMap;

use super::auth::auth;
use super::{DESCRIPTION, Decoder, Fields, Key, OWNER, Place, TITLE, TextRule};
use crate::conditions::Conditions;
use crate::connection::{Connection, RateLimit};
use crate::name::Name;
use crate::node::Content;
use crate::schema;
use crate::span::{Span, SpanUnit};

pub(crate) const CONNECTION: &[Key] = &[
    Key::optional("kind", "`connection`", || schema::constant("connection")),
    Key::required("name", "the name other definitions use", schema::name),
    Key::optional("title", "what people call it", schema::title),
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
    Key::optional(
        "variables",
        "what templates know as connection.NAME: constants, or { path, select } to look them up",
        schema::variables,
    ),
    Key::optional(
        "error_when",
        "JSONata on the answer: true when an answer of 200 is an error, such as ok = false",
        schema::expression,
    ),
    Key::optional(
        "retry_when",
        "JSONata on the answer: true when the same page is to be asked for again later",
        schema::expression,
    ),
    Key::optional(
        "error_message",
        "JSONata on the answer: what it says about its error",
        schema::expression,
    ),
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
            .and_then(|p| decoder.text(&p, DESCRIPTION)),
        connector: fields
            .get("connector")
            .and_then(|p| decoder.text(&p, OWNER)),
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
        variables: fields
            .get("variables")
            .map(|p| super::variable::variables(decoder, &p))
            .unwrap_or_default(),
        conditions: Conditions::decode(decoder, &fields),
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
            _ => decoder.scalar(&place, TextRule::Line(200)),
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
