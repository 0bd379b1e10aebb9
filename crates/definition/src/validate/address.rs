use url::Url;

use super::{secrets, variables};
use crate::connection::Connection;
use crate::problem::{Problem, quoted};
use crate::request::Request;
use crate::template;

/// Whether an address may hold a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Allowed,
    Refused,
}

/// Checks the address that every request path is below: what counts is what it is with the constants put in.
pub(super) fn check_base_url(connection: &Connection, problems: &mut Vec<Problem>) {
    const PATH: &str = "base_url";
    let before = problems.len();
    if template::is_template(&connection.base_url) {
        variables::check_constant(connection, &connection.base_url, PATH, problems);
    }
    if problems.len() == before {
        let address = connection.address().unwrap_or_default();
        check_address(&address, PATH, Query::Refused, problems);
    }
}

/// Checks an absolute address such as the one that every request path is below.
pub(super) fn check_address(text: &str, path: &str, query: Query, problems: &mut Vec<Problem>) {
    let mut problem = |code, message: String| problems.push(Problem::new(code, path, message));
    if text.is_empty() {
        return problem(
            "definition.url_invalid",
            "an address is needed, such as https://api.example.com".to_owned(),
        );
    }
    if text.len() > Request::MAX_URL_BYTES {
        return problem(
            "definition.url_too_long",
            format!("longer than {} bytes", Request::MAX_URL_BYTES),
        );
    }
    if template::is_template(text) {
        return problem(
            "definition.template_unknown",
            "nothing can be put into this address".to_owned(),
        );
    }
    let Ok(url) = Url::parse(text) else {
        return problem("definition.url_invalid", "not an absolute address: it needs a scheme and a host, such as https://api.example.com".to_owned());
    };
    if !matches!(url.scheme(), "http" | "https") {
        return problem(
            "definition.url_invalid",
            format!(
                "the scheme {} is not allowed; http and https are",
                quoted(url.scheme())
            ),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem(
            "definition.url_invalid",
            "holds a user name or password, which belongs under `auth`".to_owned(),
        );
    }
    let secret = url
        .query_pairs()
        .find(|(name, value)| secrets::is_secret_parameter(name, value));
    let refused = query == Query::Refused && url.query().is_some();
    if secret.is_some() || refused || url.fragment().is_some() {
        match secret {
            Some((name, _)) => problems.push(secrets::in_url(path, &name)),
            None => problem(
                "definition.url_invalid",
                if path == "base_url" {
                    "holds a query or fragment; parameters belong under `request.query`"
                } else {
                    "holds a fragment, which is never sent"
                }
                .to_owned(),
            ),
        }
        return;
    }
    let canonical = url.as_str();
    if canonical != text && canonical.strip_suffix('/') != Some(text) {
        let hint = format!("write {}", quoted(canonical.trim_end_matches('/')));
        problems.push(
            Problem::new("definition.url_invalid", path, "is not in its plain form").hint(hint),
        );
    }
}

/// Checks a path below the base address.
///
/// `placeholder` is where pagination puts its parameter, if it puts one there; `at` is the path's place.
pub(super) fn check_path(
    text: &str,
    placeholder: Option<&str>,
    at: &str,
    problems: &mut Vec<Problem>,
) {
    let mut problem = |message: &str, hint: Option<String>| {
        let mut problem = Problem::new("definition.path", at, message);
        problem.hint = hint;
        problems.push(problem);
    };
    if text.is_empty() {
        return;
    }
    if let Some(placeholder) = placeholder
        && text.matches(placeholder).count() != 1
    {
        problem(
            &format!("pagination puts its parameter where `{placeholder}` stands, once"),
            None,
        );
    }
    let mut plain = without_placeholders(text);
    if let Some(placeholder) = placeholder {
        plain = plain.replacen(placeholder, "x", 1);
    }
    if Url::parse(&plain).is_ok() {
        return problem(
            "is a whole address; scheme and host belong in the connection's `base_url`",
            None,
        );
    }
    if !plain.starts_with('/') || plain.starts_with("//") {
        return problem(
            "starts with one `/`",
            Some(format!(
                "write {}",
                quoted(&format!("/{}", text.trim_start_matches('/')))
            )),
        );
    }
    if let Some((_, query)) = plain.split_once('?') {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        return match pairs
            .iter()
            .find(|(name, value)| secrets::is_secret_parameter(name, value))
        {
            Some((name, _)) => problems.push(secrets::in_url(at, name)),
            None => problem("parameters belong under `request.query`", None),
        };
    }
    if plain.contains('#') {
        return problem("a fragment is never sent", None);
    }
    if plain.split('/').any(|segment| {
        matches!(segment, "." | "..") || segment.to_ascii_lowercase().contains("%2e")
    }) {
        return problem("segments `.` and `..` are refused", None);
    }
    match Url::parse("https://host.invalid").and_then(|base| base.join(&plain)) {
        Ok(url) if url.path() == plain => {}
        Ok(url) if plain == text => problem(
            "is not in its plain form",
            Some(format!("write {}", quoted(url.path()))),
        ),
        _ => problem("holds characters that must be percent-encoded", None),
    }
}

/// The text with every `{{ … }}` replaced by a plain letter.
fn without_placeholders(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        match after.split_once("}}") {
            Some((_, after)) => {
                out.push('x');
                rest = after;
            }
            None => rest = "",
        }
    }
    out + rest
}
