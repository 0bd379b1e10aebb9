use indexmap::IndexMap;
use serde_json::Value;

use super::{Decoder, Fields, Key, Place, TextRule};
use crate::conditions::Conditions;
use crate::node::{Content, join};
use crate::pagination::{Cursor, NextUrl, Offset, PageNumber, Pagination, Placement};
use crate::problem::{nearest, quoted};
use crate::request::{Method, QueryValue, Request, ResponseFormat};
use crate::schema;

pub(crate) const REQUEST: &[Key] = &[
    Key::optional(
        "method",
        "GET (the default), or POST for a request that only reads",
        || schema::words(Method::WORDS),
    ),
    Key::optional(
        "path",
        "the path below the connection's base_url; starts with `/`; templates are percent-encoded",
        schema::line,
    ),
    Key::optional(
        "query",
        "query parameters: text, numbers, booleans, or lists of them; templates allowed",
        schema::query,
    ),
    Key::optional(
        "headers",
        "headers besides the connection's; templates allowed",
        schema::texts,
    ),
    Key::optional(
        "body",
        "the JSON body of a POST; every text in it may be a template",
        schema::anything,
    ),
    Key::optional(
        "form",
        "the form body of a POST, instead of `body`",
        schema::texts,
    ),
    Key::optional(
        "response",
        "how the answer is written; `json` for now",
        schema::response,
    ),
    Key::optional(
        "pagination",
        "how the next page is found",
        schema::pagination,
    ),
    Key::optional(
        "max_pages",
        "after this many pages a run is truncated, and marked so (100)",
        || schema::integer(1, 10_000),
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
];

pub(crate) const RESPONSE: &[Key] = &[
    Key::required("format", "`json`", || schema::words(ResponseFormat::WORDS)),
    Key::later("delimiter"),
    Key::later("encoding"),
];

pub(crate) const PAGE: &[Key] = &[
    Key::required(
        "param",
        "the name of the parameter that holds the page number",
        schema::line,
    ),
    Key::optional(
        "in",
        "where it is put: query (the default), body, path or header",
        || schema::words(Placement::WORDS),
    ),
    Key::optional("start", "the number of the first page (1)", || {
        schema::integer(-1_000_000, 1_000_000)
    }),
    Key::optional(
        "size_param",
        "the name of the parameter that holds the page size",
        schema::line,
    ),
    Key::optional(
        "size",
        "the page size; a shorter page is the last one where nothing better is known",
        || schema::integer(1, 1_000_000),
    ),
    Key::optional(
        "total_pages",
        "where the answer states how many pages there are (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "total",
        "where the answer states how many records there are (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "has_more",
        "where the answer states whether there are more pages (JSONata)",
        schema::expression,
    ),
];

pub(crate) const OFFSET: &[Key] = &[
    Key::required(
        "param",
        "the name of the parameter that holds the number of the first record",
        schema::line,
    ),
    Key::optional(
        "in",
        "where it is put: query (the default), body, path or header",
        || schema::words(Placement::WORDS),
    ),
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
    Key::optional(
        "total",
        "where the answer states how many records there are (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "has_more",
        "where the answer states whether there are more pages (JSONata)",
        schema::expression,
    ),
];

pub(crate) const CURSOR: &[Key] = &[
    Key::required(
        "from",
        "where the answer holds the cursor of the next page (JSONata)",
        schema::expression,
    ),
    Key::required(
        "param",
        "the name of the parameter that holds the cursor",
        schema::line,
    ),
    Key::optional(
        "in",
        "where it is put: query (the default), body, path or header",
        || schema::words(Placement::WORDS),
    ),
    Key::optional(
        "has_more",
        "where the answer states whether there are more pages (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "size_param",
        "the name of the parameter that holds the page size",
        schema::line,
    ),
    Key::optional("size", "the page size", || schema::integer(1, 1_000_000)),
];

pub(crate) const NEXT_URL: &[Key] = &[Key::required(
    "from",
    "where the answer holds the address of the next page, absolute or relative (JSONata)",
    schema::expression,
)];

const TEXT: TextRule = TextRule::Lines(64 * 1024);

pub(crate) fn request(decoder: &mut Decoder, place: &Place<'_>) -> Option<Request> {
    let fields = decoder.object(place, REQUEST, "a request")?;
    Some(Request {
        method: fields
            .get("method")
            .and_then(|p| method(decoder, &p))
            .unwrap_or(Method::Get),
        path: fields
            .get("path")
            .and_then(|p| decoder.text(&p, TextRule::Line(100_000)))
            .unwrap_or_default(),
        query: fields
            .get("query")
            .map(|p| query(decoder, &p))
            .unwrap_or_default(),
        headers: super::connection::headers(decoder, &fields),
        body: fields.get("body").and_then(|p| body(decoder, &p)),
        form: fields
            .get("form")
            .map(|p| super::connection::texts(decoder, &p, TEXT)),
        response: fields
            .get("response")
            .and_then(|p| response(decoder, &p))
            .unwrap_or(ResponseFormat::Json),
        pagination: fields
            .get("pagination")
            .and_then(|p| pagination(decoder, &p))
            .unwrap_or_default(),
        max_pages: fields
            .get("max_pages")
            .and_then(|p| decoder.small(&p, 1, Request::MAX_MAX_PAGES, "definition.max_pages"))
            .unwrap_or(Request::DEFAULT_MAX_PAGES),
        conditions: Conditions::decode(decoder, &fields),
    })
}

pub(super) fn method(decoder: &mut Decoder, place: &Place<'_>) -> Option<Method> {
    let text = match &place.node.content {
        Content::Text(text) => text.as_str(),
        _ => "",
    };
    let method = Method::parse(text);
    if method.is_none() {
        let problem = decoder.problem(place, "definition.method", "only GET and POST are allowed");
        problem.hint =
            Method::parse(&text.to_ascii_uppercase()).map(|method| format!("write {method}"));
    }
    method
}

fn query(decoder: &mut Decoder, place: &Place<'_>) -> IndexMap<String, QueryValue> {
    let Some(fields) = decoder.map(place, "parameter names and their values") else {
        return IndexMap::new();
    };
    let mut query = IndexMap::new();
    for (entry, place) in fields.each() {
        let value = match &place.node.content {
            Content::Null => continue,
            Content::List(_) => {
                let texts = place
                    .items()
                    .iter()
                    .filter_map(|item| decoder.scalar(item, TEXT))
                    .collect();
                Some(QueryValue::Many(texts))
            }
            _ => decoder.scalar(&place, TEXT).map(QueryValue::One),
        };
        query.extend(value.map(|value| (entry.key.clone(), value)));
    }
    query
}

pub(super) fn body(decoder: &mut Decoder, place: &Place<'_>) -> Option<Value> {
    match &place.node.content {
        Content::Map(_) | Content::List(_) => Some(decoder.json(place)),
        Content::Text(text) if text.len() > Request::MAX_BODY_BYTES => {
            let message = format!("the body is larger than {} bytes", Request::MAX_BODY_BYTES);
            decoder.problem(place, "definition.body_too_large", message);
            None
        }
        Content::Text(text) => match crate::json::read(text, "") {
            Ok(node) if matches!(node.content, Content::Map(_) | Content::List(_)) => {
                Some(decoder.json(&Place {
                    node: &node,
                    path: place.path.clone(),
                }))
            }
            _ => {
                decoder
                    .problem(
                        place,
                        "definition.body",
                        "the body must be a JSON object or array",
                    )
                    .hint = Some("write it as a map, or use `form`".to_owned());
                None
            }
        },
        _ => {
            decoder.wrong_type(place, "a JSON object or array");
            None
        }
    }
}

fn response(decoder: &mut Decoder, place: &Place<'_>) -> Option<ResponseFormat> {
    let format = if let Content::Text(_) = &place.node.content {
        place.clone()
    } else {
        let fields = decoder.object(place, RESPONSE, "{ format: json }")?;
        fields.get("format")?
    };
    if let Content::Text(text) = &format.node.content
        && ["ndjson", "csv", "xml"].contains(&text.as_str())
    {
        decoder.not_yet(&format, &format!("the response format `{text}`"));
        return None;
    }
    decoder.word(
        &format,
        ResponseFormat::WORDS,
        "definition.response_format",
        ResponseFormat::parse,
    )
}

fn pagination(decoder: &mut Decoder, place: &Place<'_>) -> Option<Pagination> {
    let listed = || format!("known are {}", Pagination::WORDS.join(", "));
    let (kind, inner) = match &place.node.content {
        Content::Text(word) => (word.as_str(), None),
        Content::Map(entries) if entries.len() == 1 && entries[0].key != "type" => {
            let path = join(&place.path, &entries[0].key);
            (
                entries[0].key.as_str(),
                Some(Place {
                    node: &entries[0].value,
                    path,
                }),
            )
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
            return None;
        }
        _ => {
            let message = format!(
                "expected a strategy, got {}: {}",
                place.node.describe(),
                listed()
            );
            decoder.problem(place, "definition.pagination_type", message);
            return None;
        }
    };
    let at = inner.as_ref().unwrap_or(place);
    match kind {
        "none" => Some(Pagination::None),
        "link_header" => {
            if let Some(inner) = &inner
                && !matches!(inner.node.content, Content::Null)
            {
                decoder.object(inner, &[], "no settings");
            }
            Some(Pagination::LinkHeader)
        }
        "auto" => {
            decoder.not_yet(at, "pagination `auto`");
            None
        }
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
                from: fields.get("from").and_then(|p| decoder.expression(&p))?,
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

fn example(kind: &str) -> &'static str {
    match kind {
        "page" => "{ page: { param: page, total_pages: total_pages } }",
        "offset" => "{ offset: { param: offset, limit_param: limit, limit: 100 } }",
        "cursor" => "{ cursor: { from: pagination.end_cursor, param: after } }",
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

fn path(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<String> {
    fields.get(key).and_then(|p| decoder.expression(&p))
}

fn size(decoder: &mut Decoder, fields: &Fields<'_>, key: &str) -> Option<u32> {
    fields
        .get(key)
        .and_then(|p| decoder.small(&p, 1, 1_000_000, "definition.pagination"))
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
        total_pages: path(decoder, &fields, "total_pages"),
        total: path(decoder, &fields, "total"),
        has_more: path(decoder, &fields, "has_more"),
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
        total: path(decoder, &fields, "total"),
        has_more: path(decoder, &fields, "has_more"),
    })
}

fn cursor(decoder: &mut Decoder, place: &Place<'_>) -> Option<Cursor> {
    let fields = decoder.object(place, CURSOR, example("cursor"))?;
    Some(Cursor {
        from: path(decoder, &fields, "from").unwrap_or_default(),
        param: param(decoder, &fields, "param").unwrap_or_default(),
        placement: placement(decoder, &fields),
        has_more: path(decoder, &fields, "has_more"),
        size_param: param(decoder, &fields, "size_param"),
        size: size(decoder, &fields, "size"),
    })
}
