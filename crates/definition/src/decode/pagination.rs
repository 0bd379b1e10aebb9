use super::{Decoder, Fields, Key, Place, TextRule, request};
use crate::node::{Content, join};
use crate::pagination::{
    Cursor, LinkHeader, NextRequest, NextUrl, Offset, PageNumber, Pagination, Placement, Source,
};
use crate::problem::{nearest, quoted};
use crate::request::Method;
use crate::schema;

const IN: Key = Key::optional(
    "in",
    "where it is put: query (the default), body, path or header",
    || schema::words(Placement::WORDS),
);
const SIZE_PARAM: Key = Key::optional(
    "size_param",
    "the name of the parameter that holds the page size",
    schema::line,
);
const TOTAL: Key = Key::optional(
    "total",
    "where the answer states how many records there are: a path, JSONata, or { header: … }",
    schema::source,
);
const HAS_MORE: Key = Key::optional(
    "has_more",
    "where the answer states whether there are more pages: a path, JSONata, or { header: … }",
    schema::source,
);
const FURTHER: Key = Key::optional(
    "next",
    "how the requests behind the first one differ from it: method, path, query, body or form",
    schema::next_request,
);

pub(crate) const PAGE: &[Key] = &[
    Key::required(
        "param",
        "the name of the parameter that holds the page number",
        schema::line,
    ),
    IN,
    Key::optional("start", "the number of the first page (1)", || {
        schema::integer(-1_000_000, 1_000_000)
    }),
    SIZE_PARAM,
    Key::optional(
        "size",
        "the page size; a shorter page is the last one where nothing better is known",
        || schema::integer(1, 1_000_000),
    ),
    Key::optional(
        "total_pages",
        "where the answer states how many pages there are: a path, JSONata, or { header: … }",
        schema::source,
    ),
    TOTAL,
    HAS_MORE,
    FURTHER,
];

pub(crate) const OFFSET: &[Key] = &[
    Key::required(
        "param",
        "the name of the parameter that holds the number of the first record",
        schema::line,
    ),
    IN,
    Key::optional("start", "the number of the first record (0)", || {
        schema::integer(0, 1_000_000_000)
    }),
    Key::optional(
        "limit_param",
        "the name of the parameter that holds how many records a page has",
        schema::line,
    ),
    Key::optional(
        "limit",
        "how many records a page has; without it, the number that came",
        || schema::integer(1, 1_000_000),
    ),
    TOTAL,
    HAS_MORE,
    FURTHER,
];

pub(crate) const CURSOR: &[Key] = &[
    Key::required(
        "from",
        "where the answer holds the cursor of the next page: a path, JSONata, or { header: … }",
        schema::source,
    ),
    Key::required(
        "param",
        "the name of the parameter that holds the cursor",
        schema::line,
    ),
    IN,
    HAS_MORE,
    TOTAL,
    SIZE_PARAM,
    Key::optional("size", "the page size", || schema::integer(1, 1_000_000)),
    FURTHER,
];

pub(crate) const NEXT_URL: &[Key] = &[
    Key::required(
        "from",
        "where the answer holds the address of the next page, absolute or relative: a path, JSONata, or { header: … }",
        schema::source,
    ),
    HAS_MORE,
    TOTAL,
    FURTHER,
];

pub(crate) const LINK_HEADER: &[Key] = &[TOTAL, FURTHER];

pub(crate) const NEXT: &[Key] = &[
    Key::optional(
        "method",
        "GET, which drops the first request's body, or POST",
        || schema::words(Method::WORDS),
    ),
    Key::optional(
        "path",
        "the path below the connection's base_url; starts with `/`",
        schema::line,
    ),
    Key::optional(
        "query",
        "the query parameters, instead of the first request's",
        schema::query,
    ),
    Key::optional(
        "body",
        "the JSON body, instead of the first request's",
        schema::anything,
    ),
    Key::optional(
        "form",
        "the form body, instead of the first request's",
        schema::texts,
    ),
];

pub(super) fn pagination(decoder: &mut Decoder, place: &Place<'_>) -> Option<Pagination> {
    let (kind, inner) = strategy(decoder, place)?;
    let at = inner.as_ref().unwrap_or(place);
    match kind {
        "none" => Some(Pagination::None),
        "auto" => Some(Pagination::Auto),
        "link_header" => match &inner {
            Some(inner) if !matches!(inner.node.content, Content::Null) => {
                let fields = decoder.object(inner, LINK_HEADER, example(kind))?;
                Some(Pagination::LinkHeader(LinkHeader {
                    total: source(decoder, &fields, "total"),
                    next: next(decoder, &fields),
                }))
            }
            _ => Some(Pagination::LinkHeader(LinkHeader::default())),
        },
        "page" | "offset" | "cursor" | "next_url" if inner.is_none() => {
            let message = format!("`{kind}` needs settings, such as {}", example(kind));
            decoder.problem(place, "definition.pagination", message);
            None
        }
        "page" => page(decoder, at).map(Pagination::Page),
        "offset" => offset(decoder, at).map(Pagination::Offset),
        "cursor" => cursor(decoder, at).map(Pagination::Cursor),
        "next_url" => {
            let fields = decoder.object(at, NEXT_URL, example(kind))?;
            Some(Pagination::NextUrl(NextUrl {
                from: source(decoder, &fields, "from")?,
                has_more: source(decoder, &fields, "has_more"),
                total: source(decoder, &fields, "total"),
                next: next(decoder, &fields),
            }))
        }
        other => {
            let problem = decoder.problem(
                at,
                "definition.pagination_type",
                format!("{} is no pagination strategy; {}", quoted(other), listed()),
            );
            problem.hint = nearest(other, Pagination::WORDS.iter().copied())
                .map(|near| format!("did you mean `{near}`?"));
            None
        }
    }
}

fn listed() -> String {
    format!("known are {}", Pagination::WORDS.join(", "))
}

/// Reads the strategy: a bare word, or the one key of a map and what stands below it.
fn strategy<'n>(decoder: &mut Decoder, place: &Place<'n>) -> Option<(&'n str, Option<Place<'n>>)> {
    match &place.node.content {
        Content::Text(word) => Some((word.as_str(), None)),
        Content::Map(entries) if entries.len() == 1 && entries[0].key != "type" => {
            let path = join(&place.path, &entries[0].key);
            let inner = Place {
                node: &entries[0].value,
                path,
            };
            Some((entries[0].key.as_str(), Some(inner)))
        }
        Content::Map(entries) => {
            let written = entries.iter().find(|entry| entry.key == "type");
            let message = match written.map(|entry| &entry.value.content) {
                Some(Content::Text(word)) => format!(
                    "{} is not how pagination is written: the strategy is the key, {}",
                    quoted(word),
                    listed()
                ),
                _ => format!(
                    "expected one strategy, got {} keys: {}",
                    entries.len(),
                    listed()
                ),
            };
            decoder
                .problem(place, "definition.pagination_type", message)
                .hint =
                Some("write for example `pagination: { page: { param: page } }`".to_owned());
            None
        }
        _ => {
            let message = format!(
                "expected a strategy, got {}: {}",
                place.node.describe(),
                listed()
            );
            decoder.problem(place, "definition.pagination_type", message);
            None
        }
    }
}

fn example(kind: &str) -> &'static str {
    match kind {
        "page" => "{ page: { param: page, total_pages: total_pages } }",
        "offset" => "{ offset: { param: offset, limit_param: limit, limit: 100 } }",
        "cursor" => "{ cursor: { from: pagination.end_cursor, param: after } }",
        "link_header" => "link_header",
        _ => "{ next_url: { from: links.next } }",
    }
}

/// Reads the name of a parameter.
fn param(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<String> {
    let place = fields.get(key)?;
    let text = decoder.text(&place, TextRule::Line(200))?;
    if text.trim().is_empty() {
        decoder.problem(
            &place,
            "definition.required",
            "a parameter name is needed, this one is empty",
        );
    }
    Some(text)
}

fn placement(decoder: &mut Decoder, fields: &Fields<'_>) -> Placement {
    fields
        .get("in")
        .and_then(|p| {
            decoder.word(
                &p,
                Placement::WORDS,
                "definition.pagination",
                Placement::parse,
            )
        })
        .unwrap_or_default()
}

/// Reads where an answer says something: a path or JSONata, or `{ header: NAME }`.
fn source(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<Source> {
    let place = fields.get(key)?;
    if !matches!(place.node.content, Content::Map(_)) {
        return decoder.expression(&place).map(Source::Body);
    }
    let header = Key::required("header", "the name of a header of the answer", schema::line);
    let fields = decoder.object(&place, &[header], "{ header: X-Total-Count }")?;
    param(decoder, &fields, "header").map(Source::Header)
}

fn size(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<u32> {
    fields
        .get(key)
        .and_then(|p| decoder.small(&p, 1, 1_000_000, "definition.pagination"))
}

fn next(decoder: &mut Decoder, fields: &Fields<'_>) -> Option<NextRequest> {
    let place = fields.get("next")?;
    let fields = decoder.object(&place, NEXT, "{ path: /search/continue }")?;
    Some(NextRequest {
        method: fields
            .get("method")
            .and_then(|p| request::method(decoder, &p)),
        path: fields
            .get("path")
            .and_then(|p| decoder.text(&p, TextRule::Line(100_000))),
        query: fields.get("query").map(|p| request::query(decoder, &p)),
        body: fields.get("body").and_then(|p| request::body(decoder, &p)),
        form: fields
            .get("form")
            .map(|p| super::connection::texts(decoder, &p, request::TEXT)),
    })
}

fn page(decoder: &mut Decoder, place: &Place<'_>) -> Option<PageNumber> {
    let fields = decoder.object(place, PAGE, example("page"))?;
    Some(PageNumber {
        param: param(decoder, &fields, "param").unwrap_or_default(),
        placement: placement(decoder, &fields),
        start: fields
            .get("start")
            .and_then(|p| decoder.integer(&p, -1_000_000, 1_000_000, "definition.pagination"))
            .unwrap_or(1),
        size_param: param(decoder, &fields, "size_param"),
        size: size(decoder, &fields, "size"),
        total_pages: source(decoder, &fields, "total_pages"),
        total: source(decoder, &fields, "total"),
        has_more: source(decoder, &fields, "has_more"),
        next: next(decoder, &fields),
    })
}

fn offset(decoder: &mut Decoder, place: &Place<'_>) -> Option<Offset> {
    let fields = decoder.object(place, OFFSET, example("offset"))?;
    let start = fields
        .get("start")
        .and_then(|p| decoder.small(&p, 0, 1_000_000_000, "definition.pagination"));
    Some(Offset {
        param: param(decoder, &fields, "param").unwrap_or_default(),
        placement: placement(decoder, &fields),
        start: start.map(u64::from).unwrap_or_default(),
        limit_param: param(decoder, &fields, "limit_param"),
        limit: size(decoder, &fields, "limit"),
        total: source(decoder, &fields, "total"),
        has_more: source(decoder, &fields, "has_more"),
        next: next(decoder, &fields),
    })
}

fn cursor(decoder: &mut Decoder, place: &Place<'_>) -> Option<Cursor> {
    let fields = decoder.object(place, CURSOR, example("cursor"))?;
    Some(Cursor {
        from: source(decoder, &fields, "from").unwrap_or_else(|| Source::Body(String::new())),
        param: param(decoder, &fields, "param").unwrap_or_default(),
        placement: placement(decoder, &fields),
        has_more: source(decoder, &fields, "has_more"),
        total: source(decoder, &fields, "total"),
        size_param: param(decoder, &fields, "size_param"),
        size: size(decoder, &fields, "size"),
        next: next(decoder, &fields),
    })
}
