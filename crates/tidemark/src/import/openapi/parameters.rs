//! The parameters of an operation: what may be sent, what must be, and what of it is invented.

use serde_json::Value;

use super::operation::Operation;
use super::text_of;
use crate::draft::{is_secret_header, is_secret_parameter};
use crate::import::schema::Document;
use crate::import::{Parameter, Part, Shown};

/// Of a value that nothing in the document suggests.
const INVENTED: &str =
    "required, and the document has no example: the value is invented, put yours in its place";
/// Of a value that the document has.
const GIVEN: &str = "required; the value is the document's example or default";

impl<'d> Operation<'d> {
    pub(super) fn all_parameters(&self, document: Document<'d>) -> Vec<&'d Value> {
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

    pub(super) fn parameters(&self, document: Document<'d>, shown: &mut Shown) {
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
                    let (value, is_invented) = match (format, value) {
                        (Some("date"), known) => ("2026-01-01".to_owned(), known.is_none()),
                        (Some("date-time"), known) => {
                            ("2026-01-01T00:00:00Z".to_owned(), known.is_none())
                        }
                        (_, Some(value)) => (value, false),
                        (_, None) if is_number(schema) => ("1".to_owned(), true),
                        (_, None) => (String::new(), true),
                    };
                    shown.query.push(Parameter {
                        name: name.to_owned(),
                        value,
                        unsure: is_invented.then(|| INVENTED.to_owned()),
                    });
                }
                "header" if is_required(parameter) && !is_secret_header(name) => {
                    let why = if value.is_some() { GIVEN } else { INVENTED };
                    shown.remark(Part::Headers, format!("`{name}` is {why}"));
                    let value = value.unwrap_or_else(|| "value".to_owned());
                    shown.headers.push((name.to_owned(), value));
                }
                "cookie" if is_required(parameter) => {
                    let remark = format!("the cookie `{name}` is required, and was left out");
                    shown.remark(Part::Headers, remark);
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
                own.unsure = None;
            }
        }
    }

    /// Leaves out what need not be said: the optional parameters that nothing was made of.
    pub(super) fn keep_required(
        &self,
        document: Document<'d>,
        shown: &mut Shown,
        invented: &[String],
    ) {
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
            }
            if parameter.value.starts_with("{{ window.") {
                parameter.unsure = parameter.unsure.take().filter(|why| why != INVENTED);
            } else if !invented.contains(&parameter.name) {
                parameter.unsure.get_or_insert_with(|| GIVEN.to_owned());
            } else if let Some(why) = parameter.unsure.take_if(|why| why != INVENTED) {
                parameter.unsure = Some(format!("{INVENTED}; {why}"));
            }
        }
    }
}

/// What a parameter may be: its example, default, or first allowed value.
pub(super) fn proposed(document: Document<'_>, parameter: &Value) -> Option<String> {
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
