//! Request bodies: bounded before they are read, strict once they are.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    /// Refuses everything but nothing (or null), and an object with nothing in it.
    pub(crate) fn nothing(&self) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        match self.bytes.trim_ascii() {
            b"" | b"null" => Ok(()),
            _ => self.json().map(|_: Nothing| ()),
        }
    }

    /// Tells whether the body says that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.media_type.as_str(), "application/json" | "text/json")
            || self.media_type.ends_with("+json")
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

    /// Reads the body as a JSON object of a type that refuses unknown fields.
    ///
    /// Values are never said again: who sends a secret to the wrong route should not find it in a log.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.object()?.map_err(|error| {
            let text = sentence_shown(&without_value(&error.to_string()));
            let code = if text.starts_with("unknown field") {
                "request.unknown_field"
            } else {
                "request.invalid"
            };
            Problem::body(code, text)
        })
    }

    /// Reads a body that may hold a secret anywhere, `shape` being what it should look like: nothing of it
    /// is said again, neither values nor the names of unknown keys.
    pub(crate) fn sealed_json<T: DeserializeOwned>(&self, shape: &str) -> Result<T, Problem> {
        self.object()?.map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let (code, what) = if error.to_string().starts_with("unknown field") {
                (
                    "request.unknown_field",
                    "holds a key that is not known here",
                )
            } else {
                (
                    "request.invalid",
                    "lacks something or holds something of the wrong type",
                )
            };
            Problem::body(code, format!("expected {shape}; the body {what} ({place})"))
        })
    }

    /// Reads any JSON.
    pub(crate) fn value(&self) -> Result<Value, Problem> {
        self.must_be_json()?;
        serde_json::from_slice(&self.bytes).map_err(|error| not_json(&error))
    }

    fn must_be_json(&self) -> Result<(), Problem> {
        if self.is_json() || self.media_type.is_empty() {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "request.media_type",
            "this route takes JSON",
        )
        .detail(format!(
            "send `Content-Type: application/json`, not `{}`",
            shown(&self.media_type)
        )))
    }

    /// Reads a JSON object; inside, what is wrong with the data of it. A list is refused here, though serde
    /// would take one for an object's values in their order.
    fn object<T: DeserializeOwned>(&self) -> Result<Result<T, serde_json::Error>, Problem> {
        self.must_be_json()?;
        let instead = match self.bytes.trim_ascii_start().first() {
            Some(b'[') => Some("an array"),
            Some(b'"') => Some("text"),
            Some(b'n') => Some("null"),
            Some(b't' | b'f') => Some("true or false"),
            Some(b'-' | b'0'..=b'9') => Some("a number"),
            _ => None,
        };
        if let Some(instead) = instead {
            return Err(
                match serde_json::from_slice::<serde::de::IgnoredAny>(&self.bytes) {
                    Ok(_) => Problem::body(
                        "request.shape",
                        format!("expected an object, got {instead}"),
                    ),
                    Err(error) => not_json(&error),
                },
            );
        }
        match serde_json::from_slice(&self.bytes) {
            Ok(read) => Ok(Ok(read)),
            Err(error) if error.is_data() => Ok(Err(error)),
            Err(error) => Err(not_json(&error)),
        }
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = sentence_shown(&error.to_string());
    Problem::new(
        StatusCode::BAD_REQUEST,
        "request.json",
        "the body is not JSON",
    )
    .detail(format!("{text} ({place})"))
}

/// Takes the value out of serde's `invalid type: string "…", expected …`.
fn without_value(text: &str) -> String {
    let kept = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| {
            let said = text.strip_prefix(start)?;
            let what = said.split(['`', '"', ',']).next()?.trim_end();
            let expected = &said[said.rfind(", expected ")?..];
            Some(format!("{start}{what}{expected}"))
        });
    kept.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Draft {
        #[expect(dead_code, reason = "only whether it can be read counts")]
        value: String,
    }

    fn content(body: &str) -> Content {
        Content {
            bytes: Bytes::copy_from_slice(body.as_bytes()),
            media_type: "application/json".into(),
        }
    }

    #[test]
    fn a_body_that_may_hold_a_secret_is_never_said_again() {
        for (body, code) in [
            ("\"sk_live_verysecret123\"", "request.shape"),
            ("98765432101234", "request.shape"),
            ("[\"sk_live_verysecret123\"]", "request.shape"),
            ("{\"value\":98765432101234}", "request.invalid"),
            ("{\"value\":[\"sk_live_x\"]}", "request.invalid"),
            ("{\"value\":true}", "request.invalid"),
            ("{}", "request.invalid"),
            ("{\"sk_live_askey\":\"x\"}", "request.unknown_field"),
            (
                "{\"value\":\"sk_live_x\",\"value\":\"sk_live_y\"}",
                "request.invalid",
            ),
            ("{\"value\":\"sk_live_x\",}", "request.json"),
            ("sk_live_bare", "request.json"),
            ("{\"value\":sk_live_bare}", "request.json"),
        ] {
            let problem = content(body)
                .sealed_json::<Draft>("`{\"value\": …}`")
                .unwrap_err();
            let text = format!("{problem:?}");
            assert_eq!(problem.code(), code, "{body}: {text}");
            assert!(
                !text.contains("sk_live") && !text.contains("987654"),
                "{text}"
            );
        }
    }

    #[test]
    fn other_bodies_are_told_by_kind_and_without_their_values() {
        for (body, said) in [
            (
                "{\"value\": 98765}",
                "invalid type: integer, expected a string",
            ),
            ("{\"value\": null}", "invalid type: null, expected a string"),
            ("{\"other\": 1}", "unknown field `other`, expected `value`"),
        ] {
            let text = format!("{:?}", content(body).json::<Draft>().unwrap_err());
            assert!(text.contains(said) && !text.contains("98765"), "{text}");
        }
        let quoted = "invalid type: string \"a, expected b\", expected u32 at line 1 column 5";
        assert_eq!(
            without_value(quoted),
            "invalid type: string, expected u32 at line 1 column 5"
        );
    }

    #[test]
    fn nothing_is_nothing_or_an_empty_object() {
        for fine in ["", " \n", "null", "{}", " { } "] {
            content(fine).nothing().unwrap();
        }
        for (wrong, code) in [
            ("[]", "request.shape"),
            ("0", "request.shape"),
            ("\"\"", "request.shape"),
            ("false", "request.shape"),
            ("{\"force\":true}", "request.unknown_field"),
            ("nul", "request.json"),
        ] {
            assert_eq!(
                content(wrong).nothing().unwrap_err().code(),
                code,
                "{wrong}"
            );
        }
    }
}
