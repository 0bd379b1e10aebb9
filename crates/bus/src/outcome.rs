//! What becomes of a message that was handled. Handlers say it; only the bus acknowledges.

use std::borrow::Cow;
use std::time::Duration;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is dealt with: acknowledged, and the acknowledgement confirmed.
    Done,
    /// It should come again after a pause of at most a minute. Longer waits belong in the ledger, not in the queue.
    RetryAfter(Duration),
    /// Somebody else should take it now: we are leaving.
    HandBack,
    /// It is given up on: a dead letter is kept, then it is never delivered again.
    Reject(Reason),
}

/// Why a message is given up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable code, such as `run.poison`.
    pub code: Cow<'static, str>,
    /// The reason in one sentence, without credentials.
    pub message: String,
}

impl Reason {
    /// Returns a reason of `code` that reads `message`.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}
