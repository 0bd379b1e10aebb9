//! What the scheduler counts.

use opentelemetry::metrics::{Counter, Gauge, Meter};

/// The scheduler's instruments.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    /// Runs opened for due slots.
    pub(crate) opened: Counter<u64>,
    /// Runs handed to fetchers.
    pub(crate) dispatched: Counter<u64>,
    /// Lost runs fetched again.
    pub(crate) brought_back: Counter<u64>,
    /// Turns that failed.
    pub(crate) failed_turns: Counter<u64>,
    /// Age of the oldest announcement that waits, in seconds.
    pub(crate) outbox_age: Gauge<f64>,
}

impl Instruments {
    /// Declares them.
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            opened: meter
                .u64_counter("tidemark_scheduler_runs_opened")
                .with_description("Runs opened for due slots")
                .build(),
            dispatched: meter
                .u64_counter("tidemark_scheduler_runs_dispatched")
                .with_description("Runs handed to fetchers")
                .build(),
            brought_back: meter
                .u64_counter("tidemark_scheduler_runs_brought_back")
                .with_description(
                    "Runs whose request or pages were lost and that are fetched again",
                )
                .build(),
            failed_turns: meter
                .u64_counter("tidemark_scheduler_failed_turns")
                .with_description("Turns that failed and are tried again")
                .build(),
            outbox_age: meter
                .f64_gauge("tidemark_scheduler_outbox_age_seconds")
                .with_description("Age of the oldest announcement that waits")
                .build(),
        }
    }
}
