mod message;
mod moment;
mod texts;

use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::{Map, Value};

use crate::problem::{nearest, quoted};
use crate::window::Interval;

pub use message::{BodyType, MESSAGE_VARIABLES, check_message, render_message};
pub use moment::FILTERS;
use moment::{Moment, environment, text_of};
pub(crate) use texts::{
    MAX_TEMPLATES, connection_variables_of, path_placeholder, texts_of_request, uses_of_request,
};

/// What a template can see when it is rendered.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The dates the run asks for; a template that uses them fails without.
    pub window: Option<Interval>,
    /// The slot of the run.
    pub now: Timestamp,
    /// The zone that dates are written in.
    pub zone: TimeZone,
    /// `connection.*`: the variables of the connection.
    pub connection: IndexMap<String, Value>,
    /// `parent.*`: the record of the parent dataset that the request is made for.
    pub parent: Option<Value>,
}

/// What a template uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `window.start`, `window.end` or `window.last_day`
    pub window: bool,
    /// `now`
    pub now: bool,
    /// `connection.*`
    pub connection: bool,
    /// `parent.*`
    pub parent: bool,
}

impl Uses {
    /// Tells whether the zone matters.
    pub fn is_dated(self) -> bool {
        self.window || self.now
    }

    /// Joins what two templates use.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            window: self.window || other.window,
            now: self.now || other.now,
            connection: self.connection || other.connection,
            parent: self.parent || other.parent,
        }
    }
}

/// Says what is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// A stable code: `definition.template_unknown` or `definition.template`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            code: "definition.template",
            message: message.into(),
            hint: None,
        }
    }
}

/// The variables of a request.
pub const VARIABLES: &[&str] = &[
    "window.start",
    "window.end",
    "window.last_day",
    "now",
    "connection.*",
    "parent.*",
];
/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 64 * 1024;
/// The longest text a template may become, in bytes.
const MAX_RENDERED: usize = 1024 * 1024;

/// Tells whether a text holds a placeholder at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Checks a template and returns what it uses.
///
/// Names that are not known, filters that are not known and filters that cannot be applied are
/// errors; nothing is left for the moment of the request.
pub fn check(text: &str) -> Result<Uses, TemplateError> {
    if !is_template(text) {
        return Ok(Uses::default());
    }
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
    let names = names_of(text)?;
    let mut uses = Uses::default();
    let mut scope = Scope::sample();
    for name in &names {
        match name.as_str() {
            "now" => uses.now = true,
            "window.start" | "window.end" | "window.last_day" => uses.window = true,
            other => match other.split_once('.') {
                Some(("connection", variable)) if is_name(variable) => {
                    uses.connection = true;
                    let sample = Value::from(SAMPLE_TEXT);
                    scope.connection.insert(variable.to_owned(), sample);
                }
                Some(("parent", path)) if !path.is_empty() => {
                    uses.parent = true;
                    put_sample(scope.parent.get_or_insert_default(), path);
                }
                _ => return Err(unknown_variable(other)),
            },
        }
    }
    render(text, &scope)?;
    Ok(uses)
}

/// Returns the variables of the connection that a template uses, each once.
pub fn connection_variables(text: &str) -> Vec<String> {
    let names = names_of(text).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| name.strip_prefix("connection."))
        .map(str::to_owned)
        .collect()
}

/// Stands for a value that is not known yet; it is a text and a date.
const SAMPLE_TEXT: &str = "2026-01-01T00:00:00Z";

fn names_of(text: &str) -> Result<Vec<String>, TemplateError> {
    if !is_template(text) {
        return Ok(Vec::new());
    }
    let environment = environment(&TimeZone::UTC);
    let template = environment
        .template_from_str(text)
        .map_err(|error| explain(&error))?;
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    Ok(names)
}

fn is_name(text: &str) -> bool {
    crate::Name::parse(text).is_ok()
}

/// Puts a sample where `path` leads, unless something stands there already.
fn put_sample(parent: &mut Value, path: &str) {
    let mut at = parent;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(fields) = at else { return };
        at = fields.entry(name.to_owned()).or_insert(Value::Null);
    }
    if at.is_null() {
        *at = Value::from(SAMPLE_TEXT);
    }
}

fn unknown_variable(name: &str) -> TemplateError {
    let hint = match name.split('.').next().unwrap_or_default() {
        "connection" => Some(
            "write {{ connection.NAME }} with a name of the connection's `variables`".to_owned(),
        ),
        "parent" => {
            Some("write {{ parent.FIELD }} with a field of the parent's records".to_owned())
        }
        _ => nearest(name, VARIABLES.iter().copied()).map(|near| format!("did you mean `{near}`?")),
    };
    let shown = quoted(&format!("{{{{ {name} }}}}"));
    TemplateError {
        code: "definition.template_unknown",
        message: format!("{shown} is not known; known are {}", VARIABLES.join(", ")),
        hint,
    }
}

/// Renders a template.
pub fn render(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    render_in(&environment(&scope.zone), text, scope)
}

/// Renders a path: what is put in is percent-encoded, so it cannot add a segment or a query.
///
/// `/a/{{ x }}` with `1?admin=1#x` becomes `/a/1%3Fadmin%3D1%23x`; a segment that would become `.`
/// or `..` is an error.
pub fn render_path(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let mut environment = environment(&scope.zone);
    environment.set_formatter(|out, _, value| {
        out.write_str(&encode_segment(&text_of(value)?))
            .map_err(Error::from)
    });
    let path = render_in(&environment, text, scope)?;
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(TemplateError::new("a path segment must not be `.` or `..`"));
    }
    Ok(path)
}

/// Renders every text of a JSON value, which stays valid JSON whatever is put in.
///
/// A text that is one placeholder and nothing else keeps a whole number a number, and true and false:
/// `"{{ window.start | unix }}"` becomes `1767225600`.
pub fn render_value(value: &Value, scope: &Scope) -> Result<Value, TemplateError> {
    with_texts(value, &|text| {
        let Some(expression) = lone_expression(text) else {
            return Ok(Value::String(render(text, scope)?));
        };
        let environment = environment(&scope.zone);
        let found = environment
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(scope.context()))
            .map_err(|error| explain(&error))?;
        Ok(match (found.kind(), found.as_i64()) {
            (ValueKind::Number, Some(number)) => Value::from(number),
            (ValueKind::Bool, _) => Value::Bool(found.is_true()),
            _ => Value::String(render(text, scope)?),
        })
    })
}

/// Returns a JSON value with each of its texts replaced.
fn with_texts(
    value: &Value,
    replace: &impl Fn(&str) -> Result<Value, TemplateError>,
) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => replace(text)?,
        Value::Array(items) => {
            let replaced = items.iter().map(|item| with_texts(item, replace));
            Value::Array(replaced.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let replaced = fields
                .iter()
                .map(|(key, field)| Ok((key.clone(), with_texts(field, replace)?)));
            Value::Object(replaced.collect::<Result<_, TemplateError>>()?)
        }
        other => other.clone(),
    })
}

/// Percent-encodes everything that is not plain in a path segment.
pub fn encode_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            out.push('%');
            out.extend(digits);
        }
    }
    out
}

impl Scope {
    /// A scope that knows the beginning of time and nothing else.
    pub(crate) fn empty() -> Self {
        Self {
            window: None,
            now: Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            connection: IndexMap::new(),
            parent: None,
        }
    }

    /// A scope to try templates in.
    pub(crate) fn sample() -> Self {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        let end = start.checked_add(48.hours()).unwrap_or(start);
        Self {
            window: Some(Interval::new(start, end)),
            now: end,
            zone: TimeZone::UTC,
            connection: IndexMap::new(),
            parent: None,
        }
    }

    fn context(&self) -> Jinja {
        let moment = |at: Timestamp| Jinja::from_object(Moment(at.to_zoned(self.zone.clone())));
        let mut fields = vec![("now".to_owned(), moment(self.now))];
        if let Some(window) = self.window {
            let last_instant = window.end.checked_sub(1.nanosecond()).unwrap_or(window.end);
            let last = last_instant.to_zoned(self.zone.clone());
            let last_day = last.start_of_day().unwrap_or(last);
            let dates = [
                ("start", moment(window.start)),
                ("end", moment(window.end)),
                ("last_day", Jinja::from_object(Moment(last_day))),
            ];
            fields.push(("window".to_owned(), Jinja::from_pairs(dates)));
        }
        if let Some(parent) = &self.parent {
            let parent = <Jinja as serde::Deserialize>::deserialize(parent).unwrap_or_default();
            fields.push(("parent".to_owned(), parent));
        }
        if !self.connection.is_empty() {
            let constants = self.connection.iter().map(|(name, value)| {
                let value = <Jinja as serde::Deserialize>::deserialize(value).unwrap_or_default();
                (name.clone(), value)
            });
            fields.push(("connection".to_owned(), Jinja::from_pairs(constants)));
        }
        Jinja::from_pairs(fields)
    }
}

fn render_in(
    environment: &Environment<'_>,
    text: &str,
    scope: &Scope,
) -> Result<String, TemplateError> {
    let template = environment
        .template_from_str(text)
        .map_err(|error| explain(&error))?;
    let rendered = template
        .render(scope.context())
        .map_err(|error| explain(&error))?;
    if rendered.len() > MAX_RENDERED {
        return Err(TemplateError::new(format!(
            "becomes longer than {MAX_RENDERED} bytes"
        )));
    }
    Ok(rendered)
}

/// The expression of a text that is one placeholder and nothing else.
fn lone_expression(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim_matches('-'))
}

/// Says what minijinja found, in our words and without the template's own text.
fn explain(error: &Error) -> TemplateError {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownFilter => TemplateError {
            code: "definition.template",
            message: format!("unknown filter: {detail}; known are {}", FILTERS.join(", ")),
            hint: None,
        },
        ErrorKind::UndefinedError => TemplateError {
            code: "definition.template_unknown",
            message: format!(
                "a name is not known here; known are {}",
                VARIABLES.join(", ")
            ),
            hint: None,
        },
        ErrorKind::OutOfFuel => TemplateError::new("takes too many steps"),
        kind if detail.is_empty() => TemplateError::new(kind.to_string()),
        kind => TemplateError::new(format!("{kind}: {detail}")),
    }
}

#[cfg(test)]
mod tests;
