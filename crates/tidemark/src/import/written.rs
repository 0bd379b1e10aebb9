//! The draft as YAML: a connection, a metric, and what a person should look at.

use std::fmt::Write as _;

use definition::flow;
use serde_json::Value;
use url::Url;

use super::{Body, Parameter, Part, Shown};
use crate::draft::{name_from, quoted, title, write_select};

/// Writes the draft.
pub(crate) fn write(shown: &Shown) -> String {
    let host = Url::parse(&shown.base_url).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or("api");
    let connection = name_from(host, "api");
    let metric = name_from(&shown.name, "metric");
    let metric = if metric == connection {
        format!("{metric}_count")
    } else {
        metric
    };
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = steps(&mut text, shown, &metric);
    let _ = write_connection(&mut text, shown, &connection);
    text.push_str("---\n");
    let _ = write_metric(&mut text, shown, &connection, &metric);
    text
}

fn steps(text: &mut String, shown: &Shown, metric: &str) -> std::fmt::Result {
    writeln!(
        text,
        "# Drafted from {}; nothing was sent. Look at the lines marked `unsure`, then:",
        one_line(&shown.source)
    )?;
    let mut step = 1;
    writeln!(text, "# {step}. tidemark apply FILE")?;
    for secret in secrets(shown.auth.shape.as_ref()) {
        step += 1;
        writeln!(
            text,
            "# {step}. printf %s \"$VALUE\" | tidemark secret set {secret}"
        )?;
    }
    writeln!(text, "# {}. tidemark sync {metric} --wait", step + 1)
}

fn write_connection(text: &mut String, shown: &Shown, name: &str) -> std::fmt::Result {
    writeln!(text, "kind: connection")?;
    writeln!(text, "name: {name}")?;
    remarks(text, shown, Part::Address, "")?;
    writeln!(text, "base_url: {}", quoted(&shown.base_url))?;
    remarks(text, shown, Part::Auth, "")?;
    match &shown.auth.shape {
        Some(shape) => writeln!(text, "auth: {}", flow(shape)),
        None => writeln!(text, "auth: none"),
    }
}

fn write_metric(
    text: &mut String,
    shown: &Shown,
    connection: &str,
    name: &str,
) -> std::fmt::Result {
    writeln!(text, "kind: metric")?;
    writeln!(text, "name: {name}")?;
    let own = shown.title.as_deref().map(one_line);
    writeln!(
        text,
        "title: {}",
        quoted(&own.unwrap_or_else(|| title(name)))
    )?;
    writeln!(text, "connection: {connection}")?;
    writeln!(text, "request:")?;
    if shown.is_post {
        writeln!(text, "  method: POST")?;
    }
    remarks(text, shown, Part::Path, "  ")?;
    writeln!(text, "  path: {}", quoted(&shown.path))?;
    write_query(text, &shown.query)?;
    remarks(text, shown, Part::Headers, "  ")?;
    if !shown.headers.is_empty() {
        writeln!(text, "  headers:")?;
        for (name, value) in &shown.headers {
            writeln!(text, "    {}: {}", quoted(name), quoted(&plain(value)))?;
        }
    }
    remarks(text, shown, Part::Body, "  ")?;
    match &shown.body {
        Some(Body::Json(body)) => writeln!(text, "  body: {}", flow(&without_templates(body)))?,
        Some(Body::Form(form)) => {
            writeln!(text, "  form:")?;
            for (name, value) in form {
                writeln!(text, "    {}: {}", quoted(name), quoted(&plain(value)))?;
            }
        }
        None if shown.is_post => writeln!(text, "  body: {{}}")?,
        None => {}
    }
    remarks(text, shown, Part::Pagination, "  ")?;
    if let Some(pagination) = &shown.pagination {
        writeln!(text, "  pagination: {}", flow(pagination))?;
    }
    if shown.dated {
        writeln!(text, "window: {{ last: 90d, lookback: 2d }}")?;
    }
    remarks(text, shown, Part::Select, "")?;
    if let Some(found) = &shown.findings {
        write_select(text, found)?;
    } else {
        let remark =
            "the answer was not seen; `tidemark try` or `tidemark preview` shows what is in it";
        writeln!(text, "# unsure: {remark}")?;
        writeln!(text, "select:\n  records: $\n  value: {{ count: true }}")?;
        writeln!(text, "type: levels")?;
    }
    writeln!(text, "schedule: {{ every: 1h }}")
}

fn write_query(text: &mut String, query: &[Parameter]) -> std::fmt::Result {
    if query.is_empty() {
        return Ok(());
    }
    writeln!(text, "  query:")?;
    let mut names: Vec<&str> = Vec::new();
    for parameter in query {
        if names.contains(&parameter.name.as_str()) {
            continue;
        }
        names.push(&parameter.name);
        if let Some(remark) = &parameter.unsure {
            writeln!(text, "    # unsure: {}", one_line(remark))?;
        }
        let values: Vec<String> = query
            .iter()
            .filter(|other| other.name == parameter.name)
            .map(|other| quoted(&templated(&other.value)))
            .collect();
        let written = match values.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        writeln!(text, "    {}: {written}", quoted(&parameter.name))?;
    }
    Ok(())
}

fn remarks(text: &mut String, shown: &Shown, part: Part, indent: &str) -> std::fmt::Result {
    for (own, remark) in &shown.unsure {
        if *own == part {
            writeln!(text, "{indent}# unsure: {}", one_line(remark))?;
        }
    }
    Ok(())
}

/// A text that stays in its comment or title.
fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Our own templates stay; braces that came from elsewhere are no templates.
fn templated(value: &str) -> String {
    if value.starts_with("{{ window.") {
        value.to_owned()
    } else {
        plain(value)
    }
}

/// Takes double braces apart, so that a foreign placeholder is not read as a template.
fn plain(value: &str) -> String {
    value
        .replace("{{", "{ {")
        .replace("}}", "} }")
        .replace("{%", "{ %")
        .replace("{#", "{ #")
}

fn without_templates(value: &Value) -> Value {
    match value {
        Value::String(text) if definition::template::is_template(text) => plain(text).into(),
        Value::Array(items) => items.iter().map(without_templates).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), without_templates(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The names of the secrets in an `auth`, in the order they stand there.
fn secrets(shape: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    collect(shape.unwrap_or(&Value::Null), &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (key, inner) in fields {
        match inner {
            Value::String(name) if key == "secret" => {
                if !found.contains(name) {
                    found.push(name.clone());
                }
            }
            inner => collect(inner, found),
        }
    }
}
