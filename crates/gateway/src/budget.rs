//! A connection's budget as it stands, asked of NATS.

use std::time::Duration;

use definition::Connection;
use serde::Serialize;
use utoipa::ToSchema;
use wire::Budget;

use crate::router::Gateway;
use crate::time;

/// How long a reader waits for NATS: the rest of the answer does not need it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a connection may send, and what it has sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetView {
    /// Requests that any window may hold; null when no rate is declared.
    limit: Option<u32>,
    /// The window's length in seconds.
    per_seconds: Option<f64>,
    /// Requests granted within the last window.
    used: Option<u64>,
    /// Requests that may be under way at once; null when that is not limited over all fetchers.
    slots: Option<u32>,
    /// How many of them are in use.
    slots_in_use: Option<u64>,
    /// Runs that wait for one.
    waiting: u64,
    /// Until when nothing is sent, because the API asked for that.
    paused_until: Option<String>,
    /// What it said.
    pause_reason: Option<String>,
}

/// Reads a connection's budget; nothing when it has none and is not paused, or when NATS is away.
pub(crate) async fn of(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
) -> Option<BudgetView> {
    let budgets = gateway.bus().budgets();
    let asked = budgets.get(workspace, connection.name.as_str());
    let held = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(held)) => held,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a budget cannot be shown");
            return None;
        }
        Err(_) => return None,
    };
    let budget = held.map(|held| serde_json::from_slice(&held.value));
    let budget: Budget = budget.and_then(Result::ok).unwrap_or_default();
    let now = gateway.context().clock.now().as_millisecond();
    let pause = budget.paused_at(now);
    let limit = connection.rate_limit.as_ref();
    if limit.is_none() && pause.is_none() {
        return None;
    }
    let per = limit.map(|limit| limit.per.to_duration());
    let window_ms = per.and_then(|per| i64::try_from(per.as_millis()).ok());
    let slots = limit.and_then(|limit| limit.concurrency);
    Some(BudgetView {
        limit: limit.map(|limit| limit.requests),
        per_seconds: per.map(|per| per.as_secs_f64()),
        used: window_ms.map(|window| budget.granted_since(now.saturating_sub(window))),
        slots,
        slots_in_use: slots.map(|_| budget.slots_in_use(now)),
        waiting: budget
            .waiting
            .values()
            .filter(|until| **until > now)
            .count() as u64,
        paused_until: pause.map(|pause| time::text(pause.until)),
        pause_reason: pause.map(|pause| pause.reason.clone()),
    })
}
