//! Where the templates of a request are.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Uses, check, connection_variables, is_template};
use crate::node;
use crate::pagination::Placement;
use crate::request::{QueryValue, Request};

/// The most templates one request may hold.
pub(crate) const MAX_TEMPLATES: usize = 1_000;

/// Every template of a request with its path, at most one more than are allowed.
pub(crate) fn texts_of_request(request: &Request) -> Vec<(String, &str)> {
    let mut texts = Texts(Vec::new());
    texts.add(|| "path".to_owned(), &request.path);
    texts.query(&request.query, "query");
    for (name, text) in &request.headers {
        texts.add(|| node::join("headers", name), text);
    }
    if let Some(body) = &request.body {
        texts.leaves(body, "body");
    }
    for (name, text) in request.form.iter().flatten() {
        texts.add(|| node::join("form", name), text);
    }
    if let Some(next) = request.pagination.next() {
        let at = |key: &str| format!("pagination.{}.next.{key}", request.pagination.as_str());
        if let Some(path) = &next.path {
            texts.add(|| at("path"), path);
        }
        if let Some(query) = &next.query {
            texts.query(query, &at("query"));
        }
        if let Some(body) = &next.body {
            texts.leaves(body, &at("body"));
        }
        for (name, text) in next.form.iter().flatten() {
            texts.add(|| node::join(&at("form"), name), text);
        }
    }
    texts.0
}

struct Texts<'t>(Vec<(String, &'t str)>);

impl<'t> Texts<'t> {
    fn add(&mut self, path: impl Fn() -> String, text: &'t str) {
        if is_template(text) && self.0.len() <= MAX_TEMPLATES {
            self.0.push((path(), text));
        }
    }

    fn query(&mut self, query: &'t IndexMap<String, QueryValue>, at: &str) {
        for (name, value) in query {
            let path = || node::join(at, name);
            match value {
                QueryValue::One(text) => self.add(path, text),
                QueryValue::Many(many) => {
                    for (index, text) in many.iter().enumerate() {
                        self.add(|| node::item(&path(), index), text);
                    }
                }
            }
        }
    }

    fn leaves(&mut self, value: &'t Value, path: &str) {
        match value {
            Value::String(text) => self.add(|| path.to_owned(), text),
            Value::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    if !is_plain(inner) {
                        self.leaves(inner, &node::item(path, index));
                    }
                }
            }
            Value::Object(fields) => {
                for (key, inner) in fields {
                    if !is_plain(inner) {
                        self.leaves(inner, &node::join(path, key));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Tells whether a value can hold no template.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !is_template(text),
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    }
}

/// What the templates of a request use; broken ones count as using nothing.
pub(crate) fn uses_of_request(request: &Request) -> Uses {
    let uses = texts_of_request(request)
        .into_iter()
        .map(|(_, text)| check(text).unwrap_or_default());
    uses.fold(Uses::default(), Uses::or)
}

/// The variables of the connection that the templates of a request use.
pub(crate) fn connection_variables_of(request: &Request) -> Vec<String> {
    let texts = texts_of_request(request).into_iter();
    texts
        .flat_map(|(_, text)| connection_variables(text))
        .collect()
}

/// Takes out the placeholder that pagination puts into a path: `{param}`.
pub(crate) fn path_placeholder(request: &Request) -> Option<String> {
    let (param, placement) = request.pagination.parameter()?;
    (placement == Placement::Path).then(|| format!("{{{param}}}"))
}
