//! Cells, coverage and syncs, as they are read.

use crate::Store;
use crate::error::{Error, Result};

/// One stored value: a bucket of one series, or one sample of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The series key in canonical JSON.
    pub series: String,
    /// The bucket's first instant, or the sample's instant.
    pub start: i64,
    /// The encoded mergeable state.
    pub state: Vec<u8>,
    /// True when the bucket may be incomplete.
    pub partial: bool,
}

/// A cell that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellChange {
    /// The series key in canonical JSON.
    pub series: String,
    /// The bucket's first instant.
    pub start: i64,
    /// The state before; `None`: there was none.
    pub old: Option<Vec<u8>>,
    /// The state now; `None`: the cell is gone.
    pub new: Option<Vec<u8>>,
}

/// What a metric knows about a range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The first instant.
    pub start: i64,
    /// The first instant past it.
    pub end: i64,
    /// The slot of the run that covered it.
    pub as_of: i64,
    /// That run.
    pub run: String,
    /// The revision it was evaluated at.
    pub revision: i64,
    /// False when the run was cut short.
    pub complete: bool,
}

/// The points of one series, by start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesPoints {
    /// The series key in canonical JSON.
    pub key: String,
    /// Its points, by start.
    pub points: Vec<Point>,
}

/// One point of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The bucket's first instant, or the sample's instant.
    pub start: i64,
    /// The encoded mergeable state.
    pub state: Vec<u8>,
    /// True when the bucket may be incomplete.
    pub partial: bool,
}

/// Everything needed to answer a query, read at one instant of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The version of the data.
    pub version: i64,
    /// The revision in force.
    pub revision: i64,
    /// Series that have points in the range, by key.
    pub series: Vec<SeriesPoints>,
    /// The metric's whole coverage, by start.
    pub coverage: Vec<Coverage>,
    /// Levels: the instants of syncs in the range.
    pub syncs: Vec<i64>,
}

/// How a metric stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricState {
    /// Its name.
    pub metric: String,
    /// The dataset that feeds it.
    pub dataset: String,
    /// The version of the data.
    pub version: i64,
    /// The revision in force.
    pub revision: i64,
    /// The canonical document.
    pub document: String,
    /// Its coverage, by start.
    pub coverage: Vec<Coverage>,
    /// When a run was last applied to it.
    pub last_success_at: Option<i64>,
    /// The run that last had an outcome for it.
    pub last_run: Option<String>,
    /// That outcome: `applied`, `failed` or `dead`.
    pub last_outcome: Option<crate::runs::Outcome>,
    /// What went wrong then: JSON, redacted.
    pub last_error: Option<String>,
    /// When its dataset is due next.
    pub next_due_at: Option<i64>,
    /// Why its dataset needs a person.
    pub attention_reason: Option<String>,
}

impl Store {
    /// Reads a metric's cells that start in `[from, to)` with its coverage and syncs; `None` when
    /// there is no such metric.
    pub async fn series(
        &self,
        ws: &str,
        metric: &str,
        from: i64,
        to: i64,
    ) -> Result<Option<SeriesRows>> {
        Err(Error::NotYet("series"))
    }

    /// The version of a metric's data alone: the key of a cache.
    pub async fn metric_version(&self, ws: &str, metric: &str) -> Result<Option<i64>> {
        Err(Error::NotYet("metric_version"))
    }

    /// Reads how a metric stands.
    pub async fn metric_state(&self, ws: &str, metric: &str) -> Result<Option<MetricState>> {
        Err(Error::NotYet("metric_state"))
    }

    /// Deletes a metric's points and coverage and raises its version, which it returns.
    pub async fn purge(&self, ws: &str, actor: &str, metric: &str) -> Result<i64> {
        Err(Error::NotYet("purge"))
    }
}
