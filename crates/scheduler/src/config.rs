//! The scheduler's settings.

use std::time::Duration;

/// How the scheduler works; the defaults fit a small cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often it looks for due datasets. Slots are minutes apart at least.
    pub due_every: Duration,
    /// How often it looks for waiting runs when nobody wakes it.
    pub dispatch_every: Duration,
    /// How often it looks for what went missing.
    pub reconcile_every: Duration,
    /// How often it sweeps what is past its time.
    pub sweep_every: Duration,
    /// Runs in flight for one workspace: more would only wait in the queue.
    pub per_workspace: u32,
    /// Runs in flight for one connection: they share its budget anyway.
    pub per_connection: u32,
    /// A dispatched run without a manifest for this long is looked after.
    pub overdue_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            due_every: Duration::from_secs(1),
            dispatch_every: Duration::from_secs(1),
            reconcile_every: Duration::from_secs(10),
            sweep_every: Duration::from_mins(10),
            per_workspace: 64,
            per_connection: 8,
            overdue_after: Duration::from_mins(1),
        }
    }
}
