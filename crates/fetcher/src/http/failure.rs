//! Why there is no answer, told by what caused it and without addresses.

use std::error::Error as StdError;
use std::time::Duration;

use super::Limits;
use crate::egress::{CheckedUrl, Refusal};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guard refused the address or a redirect.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No connection.
    #[error("no connection to {0}")]
    Connect(String),
    /// The connection is not to be trusted.
    #[error("the TLS connection failed: {0}")]
    Tls(String),
    /// The server took too long.
    #[error("no {what} within {} s", .limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The body drips.
    #[error("the answer comes too slowly (less than {bytes} bytes in {} s)", .window.as_secs())]
    TooSlow {
        /// How much was asked of it.
        bytes: u64,
        /// In how long.
        window: Duration,
    },
    /// The connection ended before the message did.
    #[error("the answer was cut short")]
    Truncated,
    /// No HTTP that can be read.
    #[error("the answer is not readable HTTP: {0}")]
    BadResponse(String),
    /// Too large, too compressed, or a window that needs too much memory.
    #[error("the answer is too large: {0}")]
    TooLarge(String),
    /// A content encoding that is not read.
    #[error(
        "the answer's content encoding `{0}` is not supported (one layer of gzip, deflate, br or zstd is)"
    )]
    EncodingUnsupported(String),
    /// The compressed bytes are whole, and something else follows them.
    #[error("{bytes} trailing bytes follow the answer's {name} data")]
    Trailing {
        /// The encoding.
        name: &'static str,
        /// How many bytes follow.
        bytes: usize,
    },
    /// The compressed bytes are damaged.
    #[error("the answer's {0} data is damaged")]
    Damaged(&'static str),
    /// A client could not be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

impl Failure {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Refused(refusal) => refusal.code.as_str(),
            Failure::Connect(_) => "upstream.connect_failed",
            Failure::Tls(_) => "upstream.tls",
            Failure::Timeout { .. } => "upstream.timeout",
            Failure::TooSlow { .. } => "upstream.too_slow",
            Failure::Truncated => "upstream.truncated",
            Failure::BadResponse(_) => "upstream.bad_response",
            Failure::TooLarge(_) => "upstream.body_too_large",
            Failure::EncodingUnsupported(_) => "upstream.encoding_unsupported",
            Failure::Damaged(_) | Failure::Trailing { .. } => "upstream.encoding",
            Failure::Client(_) => "fetcher.client",
        }
    }
}

/// Turns the client's error into ours, by what caused it and without its address.
pub(super) fn explain(error: &reqwest::Error, checked: &CheckedUrl, limits: &Limits) -> Failure {
    let host = crate::egress::origin(checked.url());
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut ended_early = false;
    while let Some(current) = cause {
        if let Some(refusal) = current.downcast_ref::<Refusal>() {
            return Failure::Refused(refusal.clone());
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Failure::Tls(tls.to_string());
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            if let Some(tls) = tls_inside(io) {
                return Failure::Tls(tls.to_string());
            }
            ended_early |= matches!(
                io.kind(),
                std::io::ErrorKind::UnexpectedEof
                    | std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::BrokenPipe
            );
        }
        cause = current.source();
    }
    let text = innermost(error);
    if error.is_timeout() {
        let (what, limit) = if error.is_connect() {
            ("connection", limits.connect)
        } else {
            ("answer", limits.first_byte)
        };
        Failure::Timeout { what, limit }
    } else if error.is_connect() {
        Failure::Connect(host)
    } else if ended_early || text.contains("before message") || text.contains("connection closed") {
        Failure::Truncated
    } else {
        Failure::BadResponse(text)
    }
}

/// The TLS error inside an I/O error; they wrap one another without naming each other as sources.
fn tls_inside(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    inner
        .downcast_ref::<rustls::Error>()
        .or_else(|| inner.downcast_ref::<std::io::Error>().and_then(tls_inside))
}

/// The innermost cause's text; it names no address (reqwest puts those on the outermost).
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if cause.downcast_ref::<reqwest::Error>().is_some() {
        "request failed".to_owned()
    } else {
        cause.to_string()
    }
}
