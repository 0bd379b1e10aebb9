//! What can go wrong with a page, and what it means for the run.

use std::time::Duration;

use http::StatusCode;

use crate::auth::{SecretFault, TokenFault};
use crate::conditions::Declared;
use crate::decode::Unusable;
use crate::egress::{Code, Refusal};
use crate::http::Failure;
use crate::pagination::PaginationFault;
use crate::render::RenderError;
use crate::retry::Fate;

/// Why a page could not be had. Its text is fit to be shown: no credentials, no query strings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PageError {
    /// The order itself cannot be read.
    #[error("the sync request cannot be used: {0}")]
    Request(String),
    /// The request could not be built.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A secret is missing, not for this origin, or cannot be opened.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// There is no token to show.
    #[error(transparent)]
    Token(TokenFault),
    /// There was no answer.
    #[error(transparent)]
    Transport(#[from] Failure),
    /// The answer says no.
    #[error("the API answered {status}{}", .reason.map(|reason| format!(" {reason}")).unwrap_or_default())]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its standard name.
        reason: Option<&'static str>,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// The redacted beginning of the body.
        excerpt: String,
    },
    /// The answer is no page.
    #[error(transparent)]
    Body(#[from] Unusable),
    /// The answer was a success by its status and says that it is none.
    #[error("the answer says that it is {}{}", said(*.declared), colon(.message))]
    Declared {
        /// By which condition.
        declared: Declared,
        /// What it says about it, redacted; empty when nothing.
        message: String,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// The redacted beginning of the body.
        excerpt: String,
    },
    /// A condition cannot be evaluated on the answer.
    #[error("`{key}` cannot be evaluated on the answer: {reason}")]
    Condition {
        /// `error_when` or `retry_when`.
        key: &'static str,
        /// Why not.
        reason: String,
    },
    /// A variable of the connection could not be looked up.
    #[error("the connection's variable `{name}` could not be looked up at {path}: {cause}")]
    Variable {
        /// The variable.
        name: String,
        /// Where it is looked up.
        path: String,
        /// Why not.
        cause: Box<PageError>,
    },
    /// The answer does not hold the value that is looked up.
    #[error("`{select}` gives no value there: {reason}")]
    LookUp {
        /// Where the value should stand.
        select: String,
        /// Why not.
        reason: String,
    },
    /// The records of the parent dataset cannot be used.
    #[error("the records of the parent dataset cannot be used: {0}")]
    Parent(String),
    /// The pages do not follow one another as the request says.
    #[error(transparent)]
    Pagination(#[from] PaginationFault),
    /// A page could not be handed to NATS.
    #[error("the page could not be published: {0}")]
    Publish(String),
    /// The rate budget cannot be kept without NATS KV, so nothing is sent.
    #[error("the connection has a rate limit and its budget cannot be reached: {0}")]
    Budget(String),
}

impl PageError {
    /// Makes the error of an answer that is no success.
    pub fn status(status: StatusCode, retry_after: Option<Duration>, excerpt: String) -> Self {
        PageError::Status {
            status: status.as_u16(),
            reason: status.canonical_reason(),
            retry_after,
            excerpt,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            PageError::Request(_) => "fetcher.request",
            PageError::Render(error) => error.code(),
            PageError::Secret(fault) => fault.code(),
            PageError::Token(fault) => fault.code(),
            PageError::Transport(failure) => failure.code(),
            PageError::Status { status, .. } => match status {
                400 => "upstream.bad_request",
                401 => "upstream.unauthorized",
                403 => "upstream.forbidden",
                404 => "upstream.not_found",
                408 => "upstream.timeout",
                410 => "upstream.gone",
                425 => "upstream.too_early",
                429 => "upstream.rate_limited",
                400..=499 => "upstream.client_error",
                500..=599 => "upstream.server_error",
                _ => "upstream.unexpected_status",
            },
            PageError::Body(unusable) => unusable.code(),
            PageError::Declared { declared, .. } => match declared {
                Declared::Error => "upstream.declared_error",
                Declared::Again => "upstream.declared_retry",
            },
            PageError::Condition { .. } => "upstream.condition",
            PageError::Variable { .. } => "variable.look_up",
            PageError::LookUp { .. } => "variable.missing",
            PageError::Parent(_) => "parent.unreadable",
            PageError::Pagination(fault) => fault.code(),
            PageError::Publish(_) => "fetcher.publish",
            PageError::Budget(_) => "fetcher.budget",
        }
    }

    /// What may be tried.
    pub fn fate(&self) -> Fate {
        const RETRY: Fate = Fate::Retry { after: None };
        match self {
            // Waiting for NATS is the run's matter: it hands back.
            PageError::Request(_)
            | PageError::Render(_)
            | PageError::Pagination(_)
            | PageError::Publish(_)
            | PageError::Condition { .. }
            | PageError::LookUp { .. }
            | PageError::Parent(_)
            | PageError::Budget(_) => Fate::Fail,
            PageError::Declared {
                declared,
                retry_after,
                ..
            } => match declared {
                Declared::Error => Fate::Fail,
                Declared::Again => Fate::Retry {
                    after: *retry_after,
                },
            },
            PageError::Secret(_) => Fate::NeedsAttention,
            PageError::Token(fault) => fault.fate(),
            PageError::Variable { cause, .. } => cause.fate(),
            PageError::Transport(failure) => match failure {
                Failure::Refused(refusal) if refusal.retryable => RETRY,
                Failure::Connect(_)
                | Failure::Timeout { .. }
                | Failure::TooSlow { .. }
                | Failure::Truncated => RETRY,
                Failure::BadResponse(_) | Failure::Damaged(_) => Fate::RetryOnce,
                Failure::Refused(_)
                | Failure::Tls(_)
                | Failure::TooLarge(_)
                | Failure::Trailing { .. }
                | Failure::EncodingUnsupported(_)
                | Failure::Client(_) => Fate::Fail,
            },
            PageError::Status {
                status,
                retry_after,
                ..
            } => match status {
                401 | 403 => Fate::NeedsAttention,
                408 | 425 | 429 | 500..=599 => Fate::Retry {
                    after: *retry_after,
                },
                _ => Fate::Fail,
            },
            PageError::Body(unusable) => match unusable {
                // A close-delimited body that was cut looks like this.
                Unusable::NotJson {
                    ends_early: true, ..
                }
                | Unusable::Malformed {
                    ends_early: true, ..
                }
                | Unusable::Compressed {
                    ends_early: true, ..
                } => Fate::RetryOnce,
                _ => Fate::Fail,
            },
        }
    }

    /// The HTTP status, where there was one.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            PageError::Status { status, .. } => Some(*status),
            PageError::Token(fault) => fault.http_status(),
            PageError::Variable { cause, .. } => cause.http_status(),
            _ => None,
        }
    }

    /// The redacted beginning of the answer, where there was one.
    pub fn excerpt(&self) -> &str {
        match self {
            PageError::Status { excerpt, .. } | PageError::Declared { excerpt, .. } => excerpt,
            PageError::Variable { cause, .. } => cause.excerpt(),
            _ => "",
        }
    }

    /// The class of the error for instruments: a small closed set.
    pub fn class(&self) -> &'static str {
        match self {
            PageError::Request(_)
            | PageError::Render(_)
            | PageError::LookUp { .. }
            | PageError::Parent(_) => "request",
            PageError::Secret(_) => "secret",
            PageError::Token(_) => "token",
            PageError::Transport(Failure::Refused(_)) => "refused",
            PageError::Transport(Failure::Timeout { .. } | Failure::TooSlow { .. }) => "timeout",
            PageError::Transport(_) => "transport",
            PageError::Status { status: 429, .. } => "throttled",
            PageError::Status {
                status: 500..=599, ..
            } => "server_error",
            PageError::Status { .. } => "client_error",
            PageError::Body(_) | PageError::Declared { .. } | PageError::Condition { .. } => "body",
            PageError::Variable { cause, .. } => cause.class(),
            PageError::Pagination(_) => "pagination",
            PageError::Publish(_) | PageError::Budget(_) => "nats",
        }
    }
}

fn said(declared: Declared) -> &'static str {
    match declared {
        Declared::Error => "an error",
        Declared::Again => "to be asked for again",
    }
}

fn colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

impl From<TokenFault> for PageError {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Secret(fault) => PageError::Secret(fault),
            fault => PageError::Token(fault),
        }
    }
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            Code::OriginRefused => PaginationFault::OriginRefused(refusal.reason).into(),
            Code::PaginationLoop => PaginationFault::Loop(refusal.reason).into(),
            _ => Failure::Refused(refusal).into(),
        }
    }
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS cannot be set up.
    #[error("tls cannot be set up")]
    Tls(#[from] crate::http::TlsError),
    /// A file of the configuration cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The identities cannot be used.
    #[error("the secret identity cannot be used")]
    Identity(#[from] service::SecretError),
    /// The allow-list cannot be used.
    #[error("the allow-list cannot be used")]
    Allow(#[from] crate::egress::AllowError),
    /// NATS is gone for good.
    #[error("the sync queue cannot be read")]
    Bus(#[source] Box<dyn std::error::Error + Send + Sync>),
}
