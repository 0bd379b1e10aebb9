//! `tidemark try URL`: one page under the same guard, without a connection or NATS.

use http::header::HeaderMap;
use http::{Method, StatusCode, header};

use crate::egress::Guard;
use crate::error::PageError;
use crate::formats;
use crate::http::{Credentials, Http, Limits, Outgoing, user_header};
use crate::render::RenderError;
use crate::retry::retry_after;

/// A page fetched for a look.
#[derive(Debug, Clone)]
pub struct Glance {
    /// The HTTP status.
    pub status: StatusCode,
    /// The content type.
    pub content_type: Option<String>,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The whole body as JSON.
    pub body: bytes::Bytes,
    /// What it was before, as a definition says it.
    pub response: definition::Response,
    /// Whether its charset is a guess.
    pub charset_is_guessed: bool,
}

/// Fetches `url` once by GET with the given headers, under `guard`. The headers are sent to its origin only.
pub async fn fetch_once(
    url: &str,
    headers: &[(String, String)],
    guard: &Guard,
) -> Result<Glance, PageError> {
    let http = Http::new(guard.clone(), Limits::default(), None)
        .map_err(|error| PageError::Transport(crate::http::Failure::Client(error.to_string())))?;
    look(&http, url, headers).await
}

/// Fetches `url` once by GET with the given headers, as `http` is set up.
pub async fn look(
    http: &Http,
    url: &str,
    headers: &[(String, String)],
) -> Result<Glance, PageError> {
    let checked = http.guard().check_text(url)?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let (name, value) = user_header(name, value).map_err(RenderError::Header)?;
        map.append(name, value);
    }
    let outgoing = Outgoing {
        method: Method::GET,
        url: checked.url().clone(),
        headers: map,
        body: None,
        credentials: Credentials::default(),
    };
    let answer = http.send("try", &outgoing).await?;
    if !answer.status.is_success() {
        let after = answer
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry_after(value, jiff::Timestamp::now()));
        // Whoever tries an address from a terminal knows what they sent; still, values of headers are not shown back.
        let secrets: Vec<_> = headers
            .iter()
            .map(|(_, value)| service::Secret::new(value.clone()))
            .collect();
        let excerpt = crate::redact::Redactor::new(&secrets).excerpt(&answer.body);
        return Err(PageError::status(answer.status, after, excerpt));
    }
    let content_type = answer.content_type().map(str::to_owned);
    let cap = http.limits().body;
    let read = formats::recognise(&answer.body, content_type.as_deref(), &answer.url, cap)?;
    Ok(Glance {
        status: answer.status,
        content_type,
        headers: answer.headers,
        body: read.body,
        response: read.response,
        charset_is_guessed: read.charset_is_guessed,
    })
}
