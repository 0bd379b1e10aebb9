//! The one transaction in which a run becomes visible.

use std::collections::{BTreeMap, HashMap};

use crate::Point;
use crate::Store;
use crate::calculated;
use crate::cells::{Series, merge, series, write};
use crate::database::{Tx, values};
use crate::error::{Error, Result};
use crate::packed::packed_cells;
use crate::points::{self, Cell, CellChange, Coverage, next_version};
use crate::run_end::{self, RunEnd};
use crate::runs::{
    self, Interval, MetricOutcome, Outcome, REJECTED_SAMPLES_KEPT, RejectedSample, Run, RunState,
};
use crate::workspaces::EPOCH_SETTING;

/// How many series a metric may have unless [`SERIES_LIMIT_SETTING`] says otherwise.
pub const SERIES_LIMIT: i64 = 10_000;
/// The setting that overrides [`SERIES_LIMIT`].
pub const SERIES_LIMIT_SETTING: &str = "limit.series_per_metric";

/// A metric as locked by a [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMetric {
    /// Its name.
    pub name: String,
    /// The revision in force; evaluate at this one or drop the commit.
    pub revision: i64,
    /// The version of its data.
    pub version: i64,
}

/// What [`Commit::replace`] or [`Commit::insert_samples`] really changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Changed cells, old and new, by start and series key. Where only `partial` changed, both
    /// states are there and equal.
    pub changes: Vec<CellChange>,
    /// New series refused because the metric has as many as it may.
    pub overflow: u64,
}

/// An open transaction that holds the dataset's row and then its metrics' rows, in name order.
///
/// Nothing is visible before [`Commit::commit`]; dropping it leaves nothing behind. On SQLite it
/// is also the one writer: do the thinking before, and hold it for the writing only.
pub struct Commit {
    tx: Tx,
    now: i64,
    epoch: i64,
    series_limit: usize,
    run: Run,
    /// Nothing was recorded for the run before: there are no rejected rows to be replaced.
    is_first: bool,
    metrics: Vec<CommitMetric>,
    held: HashMap<String, Held>,
    /// Metrics with a new version.
    changed: Vec<String>,
}

/// What the transaction knows of one metric.
pub(crate) struct Held {
    pub(crate) id: i64,
    /// By which revision its records are placed, where it keeps any.
    pub(crate) records_revision: Option<i64>,
    version: i64,
    /// The version is higher than the stored one.
    is_raised: bool,
    /// The coverage as it is in the store, once read.
    coverage: Option<Vec<Coverage>>,
    pub(crate) series: Option<Series>,
    /// The windows it has whole, as stored.
    pub(crate) windows: Option<String>,
}

impl Store {
    /// Begins the commit of a run; `None` when the run has ended, so that a repeated delivery changes
    /// nothing. A run of an earlier epoch of the dataset is ended as superseded here.
    pub async fn begin_commit(&self, ws: &str, dataset: &str, run: &str) -> Result<Option<Commit>> {
        let step = "begin a commit";
        let mut tx = self.database.begin(step).await?;
        let Some(epoch) = lock_dataset(&mut tx, ws, dataset).await? else {
            return Ok(None);
        };
        let Some((run, facts)) = lock_run(&mut tx, ws, dataset, run).await? else {
            return Ok(None);
        };
        if run.state.is_ended() {
            return Ok(None);
        }
        if run.epoch != epoch {
            let end = RunEnd {
                error: Some(EARLIER_EPOCH.into()),
                ..RunEnd::default()
            };
            run_end::finish(&mut tx, ws, &run.id, RunState::Superseded, &end).await?;
            tx.commit(step).await?;
            return Ok(None);
        }
        Commit::hold(tx, run, facts).await.map(Some)
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
        let mut tx = self.database.begin("begin a recompute").await?;
        let Some(epoch) = lock_dataset(&mut tx, ws, dataset).await? else {
            return Ok(None);
        };
        let Some((run, facts)) = lock_run(&mut tx, ws, dataset, run).await? else {
            return Ok(None);
        };
        if run.state != RunState::Final || run.epoch != epoch {
            return Ok(None);
        }
        Commit::hold(tx, run, facts).await.map(Some)
    }
}

const EARLIER_EPOCH: &str = r#"{"code":"run.superseded","message":"the request or its origin changed while the run was open"}"#;

impl Commit {
    /// The run being committed.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The dataset's metrics, by name, locked.
    pub fn metrics(&self) -> &[CommitMetric] {
        &self.metrics
    }

    /// The store's clock when the transaction began.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Reads a metric's coverage, by start.
    pub async fn coverage(&mut self, metric: &str) -> Result<Vec<Coverage>> {
        let held = held(&mut self.held, metric)?;
        if held.coverage.is_none() {
            held.coverage = Some(points::coverage(&mut self.tx, held.id).await?);
        }
        Ok(held.coverage.clone().unwrap_or_default())
    }

    /// Reads a metric's cells that start in `[from, to)`, by start and series.
    pub async fn cells(&mut self, metric: &str, from: i64, to: i64) -> Result<Vec<Cell>> {
        let held = held(&mut self.held, metric)?;
        let cells = packed_cells(&mut self.tx, held.id, from, to).await?;
        if cells.is_empty() {
            return Ok(Vec::new());
        }
        let series = series(&mut self.tx, held).await?;
        let mut cells: Vec<Cell> = cells
            .into_iter()
            .map(|cell| Cell {
                series: series.keys.get(&cell.series).cloned().unwrap_or_default(),
                start: cell.point.start,
                state: cell.point.state,
                partial: cell.point.partial,
            })
            .collect();
        cells.sort_by(|a, b| (a.start, &a.series).cmp(&(b.start, &b.series)));
        Ok(cells)
    }

    /// Reads the details of the metric's newest outcomes that were applied in runs before this one, newest first.
    pub async fn earlier_details(&mut self, metric: &str, most: u32) -> Result<Vec<String>> {
        let sql = "SELECT o.details FROM outcomes o JOIN runs r ON r.id = o.run WHERE o.metric = $1 \
                   AND r.workspace = $2 AND o.run <> $3 AND o.outcome = 'applied' AND o.details IS NOT NULL \
                   ORDER BY o.at DESC, o.run DESC LIMIT $4";
        let (ws, run) = (&self.run.workspace, &self.run.id);
        let values = values![metric, ws, run, i64::from(most)];
        let rows = self.tx.rows("read earlier outcomes", sql, values).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Reads the details of the metric's outcome in one run, if it was applied and they are kept.
    pub async fn details_of(&mut self, metric: &str, run: &str) -> Result<Option<String>> {
        let sql = "SELECT o.details FROM outcomes o JOIN runs r ON r.id = o.run WHERE o.metric = $1 \
                   AND r.workspace = $2 AND o.run = $3 AND o.outcome = 'applied' AND o.details IS NOT NULL";
        let values = values![metric, &self.run.workspace, run];
        let rows = self.tx.rows("read an earlier outcome", sql, values).await?;
        rows.first().map(|row| row.text(0)).transpose()
    }

    /// Replaces what is stored in `intervals` by `cells`: equal cells stay untouched, missing ones are
    /// deleted. Cells outside of the intervals are refused.
    pub async fn replace(
        &mut self,
        metric: &str,
        intervals: &[Interval],
        cells: &[Cell],
    ) -> Result<Replaced> {
        let intervals = merge(intervals);
        let is_inside = |start| intervals.iter().any(|i| i.start <= start && start < i.end);
        if !cells.iter().all(|cell| is_inside(cell.start)) {
            return Err(Error::Invalid(
                "a cell lies outside of what is replaced".into(),
            ));
        }
        let held = held(&mut self.held, metric)?;
        let mut old: BTreeMap<(i64, i64), Point> = BTreeMap::new();
        for interval in &intervals {
            for cell in packed_cells(&mut self.tx, held.id, interval.start, interval.end).await? {
                old.insert((cell.point.start, cell.series), cell.point);
            }
        }
        write(&mut self.tx, held, self.series_limit, old, cells).await
    }

    /// Adds one sync of a level: its instant, and its samples (cells that start at that instant).
    /// A sync of the same instant is replaced, so that a repeat changes nothing.
    pub async fn insert_samples(
        &mut self,
        metric: &str,
        at: i64,
        cells: &[Cell],
    ) -> Result<Replaced> {
        let replaced = self
            .replace(
                metric,
                &[Interval {
                    start: at,
                    end: at + 1,
                }],
                cells,
            )
            .await?;
        let id = held(&mut self.held, metric)?.id;
        let sql = "INSERT INTO syncs (metric_id, at) VALUES ($1, $2) ON CONFLICT (metric_id, at) DO NOTHING";
        self.tx.run("add a sync", sql, values![id, at]).await?;
        Ok(replaced)
    }

    /// Makes `coverage` the metric's whole coverage; only what differs is written.
    pub async fn set_coverage(&mut self, metric: &str, coverage: &[Coverage]) -> Result<()> {
        let step = "write coverage";
        let id = held(&mut self.held, metric)?.id;
        let old: BTreeMap<i64, Coverage> = self
            .coverage(metric)
            .await?
            .into_iter()
            .map(|c| (c.start, c))
            .collect();
        let new: BTreeMap<i64, &Coverage> = coverage.iter().map(|c| (c.start, c)).collect();
        if new.len() != coverage.len() {
            return Err(Error::Invalid(
                "two intervals of coverage start at one instant".into(),
            ));
        }
        let gone: Vec<i64> = old
            .keys()
            .filter(|start| !new.contains_key(start))
            .copied()
            .collect();
        if !gone.is_empty() {
            let sql = "DELETE FROM coverage WHERE metric_id = $1 AND start_at §in($2)";
            self.tx.run(step, sql, values![id, gone]).await?;
        }
        let changed = new
            .values()
            .filter(|c| old.get(&c.start) != Some(**c))
            .map(|c| values![id, c.start, c.end, c.as_of, &c.run, c.revision, c.complete])
            .collect();
        held(&mut self.held, metric)?.coverage = None;
        let sql = "INSERT INTO coverage (metric_id, start_at, end_at, as_of, run, revision, complete) \
                   VALUES §values ON CONFLICT (metric_id, start_at) DO UPDATE SET end_at = excluded.end_at, \
                   as_of = excluded.as_of, run = excluded.run, revision = excluded.revision, \
                   complete = excluded.complete";
        self.tx.many(step, sql, &[], changed).await.map(drop)
    }

    /// Raises the version of the metric's data and returns it: `epoch × 10^12 + n`. It is written with
    /// the metric's outcome, or at the latest with the commit.
    pub fn bump_version(&mut self, metric: &str) -> Result<i64> {
        let held = held(&mut self.held, metric)?;
        held.version = next_version(held.version, self.epoch);
        held.is_raised = true;
        let version = held.version;
        self.changed.push(metric.to_owned());
        Ok(version)
    }

    /// Queues the announcement of a version.
    pub async fn outbox(&mut self, metric: &str, version: i64, payload: &str) -> Result<()> {
        let sql = "INSERT INTO outbox (workspace, metric, version, created_at, payload) \
                   VALUES ($1, $2, $3, $4, $5)";
        let values = values![&self.run.workspace, metric, version, self.now, payload];
        self.tx
            .run("queue an announcement", sql, values)
            .await
            .map(drop)
    }

    /// Records what the run did to a metric, with at most [`REJECTED_SAMPLES_KEPT`] rejected samples.
    /// A record of the same run, metric and revision is replaced; `at` is filled in here, and
    /// `version` where it is 0.
    pub async fn metric_outcome(
        &mut self,
        outcome: &MetricOutcome,
        rejected: &[RejectedSample],
    ) -> Result<()> {
        let step = "record an outcome";
        let held = held(&mut self.held, &outcome.metric)?;
        let version = if outcome.version == 0 {
            held.version
        } else {
            outcome.version
        };
        let sql = "INSERT INTO outcomes (run, metric, revision, outcome, rows_used, rejected, changed, overflow, \
                   version, at, error, details) VALUES §values ON CONFLICT (run, metric, revision) DO UPDATE SET \
                   outcome = excluded.outcome, rows_used = excluded.rows_used, rejected = excluded.rejected, \
                   changed = excluded.changed, overflow = excluded.overflow, version = excluded.version, \
                   at = excluded.at, error = excluded.error, details = excluded.details";
        let row = values![
            &self.run.id,
            &outcome.metric,
            outcome.revision,
            outcome.outcome.as_str(),
            outcome.rows,
            outcome.rejected,
            outcome.changed,
            outcome.overflow,
            version,
            self.now,
            &outcome.error,
            &outcome.details,
        ];
        self.tx.many(step, sql, &[], vec![row]).await?;
        let success = (outcome.outcome == Outcome::Applied).then_some(self.now);
        let sql = "UPDATE metrics SET last_run = $2, last_outcome = $3, last_error = $4, \
                   last_success_at = COALESCE($5, last_success_at), version = $6 WHERE id = $1";
        let word = outcome.outcome.as_str();
        let (run, error) = (&self.run.id, &outcome.error);
        let values = values![held.id, run, word, error, success, held.version];
        self.tx.run(step, sql, values).await?;
        held.is_raised = false;
        if !self.is_first {
            let sql = "DELETE FROM rejected_rows WHERE run = $1 AND metric = $2";
            let values = values![&self.run.id, &outcome.metric];
            self.tx.run(step, sql, values).await?;
        }
        let rows = rejected
            .iter()
            .take(REJECTED_SAMPLES_KEPT)
            .zip(0i64..)
            .map(|(row, place)| {
                let (run, metric) = (&self.run.id, &outcome.metric);
                let (code, reason, sample) = (&row.code, &row.reason, &row.sample);
                values![
                    run, metric, place, row.page, row.row, self.now, code, reason, sample
                ]
            });
        let sql = "INSERT INTO rejected_rows (run, metric, place, page, row_index, at, code, reason, sample) \
                   VALUES §values";
        let rows = rows.collect();
        self.tx.many(step, sql, &[], rows).await.map(drop)
    }

    /// Ends the run (`Final`, `Failed` or `Dead`).
    pub async fn finish(&mut self, state: RunState, end: &RunEnd) -> Result<()> {
        if !matches!(state, RunState::Final | RunState::Failed | RunState::Dead) {
            return Err(Error::Invalid(
                "a run is finished as final, failed or dead".into(),
            ));
        }
        let (ws, run) = (self.run.workspace.clone(), self.run.id.clone());
        if run_end::finish(&mut self.tx, &ws, &run, state, end).await? {
            return Ok(());
        }
        Err(Error::Conflict {
            kind: "run",
            name: run,
            current: 0,
        })
    }

    /// Makes it all visible.
    pub async fn commit(mut self) -> Result<()> {
        let step = "raise a version";
        for held in self.held.values().filter(|held| held.is_raised) {
            let sql = "UPDATE metrics SET version = $2 WHERE id = $1";
            let values = values![held.id, held.version];
            self.tx.run(step, sql, values).await?;
        }
        self.raise_calculated().await?;
        self.tx.commit("commit a run").await
    }

    /// Takes hold of a run whose dataset is locked.
    pub(crate) async fn of_run(
        mut tx: Tx,
        ws: &str,
        dataset: &str,
        run: &str,
    ) -> Result<Option<Self>> {
        match lock_run(&mut tx, ws, dataset, run).await? {
            Some((run, facts)) => Self::hold(tx, run, facts).await.map(Some),
            None => Ok(None),
        }
    }

    /// The version of a metric's data as this commit leaves it.
    pub fn version(&mut self, metric: &str) -> Result<i64> {
        Ok(self.parts(metric)?.1.version)
    }

    /// The transaction, and what it knows of a metric.
    pub(crate) fn parts(&mut self, metric: &str) -> Result<(&mut Tx, &mut Held)> {
        Ok((&mut self.tx, held(&mut self.held, metric)?))
    }

    /// How many series a metric may have.
    pub(crate) fn series_limit(&self) -> usize {
        self.series_limit
    }

    /// Gives what is calculated from metrics that changed a new version each, announced with this commit.
    async fn raise_calculated(&mut self) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return Ok(());
        }
        let ws = self.run.workspace.clone();
        calculated::raise_dependents(&mut self.tx, &ws, &changed, self.epoch, self.now).await
    }

    async fn hold(mut tx: Tx, run: Run, facts: Facts) -> Result<Self> {
        let step = "lock metrics";
        let sql = "SELECT id, name, revision, version, records_revision, windows FROM metrics WHERE workspace = $1 AND dataset = $2 \
                   ORDER BY name §lock";
        let rows = tx
            .rows(step, sql, values![&run.workspace, &run.dataset])
            .await?;
        let mut metrics = Vec::with_capacity(rows.len());
        let mut held = HashMap::with_capacity(rows.len());
        for row in rows {
            let (id, name, version) = (row.int(0)?, row.text(1)?, row.int(3)?);
            held.insert(
                name.clone(),
                Held {
                    id,
                    records_revision: row.int_or_null(4)?,
                    version,
                    is_raised: false,
                    coverage: None,
                    series: None,
                    windows: row.text_or_null(5)?,
                },
            );
            metrics.push(CommitMetric {
                name,
                revision: row.int(2)?,
                version,
            });
        }
        Ok(Self {
            tx,
            now: facts.now,
            epoch: facts.epoch,
            series_limit: usize::try_from(facts.series_limit).unwrap_or(0),
            is_first: !run.state.is_ended(),
            run,
            metrics,
            held,
            changed: Vec::new(),
        })
    }
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit")
            .field("run", &self.run.id)
            .finish_non_exhaustive()
    }
}

async fn lock_dataset(tx: &mut Tx, ws: &str, dataset: &str) -> Result<Option<i64>> {
    let sql = "SELECT epoch FROM datasets WHERE workspace = $1 AND id = $2 §lock";
    let row = tx.row("lock a dataset", sql, values![ws, dataset]).await?;
    row.map(|row| row.int(0)).transpose()
}

/// What a commit must know of the store, read with its run.
struct Facts {
    now: i64,
    /// Of the store, raised by a restore.
    epoch: i64,
    series_limit: i64,
}

/// Locks a run, behind its dataset; the clock read here is that of the holder of the locks.
async fn lock_run(tx: &mut Tx, ws: &str, dataset: &str, run: &str) -> Result<Option<(Run, Facts)>> {
    let sql = runs::columns!(
        ", §now, (SELECT value FROM settings WHERE key = $4), (SELECT value FROM settings WHERE key = $5)",
        "WHERE id = $3 AND workspace = $1 AND dataset = $2 §lock"
    );
    let values = values![ws, dataset, run, EPOCH_SETTING, SERIES_LIMIT_SETTING];
    let Some(row) = tx.row("lock a run", sql, values).await? else {
        return Ok(None);
    };
    let setting = |at: usize, otherwise: i64| -> Result<i64> {
        let value = row.text_or_null(runs::COLUMNS + at)?;
        Ok(value
            .and_then(|value| value.parse().ok())
            .unwrap_or(otherwise))
    };
    let facts = Facts {
        now: row.int(runs::COLUMNS)?,
        epoch: setting(1, 0)?,
        series_limit: setting(2, SERIES_LIMIT)?,
    };
    Ok(Some((runs::read(&row)?, facts)))
}

pub(crate) fn held<'a>(held: &'a mut HashMap<String, Held>, metric: &str) -> Result<&'a mut Held> {
    held.get_mut(metric).ok_or_else(|| Error::NotFound {
        kind: "metric",
        name: metric.to_owned(),
    })
}
