//! Tells the broker that a message is still worked on.

use async_nats::jetstream::{self, AckKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A word after every page costs the broker more than the page; its patience is at least three seconds.
const BETWEEN_WORDS: Duration = Duration::from_millis(500);

/// How often the bus says that a handler is still at work: most are done before the first time.
const STILL_AT_WORK: Duration = Duration::from_secs(1);

/// A handler that takes longer than this hangs: somebody else may try.
const LONGEST_WORK: Duration = Duration::from_hours(1);

/// Tells the broker that work on a message goes on, so that nobody else gets it.
#[derive(Clone)]
pub struct InHand(Option<Arc<Word>>);

struct Word {
    acker: Arc<jetstream::message::Acker>,
    /// When the broker last heard of the message.
    last: Mutex<Instant>,
}

impl InHand {
    /// Returns one that tells nobody, for handlers under test.
    pub fn nobody() -> Self {
        Self(None)
    }

    pub(crate) fn of(acker: Arc<jetstream::message::Acker>) -> Self {
        let last = Mutex::new(Instant::now());
        Self(Some(Arc::new(Word { acker, last })))
    }

    /// Begins the wait for an acknowledgement anew. A failure is only logged: the worst is a second delivery.
    ///
    /// Call it as often as something was done: the broker writes its state to disk at each word, so that it is told
    /// at most twice a second.
    pub async fn progress(&self) {
        let Some(word) = self.0.as_ref().filter(|word| word.is_due()) else {
            return;
        };
        if let Err(error) = word.acker.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "progress could not be reported");
        }
    }
}

impl Word {
    /// Whether the last word was long enough ago; if so, the next one counts from now.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now.duration_since(*last) >= BETWEEN_WORDS;
        if is_due {
            *last = now;
        }
        is_due
    }
}

/// Waits for `work` and says meanwhile that it goes on.
pub(crate) async fn keep<T>(in_hand: &InHand, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(STILL_AT_WORK, &mut work).await {
            Ok(done) => return done,
            Err(_) if began.elapsed() < LONGEST_WORK => in_hand.progress().await,
            Err(_) => tracing::error!("a handler hangs; its message may go to another"),
        }
    }
}
