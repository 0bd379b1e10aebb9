//! The definitions of a draft, written for people to edit.

use std::fmt::Write as _;

use definition::{Aggregation, MetricType, Request, Response};
use fetcher::detect::Candidate;
use serde_json::Value;
use url::{Host, Url};

use super::{Answer, Findings, select};
use crate::import::auth::{password_of, user_and_password, user_of};

/// Query parameters whose names say that their value is a secret.
const SECRET_PARAMETERS: [&str; 10] = [
    "api_key",
    "apikey",
    "api_secret",
    "api_token",
    "access_token",
    "token",
    "key",
    "secret",
    "password",
    "auth",
];
/// Headers whose value is a secret.
const SECRET_HEADERS: [&str; 4] = ["api-key", "apikey", "token", "secret"];

/// Writes a connection and a metric.
pub(crate) fn definitions(answer: &Answer<'_>, found: &Findings) -> String {
    let connection = connection_name(answer.url);
    let last = answer
        .url
        .path_segments()
        .and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    let metric = name_from(last.unwrap_or("metric"), "metric");
    let metric = if metric == connection {
        format!("{metric}_count")
    } else {
        metric
    };
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_connection(&mut text, answer, &connection);
    text.push_str("---\n");
    let _ = write_metric(&mut text, answer, found, &connection, &metric);
    text
}

/// Names a connection for its host; an address in numbers, or a port of this machine, is named with its port, so that
/// two of them do not take one name.
fn connection_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or("api");
    let port = url
        .port()
        .map(|port| format!("_{port}"))
        .unwrap_or_default();
    match url.host() {
        Some(Host::Domain("localhost")) => name_from(&format!("local{port}"), "api"),
        Some(Host::Ipv4(address)) if address.is_loopback() => {
            name_from(&format!("local{port}"), "api")
        }
        Some(Host::Ipv6(address)) if address.is_loopback() => {
            name_from(&format!("local{port}"), "api")
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => name_from(&format!("api_{host}{port}"), "api"),
        _ => name_from(host, "api"),
    }
}

fn write_connection(text: &mut String, answer: &Answer<'_>, name: &str) -> std::fmt::Result {
    writeln!(text, "kind: connection")?;
    writeln!(text, "name: {name}")?;
    writeln!(
        text,
        "base_url: {}",
        quoted(&answer.url.origin().ascii_serialization())
    )?;
    let secret_header = answer
        .headers
        .iter()
        .find(|(name, _)| is_secret_header(name));
    let secret_parameter = answer
        .url
        .query_pairs()
        .find(|(name, _)| is_secret_parameter(name));
    let secret = |secret: &str| format!("  # give it its value: tidemark secret set {secret}");
    if let (Some(_), Some((parameter, _))) = (&secret_header, &secret_parameter) {
        writeln!(
            text,
            "# `{parameter}` of the address is left out: a connection has one credential, and the header was taken"
        )?;
    }
    if let Some((header, value)) = secret_header {
        let own = format!("{name}_token");
        let note = secret(&own);
        let parts = value.split_once(' ');
        let is_of = |wanted: &str, scheme: &str| {
            scheme.eq_ignore_ascii_case(wanted) && header.eq_ignore_ascii_case("authorization")
        };
        let both = parts
            .filter(|(scheme, _)| is_of("basic", scheme))
            .and_then(|(_, rest)| user_and_password(rest));
        match (parts, both) {
            (_, Some(both)) => writeln!(text, "{}", basic(&both, name))?,
            (Some((scheme, _)), None) if is_of("bearer", scheme) => {
                writeln!(text, "auth: {{ bearer: {{ secret: {own} }} }}{note}")?;
            }
            (Some((scheme, _)), None) => {
                let prefix = quoted(&format!("{scheme} "));
                writeln!(
                    text,
                    "auth: {{ header: {{ {}: {{ secret: {own}, prefix: {prefix} }} }} }}{note}",
                    quoted(header)
                )?;
            }
            (None, None) => writeln!(
                text,
                "auth: {{ header: {{ {}: {{ secret: {own} }} }} }}{note}",
                quoted(header)
            )?,
        }
    } else if let Some((parameter, _)) = secret_parameter {
        let own = name_from(&parameter, "api_secret");
        writeln!(
            text,
            "auth: {{ query: {{ {}: {{ secret: {own} }} }} }}{}",
            quoted(&parameter),
            secret(&own)
        )?;
    } else {
        writeln!(text, "auth: none")?;
    }
    Ok(())
}

/// Returns the line for a name and a password: what is no secret stays, what is gets its name.
fn basic(both: &str, connection: &str) -> String {
    let (user, password) = both.split_once(':').unwrap_or((both, ""));
    let own = |_: &str, what: &str| format!("{connection}_{what}");
    let fields = [user_of(user, password, &own), password_of(password, &own)];
    let mut notes = Vec::new();
    let [user, password] = fields.map(|field| match field["secret"].as_str() {
        Some(secret) => {
            notes.push(format!("tidemark secret set {secret}"));
            format!("{{ secret: {secret} }}")
        }
        None => quoted(field.as_str().unwrap_or_default()),
    });
    format!(
        "auth: {{ basic: {{ username: {user}, password: {password} }} }}  # give it its value: {}",
        notes.join("; ")
    )
}

fn write_metric(
    text: &mut String,
    answer: &Answer<'_>,
    found: &Findings,
    connection: &str,
    name: &str,
) -> std::fmt::Result {
    writeln!(text, "kind: metric")?;
    writeln!(text, "name: {name}")?;
    writeln!(text, "title: {}", quoted(&title(name)))?;
    writeln!(text, "connection: {connection}")?;
    writeln!(text, "request:")?;
    writeln!(text, "  path: {}", quoted(answer.url.path()))?;
    let paging = found.pagination.first();
    let parameter = paging.and_then(|paging| paging.pagination.parameter());
    let query: Vec<(String, String)> = answer
        .url
        .query_pairs()
        .filter(|(name, _)| {
            let is_paging = parameter.is_some_and(|(own, _)| own == name);
            !is_secret_parameter(name) && !is_paging
        })
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if !query.is_empty() {
        writeln!(text, "  query:")?;
        for (name, value) in query {
            writeln!(text, "    {}: {}", key(&name), quoted(&value))?;
        }
    }
    let headers: Vec<&(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !is_secret_header(name))
        .collect();
    if !headers.is_empty() {
        writeln!(text, "  headers:")?;
        for (name, value) in headers {
            writeln!(text, "    {}: {}", key(name), quoted(value))?;
        }
    }
    if *answer.response != Response::default() {
        let written = serde_json::to_value(answer.response).unwrap_or(Value::Null);
        writeln!(text, "  response: {}", flow(&written))?;
    }
    if let Some(paging) = paging {
        writeln!(text, "  pagination: {}", pagination(paging))?;
        write_reach(text, found.pages)?;
    }
    write_select(text, found)?;
    writeln!(text, "schedule: {{ every: 1h }}")
}

/// Writes a page cap where the usual one would cut off what the answer states.
fn write_reach(text: &mut String, pages: Option<u64>) -> std::fmt::Result {
    let usual = u64::from(Request::DEFAULT_MAX_PAGES);
    let Some(pages) = pages.filter(|pages| *pages > usual) else {
        return Ok(());
    };
    // Twice as much, so that a growing list is not cut off soon.
    let cap = pages
        .saturating_mul(2)
        .min(u64::from(Request::MAX_MAX_PAGES));
    let note = if cap < pages {
        "more than one run reads: ask for a window of dates instead"
    } else {
        "the usual cap is 100"
    };
    writeln!(
        text,
        "  max_pages: {cap}  # the API states {pages} pages; {note}"
    )
}

/// Writes what was found as a selection, with the type or resolution that goes with it.
pub(crate) fn write_select(text: &mut String, found: &Findings) -> std::fmt::Result {
    let first = found.suggestions.first();
    let written = first.and_then(|first| serde_json::to_value(&first.select).ok());
    writeln!(text, "select:")?;
    for line in written.as_ref().map(select::lines).unwrap_or_default() {
        writeln!(text, "  {line}")?;
    }
    let aggregation = first.map_or(Aggregation::Sum, |first| first.aggregation);
    if aggregation != Aggregation::Sum {
        writeln!(text, "aggregation: {}", aggregation.as_str())?;
    }
    if first.is_none_or(|first| first.metric_type == MetricType::Levels) {
        writeln!(
            text,
            "type: levels  # no date was found: each sync takes a sample"
        )?;
    } else {
        writeln!(text, "resolution: day")?;
    }
    Ok(())
}

/// Writes a way of paging as a definition does.
pub(super) fn pagination(candidate: &Candidate) -> String {
    serde_json::to_value(&candidate.pagination)
        .map_or_else(|_| "none".to_owned(), |value| flow(&value))
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", key(name), flow(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::String(text) => path(text),
        other => other.to_string(),
    }
}

pub(crate) fn is_secret_parameter(name: &str) -> bool {
    SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str())
}

pub(crate) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "authorization" || SECRET_HEADERS.iter().any(|word| name.contains(word))
}

/// Makes a name: lower-case letters, digits and `_`, a letter first.
pub(crate) fn name_from(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    let name = name
        .trim_matches('_')
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let cut: String = name.chars().take(63).collect();
    if cut.is_empty() {
        otherwise.to_owned()
    } else {
        cut
    }
}

pub(crate) fn title(name: &str) -> String {
    let text = name.replace('_', " ");
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A text in double quotes: JSON's are YAML's.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A key, quoted unless it is plain.
pub(super) fn key(text: &str) -> String {
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain && !text.starts_with('-') {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A JSONata path as a YAML value.
pub(super) fn path(text: &str) -> String {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$'));
    if plain { text.to_owned() } else { quoted(text) }
}
