use std::time::Duration;

use super::SecretFault;
use crate::error::PageError;
use crate::http::Failure;
use crate::retry::Fate;

/// Why there is no token. Fit to be shown: what a server said is masked and cut.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TokenFault {
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// The request for a token cannot be made from what is written.
    #[error("no token can be asked for: {0}")]
    Unfit(String),
    /// There was no answer.
    #[error("no token: {0}")]
    Transport(Failure),
    /// The server says no.
    #[error("{who} answered {status}{}", told(.said))]
    Refused {
        /// The token server, or the login.
        who: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The server is not well.
    #[error("{who} answered {status}")]
    Server {
        /// The token server, or the login.
        who: &'static str,
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for.
        after: Option<Duration>,
    },
    /// The answer holds no token.
    #[error("{0}")]
    Unreadable(String),
    /// A refresh token was handed in, and what replaces it was never kept.
    #[error(
        "the refresh token of connection `{connection}` was used by a fetcher that ended before it could keep the next \
         one, and the token server takes it no more ({said}); authorize the connection again or store a new refresh \
         token"
    )]
    Lost {
        /// The connection.
        connection: String,
        /// What the server said.
        said: String,
    },
    /// Nobody has consented yet.
    #[error(
        "nobody has authorized the connection `{0}` yet: run `tidemark connection authorize {0}`"
    )]
    Consent(String),
    /// What must be shared with other fetchers and the store cannot be reached, or another fetcher is at it.
    #[error("the token cannot be renewed now: {0}")]
    Away(String),
}

fn told(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

impl TokenFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            TokenFault::Secret(fault) => fault.code(),
            TokenFault::Unfit(_) => "token.unfit",
            TokenFault::Transport(failure) => failure.code(),
            TokenFault::Refused { .. } => "token.refused",
            TokenFault::Server { .. } => "token.server_error",
            TokenFault::Unreadable(_) => "token.unreadable",
            TokenFault::Lost { .. } => "token.lost",
            TokenFault::Consent(_) => "token.consent",
            TokenFault::Away(_) => "token.away",
        }
    }

    /// What may be tried.
    pub fn fate(&self) -> Fate {
        match self {
            TokenFault::Secret(_)
            | TokenFault::Unfit(_)
            | TokenFault::Refused { .. }
            | TokenFault::Lost { .. }
            | TokenFault::Consent(_) => Fate::NeedsAttention,
            TokenFault::Transport(failure) => PageError::Transport(failure.clone()).fate(),
            TokenFault::Server { after, .. } => Fate::Retry { after: *after },
            TokenFault::Unreadable(_) => Fate::Fail,
            TokenFault::Away(_) => Fate::Retry {
                after: Some(Duration::from_secs(2)),
            },
        }
    }

    /// The HTTP status, where there was one.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            TokenFault::Refused { status, .. } | TokenFault::Server { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether asking again at once would tell the same and may do harm, such as locking an account.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            TokenFault::Refused { .. } | TokenFault::Lost { .. } | TokenFault::Unreadable(_)
        )
    }
}

impl From<Failure> for TokenFault {
    fn from(failure: Failure) -> Self {
        TokenFault::Transport(failure)
    }
}
