//! Says why a run waits, to whoever watches it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wire::{Progress, SyncRequest};

use super::Outlet;
use crate::error::PageError;

/// Pages that wait for the same say so once.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// A wait is said again as often, with what is left of it: who begins to watch in the middle hears of it too.
pub(super) const AGAIN_EVERY: Duration = Duration::from_secs(2);

/// What was told last of a run, so that a page can say why the run waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    progress: Progress,
    said: Option<Instant>,
}

impl Waits {
    /// Nothing was told of the run yet.
    pub(super) fn of(request: &SyncRequest) -> Self {
        let waits = Waits::default();
        waits.learn(Progress {
            workspace: request.workspace.clone(),
            dataset: request.dataset.clone(),
            run: request.run.clone(),
            ..Progress::default()
        });
        waits
    }

    /// Takes in how far the run is.
    pub(super) fn learn(&self, progress: Progress) {
        self.known().progress = progress;
    }

    /// Why the run waited when that was said last; empty where it does not wait.
    pub(super) fn last(&self) -> String {
        self.known().progress.waiting_for.clone()
    }

    /// Says why the run waits, unless something was said of it just now.
    pub(super) async fn say<O: Outlet>(&self, outlet: &O, why: String, at: String) {
        let progress = {
            let mut known = self.known();
            known.progress.waiting_for = why;
            let now = Instant::now();
            if known.said.is_some_and(|said| now < said + SAID_EVERY) {
                return;
            }
            known.said = Some(now);
            Progress {
                state: "waiting".to_owned(),
                at,
                ..known.progress.clone()
            }
        };
        outlet.progress(progress).await;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a page waits for.
pub(super) enum Why<'a> {
    /// The next try, the how-manieth, after an error.
    Retry(u32, &'a PageError),
    /// The API asked to be left alone.
    Pause(&'a str),
    /// The connection's rate.
    Rate(&'a str),
    /// The connection's requests at once.
    Slot(&'a str),
    /// The budget cannot be read.
    Budget(&'a str),
}

impl Why<'_> {
    /// What instruments call it.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Why::Retry(..) => "retry",
            Why::Pause(_) => "pause",
            Why::Rate(_) | Why::Slot(_) | Why::Budget(_) => "budget",
        }
    }

    /// Says it, with what is `left` of the wait.
    pub(super) fn text(&self, left: Duration) -> String {
        match self {
            Why::Retry(time, error) => {
                let what = error
                    .http_status()
                    .map_or_else(|| error.code().to_owned(), |status| status.to_string());
                format!(
                    "retrying {what}, {} try, in {}",
                    ordinal(*time),
                    seconds(left)
                )
            }
            Why::Pause(connection) => format!(
                "waiting {}, as the API of connection {connection} asked",
                seconds(left)
            ),
            Why::Rate(connection) => {
                format!("waiting for the rate limit of connection {connection}")
            }
            Why::Slot(connection) => format!(
                "waiting for other runs: connection {connection} has a limit of requests at once"
            ),
            Why::Budget(connection) => format!(
                "waiting for the rate limit of connection {connection}, whose budget cannot be read"
            ),
        }
    }
}

fn seconds(wait: Duration) -> String {
    if wait < Duration::from_secs(1) {
        return format!("{:.1} s", wait.as_secs_f64());
    }
    format!("{:.0} s", wait.as_secs_f64().ceil())
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_words() {
        let busy = PageError::status(http::StatusCode::SERVICE_UNAVAILABLE, None, String::new());
        for (why, left, expected) in [
            (Why::Retry(3, &busy), 3_100, "retrying 503, 3rd try, in 4 s"),
            (Why::Retry(2, &busy), 400, "retrying 503, 2nd try, in 0.4 s"),
            (
                Why::Rate("kit"),
                0,
                "waiting for the rate limit of connection kit",
            ),
            (
                Why::Pause("kit"),
                9_500,
                "waiting 10 s, as the API of connection kit asked",
            ),
        ] {
            assert_eq!(why.text(Duration::from_millis(left)), expected);
        }
        let read: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21].map(ordinal).into();
        assert_eq!(
            read,
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st"]
        );
    }
}
