//! The one transaction in which a run becomes visible.

use crate::Store;
use crate::error::{Error, Result};
use crate::points::{Cell, CellChange, Coverage};
use crate::runs::{Interval, MetricOutcome, RejectedSample, Run, RunEnd, RunState};

/// A metric as locked by a [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMetric {
    /// Its name.
    pub name: String,
    /// The revision in force; evaluate at this one or drop the commit.
    pub revision: i64,
    /// The canonical document.
    pub document: String,
    /// The version of its data.
    pub version: i64,
}

/// What [`Commit::replace`] or [`Commit::insert_samples`] really changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Changed cells, old and new, by start and series key.
    pub changes: Vec<CellChange>,
    /// Series refused because the metric has as many as it may.
    pub overflow: u64,
}

/// An open transaction that holds the dataset's row and then its metrics' rows, in name order.
///
/// Nothing is visible before [`Commit::commit`]; dropping it leaves nothing behind.
pub struct Commit {}

impl Store {
    /// Begins the commit of a run; `None` when the run has ended, so that a repeated delivery changes
    /// nothing. A run of an earlier epoch of the dataset is ended as superseded here.
    pub async fn begin_commit(&self, ws: &str, dataset: &str, run: &str) -> Result<Option<Commit>> {
        Err(Error::NotYet("begin_commit"))
    }

    /// Begins a recompute from a final run of the dataset's present epoch: the same locks, so that it
    /// and new runs exclude one another; `None` when there is no such run. [`Commit::finish`] must not
    /// be called.
    pub async fn begin_recompute(
        &self,
        ws: &str,
        dataset: &str,
        run: &str,
    ) -> Result<Option<Commit>> {
        Err(Error::NotYet("begin_recompute"))
    }
}

impl Commit {
    /// The run being committed.
    pub fn run(&self) -> &Run {
        unreachable_run()
    }

    /// The dataset's metrics, by name, locked.
    pub fn metrics(&self) -> &[CommitMetric] {
        &[]
    }

    /// The store's clock when the transaction began.
    pub fn now(&self) -> i64 {
        0
    }

    /// Reads a metric's coverage.
    pub async fn coverage(&mut self, metric: &str) -> Result<Vec<Coverage>> {
        Err(Error::NotYet("coverage"))
    }

    /// Reads a metric's cells that start in `[from, to)`, by start and series.
    pub async fn cells(&mut self, metric: &str, from: i64, to: i64) -> Result<Vec<Cell>> {
        Err(Error::NotYet("cells"))
    }

    /// Replaces what is stored in `intervals` by `cells`: equal cells stay untouched, missing ones are
    /// deleted. Cells outside of the intervals are refused.
    pub async fn replace(
        &mut self,
        metric: &str,
        intervals: &[Interval],
        cells: &[Cell],
    ) -> Result<Replaced> {
        Err(Error::NotYet("replace"))
    }

    /// Adds one sync of a level: its instant and its samples (cells that start then or, for samples with their
    /// own instants, elsewhere). A sync of the same instant is replaced.
    pub async fn insert_samples(
        &mut self,
        metric: &str,
        at: i64,
        cells: &[Cell],
    ) -> Result<Replaced> {
        Err(Error::NotYet("insert_samples"))
    }

    /// Makes `coverage` the metric's whole coverage.
    pub async fn set_coverage(&mut self, metric: &str, coverage: &[Coverage]) -> Result<()> {
        Err(Error::NotYet("set_coverage"))
    }

    /// Raises the version of the metric's data and returns it: `epoch × 10^12 + n`.
    pub async fn bump_version(&mut self, metric: &str) -> Result<i64> {
        Err(Error::NotYet("bump_version"))
    }

    /// Queues the announcement of a version.
    pub async fn outbox(&mut self, metric: &str, version: i64, payload: &str) -> Result<()> {
        Err(Error::NotYet("outbox"))
    }

    /// Records what the run did to a metric, with at most 20 rejected samples; `at` is filled in here.
    pub async fn metric_outcome(
        &mut self,
        outcome: &MetricOutcome,
        rejected: &[RejectedSample],
    ) -> Result<()> {
        Err(Error::NotYet("metric_outcome"))
    }

    /// Ends the run (`Final`, `Failed` or `Dead`).
    pub async fn finish(&mut self, state: RunState, end: &RunEnd) -> Result<()> {
        Err(Error::NotYet("finish"))
    }

    /// Makes it all visible.
    pub async fn commit(self) -> Result<()> {
        Err(Error::NotYet("commit"))
    }
}

fn unreachable_run() -> &'static Run {
    static RUN: std::sync::OnceLock<Run> = std::sync::OnceLock::new();
    RUN.get_or_init(|| Run {
        id: String::new(),
        workspace: String::new(),
        dataset: String::new(),
        connection: String::new(),
        epoch: 0,
        slot: 0,
        kind: crate::runs::RunKind::Manual,
        window: None,
        state: RunState::Waiting,
        attempt: 0,
        evaluations: 0,
        reason: None,
        not_before: 0,
        created_at: 0,
        dispatched_at: None,
        fetched_at: None,
        ended_at: None,
        resume: None,
        pages: 0,
        rows: 0,
        rejected: 0,
        partial: false,
        ended: None,
        error: None,
    })
}
