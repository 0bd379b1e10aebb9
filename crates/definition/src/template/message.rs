//! The body of a message to people, written by the user around what happened.

use jiff::tz::TimeZone;
use minijinja::value::Value as Jinja;
use serde_json::Value;

use super::{
    MAX_RENDERED, MAX_TEMPLATE, TemplateError, environment, explain, is_template, lone_expression,
    names_of, with_texts,
};
use crate::problem::{nearest, quoted};

/// What a message can be made of.
pub const MESSAGE_VARIABLES: &[&str] = &[
    "at",
    "change",
    "condition",
    "description",
    "event",
    "from",
    "id",
    "kind",
    "link",
    "metric",
    "metric_description",
    "metric_title",
    "name",
    "owner",
    "previous",
    "text",
    "threshold",
    "title",
    "to",
    "unit",
    "urgency",
    "value",
    "value_text",
    "workspace",
];

/// Whether a body is JSON, whose texts hold the placeholders, or any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// It stays valid JSON whatever is put in.
    Json,
    /// What is put in stands as it is.
    Text,
}

impl BodyType {
    /// Returns what a content type says, JSON where there is none.
    pub fn of(content_type: Option<&str>) -> Self {
        let is_json = content_type.is_none_or(|text| {
            let plain = text.split(';').next().unwrap_or_default().trim();
            plain.eq_ignore_ascii_case("application/json") || plain.ends_with("+json")
        });
        if is_json { Self::Json } else { Self::Text }
    }
}

/// Checks the template of a message: names, filters, and that it is JSON where it should be.
pub fn check_message(text: &str, body: BodyType) -> Result<(), TemplateError> {
    if text.len() > MAX_TEMPLATE {
        return Err(TemplateError::new(format!(
            "longer than {MAX_TEMPLATE} bytes"
        )));
    }
    if text.contains("{%") || text.contains("{#") {
        return Err(TemplateError::new(
            "only {{ placeholders }} are allowed, no statements or comments",
        ));
    }
    for name in names_of(text)? {
        if !MESSAGE_VARIABLES.contains(&name.as_str()) {
            let shown = quoted(&format!("{{{{ {name} }}}}"));
            let known = MESSAGE_VARIABLES.join(", ");
            return Err(TemplateError {
                code: "definition.template_unknown",
                message: format!("{shown} is not known; known are {known}"),
                hint: nearest(&name, MESSAGE_VARIABLES.iter().copied())
                    .map(|near| format!("did you mean `{near}`?")),
            });
        }
    }
    let sample = MESSAGE_VARIABLES
        .iter()
        .map(|name| ((*name).to_owned(), Value::from("2026-01-01T00:00:00Z")));
    render_message(text, &Value::Object(sample.collect()), body).map(drop)
}

/// Renders a message from its content; what it has not is empty.
pub fn render_message(
    text: &str,
    content: &Value,
    body: BodyType,
) -> Result<String, TemplateError> {
    let mut scope = serde_json::Map::new();
    for name in MESSAGE_VARIABLES {
        let value = content.get(name).cloned().unwrap_or(Value::Null);
        scope.insert((*name).to_owned(), value);
    }
    let scope = Value::Object(scope);
    if body == BodyType::Text {
        return rendered(text, &scope);
    }
    let read: Value = serde_json::from_str(text).map_err(|error| {
        let mut problem = TemplateError::new(format!("is not JSON: {error}"));
        problem.hint = Some(
            "placeholders stand inside of texts, such as {\"text\": \"{{ text }}\"}; for anything else \
             say `content_type: text/plain`"
                .to_owned(),
        );
        problem
    })?;
    Ok(value(&read, &scope)?.to_string())
}

fn value(read: &Value, scope: &Value) -> Result<Value, TemplateError> {
    with_texts(read, &|text| {
        let Some(expression) = lone_expression(text) else {
            return Ok(Value::String(rendered(text, scope)?));
        };
        // A placeholder alone keeps numbers and nothing as they are.
        let environment = environment(&TimeZone::UTC);
        let found = environment
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(read_scope(scope)))
            .map_err(|error| explain(&error))?;
        Ok(serde_json::to_value(&found).unwrap_or_else(|_| Value::String(found.to_string())))
    })
}

fn rendered(text: &str, scope: &Value) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let mut environment = environment(&TimeZone::UTC);
    // What a message has not (the unit of a number without one) is empty and no fault.
    environment.set_formatter(|out, _, value| {
        if value.is_none() || value.is_undefined() {
            return Ok(());
        }
        let text = super::text_of(value).unwrap_or_else(|_| value.to_string());
        out.write_str(&text).map_err(minijinja::Error::from)
    });
    let done = environment
        .render_str(text, read_scope(scope))
        .map_err(|error| explain(&error))?;
    if done.len() > MAX_RENDERED {
        return Err(TemplateError::new(format!(
            "becomes longer than {MAX_RENDERED} bytes"
        )));
    }
    Ok(done)
}

fn read_scope(scope: &Value) -> Jinja {
    <Jinja as serde::Deserialize>::deserialize(scope).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_stays_json_whatever_is_put_in() {
        let template = r#"{"text": "{{ title }}: {{ value }}", "value": "{{ value }}", "n": 1}"#;
        check_message(template, BodyType::Json).unwrap();
        let content = json!({ "title": "a \"b\"\n{{ metric }}", "value": 1.5 });
        let body = render_message(template, &content, BodyType::Json).unwrap();
        let read: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            read,
            json!({ "text": "a \"b\"\n{{ metric }}: 1.5", "value": 1.5, "n": 1 })
        );
    }

    #[test]
    fn what_is_not_known_or_not_json_is_refused() {
        let code = |text: &str| check_message(text, BodyType::Json).unwrap_err();
        assert_eq!(
            code(r#"{"a": "{{ titel }}"}"#).hint.as_deref(),
            Some("did you mean `title`?")
        );
        assert!(code("{{ text }}").message.contains("is not JSON"));
        assert!(check_message("{{ text }}", BodyType::Text).is_ok());
        assert!(check_message("{% for a in b %}", BodyType::Text).is_err());
    }

    #[test]
    fn what_a_message_has_not_is_empty() {
        let body = render_message("{{ value }} {{ unit }}!", &json!({}), BodyType::Text).unwrap();
        assert_eq!(body, " !");
    }
}
