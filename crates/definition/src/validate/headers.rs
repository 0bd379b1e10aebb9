use indexmap::IndexMap;

use super::secrets;
use crate::node::join;
use crate::problem::{Problem, quoted};
use crate::request::Request;

/// Headers that belong to the connection to the API and to nobody else.
const FORBIDDEN: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "x-forwarded-for",
    "x-forwarded-host",
    "forwarded",
];
/// The longest value of a header, in bytes.
const MAX_VALUE: usize = 8192;

/// Checks headers; their values are never shown.
pub(super) fn check(headers: &IndexMap<String, String>, path: &str, problems: &mut Vec<Problem>) {
    if headers.len() > Request::MAX_HEADERS {
        let message = format!(
            "{} headers; at most {}",
            headers.len(),
            Request::MAX_HEADERS
        );
        problems.push(Problem::new("definition.too_many_headers", path, message));
    }
    let mut seen = std::collections::HashSet::new();
    for (name, value) in headers {
        let at = join(path, name);
        check_name(name, &at, problems);
        if !seen.insert(name.to_ascii_lowercase()) {
            problems.push(Problem::new(
                "definition.duplicate_field",
                at.clone(),
                format!("the header {} is written twice", quoted(name)),
            ));
        }
        if value.len() > MAX_VALUE || !is_value(value) {
            let message = format!(
                "the value of {} holds characters that no header may hold, or more than {MAX_VALUE} of them",
                quoted(name)
            );
            problems.push(Problem::new("definition.header_value", at, message));
        } else if secrets::is_secret_header(name, value) {
            let message = format!(
                "a secret is written in the header {}, shown here as ***",
                quoted(name)
            );
            problems
                .push(Problem::new("definition.secret_in_header", at, message).hint(secrets::CURE));
        }
    }
}

/// Checks the name of a header that is read from answers.
pub(super) fn check_read(name: &str, path: &str, problems: &mut Vec<Problem>) {
    if !is_name(name) {
        problems.push(Problem::new(
            "definition.header_name",
            path,
            format!("{} is no header name", quoted(name)),
        ));
    }
}

/// Checks the name of a header that is sent.
pub(super) fn check_name(name: &str, path: &str, problems: &mut Vec<Problem>) {
    let before = problems.len();
    check_read(name, path, problems);
    if problems.len() > before {
        return;
    }
    let lower = name.to_ascii_lowercase();
    if FORBIDDEN.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        problems.push(Problem::new(
            "definition.header_forbidden",
            path,
            format!("the header {} is set by Tidemark alone", quoted(name)),
        ));
    }
}

/// Tells whether a text may be a header's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.bytes().all(is_token)
}

/// Tells whether a text may be a header's value.
pub(super) fn is_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (32..127).contains(&b))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
