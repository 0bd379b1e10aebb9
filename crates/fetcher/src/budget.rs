//! Keeps a connection's rate over all fetchers: permits are granted in slices from one document in NATS KV.
//!
//! The decision ([`Ledger`]) is pure; [`Budgets`] carries it out by compare-and-set. An unclear answer counts as
//! spent: the slice may have been written, so nobody uses it. With a rate limit and no KV nothing is sent.
//!
//! The same document holds what the API itself asked for: a pause is kept by all fetchers, also where no rate is
//! declared. To hear of one, each looks at most once a second while it fetches from the connection.

mod ledger;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use definition::RateLimit;
use service::Clock;
use tokio::time::Instant;

use crate::stated_limit::Pause;

pub use ledger::{Grant, Ledger, Rule};

/// Tries of one compare-and-set; with eight writers a handful is enough.
const SWAP_TRIES: u32 = 12;

/// The first slice: how fast the API is, nobody knows yet.
const FIRST_SLICE: u32 = 2;

/// How often the document is looked at for what others wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Answers to requests that were sent together ask for the same pause.
const SAME_PAUSE_MS: i64 = 1_000;

/// A document that holds a pause alone is kept for so long behind it: the server counts whole seconds.
const AFTER_PAUSE: Duration = Duration::from_secs(2);

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
    known: Mutex<HashMap<Key, Arc<Known>>>,
}

type Key = (String, String);

/// What this process knows of one connection.
#[derive(Default)]
struct Known {
    slice: tokio::sync::Mutex<Slice>,
    view: Mutex<View>,
    /// One look at a time: the others find what it brought.
    looking: tokio::sync::Mutex<()>,
}

/// Permits that were granted and are not used yet; worthless after `use_by_ms`.
struct Slice {
    permits: u32,
    use_by_ms: i64,
    /// How many to ask for: as many as were used in time lately.
    wanted: u32,
    /// Nothing will be granted before this instant.
    not_before_ms: i64,
}

impl Default for Slice {
    fn default() -> Self {
        Slice {
            permits: 0,
            use_by_ms: 0,
            wanted: FIRST_SLICE,
            not_before_ms: 0,
        }
    }
}

/// The document as it was lately.
#[derive(Default)]
struct View {
    looked_at: Option<Instant>,
    ledger: Ledger,
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
            known: Mutex::default(),
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
        let known = self.known(workspace, connection);
        // One question at a time for one connection: the others then find the answer here.
        let mut slice = known.slice.lock().await;
        let now = self.now_ms();
        if slice.permits > 0 && now < slice.use_by_ms {
            slice.permits -= 1;
            return Ok(());
        }
        if now < slice.not_before_ms {
            return Err(Denied::Spent(millis(slice.not_before_ms - now)));
        }
        // What was not used in time is lost to everybody, so less is asked for next.
        slice.wanted = if slice.permits > 0 {
            (slice.wanted - slice.permits.min(slice.wanted)).max(1)
        } else {
            (slice.wanted * 2).clamp(1, rule.slice())
        };
        let wanted = slice.wanted;
        let grant = self
            .change(workspace, connection, Some(&rule), |ledger, now| {
                ledger.grant(&rule, now, wanted)
            })
            .await?;
        match grant {
            Grant::Permits { count, use_by_ms } => {
                *slice = Slice {
                    permits: count.saturating_sub(1),
                    use_by_ms,
                    wanted: count,
                    not_before_ms: 0,
                };
                Ok(())
            }
            Grant::Wait { ms } => {
                slice.permits = 0;
                slice.not_before_ms = self.now_ms() + ms;
                Err(Denied::Spent(millis(ms)))
            }
        }
    }

    /// How long the API asked to be left alone still, as far as NATS knew a second ago.
    ///
    /// Where NATS cannot say, nobody asked: a declared rate is kept by [`Budgets::permit`].
    pub async fn paused_for(&self, workspace: &str, connection: &str) -> Option<Duration> {
        self.look(workspace, connection).await;
        let known = self.known(workspace, connection);
        let view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now_ms();
        view.ledger
            .paused_until(now)
            .map(|until| millis(until - now))
    }

    /// Tells all fetchers that the API asked to be left alone.
    pub async fn pause(
        &self,
        workspace: &str,
        connection: &str,
        limit: Option<&RateLimit>,
        pause: &Pause,
    ) {
        let wait = i64::try_from(pause.wait.as_millis()).unwrap_or(i64::MAX / 4);
        let until = self.now_ms() + wait;
        let known = self.known(workspace, connection);
        {
            let mut view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
            let told = view.ledger.paused_until(self.now_ms());
            if told.is_some_and(|told| told + SAME_PAUSE_MS >= until) {
                return;
            }
            view.ledger.pause(until, &pause.reason);
        }
        // Permits that were granted before are worth nothing now.
        known.slice.lock().await.permits = 0;
        tracing::info!(
            connection,
            wait_ms = wait,
            reason = pause.reason,
            "the API asked to be left alone"
        );
        let rule = limit.map(Rule::of);
        let told = self.change(workspace, connection, rule.as_ref(), |ledger, _| {
            ledger.pause(until, &pause.reason);
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "other fetchers do not know of a pause");
        }
    }

    /// How many slots `holder` may have, so that others get theirs; as NATS knew a second ago.
    pub async fn may_hold(
        &self,
        workspace: &str,
        connection: &str,
        limit: &RateLimit,
        holder: &str,
    ) -> u32 {
        self.look(workspace, connection).await;
        let known = self.known(workspace, connection);
        let view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.ledger
            .may_hold(&Rule::of(limit), self.now_ms(), holder)
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
        self.change(workspace, connection, Some(&rule), |ledger, now| {
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
            .change(workspace, connection, Some(&rule), |ledger, _| {
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
        rule: Option<&Rule>,
        decide: impl Fn(&mut Ledger, i64) -> T,
    ) -> Result<T, Denied> {
        let unreachable = |error: bus::Error| Denied::Unreachable(error.to_string());
        for attempt in 0..SWAP_TRIES {
            let (revision, old) = self.read(workspace, connection).await?;
            let mut ledger = old.clone();
            let now = self.now_ms();
            let outcome = decide(&mut ledger, now);
            self.saw(workspace, connection, &ledger);
            if ledger == old {
                return Ok(outcome);
            }
            let value = serde_json::to_vec(&ledger)
                .map_err(|error| Denied::Unreachable(error.to_string()))?;
            let pause = ledger
                .paused_until(now)
                .map_or(Duration::ZERO, |until| millis(until - now) + AFTER_PAUSE);
            let lifetime = rule.map_or(pause, |rule| rule.lifetime().max(pause));
            let swapped = self
                .store
                .compare_and_set(workspace, connection, revision, value.into(), lifetime)
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

    async fn read(
        &self,
        workspace: &str,
        connection: &str,
    ) -> Result<(Option<u64>, Ledger), Denied> {
        let held = self
            .store
            .get(workspace, connection)
            .await
            .map_err(|error| Denied::Unreachable(error.to_string()))?;
        let Some(held) = held else {
            return Ok((None, Ledger::default()));
        };
        let ledger = serde_json::from_slice(&held.value)
            .map_err(|_| Denied::Unreachable("the budget's document cannot be read".to_owned()))?;
        Ok((Some(held.revision), ledger))
    }

    /// Reads the document, unless that was done within the last second.
    async fn look(&self, workspace: &str, connection: &str) {
        let known = self.known(workspace, connection);
        let is_fresh = || {
            let view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
            view.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY)
        };
        if is_fresh() {
            return;
        }
        let _one = known.looking.lock().await;
        if is_fresh() {
            return;
        }
        match self.read(workspace, connection).await {
            Ok((_, ledger)) => self.saw(workspace, connection, &ledger),
            Err(error) => {
                tracing::debug!(%error, "a budget cannot be looked at");
                let mut view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
                view.looked_at = Some(Instant::now());
            }
        }
    }

    fn saw(&self, workspace: &str, connection: &str, ledger: &Ledger) {
        let known = self.known(workspace, connection);
        let mut view = known.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.looked_at = Some(Instant::now());
        view.ledger.clone_from(ledger);
    }

    fn known(&self, workspace: &str, connection: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
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
