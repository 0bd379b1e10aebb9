//! Request bodies: bounded before they are read, strict once they are.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::problem::{Problem, sentence_shown, shown};
use crate::router::Gateway;

/// A whole request body within the size limit, and what it says it is.
#[derive(Debug)]
pub(crate) struct Content {
    /// The bytes as they came.
    pub(crate) bytes: Bytes,
    /// The media type without parameters, in lower case; empty when absent.
    pub(crate) media_type: String,
}

impl FromRequest<Gateway> for Content {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let media_type = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .unwrap_or_default();
        let bytes = collect(&parts.headers, body, gateway.config().limits.body_bytes).await?;
        Ok(Self { bytes, media_type })
    }
}

/// Reads a whole body, or refuses it as soon as it is known to be too large.
pub(crate) async fn collect(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Problem> {
    let stated = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit as u64) {
        return Err(too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(limit)),
        Err(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "request.incomplete",
            "the body ended before it was whole",
        )),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request.too_large",
        "the body is too large",
    )
    .detail(format!(
        "at most {limit} bytes are taken; send the definitions in several parts"
    ))
    .closing()
}

impl Content {
    /// Refuses everything but nothing, or an object with nothing in it.
    pub(crate) fn nothing(&self) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        if self.bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        self.json().map(|_: Option<Nothing>| ())
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "request.encoding",
                "the body is not UTF-8",
            )
            .detail(format!(
                "the first wrong byte is at offset {}",
                error.valid_up_to()
            ))
        })
    }

    /// Reads the body as JSON of a type that refuses unknown fields.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !matches!(
            self.media_type.as_str(),
            "" | "application/json" | "text/json"
        ) && !self.media_type.ends_with("+json")
        {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request.media_type",
                "this route takes JSON",
            )
            .detail(format!(
                "send `Content-Type: application/json`, not `{}`",
                shown(&self.media_type)
            )));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let text = sentence_shown(&error.to_string());
            match error.classify() {
                serde_json::error::Category::Data if text.starts_with("unknown field") => {
                    Problem::body("request.unknown_field", text)
                }
                serde_json::error::Category::Data => Problem::body("request.invalid", text),
                _ => Problem::new(
                    StatusCode::BAD_REQUEST,
                    "request.json",
                    "the body is not JSON",
                )
                .detail(format!("{text} ({place})")),
            }
        })
    }
}
