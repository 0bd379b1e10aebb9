//! What was sent and what came back, told with every credential masked: the eyes of a preview.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderMap};
use wire::RunError;
use wire::preview::{PreviewExchange, PreviewHeader};

use crate::error::PageError;
use crate::http::{Answer, Failure, Outgoing, sent_headers, without};
use crate::redact::Redactor;

/// What stands where a credential stood.
const MASK: &str = "***";

/// Exchanges told at most: twenty pages, each tried twice.
const MOST: usize = 40;

/// Bytes told of a body: a GraphQL query with its variables.
const BODY_BYTES: usize = 8 * 1024;

/// Bodies are told of so many exchanges; the later ones differ by a cursor.
const BODIES: usize = 3;

/// Headers told of one request or answer.
const HEADERS: usize = 40;

/// Characters told of a header; a `Link` holds several addresses.
const HEADER_CHARACTERS: usize = 2048;

/// Headers of an answer that matter to whoever writes a definition.
const TELLING: &[&str] = &[
    "content-type",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "age",
    "etag",
    "last-modified",
    "cache-control",
    "link",
    "location",
    "retry-after",
    "www-authenticate",
    "allow",
    "deprecation",
    "sunset",
    "warning",
];

/// Parts of the names of headers about limits and paging, which every API calls otherwise.
const TELLING_PARTS: &[&str] = &[
    "ratelimit",
    "rate-limit",
    "page",
    "total",
    "count",
    "cursor",
];

/// Parts of the names of headers whose values are secrets, wherever they come from.
const SECRET_PARTS: &[&str] = &[
    "authorization",
    "token",
    "secret",
    "api-key",
    "apikey",
    "cookie",
];

/// Collects the exchanges of one run, and of what it depends on.
#[derive(Debug, Default)]
pub struct Recorder {
    told: Arc<Mutex<Vec<PreviewExchange>>>,
    asks: String,
}

impl Recorder {
    /// Collects into the same list what is asked for something else than a page of the run.
    pub(crate) fn of(&self, asks: String) -> Self {
        Recorder {
            told: self.told.clone(),
            // A variable of a dataset above is told as that dataset's.
            asks: if self.asks.is_empty() {
                asks
            } else {
                self.asks.clone()
            },
        }
    }

    /// Takes an exchange in.
    pub(crate) fn take_in(&self, mut exchange: PreviewExchange) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.asks.clone_from(&self.asks);
        if told.len() >= BODIES {
            exchange.body.clear();
        }
        if told.len() < MOST {
            told.push(exchange);
        }
    }

    /// Returns what was collected so far, in the order of the answers.
    pub fn exchanges(&self) -> Vec<PreviewExchange> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Describes a request and its answer.
pub(crate) fn describe(
    redactor: &Redactor,
    outgoing: &Outgoing,
    answered: Result<&Answer, &Failure>,
    took: Duration,
) -> PreviewExchange {
    let mut url = without(&outgoing.url, &outgoing.credentials);
    for (name, _) in &outgoing.credentials.query {
        url.query_pairs_mut().append_pair(name, MASK);
    }
    let mut exchange = PreviewExchange {
        method: outgoing.method.to_string(),
        url: redactor.text(url.as_str()).into_owned(),
        headers: told(&sent_headers(outgoing), redactor, |_| true),
        body: outgoing
            .body
            .as_ref()
            .map(|(body, _)| beginning(&redactor.text(&String::from_utf8_lossy(body)), BODY_BYTES))
            .unwrap_or_default(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        ..PreviewExchange::default()
    };
    if let Ok(answer) = answered {
        exchange.status = Some(u32::from(answer.status.as_u16()));
        exchange.bytes = Some(answer.body.len() as u64);
        exchange.answer_headers = told(&answer.headers, redactor, is_telling);
    }
    exchange
}

/// What went wrong, for people, with secrets masked.
pub(crate) fn error_of(redactor: &Redactor, error: &PageError, page: u32) -> RunError {
    RunError {
        code: error.code().to_owned(),
        message: redactor.text(&error.to_string()).into_owned(),
        status: error.http_status().map(u32::from),
        page: Some(page),
        excerpt: redactor.text(error.excerpt()).into_owned(),
    }
}

fn told(
    headers: &HeaderMap,
    redactor: &Redactor,
    matters: impl Fn(&str) -> bool,
) -> Vec<PreviewHeader> {
    let matching = headers.iter().filter(|(name, _)| matters(name.as_str()));
    matching
        .take(HEADERS)
        .map(|(name, value)| {
            let is_secret = value.is_sensitive()
                || (*name != header::WWW_AUTHENTICATE
                    && SECRET_PARTS.iter().any(|part| name.as_str().contains(part)));
            let value = if is_secret {
                MASK.to_owned()
            } else {
                let text = String::from_utf8_lossy(value.as_bytes());
                beginning(&redactor.text(&text), HEADER_CHARACTERS)
            };
            PreviewHeader {
                name: name.as_str().to_owned(),
                value,
            }
        })
        .collect()
}

fn is_telling(name: &str) -> bool {
    TELLING.contains(&name) || TELLING_PARTS.iter().any(|part| name.contains(part))
}

/// The beginning of a text that was masked as a whole before.
fn beginning(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() {
        format!("{}…", &text[..end])
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, Method, StatusCode};
    use service::Secret;

    use super::*;
    use crate::http::Credentials;

    #[test]
    fn an_exchange_shows_what_was_sent_but_no_credential() {
        let secret = "sk_live_canary";
        let redactor = Redactor::new(&[Secret::new(secret)]);
        let mut key = HeaderValue::from_static("Bearer sk_live_canary");
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("x-kit-version", HeaderValue::from_static("3"));
        headers.insert("x-session-token", HeaderValue::from_static("typed-in"));
        let outgoing = Outgoing {
            method: Method::POST,
            url: "https://api.example.com/q?page=2".parse().unwrap(),
            headers,
            body: Some((
                Bytes::from(format!("{{\"key\":\"{secret}\"}}")),
                "application/json",
            )),
            credentials: Credentials {
                headers: HeaderMap::from_iter([(header::AUTHORIZATION, key)]),
                query: vec![("api_secret".into(), Secret::new(secret))],
            },
        };
        let mut came = HeaderMap::new();
        came.insert("x-ratelimit-remaining", HeaderValue::from_static("118"));
        came.insert("set-cookie", HeaderValue::from_static("session=abc"));
        came.insert(
            "link",
            HeaderValue::from_static("<https://api.example.com/q?k=sk_live_canary>; rel=next"),
        );
        let answer = Answer {
            status: StatusCode::OK,
            url: outgoing.url.clone(),
            headers: came,
            body: Bytes::from_static(b"{}"),
            wire_bytes: 2,
        };
        let told = describe(&redactor, &outgoing, Ok(&answer), Duration::from_millis(7));
        let text = serde_json::to_string(&told).unwrap();
        assert!(
            !text.contains(secret) && !text.contains("typed-in"),
            "{text}"
        );
        assert_eq!(told.url, "https://api.example.com/q?page=2&api_secret=***");
        assert_eq!(
            (told.status, told.bytes, told.took_ms),
            (Some(200), Some(2), 7)
        );
        let names: Vec<&str> = told
            .answer_headers
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert!(
            names.contains(&"x-ratelimit-remaining") && names.contains(&"link"),
            "{names:?}"
        );
        assert!(!names.contains(&"set-cookie"), "{names:?}");
        for (name, value) in [
            ("authorization", "***"),
            ("x-kit-version", "3"),
            ("content-type", "application/json"),
        ] {
            assert!(
                told.headers
                    .iter()
                    .any(|one| one.name == name && one.value == value),
                "{name}: {:?}",
                told.headers
            );
        }
    }
}
