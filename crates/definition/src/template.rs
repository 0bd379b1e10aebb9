use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use minijinja::value::{Object, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use crate::node;
use crate::pagination::Placement;
use crate::problem::{nearest, quoted};
use crate::request::{QueryValue, Request};
use crate::span::Span;
use crate::window::Interval;

/// What a template can see when it is rendered.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The dates the run asks for; a template that uses them fails without.
    pub window: Option<Interval>,
    /// The slot of the run.
    pub now: Timestamp,
    /// The zone that dates are written in.
    pub zone: TimeZone,
    /// `connection.*`: the constants of the connection.
    pub connection: IndexMap<String, Value>,
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
pub const VARIABLES: &[&str] = &["window.start", "window.end", "window.last_day", "now"];
/// The filters of a template.
pub const FILTERS: &[&str] = &["date", "datetime", "iso", "unix", "unix_ms", "minus"];

/// Instructions one template may take; a filtered variable takes about ten.
const FUEL: u64 = 2_000;
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
    let environment = environment();
    let template = environment
        .template_from_str(text)
        .map_err(|error| explain(&error))?;
    let mut uses = Uses::default();
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort_unstable();
    for name in names {
        match name.as_str() {
            "now" => uses.now = true,
            "window.start" | "window.end" | "window.last_day" => uses.window = true,
            unknown => return Err(unknown_variable(unknown)),
        }
    }
    render(text, &Scope::sample())?;
    Ok(uses)
}

fn unknown_variable(name: &str) -> TemplateError {
    let hint = match name {
        "connection" => Some(
            "`connection.*` comes with the connection's variables, which are not supported yet"
                .to_owned(),
        ),
        other if other.starts_with("connection.") => Some(
            "`connection.*` comes with the connection's variables, which are not supported yet"
                .to_owned(),
        ),
        other if other.starts_with("parent") => Some("`parent.*` is not supported yet".to_owned()),
        other => {
            nearest(other, VARIABLES.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        }
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
    render_in(&environment(), text, scope)
}

/// Renders a path: what is put in is percent-encoded, so it cannot add a segment or a query.
///
/// `/a/{{ x }}` with `1?admin=1#x` becomes `/a/1%3Fadmin%3D1%23x`; a segment that would become `.`
/// or `..` is an error.
pub fn render_path(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let mut environment = environment();
    environment.set_formatter(|out, _, value| {
        out.write_str(&encode_segment(&value.to_string()))
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
/// A text that is one placeholder and nothing else keeps a number as a number:
/// `"{{ window.start | unix }}"` becomes `1767225600`.
pub fn render_value(value: &Value, scope: &Scope) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) => match lone_expression(text) {
            Some(expression) => {
                let environment = environment();
                let compiled = environment
                    .compile_expression(expression)
                    .map_err(|error| explain(&error))?;
                let found = compiled
                    .eval(scope.context())
                    .map_err(|error| explain(&error))?;
                match found.as_i64() {
                    Some(number) if found.kind() == ValueKind::Number => Value::from(number),
                    _ => Value::String(render(text, scope)?),
                }
            }
            None => Value::String(render(text, scope)?),
        },
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| render_value(item, scope))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => {
            let rendered = fields
                .iter()
                .map(|(key, value)| Ok((key.clone(), render_value(value, scope)?)));
            Value::Object(rendered.collect::<Result<_, TemplateError>>()?)
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

/// The most templates one request may hold.
pub(crate) const MAX_TEMPLATES: usize = 1_000;

/// Every template of a request with its path, at most one more than are allowed.
pub(crate) fn texts_of_request(request: &Request) -> Vec<(String, &str)> {
    let mut texts = Texts(Vec::new());
    texts.add(|| "path".to_owned(), &request.path);
    for (name, value) in &request.query {
        let path = || node::join("query", name);
        match value {
            QueryValue::One(text) => texts.add(path, text),
            QueryValue::Many(many) => {
                for (index, text) in many.iter().enumerate() {
                    texts.add(|| node::item(&path(), index), text);
                }
            }
        }
    }
    for (name, text) in &request.headers {
        texts.add(|| node::join("headers", name), text);
    }
    if let Some(body) = &request.body {
        texts.leaves(body, "body");
    }
    for (name, text) in request.form.iter().flatten() {
        texts.add(|| node::join("form", name), text);
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

/// Takes out the placeholder that pagination puts into a path: `{param}`.
pub(crate) fn path_placeholder(request: &Request) -> Option<String> {
    let (param, placement) = match &request.pagination {
        crate::Pagination::Page(page) => (&page.param, page.placement),
        crate::Pagination::Offset(offset) => (&offset.param, offset.placement),
        crate::Pagination::Cursor(cursor) => (&cursor.param, cursor.placement),
        _ => return None,
    };
    (placement == Placement::Path).then(|| format!("{{{param}}}"))
}

impl Scope {
    /// A scope to try templates in.
    pub(crate) fn sample() -> Self {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        let end = start.checked_add(48.hours()).unwrap_or(start);
        Self {
            window: Some(Interval::new(start, end)),
            now: end,
            zone: TimeZone::UTC,
            connection: IndexMap::new(),
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

/// An instant in a zone; written as RFC 3339 when no filter says otherwise.
#[derive(Debug)]
struct Moment(Zoned);

impl Moment {
    fn iso(&self) -> String {
        if self.0.time_zone() == &TimeZone::UTC {
            self.0.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_string()
        } else {
            self.0.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
        }
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

/// An environment with our filters and nothing else: no loops, includes, macros or functions.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.add_filter(
        "date",
        |value: &Jinja, pattern: Option<String>| -> Result<String, Error> {
            format_moment(value, pattern.as_deref().unwrap_or("%Y-%m-%d"))
        },
    );
    environment.add_filter("datetime", |value: &Jinja| {
        format_moment(value, "%Y-%m-%dT%H:%M:%S")
    });
    environment.add_filter("iso", |value: &Jinja| moment(value).map(Moment::iso));
    environment.add_filter("unix", |value: &Jinja| {
        moment(value).map(|moment| moment.0.timestamp().as_second())
    });
    environment.add_filter("unix_ms", |value: &Jinja| {
        moment(value).map(|moment| moment.0.timestamp().as_millisecond())
    });
    environment.add_filter(
        "minus",
        |value: &Jinja, length: String| -> Result<Jinja, Error> {
            let span = Span::parse(&length).map_err(|error| {
                Error::new(ErrorKind::InvalidOperation, format!("minus: {error}"))
            })?;
            Ok(Jinja::from_object(Moment(span.before(&moment(value)?.0))))
        },
    );
    environment
}

fn moment(value: &Jinja) -> Result<&Moment, Error> {
    value.downcast_object_ref::<Moment>().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            "this filter works on dates such as window.start and now",
        )
    })
}

fn format_moment(value: &Jinja, pattern: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(pattern, &moment(value)?.0)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("date: {error}")))
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
mod tests {
    use super::*;

    fn scope(zone: &str) -> Scope {
        Scope {
            window: Some(Interval::new(
                "2026-03-01T05:00:00Z".parse().unwrap(),
                "2026-03-31T04:00:00Z".parse().unwrap(),
            )),
            now: "2026-03-30T12:34:56Z".parse().unwrap(),
            zone: crate::zone::find(zone).unwrap(),
            connection: IndexMap::from([
                ("shop".to_owned(), Value::from("1?admin=1#x")),
                ("recursive".to_owned(), Value::from("{{ connection.shop }}")),
                ("quotes".to_owned(), Value::from("\"},{\"x\":\"")),
                ("up".to_owned(), Value::from("..")),
            ]),
        }
    }

    #[test]
    fn dates_are_written_in_the_zone() {
        let scope = scope("America/New_York");
        for (template, expected) in [
            ("{{ window.start | date }}", "2026-03-01"),
            ("{{ window.end | date }}", "2026-03-31"),
            ("{{ window.last_day | date }}", "2026-03-30"),
            ("{{ window.start | datetime }}", "2026-03-01T00:00:00"),
            ("{{ window.start | iso }}", "2026-03-01T00:00:00-05:00"),
            ("{{ window.start }}", "2026-03-01T00:00:00-05:00"),
            ("{{ window.start | unix }}", "1772341200"),
            ("{{ window.start | unix_ms }}", "1772341200000"),
            ("{{ window.start | date(\"%d/%m/%Y\") }}", "01/03/2026"),
            ("{{ now | minus(\"1d\") | date }}", "2026-03-29"),
            (
                "{{ now | minus('90m') | iso }}",
                "2026-03-30T07:04:56-04:00",
            ),
            (
                "from {{ window.start|date }} to {{ window.last_day|date }}",
                "from 2026-03-01 to 2026-03-30",
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(render(template, &scope).unwrap(), expected, "{template}");
        }
        let utc = Scope {
            zone: TimeZone::UTC,
            ..scope
        };
        assert_eq!(
            render("{{ window.start | iso }}", &utc).unwrap(),
            "2026-03-01T05:00:00Z"
        );
    }

    #[test]
    fn what_is_used_is_known_before() {
        assert_eq!(check("plain").unwrap(), Uses::default());
        assert_eq!(
            check("{{ now | date }}").unwrap(),
            Uses {
                now: true,
                ..Uses::default()
            }
        );
        assert!(check("{{ window.start | date }}").unwrap().window);
    }

    #[test]
    fn unknown_names_list_the_known() {
        let error = check("https://api.example.com/{{acount}}").unwrap_err();
        assert_eq!(error.code, "definition.template_unknown");
        assert!(
            error.message.contains("{{ acount }}") && error.message.contains("window.start"),
            "{error}"
        );
        for bad in [
            "{{ window }}",
            "{{ window.begin }}",
            "{{ window.start.year }}",
            "{{ parent.id }}",
            "{{ connection.shop }}",
            "{{ range(3) }}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_placeholders_and_our_filters_are_allowed() {
        for bad in [
            "{{ now | upper }}",
            "{{ now | minus('x') }}",
            "{{ 'a' | date }}",
            "{{",
            "{{ now",
            "{{ now | }}",
            "{% for i in range(9) %}{% endfor %}",
            "{# a #}",
            "{{ now | date('%!') }}",
            "{{ 'a' * 999999999 }}",
        ] {
            let error = check(bad).expect_err(bad);
            assert!(error.code.starts_with("definition.template"), "{bad}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_path_segment() {
        let scope = scope("UTC");
        assert_eq!(
            render_path("/s/{{ connection.shop }}/x", &scope).unwrap(),
            "/s/1%3Fadmin%3D1%23x/x"
        );
        assert!(render_path("/s/{{ connection.up }}/x", &scope).is_err());
        assert_eq!(encode_segment("a/b é"), "a%2Fb%20%C3%A9");
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(
            render("{{ connection.recursive }}", &scope("UTC")).unwrap(),
            "{{ connection.shop }}"
        );
    }

    #[test]
    fn a_body_stays_json() {
        let body = serde_json::json!({ "q": "{{ connection.quotes }}", "n": [1, true, null, "{{ window.start | unix }}"], "t": "at {{ now | unix }}" });
        let rendered = render_value(&body, &scope("UTC")).unwrap();
        assert_eq!(
            rendered,
            serde_json::json!({ "q": "\"},{\"x\":\"", "n": [1, true, null, 1_772_341_200], "t": "at 1774874096" })
        );
    }

    #[test]
    fn without_a_window_its_names_are_errors() {
        let scope = Scope {
            window: None,
            ..scope("UTC")
        };
        assert_eq!(
            render("{{ window.start | date }}", &scope)
                .unwrap_err()
                .code,
            "definition.template_unknown"
        );
    }
}
