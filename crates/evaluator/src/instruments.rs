//! What the evaluator counts.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

/// The evaluator's instruments.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    runs: Counter<u64>,
    rows: Counter<u64>,
    rejected: Counter<u64>,
    announced: Counter<u64>,
    alerts: Counter<u64>,
    workers_lost: Counter<u64>,
    seconds: Histogram<f64>,
}

impl Instruments {
    /// Declares them.
    pub(crate) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, help: &'static str| {
            meter.u64_counter(name).with_description(help).build()
        };
        Self {
            runs: counter(
                "tidemark_evaluator_runs",
                "Runs taken to an end, by outcome",
            ),
            rows: counter("tidemark_evaluator_rows", "Rows used, over all metrics"),
            rejected: counter(
                "tidemark_evaluator_rejected_rows",
                "Rows that could not be used",
            ),
            announced: counter("tidemark_evaluator_updates_announced", "Updates published"),
            alerts: counter(
                "tidemark_evaluator_alerts",
                "Judgements that were news, by kind (alert, goal, scorecard)",
            ),
            workers_lost: counter(
                "tidemark_evaluator_workers_lost",
                "Worker processes that died or were killed",
            ),
            seconds: meter
                .f64_histogram("tidemark_evaluator_run")
                .with_unit("s")
                .with_description("Time from a run's manifest to its commit")
                .build(),
        }
    }

    /// Counts a run that ended: `final`, `failed`, `dead`, `checkpoint` or `repeat`.
    pub(crate) fn run_ended(&self, outcome: &'static str) {
        self.runs.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Counts the rows of a committed run and its time.
    pub(crate) fn committed(&self, rows: u64, rejected: u64, seconds: f64) {
        self.rows.add(rows, &[]);
        self.rejected.add(rejected, &[]);
        self.seconds.record(seconds, &[]);
    }

    /// Counts published updates.
    pub(crate) fn announced(&self, count: u64) {
        self.announced.add(count, &[]);
    }

    /// Counts a judgement that was news: `alert`, `goal` or `scorecard`.
    pub(crate) fn alert(&self, kind: &'static str) {
        self.alerts.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// Counts a worker that died or was killed.
    pub(crate) fn worker_lost(&self) {
        self.workers_lost.add(1, &[]);
    }
}
