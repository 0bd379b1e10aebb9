//! Why a run could not be evaluated, and what becomes of its manifest then.

use std::time::Duration;

use bus::Outcome;

/// A failure of one delivery.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not do what was asked.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// NATS did not do what was asked.
    #[error("NATS failed")]
    Bus(#[from] bus::Error),
    /// A worker process could not be started or spoken to.
    #[error("no worker process could be used")]
    Worker(#[from] crate::workers::WorkerError),
    /// Pages of the run are not in the stream any more.
    #[error("pages of run `{run}` are gone from the stream")]
    PagesGone {
        /// The run.
        run: String,
    },
    /// A definition in the store makes no sense.
    #[error(transparent)]
    Unreadable(#[from] store::Unreadable),
    /// A metric changed while its pages were evaluated.
    #[error("metric `{metric}` changed meanwhile")]
    Moved {
        /// The metric.
        metric: String,
    },
    /// A message cannot be written.
    #[error("a message cannot be written")]
    Message(#[from] serde_json::Error),
    /// A stored state is damaged.
    #[error("a stored cell of metric `{metric}` is damaged")]
    Damaged {
        /// The metric.
        metric: String,
    },
}

impl Error {
    /// True when the surroundings failed, not the run: such a try is not counted against it.
    pub(crate) fn is_infrastructure(&self) -> bool {
        match self {
            Self::Store(error) => error.is_infrastructure(),
            Self::Bus(_) | Self::Worker(_) | Self::Moved { .. } => true,
            Self::PagesGone { .. }
            | Self::Unreadable(_)
            | Self::Message(_)
            | Self::Damaged { .. } => false,
        }
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            // The store is away or busy: the broker keeps the manifest until it is back.
            Error::Store(error) if error.is_retryable() => {
                Self::RetryAfter(Duration::from_millis(50))
            }
            Error::Store(_) | Error::Bus(_) | Error::Worker(_) => {
                Self::RetryAfter(Duration::from_secs(2))
            }
            Error::Moved { .. } => Self::RetryAfter(Duration::from_millis(50)),
            Error::PagesGone { .. }
            | Error::Unreadable(_)
            | Error::Message(_)
            | Error::Damaged { .. } => Self::RetryAfter(Duration::from_secs(5)),
        }
    }
}
