//! What every request passes on its way in and out.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::Problem;
use crate::router::Gateway;

/// Measures a request, and gives it up when it takes too long.
pub(crate) async fn measure(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // The pattern, never the address: names of metrics are no labels.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let is_preview = route
        .as_ref()
        .is_some_and(|route| route.as_str() == crate::preview::ROUTE);
    let limit = if is_preview {
        crate::preview::ANSWER_WITHIN
    } else {
        gateway.config().limits.request_timeout
    };
    let response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow(limit.as_secs()).into_response(),
    };
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    gateway
        .instruments()
        .answered(&method, route, response.status(), started.elapsed());
    response
}

fn too_slow(seconds: u64) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "server.timeout",
        "the answer took too long",
    )
    .detail(format!(
        "it was given up after {seconds} s; ask for less, or try again"
    ))
    .retry_after(crate::problem::OUTAGE_RETRY_SECONDS)
}

/// Refuses a request whose head is larger than anything that asks something.
pub(crate) async fn bound_head(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let limits = &gateway.config().limits;
    let (count, bytes) = (request.headers().len(), head_bytes(&request));
    if count > limits.header_count || bytes > limits.header_bytes {
        return Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "request.head_too_large",
            "the head of the request is too large",
        )
        .detail(format!(
            "it has {count} headers and {bytes} bytes; at most {} headers and {} bytes are taken",
            limits.header_count, limits.header_bytes
        ))
        .closing()
        .into_response();
    }
    next.run(request).await
}

/// The bytes of the request line and the headers, as they were sent.
fn head_bytes(request: &Request) -> usize {
    /// Between and around the parts of a line.
    const FRAME: usize = 4;
    let uri = request.uri();
    let line = uri.path().len() + uri.query().map_or(0, str::len) + FRAME;
    let headers = request.headers();
    line + headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FRAME)
        .sum::<usize>()
}

/// Refuses what a browser of another origin may not do, and sets the headers that keep answers safe.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    if is_upgrade(request.headers()) && request.headers().contains_key(ORIGIN) {
        // There are no sockets here yet, and pages of other origins would not get one either.
        return Problem::new(
            StatusCode::FORBIDDEN,
            "origin.refused",
            "this origin may not connect",
        )
        .detail("sockets are not opened for other origins; `/api/v1/updates` streams events")
        .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
    }
    response
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}
