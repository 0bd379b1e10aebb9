//! Rounds of work: at once when nudged, now and then by themselves, until shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;
use tokio::sync::Notify;

use crate::error::Error;

/// Says that there is work; saying it twice before a round is one round.
#[derive(Clone, Default)]
pub(crate) struct Nudge(Arc<Notify>);

impl Nudge {
    /// Asks for a round.
    pub(crate) fn give(&self) {
        self.0.notify_one();
    }

    /// Does a round after each nudge, and `every` so often without one, until shutdown.
    ///
    /// `beat` is called before each. A round that fails is told of with `waiting`, and the next one comes
    /// `every` later, however many nudges there are: what is away is not asked without end.
    pub(crate) async fn rounds<F: Future<Output = Result<(), Error>>>(
        &self,
        shutdown: &Shutdown,
        every: Duration,
        beat: impl Fn(),
        waiting: &'static str,
        round: impl Fn() -> F,
    ) {
        let mut failed = false;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.0.notified(), if !failed => {}
                () = tokio::time::sleep(every) => {}
            }
            beat();
            let done = round().await;
            failed = done.is_err();
            if let Err(error) = done {
                tracing::warn!(error = %service::report::chain(&error), "{waiting}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_round_is_not_repeated_for_a_nudge() {
        let nudge = Nudge::default();
        let shutdown = Shutdown::new();
        let rounds = AtomicUsize::new(0);
        let started = tokio::time::Instant::now();
        nudge.give();
        let every = Duration::from_secs(5);
        let work = nudge.rounds(
            &shutdown,
            every,
            || {},
            "work waits",
            || async {
                nudge.give();
                if rounds.fetch_add(1, Ordering::Relaxed) == 1 {
                    shutdown.request();
                }
                Err(Error::Damaged {
                    metric: "m".to_owned(),
                })
            },
        );
        work.await;
        assert_eq!(rounds.load(Ordering::Relaxed), 2);
        assert_eq!(started.elapsed(), every);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_the_next_round() {
        let nudge = Nudge::default();
        let shutdown = Shutdown::new();
        shutdown.request();
        let started = tokio::time::Instant::now();
        let every = Duration::from_secs(5);
        nudge
            .rounds(&shutdown, every, || {}, "work waits", || async { Ok(()) })
            .await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
