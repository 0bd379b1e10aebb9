//! One operation: its address, parameters, body and answer.

use serde_json::Value;
use url::Url;

use super::{sign_in, text_of};
use crate::draft::{Answer, Findings, is_secret_header, is_secret_parameter, name_from};
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
        let mut paged = Vec::new();
        for parameter in &shown.query {
            paged.push((parameter.name.clone(), parameter.value.clone()));
        }
        pages::find_pages(&mut shown);
        dates::find_window(&mut shown);
        self.answer(document, &mut shown, &paged);
        self.keep_required(document, &mut shown);
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

    fn all_parameters(&self, document: Document<'d>) -> Vec<&'d Value> {
        let lists = [self.own, self.item]
            .into_iter()
            .filter_map(|one| one.get("parameters")?.as_array());
        let mut found: Vec<&Value> = Vec::new();
        for parameter in lists.flatten().filter_map(|one| document.resolve(one)) {
            let same = |other: &&Value| {
                ["name", "in"]
                    .iter()
                    .all(|key| other.get(*key) == parameter.get(*key))
            };
            if !found.iter().any(same) {
                found.push(parameter);
            }
        }
        found
    }

    fn parameters(&self, document: Document<'d>, shown: &mut Shown) {
        for parameter in self.all_parameters(document) {
            let name = text_of(parameter, "name");
            let schema = parameter
                .get("schema")
                .and_then(|schema| document.resolve(schema));
            let value = proposed(document, parameter);
            match text_of(parameter, "in") {
                "query" if !is_secret_parameter(name) => {
                    let format = schema
                        .and_then(|schema| schema.get("format"))
                        .and_then(Value::as_str);
                    let value = match format {
                        Some("date") => "2026-01-01".to_owned(),
                        Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
                        _ => value.unwrap_or_else(|| {
                            if is_number(schema) {
                                "1".to_owned()
                            } else {
                                String::new()
                            }
                        }),
                    };
                    shown.parameter(name, value);
                }
                "header" if is_required(parameter) && !is_secret_header(name) => {
                    shown
                        .headers
                        .push((name.to_owned(), value.unwrap_or_else(|| "value".to_owned())));
                }
                _ => {}
            }
        }
        // A page is as large as may be.
        let largest = self
            .all_parameters(document)
            .into_iter()
            .filter_map(|parameter| {
                let schema = document.resolve(parameter.get("schema")?)?;
                Some((text_of(parameter, "name"), schema.get("maximum")?.as_i64()?))
            });
        for (name, most) in largest {
            if let Some(own) = shown.query.iter_mut().find(|own| own.name == name)
                && (1..=1000).contains(&most)
            {
                own.value = most.to_string();
            }
        }
    }

    /// Leaves out what need not be said: the optional parameters that nothing was made of.
    fn keep_required(&self, document: Document<'d>, shown: &mut Shown) {
        let parameters = self.all_parameters(document);
        let required = |name: &str| {
            parameters
                .iter()
                .any(|one| text_of(one, "name") == name && is_required(one))
        };
        shown
            .query
            .retain(|one| required(&one.name) || one.value.starts_with("{{ window."));
        for parameter in &mut shown.query {
            if parameter.value.is_empty() {
                "value".clone_into(&mut parameter.value);
                parameter.unsure = Some("required, and the document has no example".to_owned());
            } else if !parameter.value.starts_with("{{ ") && parameter.unsure.is_none() {
                parameter.unsure =
                    Some("required; the value is the document's example or default".to_owned());
            }
        }
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
        let headers = http::HeaderMap::new();
        let found = Findings::of(&Answer {
            url: &url,
            headers: &[],
            body: &body,
            answered: &headers,
            response: &definition::Response::default(),
        });
        if let Some(best) = found.pagination.first()
            && shown.body.is_none()
        {
            let size = shown.pagination.take();
            let mut pagination = serde_json::to_value(&best.pagination).unwrap_or_default();
            keep_size(&mut pagination, size.as_ref());
            shown.unsure.retain(|(part, _)| *part != Part::Pagination);
            let reasons = best.reasons.join("; ");
            shown.remark(
                Part::Pagination,
                format!("from the described answer: {reasons}"),
            );
            shown.pagination = Some(pagination);
        }
        shown.remark(
            Part::Select,
            "from the described answer; compare with a real one",
        );
        shown.findings = Some(found);
    }
}

/// Keeps the page size that the parameters showed, where the same strategy was found.
fn keep_size(found: &mut Value, guessed: Option<&Value>) {
    let Some((kind, settings)) = guessed
        .and_then(Value::as_object)
        .and_then(|one| one.iter().next())
    else {
        return;
    };
    let Some(own) = found.get_mut(kind).and_then(Value::as_object_mut) else {
        return;
    };
    for key in ["param", "size_param", "size", "limit_param", "limit"] {
        if let Some(value) = settings.get(key) {
            own.insert(key.to_owned(), value.clone());
        }
    }
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

/// What a parameter may be: its example, default, or first allowed value.
fn proposed(document: Document<'_>, parameter: &Value) -> Option<String> {
    let schema = parameter
        .get("schema")
        .and_then(|schema| document.resolve(schema));
    let found = [
        parameter.get("example"),
        schema.and_then(|schema| schema.get("example")),
        schema.and_then(|schema| schema.get("default")),
        schema.and_then(|schema| schema.pointer("/enum/0")),
    ];
    found.into_iter().flatten().find_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    })
}

fn is_required(parameter: &Value) -> bool {
    parameter
        .get("required")
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn is_number(schema: Option<&Value>) -> bool {
    matches!(
        schema.map(|schema| text_of(schema, "type")),
        Some("integer" | "number")
    )
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
