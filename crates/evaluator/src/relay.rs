//! Announces what was committed: outbox rows to NATS, deleted once acknowledged.
//!
//! Several evaluators may announce the same row; subscribers know a version they have seen, and the
//! broker drops repeats by their id.

use std::time::Duration;

use bus::Bus;
use futures::StreamExt as _;
use service::Shutdown;
use store::{OutboxRow, Store, instant};
use tracing::Instrument as _;
use wire::MetricUpdate;

use crate::alerts::Alerts;
use crate::commit::TRACE_PARENT;
use crate::error::Error;
use crate::instruments::Instruments;
use crate::nudge::Nudge;

/// Rows read at once.
const BATCH: u32 = 256;
/// Publishes that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 16;
/// What is said when rows cannot be announced now.
const WAITING: &str = "announcements wait";

/// Announces outbox rows, at once when nudged and now and then by itself.
#[derive(Clone)]
pub(crate) struct Relay {
    store: Store,
    bus: Bus,
    instruments: Instruments,
    alerts: Alerts,
    nudge: Nudge,
}

impl Relay {
    pub(crate) fn new(store: Store, bus: Bus, instruments: Instruments, alerts: Alerts) -> Self {
        Self {
            store,
            bus,
            instruments,
            alerts,
            nudge: Nudge::default(),
        }
    }

    /// Says that something was committed.
    pub(crate) fn nudge(&self) {
        self.nudge.give();
    }

    /// Announces until shutdown, and once more then: what was committed last is not left behind.
    pub(crate) async fn run(&self, shutdown: Shutdown, every: Duration, beat: impl Fn()) {
        self.nudge
            .rounds(&shutdown, every, beat, WAITING, || self.announce_all())
            .await;
        if let Err(error) = self.announce_all().await {
            tracing::warn!(error = %service::report::chain(&error), "{WAITING}");
        }
    }

    async fn announce_all(&self) -> Result<(), Error> {
        loop {
            let rows = self.store.outbox(BATCH).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let full = rows.len() >= BATCH as usize;
            let results: Vec<Result<i64, Error>> = futures::stream::iter(rows)
                .map(|row| self.announce(row))
                .buffered(IN_FLIGHT)
                .collect()
                .await;
            let mut first_error = None;
            let mut done = Vec::with_capacity(results.len());
            for result in results {
                match result {
                    Ok(id) => done.push(id),
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            if !done.is_empty() {
                self.store.outbox_delete(&done).await?;
                self.instruments.announced(done.len() as u64);
                // Announced first: nobody who listens waits for a judgement.
                self.alerts.nudge();
            }
            if let Some(error) = first_error {
                return Err(error);
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn announce(&self, row: OutboxRow) -> Result<i64, Error> {
        if row.payload.is_empty() {
            return self.announce_rise(row).await;
        }
        let payload: serde_json::Value = serde_json::from_str(&row.payload)?;
        let span = tracing::info_span!("update", metric = %row.metric, version = row.version);
        if let Some(trace) = payload
            .get(TRACE_PARENT)
            .and_then(serde_json::Value::as_str)
        {
            bus::continue_trace(&span, trace);
        }
        let update: MetricUpdate = serde_json::from_value(payload)?;
        self.bus.publish_update(&update).instrument(span).await?;
        Ok(row.id)
    }

    /// Announces a calculated metric whose inputs changed: which of its points did, only reading it tells.
    async fn announce_rise(&self, row: OutboxRow) -> Result<i64, Error> {
        let update = MetricUpdate {
            metric: row.metric,
            workspace: row.workspace,
            version: row.version,
            committed_at: instant(row.created_at).to_string(),
            truncated: true,
            ..MetricUpdate::default()
        };
        self.bus.publish_update(&update).await?;
        Ok(row.id)
    }
}
