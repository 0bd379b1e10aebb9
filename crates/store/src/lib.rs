//! Keeps definitions, the run ledger, points and the outbox, in PostgreSQL or SQLite.
//!
//! All instants are unix milliseconds; documents, series keys and error details are JSON text of the
//! callers' making; states of cells are bytes of the callers' making.

mod commit;
mod datasets;
mod definitions;
mod error;
mod outbox;
mod points;
mod recompute;
mod runs;
mod secrets;
mod sweep;
mod tokens;
mod workspaces;

pub use commit::{Commit, CommitMetric, Replaced};
pub use datasets::StoredDataset;
pub use definitions::{
    Action, Applied, ApplyOutcome, Change, FetchIdentity, Kind, METRICS_QUOTA,
    METRICS_QUOTA_SETTING, Put, REVISIONS_KEPT, Revision, Stored, StoredMetric,
};
pub use error::{Error, Result};
pub use outbox::OutboxRow;
pub use points::{Cell, CellChange, Coverage, MetricState, Point, SeriesPoints, SeriesRows};
pub use recompute::Recompute;
pub use runs::{
    DueSlot, Evaluation, Interval, MetricOutcome, NewRuns, Opened, Outcome, REJECTED_SAMPLES_KEPT,
    RejectedSample, Run, RunDetail, RunEnd, RunKind, RunState, RunsOf,
};
pub use secrets::{SealedSecret, SecretInfo};
pub use sweep::Swept;
pub use tokens::{NewToken, Token};
pub use workspaces::{AuditRow, DEFAULT_WORKSPACE, Workspace};

/// A handle on the store; clones share its connections.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens `sqlite:PATH` (made if missing) or `postgres://…`. Call [`Store::migrate`] once after it.
    pub async fn open(url: &str) -> Result<Self> {
        Err(Error::NotYet("open"))
    }

    /// Brings the schema up to date; harmless when it is, and when several processes do it at once.
    pub async fn migrate(&self) -> Result<()> {
        Err(Error::NotYet("migrate"))
    }

    /// The store's clock, unix milliseconds: the one that decides what is due.
    pub async fn now(&self) -> Result<i64> {
        Err(Error::NotYet("now"))
    }

    /// Succeeds when the database answers and its schema is there.
    pub async fn ping(&self) -> Result<()> {
        Err(Error::NotYet("ping"))
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {}
}
