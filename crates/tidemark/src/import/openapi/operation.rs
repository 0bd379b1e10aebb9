//! One operation: its address, parameters, body and answer.

use serde_json::Value;
use url::Url;

use super::parameters::proposed;
use super::{described, sign_in, text_of};
use crate::draft::{Answer, Findings, name_from};
use crate::import::schema::Document;
use crate::import::{Body, Part, Refused, Shown, dates, pages};

/// Methods of the OpenAPI object; those that read are the first two.
pub(super) const METHODS: [&str; 8] = [
    "get", "post", "put", "patch", "delete", "head", "options", "trace",
];

/// One operation of a document.
#[derive(Debug)]
pub(super) struct Operation<'d> {
    pub(super) method: &'static str,
    pub(super) path: &'d str,
    pub(super) item: &'d Value,
    pub(super) own: &'d Value,
}

impl<'d> Operation<'d> {
    pub(super) fn id(&self) -> Option<&'d str> {
        self.own.get("operationId").and_then(Value::as_str)
    }

    pub(super) fn place(&self) -> String {
        format!("{} {}", self.method.to_ascii_uppercase(), self.path)
    }

    pub(super) fn name(&self) -> String {
        match self.id() {
            Some(id) => format!("{id}  ({})", self.place()),
            None => self.place(),
        }
    }

    pub(super) fn shown(&self, document: Document<'d>) -> Result<Shown, Refused> {
        self.refuse_changes()?;
        let mut shown = Shown {
            source: format!("OpenAPI, {}", self.place()),
            is_post: self.method == "post",
            title: self
                .own
                .get("summary")
                .and_then(Value::as_str)
                .map(str::to_owned),
            ..Shown::default()
        };
        self.server(document, &mut shown);
        let last = self
            .path
            .split('/')
            .rfind(|part| !part.is_empty() && !part.starts_with('{'));
        shown.name = name_from(
            self.id().map(snake).as_deref().or(last).unwrap_or("metric"),
            "metric",
        );
        self.path(document, &mut shown);
        self.parameters(document, &mut shown);
        if shown.is_post {
            shown.remark(Part::Body, "a POST is taken for one that only reads, such as a search; never import one that makes something");
            self.body(document, &mut shown);
        }
        sign_in::find(self.own, document, &mut shown);
        let invented: Vec<String> = shown
            .query
            .iter()
            .filter(|one| one.unsure.is_some())
            .map(|one| one.name.clone())
            .collect();
        let mut paged = Vec::new();
        for parameter in &shown.query {
            paged.push((parameter.name.clone(), parameter.value.clone()));
        }
        pages::find_pages(&mut shown);
        dates::find_window(&mut shown);
        self.answer(document, &mut shown, &paged);
        self.keep_required(document, &mut shown, &invented);
        Ok(shown)
    }

    /// Only what reads is taken.
    fn refuse_changes(&self) -> Result<(), Refused> {
        let method = self.method.to_ascii_uppercase();
        if matches!(self.method, "put" | "patch" | "delete") {
            return Err(Refused::new(format!(
                "{method} changes something there; Tidemark only reads, by GET or by a POST that searches"
            )));
        }
        if !matches!(self.method, "get" | "post") {
            return Err(Refused::new(format!(
                "{method} brings no records; GET and POST do"
            )));
        }
        let responses = self.own.get("responses").and_then(Value::as_object);
        let makes = self.method == "post"
            && responses.is_some_and(|all| all.contains_key("201") && !all.contains_key("200"));
        if makes {
            return Err(Refused::new(
                "this POST answers 201, so it makes something; Tidemark only reads, by GET or by a POST that searches",
            ));
        }
        Ok(())
    }

    fn server(&self, document: Document<'d>, shown: &mut Shown) {
        let place = [self.own, self.item, document.0];
        let server = place.iter().find_map(|one| one.pointer("/servers/0"));
        let mut address = server
            .and_then(|server| server.get("url"))
            .and_then(Value::as_str)
            .unwrap_or("/")
            .to_owned();
        let variables = server
            .and_then(|server| server.get("variables"))
            .and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            let value = variable
                .get("default")
                .or_else(|| variable.pointer("/enum/0"))
                .and_then(Value::as_str);
            let value = value.filter(|value| !value.is_empty()).unwrap_or("example");
            address = address.replace(&format!("{{{name}}}"), value);
            shown.remark(Part::Address, format!("{value} stands for your {name}"));
        }
        let url = Url::parse(&address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        match url {
            Some(url) if !address.contains(['{', '}']) => {
                url.as_str()
                    .trim_end_matches('/')
                    .clone_into(&mut shown.base_url);
            }
            _ => {
                let below = if address.starts_with('/') {
                    address.trim_end_matches('/')
                } else {
                    ""
                };
                shown.base_url = format!("https://api.example.com{below}");
                shown.remark(
                    Part::Address,
                    "the document does not say at which host the API is",
                );
            }
        }
    }

    fn path(&self, document: Document<'d>, shown: &mut Shown) {
        let parameters = self.all_parameters(document);
        let mut parts = Vec::new();
        for part in self.path.split('/') {
            let mut part = part.to_owned();
            for parameter in parameters.iter().filter(|one| text_of(one, "in") == "path") {
                let name = text_of(parameter, "name");
                let holder = format!("{{{name}}}");
                if part.contains(&holder) {
                    let known = proposed(document, parameter);
                    shown.remark(
                        Part::Path,
                        format!(
                            "write your {name} in place of {}",
                            known.as_deref().unwrap_or(name)
                        ),
                    );
                    part = part.replace(&holder, &known.unwrap_or_else(|| name.to_owned()));
                }
            }
            parts.push(part.replace(['{', '}'], ""));
        }
        shown.path = parts.join("/");
    }

    fn body(&self, document: Document<'d>, shown: &mut Shown) {
        let body = self
            .own
            .get("requestBody")
            .and_then(|body| document.resolve(body));
        let media = body.and_then(|body| body.pointer("/content/application~1json"));
        let example = media.and_then(|media| example_of(document, media));
        if let Some(body) = example.filter(|body| body.is_object() || body.is_array()) {
            shown.body = Some(Body::Json(body));
            shown.remark(
                Part::Body,
                "the document's example, or one made of its schema",
            );
        }
    }

    /// The answer that the document shows or describes.
    fn example(&self, document: Document<'d>) -> Option<Value> {
        let responses = self.own.get("responses")?.as_object()?;
        let good = responses
            .iter()
            .find(|(status, _)| status.starts_with('2'))
            .or_else(|| responses.iter().find(|(status, _)| *status == "default"));
        let response = document.resolve(good?.1)?;
        let content = response.get("content")?.as_object()?;
        let json = content.iter().find(|(media, _)| media.contains("json"))?;
        example_of(document, json.1)
    }

    pub(super) fn answers_list(&self, document: Document<'d>) -> bool {
        let example = self.example(document);
        example.is_some_and(|example| holds_list(&example, 0))
    }

    /// Looks at the answer for records, dates and paging, as `tidemark try` does with a real one.
    fn answer(&self, document: Document<'d>, shown: &mut Shown, asked: &[(String, String)]) {
        let Some(body) = self.example(document) else {
            return;
        };
        let Ok(mut url) = Url::parse(&format!("{}{}", shown.base_url, shown.path)) else {
            return;
        };
        for (name, value) in asked {
            url.query_pairs_mut()
                .append_pair(name, if value.is_empty() { "1" } else { value });
        }
        let in_body = shown.body.is_some();
        if let Some(name) = shown.pagination.as_ref().and_then(parameter_of)
            && in_body
        {
            url.query_pairs_mut().append_pair(name, "1");
        }
        let headers = http::HeaderMap::new();
        let body = described::of_many_pages(&body);
        let found = Findings::of(&Answer {
            url: &url,
            headers: &[],
            body: &body,
            answered: &headers,
            response: &definition::Response::default(),
        });
        if let Some(best) = found.pagination.first() {
            let seen = serde_json::to_value(&best.pagination).unwrap_or_default();
            let reasons: Vec<String> = best
                .reasons
                .iter()
                .map(|one| described::without_values(one))
                .collect();
            let remark = format!("from the described answer: {}", reasons.join("; "));
            if !in_body {
                let guessed = shown.pagination.replace(seen);
                if let (Some(pagination), Some(guessed)) = (&mut shown.pagination, &guessed) {
                    take_over(
                        pagination,
                        guessed,
                        &["param", "size_param", "size", "limit_param", "limit"],
                    );
                }
                shown.unsure.retain(|(part, _)| *part != Part::Pagination);
                shown.remark(Part::Pagination, remark);
            } else if let Some(pagination) = &mut shown.pagination {
                // Where the pages are asked for in the body, the parameters are right and only the end is missing.
                if take_over(pagination, &seen, &["total_pages", "total", "has_more"]) {
                    shown.remark(Part::Pagination, remark);
                }
            }
        }
        shown.remark(
            Part::Select,
            "from the described answer; compare with a real one",
        );
        shown.findings = Some(found);
    }
}

/// The parameter that a strategy puts the place of the next page into.
fn parameter_of(pagination: &Value) -> Option<&str> {
    let (_, settings) = pagination.as_object()?.iter().next()?;
    settings.get("param")?.as_str()
}

/// Copies settings from one pagination to another of the same strategy; tells whether there were any.
fn take_over(to: &mut Value, from: &Value, keys: &[&str]) -> bool {
    let Some((kind, settings)) = from.as_object().and_then(|one| one.iter().next()) else {
        return false;
    };
    let Some(own) = to.get_mut(kind).and_then(Value::as_object_mut) else {
        return false;
    };
    let mut took = false;
    for key in keys {
        if let Some(value) = settings.get(*key) {
            own.insert((*key).to_owned(), value.clone());
            took = true;
        }
    }
    took
}

fn example_of(document: Document<'_>, media: &Value) -> Option<Value> {
    if let Some(example) = media.get("example") {
        return Some(example.clone());
    }
    let named = media.get("examples").and_then(Value::as_object);
    if let Some(value) = named.and_then(|all| all.values().find_map(|one| one.get("value"))) {
        return Some(value.clone());
    }
    Some(document.example(media.get("schema")?))
}

fn holds_list(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => items.iter().any(Value::is_object),
        Value::Object(fields) if depth < 3 => {
            fields.values().any(|inner| holds_list(inner, depth + 1))
        }
        _ => false,
    }
}

/// `listOrderItems` as words of a name.
fn snake(id: &str) -> String {
    let mut out = String::new();
    for letter in id.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
