use url::Url;

use super::{secrets, templated};
use crate::problem::{Problem, quoted};
use crate::request::Request;
use crate::template;

/// Whether an address may hold a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Allowed,
    Refused,
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
        match template::check(text) {
            Ok(_) => problem("definition.template_unknown", "an address has no dates to put in; known here are the connection's variables, which are not supported yet".to_owned()),
            Err(error) => problems.push(templated(path, error)),
        }
        return;
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
pub(super) fn check_path(request: &Request, problems: &mut Vec<Problem>) {
    const PATH: &str = "request.path";
    let text = request.path.as_str();
    let mut problem = |message: &str, hint: Option<String>| {
        let mut problem = Problem::new("definition.path", PATH, message);
        problem.hint = hint;
        problems.push(problem);
    };
    if text.is_empty() {
        return;
    }
    let placeholder = template::path_placeholder(request);
    if let Some(placeholder) = &placeholder
        && text.matches(placeholder.as_str()).count() != 1
    {
        problem(
            &format!("pagination puts its parameter where `{placeholder}` stands, once"),
            None,
        );
    }
    let mut plain = without_placeholders(text);
    if let Some(placeholder) = &placeholder {
        plain = plain.replacen(placeholder.as_str(), "x", 1);
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
            Some((name, _)) => problems.push(secrets::in_url(PATH, name)),
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
