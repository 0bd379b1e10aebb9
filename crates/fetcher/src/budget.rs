//! Keeps a connection's rate over all fetchers: permits are granted in slices from one document in NATS KV.
//!
//! The decision ([`Ledger`]) is pure; [`Budgets`] carries it out by compare-and-set. An unclear answer counts as
//! spent: the slice may have been written, so nobody uses it. With a rate limit and no KV nothing is sent.

mod ledger;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use definition::RateLimit;
use service::Clock;

pub use ledger::{Grant, Ledger, Rule};

/// Tries of one compare-and-set; with eight writers a handful is enough.
const SWAP_TRIES: u32 = 12;

/// Why no permit was had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The budget is spent for so long.
    #[error("the connection's rate is spent for {} ms", .0.as_millis())]
    Spent(Duration),
    /// The budget cannot be read or written.
    #[error("{0}")]
    Unreachable(String),
}

/// The rate budgets of all connections, as this process sees them.
pub struct Budgets {
    store: bus::Budgets,
    clock: Clock,
    slices: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Slice>>>>,
}

type Key = (String, String);

/// Permits that were granted and are not used yet; worthless after `use_by_ms`.
#[derive(Default)]
struct Slice {
    permits: u32,
    use_by_ms: i64,
    /// Nothing will be granted before this instant.
    not_before_ms: i64,
}

impl std::fmt::Debug for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Budgets")
    }
}

impl Budgets {
    /// Makes the view of this process on the budgets in NATS.
    pub fn new(store: bus::Budgets, clock: Clock) -> Self {
        Budgets {
            store,
            clock,
            slices: Mutex::default(),
        }
    }

    /// Takes one permit, asking NATS for another slice when this process has none.
    pub async fn permit(
        &self,
        workspace: &str,
        connection: &str,
        limit: &RateLimit,
    ) -> Result<(), Denied> {
        let rule = Rule::of(limit);
        let slice = self.slice(workspace, connection);
        // One question at a time for one connection: the others then find the answer here.
        let mut slice = slice.lock().await;
        let now = self.now_ms();
        if slice.permits > 0 && now < slice.use_by_ms {
            slice.permits -= 1;
            return Ok(());
        }
        if now < slice.not_before_ms {
            return Err(Denied::Spent(millis(slice.not_before_ms - now)));
        }
        let grant = self
            .change(workspace, connection, &rule, |ledger, now| {
                ledger.grant(&rule, now, rule.slice())
            })
            .await?;
        match grant {
            Grant::Permits { count, use_by_ms } => {
                *slice = Slice {
                    permits: count.saturating_sub(1),
                    use_by_ms,
                    not_before_ms: 0,
                };
                Ok(())
            }
            Grant::Wait { ms } => {
                slice.not_before_ms = self.now_ms() + ms;
                Err(Denied::Spent(millis(ms)))
            }
        }
    }

    /// Leases up to `wanted` of the connection's concurrency to `holder` (a run), and renews what it holds.
    ///
    /// A lease ends by [`Budgets::release`], or by itself when its holder died.
    pub async fn lease(
        &self,
        workspace: &str,
        connection: &str,
        limit: &RateLimit,
        holder: &str,
        wanted: u32,
    ) -> Result<u32, Denied> {
        let rule = Rule::of(limit);
        self.change(workspace, connection, &rule, |ledger, now| {
            ledger.lease(&rule, now, holder, wanted)
        })
        .await
    }

    /// Gives a lease back. Failing is harmless: it ends by itself.
    pub async fn release(
        &self,
        workspace: &str,
        connection: &str,
        limit: &RateLimit,
        holder: &str,
    ) {
        let rule = Rule::of(limit);
        let released = self
            .change(workspace, connection, &rule, |ledger, _| {
                ledger.release(holder);
            })
            .await;
        if let Err(error) = released {
            tracing::debug!(%error, "a lease ends by itself");
        }
    }

    /// Reads, decides, and writes if nobody was quicker; again if somebody was.
    async fn change<T>(
        &self,
        workspace: &str,
        connection: &str,
        rule: &Rule,
        decide: impl Fn(&mut Ledger, i64) -> T,
    ) -> Result<T, Denied> {
        let unreachable = |error: bus::Error| Denied::Unreachable(error.to_string());
        for attempt in 0..SWAP_TRIES {
            let held = self
                .store
                .get(workspace, connection)
                .await
                .map_err(unreachable)?;
            let before = held
                .as_ref()
                .and_then(|held| serde_json::from_slice::<Ledger>(&held.value).ok());
            let mut ledger = match (&held, before) {
                (None, _) => Ledger::default(),
                (Some(_), Some(ledger)) => ledger,
                (Some(_), None) => {
                    return Err(Denied::Unreachable(
                        "the budget's document cannot be read".to_owned(),
                    ));
                }
            };
            let old = ledger.clone();
            let outcome = decide(&mut ledger, self.now_ms());
            if ledger == old {
                return Ok(outcome);
            }
            let value = serde_json::to_vec(&ledger)
                .map_err(|error| Denied::Unreachable(error.to_string()))?;
            let revision = held.map(|held| held.revision);
            let swapped = self
                .store
                .compare_and_set(
                    workspace,
                    connection,
                    revision,
                    value.into(),
                    rule.lifetime(),
                )
                .await;
            match swapped {
                Ok(bus::Swap::Done(_)) => return Ok(outcome),
                Ok(bus::Swap::Conflict) => {
                    let ceiling = 2_u64 << attempt.min(6);
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..=ceiling)))
                        .await;
                }
                // It may have been written: then its permits are spent, unused.
                Err(error) => return Err(unreachable(error)),
            }
        }
        Err(Denied::Spent(Duration::from_millis(250)))
    }

    fn slice(&self, workspace: &str, connection: &str) -> Arc<tokio::sync::Mutex<Slice>> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        slices
            .entry((workspace.to_owned(), connection.to_owned()))
            .or_default()
            .clone()
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
