//! What can be wrong with an expression as written, and with one evaluation of it.

use serde::{Deserialize, Serialize};

/// Why an expression is refused where it is written, with its place inside the expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionProblem {
    /// Stable code, such as `expression.syntax`.
    pub code: &'static str,
    /// What is wrong, in one lower-case sentence that names line and column.
    pub message: String,
    /// Line of the place, from 1.
    pub line: u32,
    /// Column of the place in characters, from 1.
    pub column: u32,
    /// Byte range of the place in the expression.
    pub span: (usize, usize),
}

/// Why a page, or a whole run, gave no rows for one task.
///
/// Codes are stable: `expression.*` for the evaluation, `upstream.*` for a body that is not the
/// JSON it should be, `value.*` for a number that nothing can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    /// Stable code, such as `expression.timeout`.
    pub code: String,
    /// What happened, naming the limit where one was reached.
    pub message: String,
}

impl EvaluationError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// Why a pagination path gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is not an expression that may be used.
    #[error("path is refused: {0}")]
    Refused(#[from] ExpressionProblem),
    /// The body could not be read, or the evaluation reached a limit.
    #[error("path could not be evaluated: {0}")]
    Evaluation(#[from] EvaluationError),
}

/// Turns an error of the engine into our stable code and a text that names the limit.
pub(crate) fn from_engine(
    error: &jlens_core::Error,
    limits: &crate::budget::Limits,
) -> EvaluationError {
    let text = error.message().replace(crate::page::MARK, "");
    let (code, message) = match error.code() {
        "D1011" => (
            "expression.stack",
            format!(
                "recursion went deeper than the limit of {} levels",
                limits.depth
            ),
        ),
        "D1012" => (
            "expression.timeout",
            format!(
                "the evaluation of one page took longer than {} ms",
                limits.page_time_ms
            ),
        ),
        "U1006" => (
            "expression.step_limit",
            format!(
                "the evaluation of one page took more than {} steps",
                limits.steps
            ),
        ),
        "D2014" | "D2015" => (
            "expression.sequence_limit",
            format!(
                "a sequence would exceed the limit of {} items",
                limits.items
            ),
        ),
        "D2016" => (
            "expression.string_limit",
            format!(
                "a text would exceed the limit of {} bytes",
                limits.text_bytes
            ),
        ),
        "U1001" => from_size_limit(&text, limits),
        "D3110" | "D3132" | "D3133" | "D3134" | "D3135" | "D3136" | "D3150" => {
            ("expression.date", lower_first(&text))
        }
        "S0301" | "S0302" | "D1004" => ("expression.regex", lower_first(&text)),
        "D3030" => ("expression.cast", lower_first(&text)),
        "D1001" if is_of_a_date(error) => (
            "expression.date",
            "the number is no instant that a calendar has".to_owned(),
        ),
        "D1001" | "D3061" => ("value.not_finite", lower_first(&text)),
        "D3137" | "D3141" => ("expression.raised", text.clone()),
        code if code.starts_with('T') => ("expression.type", lower_first(&text)),
        code if code.starts_with('S') => ("expression.syntax", lower_first(&text)),
        _ => ("expression.failed", lower_first(&text)),
    };
    let place = error
        .position()
        .map_or_else(String::new, |at| format!(" (position {at})"));
    EvaluationError::new(
        code,
        format!("{}{place} [{}]", clipped(&message), error.code()),
    )
}

/// Whether a number was out of range as an instant.
fn is_of_a_date(error: &jlens_core::Error) -> bool {
    let details = serde_json::to_value(error).unwrap_or_default();
    details["token"]
        .as_str()
        .is_some_and(|token| token.contains("Millis"))
}

fn from_size_limit(text: &str, limits: &crate::budget::Limits) -> (&'static str, String) {
    if text.starts_with("An array") {
        let items = limits.items;
        (
            "expression.sequence_limit",
            format!("a sequence would exceed the limit of {items} items"),
        )
    } else if text.starts_with("A string") {
        let bytes = limits.text_bytes;
        (
            "expression.string_limit",
            format!("a text would exceed the limit of {bytes} bytes"),
        )
    } else if text.contains("nested") {
        ("expression.output_too_deep", too_deep_text())
    } else if text.contains("result") {
        let bytes = limits.result_bytes;
        (
            "expression.output_too_large",
            format!("the result would exceed the limit of {bytes} bytes"),
        )
    } else if text.contains("timestamp") || text.contains("date") {
        ("expression.date", lower_first(text))
    } else {
        ("expression.failed", lower_first(text))
    }
}

/// The text of a result nested too deeply.
pub(crate) fn too_deep_text() -> String {
    format!(
        "the result is nested deeper than the limit of {} levels",
        crate::budget::OUTPUT_DEPTH
    )
}

/// Error texts may quote values of a page: keep them short.
fn clipped(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Our texts begin in lower case, the engine's do not.
pub(crate) fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
