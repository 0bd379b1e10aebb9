//! What goes back to the caller, before the network has its way with it.

use bytes::Bytes;
use http::StatusCode;

/// An answer: status, a few headers, and the body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Which page of its list this is, counted from 1, for the ledger.
    pub(crate) page: u32,
    /// Whether the answer depends on the path and query alone.
    pub(crate) repeatable: bool,
}

pub(crate) const JSON: &str = "application/json; charset=utf-8";

impl Answer {
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self::of(StatusCode::OK, body)
    }

    pub(crate) fn of(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: JSON,
            headers: Vec::new(),
            body: body.into(),
            page: 1,
            repeatable: false,
        }
    }

    /// Marks the answer as page `number` of a list, which may be kept for the next caller.
    pub(crate) fn page(mut self, number: u64) -> Self {
        self.page = u32::try_from(number).unwrap_or(u32::MAX);
        self.repeatable = true;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn v3_unauthorized(message: &str) -> Self {
        Self::of(
            StatusCode::UNAUTHORIZED,
            format!(r#"{{"error":"Authorization Failed","message":"{message}"}}"#),
        )
    }

    pub(crate) fn v3_not_found() -> Self {
        Self::of(
            StatusCode::NOT_FOUND,
            r#"{"error":"Not Found","message":"The entity you were trying to find doesn't exist"}"#,
        )
    }

    pub(crate) fn v4_error(status: StatusCode, message: &str) -> Self {
        Self::of(status, format!(r#"{{"errors":["{message}"]}}"#))
    }
}
