//! What a caller reads when something is wrong: RFC 9457 problem documents.
//!
//! One shape for every failure: a stable `code` for programs, a `title` and a `detail` for people
//! (what, where, what to do), and `problems` when several things are wrong at once.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds a caller is asked to wait while the store or NATS is away.
pub(crate) const OUTAGE_RETRY_SECONDS: u64 = 5;

/// A failed request, ready to be answered as `application/problem+json`.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    document: ProblemDocument,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a failed answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDocument {
    /// A URN made of the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:tidemark:problem:request.query")]
    kind: String,
    /// What is wrong, the same for every occurrence.
    title: String,
    /// The HTTP status, repeated.
    status: u16,
    /// A stable name for programs.
    #[schema(example = "request.query")]
    code: String,
    /// What is wrong this time, where, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Every single problem, when a bundle or several parameters were checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemItem>,
}

/// One of several problems of a request, with its place.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemItem {
    /// A stable name for programs.
    #[schema(example = "definition.name_invalid")]
    pub(crate) code: String,
    /// `error` or `warning`.
    #[schema(example = "error")]
    pub(crate) severity: &'static str,
    /// The document it is in: a file's name, or `body`.
    pub(crate) source: String,
    /// The line, from 1; 0 when unknown.
    pub(crate) line: u32,
    /// The column, from 1; 0 when unknown.
    pub(crate) column: u32,
    /// The path inside the document, such as `request.pagination.page.param`.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl ProblemItem {
    /// Returns a problem with one query parameter.
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self {
            code: "request.query".into(),
            severity: "error",
            source: "query".into(),
            line: 0,
            column: 0,
            path: name.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<&definition::Problem> for ProblemItem {
    fn from(problem: &definition::Problem) -> Self {
        Self {
            code: problem.code.into(),
            severity: match problem.severity {
                definition::Severity::Error => "error",
                definition::Severity::Warning => "warning",
            },
            source: problem.source.clone(),
            line: problem.line,
            column: problem.column,
            path: problem.path.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

impl Problem {
    /// Returns the problem in one sentence, for an answer of which it is only a part.
    pub(crate) fn in_words(&self) -> String {
        match &self.0.document.detail {
            Some(detail) => format!("{}: {detail}", self.0.document.title),
            None => self.0.document.title.clone(),
        }
    }

    /// Returns a problem with this status, code and title.
    pub(crate) fn new(status: StatusCode, code: &str, title: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            document: ProblemDocument {
                kind: format!("urn:tidemark:problem:{code}"),
                title: title.into(),
                status: status.as_u16(),
                code: code.into(),
                detail: None,
                problems: Vec::new(),
            },
            headers: Vec::new(),
        }))
    }

    /// Adds what is wrong this time, where, and what to do.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.document.detail = Some(detail.into());
        self
    }

    /// Adds the single problems.
    pub(crate) fn items(mut self, problems: Vec<ProblemItem>) -> Self {
        self.0.document.problems = problems;
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says that the connection ends with this answer, because the request is not read to its end.
    pub(crate) fn closing(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// Asks the caller to wait this many seconds.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Returns the status it answers with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the stable name of what is wrong.
    pub fn code(&self) -> &str {
        &self.0.document.code
    }

    /// Refuses a request that carries no token.
    pub(crate) fn token_missing() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "auth.missing",
            "a token is needed",
        )
        .detail("send `Authorization: Bearer tm_…`; `tidemark token create` makes one")
        .header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"tidemark\""),
        )
    }

    /// Refuses an unknown, revoked or expired token, with one text for all three.
    pub(crate) fn token_invalid() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "auth.invalid",
            "this token is not valid",
        )
        .detail("it may be mistyped, revoked or expired; ask an admin for a new one")
        .header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"tidemark\", error=\"invalid_token\""),
        )
    }

    /// Refuses a caller whose role is not enough, naming the one that is.
    pub(crate) fn role_missing(needed: &str, has: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "auth.scope",
            "this token may not do that",
        )
        .detail(format!(
            "this needs the role `{needed}`; the token has the role `{has}`"
        ))
    }

    /// Answers for a thing that is not there.
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
        .detail(format!("no {what} is called `{}`", shown(name)))
    }

    /// Refuses query parameters, naming each.
    pub(crate) fn query(items: Vec<ProblemItem>) -> Self {
        let detail = items.iter().map(sentence).collect::<Vec<_>>().join("; ");
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "request.query",
            "a query parameter is wrong",
        )
        .detail(detail)
        .items(items)
    }

    /// Refuses a body whose content is wrong.
    pub(crate) fn body(code: &str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            code,
            "the body is not what this route takes",
        )
        .detail(detail)
    }

    /// Refuses a bundle, with every problem in it: 400 where it is not JSON or YAML at all, 422 where
    /// it is and says something wrong.
    pub(crate) fn definitions(problems: &[definition::Problem]) -> Self {
        const UNREADABLE: &[&str] = &["request.json_invalid", "request.yaml_invalid"];
        let count = problems.len();
        let unreadable = problems
            .iter()
            .find(|problem| UNREADABLE.contains(&problem.code));
        match unreadable {
            Some(problem) => Self::new(
                StatusCode::BAD_REQUEST,
                problem.code,
                "the definitions cannot be read",
            ),
            None => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "definition.invalid",
                "the definitions are not valid",
            ),
        }
        .detail(match problems {
            [only] => only.to_string(),
            _ => format!("{count} problems; nothing was applied"),
        })
        .items(problems.iter().map(ProblemItem::from).collect())
    }

    /// Answers for something designed and not built.
    pub(crate) fn not_yet(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "not_yet",
            "this does not exist yet",
        )
        .detail(what)
    }

    /// Answers while the store is away.
    pub(crate) fn store_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store.unavailable",
            "the store cannot be reached",
        )
        .detail("nothing was changed; try again shortly")
        .retry_after(OUTAGE_RETRY_SECONDS)
    }

    /// Answers while NATS is away.
    pub(crate) fn bus_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "bus.unavailable",
            "NATS cannot be reached",
        )
        .detail("try again shortly")
        .retry_after(OUTAGE_RETRY_SECONDS)
    }

    /// Answers for a defect of ours, without telling strangers more than that.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server.internal",
            "the gateway could not answer",
        )
        .detail("this is a defect; the gateway's log has the cause under the same time")
    }
}

impl From<store::Unreadable> for Problem {
    fn from(error: store::Unreadable) -> Self {
        tracing::error!(%error, "a stored definition cannot be read");
        Self::internal()
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match &error {
            E::Unavailable { step } => {
                tracing::warn!(step, "the store is away");
                Self::store_unavailable()
            }
            E::Retryable { step } => {
                tracing::warn!(step, "the store is too busy");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store.busy",
                    "the store is busy",
                )
                .detail("nothing was changed; try again at once")
                .retry_after(1)
            }
            E::Conflict { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", "somebody else changed it")
                    .detail(error.to_string())
            }
            E::NotFound { kind, name } => Self::not_found(kind, name),
            E::InUse { .. } => Self::new(StatusCode::CONFLICT, "in_use", "others use it")
                .detail(format!("{error}; change or delete those first")),
            E::Quota { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "quota.exceeded",
                "a limit is reached",
            )
            .detail(error.to_string()),
            E::Invalid(why) => Self::body("request.invalid", why.clone()),
            E::NotYet(what) => Self::not_yet(&format!("the store cannot do this yet: {what}")),
            _ => {
                tracing::error!(error = %error, "the store failed");
                Self::internal()
            }
        }
    }
}

fn sentence(item: &ProblemItem) -> String {
    match &item.hint {
        Some(hint) => format!("`{}` {} ({hint})", shown(&item.path), item.message),
        None => format!("`{}` {}", shown(&item.path), item.message),
    }
}

/// Returns text of a stranger in a form that is short and printable, to stand between backticks.
pub(crate) fn shown(text: &str) -> String {
    /// Enough to recognise what was sent; an error is not a mirror.
    const SHOWN_CHARACTERS: usize = 80;
    printable(text, SHOWN_CHARACTERS).replace('`', "\u{fffd}")
}

/// Returns a sentence that quotes a stranger in a form that is bounded and printable.
pub(crate) fn sentence_shown(text: &str) -> String {
    /// A parser's sentence with a list of what was expected.
    const SHOWN_CHARACTERS: usize = 300;
    printable(text, SHOWN_CHARACTERS)
}

fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts {
            status,
            document,
            headers,
        } = *self.0;
        let mut response = (status, Json(document)).into_response();
        let answered = response.headers_mut();
        answered.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in headers {
            answered.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_is_cut_and_made_printable() {
        assert_eq!(shown("a\n`b`"), "a\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }

    #[test]
    fn a_query_problem_names_each_parameter() {
        let problem = Problem::query(vec![
            ProblemItem::parameter("limit", "is not a whole number from 1 to 1000"),
            ProblemItem::parameter("step", "is not known here").hint("known are: limit"),
        ]);
        let detail = problem.0.document.detail.unwrap();
        assert!(
            detail.contains("`limit` is not a whole number from 1 to 1000"),
            "{detail}"
        );
        assert!(detail.contains("known are: limit"), "{detail}");
    }
}
