#![doc = include_str!("../README.md")]

mod apply;
mod bundle;
mod calculated;
mod cells;
mod commit;
mod database;
mod datasets;
mod definitions;
mod deliveries;
mod dispatch;
mod error;
mod failure;
mod identity;
mod keep;
mod ledger;
mod migrate;
mod notes;
mod outbox;
mod packed;
mod points;
mod postgres;
mod push;
mod reading;
mod recompute;
mod records;
mod run_end;
mod runs;
mod secrets;
mod sqlite;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
mod value;
mod watches;
mod windows;
mod workspaces;

use std::sync::Arc;

use crate::database::{CLOCK, Database, system_now};

pub use commit::{Commit, CommitMetric, Replaced, SERIES_LIMIT, SERIES_LIMIT_SETTING};
pub use datasets::StoredDataset;
pub use definitions::{
    Action, Applied, ApplyOutcome, Change, FetchIdentity, Kind, METRICS_QUOTA,
    METRICS_QUOTA_SETTING, NewWatch, Put, REVISIONS_KEPT, Revision, Stored, StoredMetric,
};
pub use deliveries::{
    DeliveryEnd, DeliveryFilter, DeliveryState, NewDelivery, QUEUED_FOR, StoredDelivery,
};
pub use error::{Error, Result};
pub use keep::kept_from;
pub use notes::{NOTES_KEPT, Note};
pub use outbox::OutboxRow;
pub use points::{
    Cell, CellChange, CellPlace, Coverage, MetricState, Point, SeriesPoints, SeriesRows,
};
pub use push::NO_CONNECTION;
pub use reading::{Unreadable, instant, parse_instant};
pub use recompute::Recompute;
pub use records::{RECORDS_A_STATEMENT, Record, RecordCursor, RecordRun};
pub use run_end::{GONE_PAUSES_AT, RunEnd};
pub use runs::{
    DueSlot, Evaluation, Interval, MetricOutcome, MetricRun, NewRuns, Opened, Outcome,
    REJECTED_SAMPLES_KEPT, RejectedSample, Run, RunDetail, RunKind, RunState,
};
pub use secrets::{SealedSecret, SecretInfo};
pub use sweep::{
    AUDIT_KEPT, BATCH, DELIVERIES_KEPT, EXPIRED_TOKENS_KEPT, GONE_RECORDS_KEPT, REJECTED_KEPT,
    RUNS_KEPT, Swept,
};
pub use tokens::{NewToken, Token};
pub use watches::{DueWatch, Judged, Watch};
pub use workspaces::{AuditRow, DEFAULT_WORKSPACE, Workspace};

/// A handle on the store; clones share its connections.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens `sqlite:PATH` (made if missing) or `postgres://…`. Call [`Store::migrate`] once after it.
    pub async fn open(url: &str) -> Result<Self> {
        let database = match url.split_once(':') {
            Some(("sqlite", path)) => sqlite::open(path).await?,
            Some(("postgres" | "postgresql", _)) => postgres::open(url).await?,
            _ => return Err(Error::Address("neither".into())),
        };
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// Brings the schema up to date; harmless when it is, and when several processes do it at once.
    pub async fn migrate(&self) -> Result<()> {
        migrate::migrate(&self.database).await
    }

    /// The store's clock, unix milliseconds: the one that decides what is due.
    pub async fn now(&self) -> Result<i64> {
        if !self.database.is_postgres() {
            return Ok(system_now());
        }
        match self.database.row("read the clock", CLOCK, vec![]).await? {
            Some(row) => row.int(0),
            None => Err(Error::Unavailable {
                step: "read the clock",
            }),
        }
    }

    /// Succeeds when the database answers and its schema is there.
    pub async fn ping(&self) -> Result<()> {
        let sql = "SELECT version FROM schema_migrations ORDER BY version DESC LIMIT 1";
        self.database.row("ping", sql, vec![]).await.map(drop)
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        match &*self.database {
            Database::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Database::Postgres(pool) => pool.close().await,
        }
    }
}

/// Returns a new run id, for what is a run in all but the ledger: a draft that is previewed.
pub fn new_run_id(now: i64) -> String {
    identity::run(now)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.database.is_postgres() {
            "Store(postgres)"
        } else {
            "Store(sqlite)"
        })
    }
}
