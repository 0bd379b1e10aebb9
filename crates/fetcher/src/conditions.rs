//! Whether an answer of 200 says that it is an error, as `error_when` and `retry_when` declare.

use std::time::Duration;

use definition::Conditions;
use serde_json::Value;

use crate::decode::excerpt;
use crate::error::PageError;
use crate::redact::Redactor;

/// What an answer declared itself to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// `error_when` holds: asking again tells the same.
    Error,
    /// `retry_when` holds: asking again later may help.
    Again,
}

/// Judges a whole JSON answer; what it says is masked by `redactor`.
pub fn judge(
    conditions: &Conditions,
    body: &[u8],
    retry_after: Option<Duration>,
    redactor: &Redactor,
) -> Result<(), PageError> {
    let declared = if holds("retry_when", conditions.retry_when.as_deref(), body)? {
        Declared::Again
    } else if holds("error_when", conditions.error_when.as_deref(), body)? {
        Declared::Error
    } else {
        return Ok(());
    };
    Err(PageError::Declared {
        declared,
        message: message(conditions, body, redactor),
        retry_after,
        excerpt: redactor.excerpt(body),
    })
}

/// Whether an answer that is no success asks for patience after all; broken conditions say no.
pub fn asks_again(conditions: &Conditions, body: &[u8]) -> bool {
    conditions.retry_when.is_some()
        && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
        && holds("retry_when", conditions.retry_when.as_deref(), body).unwrap_or(false)
}

/// What the answer says about its error; empty when nothing stands there.
fn message(conditions: &Conditions, body: &[u8], redactor: &Redactor) -> String {
    let found = conditions
        .error_message
        .as_deref()
        .and_then(|path| expression::select_path(path, body).ok().flatten());
    let text = match found {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    excerpt(redactor.text(&text).as_bytes())
}

/// Whether a condition is true of the answer, as JSONata's `$boolean` casts it.
fn holds(key: &'static str, condition: Option<&str>, body: &[u8]) -> Result<bool, PageError> {
    let Some(condition) = condition else {
        return Ok(false);
    };
    let found = expression::select_path(&format!("$boolean(({condition}))"), body);
    match found {
        Ok(found) => Ok(found == Some(Value::Bool(true))),
        Err(error) => Err(PageError::Condition {
            key,
            reason: error.to_string(),
        }),
    }
}
