use indexmap::IndexMap;
use serde_json::Value;

use super::{Decoder, Key, Place, TextRule, pagination, response};
use crate::conditions::Conditions;
use crate::node::Content;
use crate::request::{Method, QueryValue, Request};
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
        "how the answer is written: a format, or one with its settings (json)",
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

pub(super) const TEXT: TextRule = TextRule::Lines(64 * 1024);

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
            .and_then(|p| response::response(decoder, &p))
            .unwrap_or_default(),
        pagination: fields
            .get("pagination")
            .and_then(|p| pagination::pagination(decoder, &p))
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

pub(super) fn query(decoder: &mut Decoder, place: &Place<'_>) -> IndexMap<String, QueryValue> {
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
