//! Hands waiting runs to fetchers: claims them in the ledger, publishes a self-contained request each.

mod orders;
mod parents;

use bus::{Bus, Published};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use store::{Run, RunEnd, Store};
use tracing::Instrument as _;

use crate::config::Config;
use crate::error::Error;
use orders::Order;

/// Runs claimed in one turn: enough that what is read for all of them is read seldom.
const BATCH: u32 = 256;
/// Requests on their way to the queue at once.
const IN_FLIGHT: usize = 16;
/// When a subject is still taken, the earlier attempt is looked at again after this.
const BUSY_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// A run that waits for its parent looks again after this.
const PARENT_PAUSE: SignedDuration = SignedDuration::from_secs(2);
/// Why a run waits again, for people.
const BUSY: &str = "an earlier attempt is in flight";
const NOT_SENT: &str = "could not be dispatched";

/// What became of a claimed run.
enum Fate {
    Published,
    Busy,
    Ended(Box<RunEnd>),
    Waits(String),
    NotSent(Error),
}

/// What one turn came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Dispatched {
    /// Runs that fetchers have now.
    pub(crate) published: usize,
    /// Whether more runs may go at once.
    pub(crate) more: bool,
}

/// Dispatches what may go at `now`.
pub(crate) async fn dispatch(
    store: &Store,
    bus: &Bus,
    config: &Config,
    now: Timestamp,
) -> Result<Dispatched, Error> {
    let runs = store
        .claim(
            now.as_millisecond(),
            BATCH,
            config.per_workspace,
            config.per_connection,
        )
        .await?;
    let more = runs.len() >= BATCH as usize;
    if runs.is_empty() {
        return Ok(Dispatched::default());
    }
    let again = now
        .saturating_add(BUSY_PAUSE)
        .unwrap_or(now)
        .as_millisecond();
    let orders = match orders::of(store, &runs, now).await {
        Ok(orders) => orders,
        Err(error) => {
            // Back to the ledger at once; the next turn finds them.
            let ids: Vec<String> = runs.into_iter().map(|run| run.id).collect();
            store.release_all(&ids, again, NOT_SENT).await?;
            return Err(error);
        }
    };
    let sending = runs
        .into_iter()
        .zip(orders)
        .map(|(run, order)| send(bus, run, order));
    let fates: Vec<(Run, Fate)> = futures::stream::iter(sending)
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    let (mut published, mut busy, mut unsent, mut failure) = (0, Vec::new(), Vec::new(), None);
    for (run, fate) in fates {
        match fate {
            Fate::Published => published += 1,
            Fate::Busy => busy.push(run.id),
            Fate::Waits(reason) => {
                let again = now.saturating_add(PARENT_PAUSE).unwrap_or(now);
                store
                    .release_all(&[run.id], again.as_millisecond(), &reason)
                    .await?;
            }
            Fate::NotSent(error) => {
                unsent.push(run.id);
                failure = failure.or(Some(error));
            }
            Fate::Ended(end) => {
                tracing::warn!(run = %run.id, dataset = %run.dataset, "run cannot be fetched");
                store.fail_run(&run.workspace, &run.id, &end).await?;
            }
        }
    }
    store.release_all(&busy, again, BUSY).await?;
    store.release_all(&unsent, again, NOT_SENT).await?;
    match failure {
        Some(error) => Err(error),
        None => Ok(Dispatched { published, more }),
    }
}

async fn send(bus: &Bus, run: Run, order: Order) -> (Run, Fate) {
    // The sync's trace begins here and goes through every message from now on.
    let span = tracing::info_span!("dispatch", run = %run.id, dataset = %run.dataset);
    let fate = match order {
        Order::Never(end) => Fate::Ended(end),
        Order::Wait(reason) => Fate::Waits(reason),
        Order::Request(request) => match bus.publish_sync(&request).instrument(span).await {
            Ok(Published::Accepted) => Fate::Published,
            Ok(Published::AlreadyRunning) => Fate::Busy,
            Err(error) => Fate::NotSent(error.into()),
        },
    };
    (run, fate)
}
