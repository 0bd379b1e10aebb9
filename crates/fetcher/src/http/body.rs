//! Reads a body within time and size, and decompresses it.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use tokio::time::Instant;

use super::{Failure, InflateError, Limits, inflate};

/// Larger compressed bodies are inflated off the async threads.
const INFLATE_INLINE: usize = 64 * 1024;

/// What was read.
pub(super) struct Read {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) wire_bytes: u64,
}

/// Reads the body of `response` until its end, the deadline, or a limit.
pub(super) async fn read(
    mut response: reqwest::Response,
    limits: &Limits,
    deadline: Instant,
) -> Result<Read, Failure> {
    let headers = std::mem::take(response.headers_mut());
    let encoding = content_encoding(&headers)?;
    if let Some(length) = response
        .content_length()
        .filter(|length| *length > limits.body as u64)
    {
        return Err(Failure::TooLarge(format!(
            "{length} bytes, and {} may come",
            limits.body
        )));
    }
    let raw = collect(&mut response, limits, deadline).await?;
    let wire_bytes = raw.len() as u64;
    let cap = limits.body;
    let body = match encoding {
        None => Ok(raw),
        Some(encoding) if raw.len() <= INFLATE_INLINE => {
            inflate(&encoding, &raw, cap).map(Bytes::from)
        }
        Some(encoding) => {
            tokio::task::spawn_blocking(move || inflate(&encoding, &raw, cap).map(Bytes::from))
                .await
                .unwrap_or(Err(InflateError::Damaged("compressed")))
        }
    };
    let body = body.map_err(|error| match error {
        InflateError::TooLarge(reason) => Failure::TooLarge(reason),
        InflateError::Unsupported(name) => Failure::EncodingUnsupported(name),
        InflateError::Truncated => Failure::Truncated,
        InflateError::Trailing { name, bytes } => Failure::Trailing { name, bytes },
        InflateError::Damaged(name) => Failure::Damaged(name),
    })?;
    Ok(Read {
        headers,
        body,
        wire_bytes,
    })
}

async fn collect(
    response: &mut reqwest::Response,
    limits: &Limits,
    deadline: Instant,
) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    let mut window_start = Instant::now();
    let mut window_bytes = 0_u64;
    loop {
        let window_end = window_start + limits.rate_window;
        let chunk = match tokio::time::timeout_at(deadline.min(window_end), response.chunk()).await
        {
            Ok(Ok(None)) => return Ok(body.freeze()),
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Err(error)) => return Err(broken(&error)),
            Err(_) => {
                if Instant::now() >= deadline {
                    return Err(Failure::Timeout {
                        what: "whole answer",
                        limit: limits.total,
                    });
                }
                Bytes::new()
            }
        };
        window_bytes += chunk.len() as u64;
        if body.len() + chunk.len() > limits.body {
            return Err(Failure::TooLarge(format!(
                "more than {} bytes",
                limits.body
            )));
        }
        body.extend_from_slice(&chunk);
        if Instant::now() >= window_end {
            if window_bytes < limits.rate_bytes {
                return Err(Failure::TooSlow {
                    bytes: limits.rate_bytes,
                    window: limits.rate_window,
                });
            }
            window_start = Instant::now();
            window_bytes = 0;
        }
    }
}

/// A connection that ends inside a body, in HTTP/1 or HTTP/2, is a truncation; broken framing is not.
fn broken(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let kind = current
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        if matches!(
            kind,
            Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
        ) {
            return Failure::BadResponse(super::failure::innermost(error));
        }
        cause = current.source();
    }
    Failure::Truncated
}

/// The one layer of compression, if any.
fn content_encoding(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut layers = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        layers.extend(value.split(',').map(|layer| layer.trim().to_owned()));
    }
    layers.retain(|layer| !layer.is_empty() && layer != "identity");
    match layers.len() {
        0 => Ok(None),
        1 => Ok(layers.pop()),
        _ => Err(Failure::EncodingUnsupported(
            layers.join(", ").chars().take(80).collect(),
        )),
    }
}
