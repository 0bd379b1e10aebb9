//! How many requests of a run may be under way: leased over all replicas where the connection limits them.

use std::time::Duration;

use definition::RateLimit;
use service::Shutdown;
use tokio::time::Instant;
use wire::SyncRequest;

use super::Engine;
use crate::budget::{Budgets, Denied};
use crate::plan::Plan;

/// A lease lasts three times as long.
const RENEW_EVERY: Duration = Duration::from_mins(1);
/// How often a run looks whether it should give slots back, or may have more.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A run that gets no slot at all tries again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The slots of one run.
pub(super) struct Slots<'a> {
    shared: Option<Shared<'a>>,
    wanted: u32,
    /// Requests that may be under way.
    at_once: u32,
    /// What NATS knows; more than `at_once` while requests in hand are still to end.
    leased: u32,
    renewed: Instant,
}

struct Shared<'a> {
    budgets: &'a Budgets,
    limit: &'a RateLimit,
    workspace: &'a str,
    connection: &'a str,
    holder: String,
}

impl Shared<'_> {
    async fn lease(&self, wanted: u32) -> Result<u32, Denied> {
        let (workspace, connection) = (self.workspace, self.connection);
        self.budgets
            .lease(workspace, connection, self.limit, &self.holder, wanted)
            .await
    }
}

impl<'a> Slots<'a> {
    /// Leases slots for a run, waiting a little for the first.
    pub(super) async fn lease(
        engine: &'a Engine,
        request: &'a SyncRequest,
        plan: &'a Plan,
        stop: &Shutdown,
    ) -> Result<Self, Denied> {
        let wanted = plan.concurrency.max(1);
        let mut slots = Slots {
            shared: None,
            wanted,
            at_once: wanted,
            leased: wanted,
            renewed: Instant::now(),
        };
        let Some(limit) = &plan.rate_limit else {
            return Ok(slots);
        };
        let Some(budgets) = &engine.budgets else {
            let reason = "this fetcher has no connection to NATS KV".to_owned();
            return Err(Denied::Unreachable(reason));
        };
        if limit.concurrency.is_none() {
            return Ok(slots);
        }
        let shared = Shared {
            budgets,
            limit,
            workspace: &request.workspace,
            connection: &plan.connection,
            holder: format!("{}.{}", request.run, request.attempt),
        };
        let patience = Instant::now() + engine.config.longest_budget_wait;
        loop {
            match shared.lease(wanted).await {
                Ok(0) | Err(Denied::Spent(_)) => {
                    if Instant::now() + LOOK_EVERY > patience || stop.is_requested() {
                        return Err(Denied::Spent(AGAIN_AFTER));
                    }
                    tokio::select! { () = tokio::time::sleep(LOOK_EVERY) => {}, () = stop.requested() => {} }
                }
                Ok(leased) => {
                    (slots.at_once, slots.leased) = (leased, leased);
                    slots.shared = Some(shared);
                    return Ok(slots);
                }
                Err(denied) => return Err(denied),
            }
        }
    }

    /// Requests that may be under way.
    pub(super) fn at_once(&self) -> usize {
        self.at_once as usize
    }

    /// Whether there is anything to look after.
    pub(super) fn are_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Gives back what others wait for, takes more where some are free, and renews the lease; `in_flight` requests are
    /// under way. False when the lease is lost: nothing may be sent any more.
    pub(super) async fn look_after(&mut self, in_flight: usize) -> bool {
        let Some(shared) = &self.shared else {
            return true;
        };
        let (workspace, connection) = (shared.workspace, shared.connection);
        let may = shared
            .budgets
            .may_hold(workspace, connection, shared.limit, &shared.holder);
        let target = may.await.min(self.wanted).max(1);
        self.at_once = self.at_once.min(target);
        let gives_back = self.at_once < self.leased && in_flight <= self.at_once();
        let takes = target > self.leased;
        if !gives_back && !takes && self.renewed.elapsed() < RENEW_EVERY {
            return true;
        }
        let wanted = if takes { target } else { self.leased };
        let wanted = if gives_back { self.at_once } else { wanted };
        match shared.lease(wanted).await {
            Ok(0) => false,
            Ok(leased) => {
                // Fewer than are under way: no new ones until they have ended.
                (self.at_once, self.leased) = (leased, leased);
                self.renewed = Instant::now();
                true
            }
            Err(error) => {
                tracing::debug!(%error, "a lease could not be renewed");
                true
            }
        }
    }

    /// Gives all of them back.
    pub(super) async fn release(&mut self) {
        if let Some(shared) = self.shared.take() {
            let (workspace, connection) = (shared.workspace, shared.connection);
            shared
                .budgets
                .release(workspace, connection, shared.limit, &shared.holder)
                .await;
        }
    }
}
