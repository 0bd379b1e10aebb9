//! The run ledger: which slots are open, and how each run ended.

use std::collections::HashMap;

use crate::Store;
use crate::database::{Row, values};
use crate::error::Result;
use crate::ledger::interval;

/// A half-open range of time, unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// The first instant inside.
    pub start: i64,
    /// The first instant past it.
    pub end: i64,
}

/// Why a run exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// A slot of the schedule.
    Scheduled,
    /// A person asked.
    Manual,
    /// A past window is fetched again.
    Backfill,
    /// The reconciler found something missing.
    Recovery,
    /// Rows were sent; nothing was fetched.
    Push,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// In the ledger, not in the queue.
    Waiting,
    /// Handed to a fetcher.
    Dispatched,
    /// Its manifest arrived; being evaluated.
    Fetched,
    /// Ended: committed.
    Final,
    /// Ended: failed; earlier data untouched.
    Failed,
    /// Ended: given up on.
    Dead,
    /// Ended: a newer slot took its place.
    Superseded,
    /// Ended: taken back.
    Cancelled,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// The word used in tables and messages.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// Reads the word; `None` for any other.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
words!(RunKind { Scheduled = "scheduled", Manual = "manual", Backfill = "backfill", Recovery = "recovery", Push = "push" });
words!(RunState {
    Waiting = "waiting", Dispatched = "dispatched", Fetched = "fetched", Final = "final", Failed = "failed",
    Dead = "dead", Superseded = "superseded", Cancelled = "cancelled",
});

impl RunState {
    /// True for states that never change again.
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Dispatched | Self::Fetched)
    }
}

/// Runs to be opened: one for each window of one slot.
#[derive(Debug, Clone)]
pub struct NewRuns {
    /// Workspace.
    pub workspace: String,
    /// Dataset id.
    pub dataset: String,
    /// The scheduled instant; for a manual run, the instant of the request.
    pub slot: i64,
    /// Why.
    pub kind: RunKind,
    /// Windows in the order in which they should be fetched; empty means one run without a window.
    pub windows: Vec<Option<Interval>>,
    /// Free text for people.
    pub reason: Option<String>,
}

/// A slot that is due, for [`Store::open_due`].
#[derive(Debug, Clone)]
pub struct DueSlot {
    /// Workspace.
    pub workspace: String,
    /// Dataset id.
    pub dataset: String,
    /// The scheduled instant.
    pub slot: i64,
    /// Windows in the order in which they should be fetched; empty means one run without a window.
    pub windows: Vec<Option<Interval>>,
    /// When the dataset is due next.
    pub next_due: Option<i64>,
}

/// The answer to one window of [`NewRuns`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Workspace.
    pub workspace: String,
    /// Dataset id.
    pub dataset: String,
    /// The run that will do it.
    pub run: String,
    /// True when that run was open already.
    pub joined: bool,
    /// Its window.
    pub window: Option<Interval>,
}

/// A run as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `r_` and 20 of `[0-9a-z]`; sorts by time of creation.
    pub id: String,
    /// Workspace.
    pub workspace: String,
    /// Dataset id.
    pub dataset: String,
    /// The connection's name.
    pub connection: String,
    /// The dataset's epoch when the run was opened.
    pub epoch: i64,
    /// The scheduled instant.
    pub slot: i64,
    /// Why.
    pub kind: RunKind,
    /// The range asked for.
    pub window: Option<Interval>,
    /// Where it stands.
    pub state: RunState,
    /// How often it was dispatched.
    pub attempt: u32,
    /// How often its evaluation was begun and not refunded.
    pub evaluations: u32,
    /// Free text for people.
    pub reason: Option<String>,
    /// Not dispatched before.
    pub not_before: i64,
    /// When it was opened.
    pub created_at: i64,
    /// When it was last dispatched.
    pub dispatched_at: Option<i64>,
    /// When its manifest arrived.
    pub fetched_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Where an interrupted fetch goes on: JSON of the caller's making.
    pub resume: Option<String>,
    /// Pages read.
    pub pages: i64,
    /// Rows used, over all metrics.
    pub rows: i64,
    /// Rows rejected, over all metrics.
    pub rejected: i64,
    /// True when it was cut short.
    pub partial: bool,
    /// How the fetch ended (`single_page`, `page_cap` …).
    pub ended: Option<String>,
    /// What went wrong: JSON of the caller's making, redacted.
    pub error: Option<String>,
    /// What else a person should know, in sentences.
    pub notes: Vec<String>,
    /// Records fetched, repeated ones included, as far as they can be counted.
    pub records: Option<i64>,
    /// Records that the API says there are.
    pub stated_total: Option<i64>,
    /// Requests sent, retries included.
    pub requests: Option<i64>,
}

/// A run with everything kept about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// The manifest as JSON, when it has one.
    pub manifest: Option<String>,
    /// What it did to each metric.
    pub outcomes: Vec<MetricOutcome>,
}

/// What a run did to one metric at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricOutcome {
    /// The metric's name.
    pub metric: String,
    /// The revision evaluated.
    pub revision: i64,
    /// `applied`, `failed` or `dead`.
    pub outcome: Outcome,
    /// Rows used.
    pub rows: i64,
    /// Rows rejected.
    pub rejected: i64,
    /// Cells changed.
    pub changed: i64,
    /// Series refused because the metric has too many.
    pub overflow: i64,
    /// The version of the metric's data after it.
    pub version: i64,
    /// What went wrong: JSON, redacted.
    pub error: Option<String>,
    /// When.
    pub at: i64,
    /// What else is to be told, such as rejected rows by reason and changed points: JSON of the caller's making.
    pub details: Option<String>,
}

/// How one metric's part of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Its cells are restated.
    #[default]
    Applied,
    /// Its data stays as it was.
    Failed,
    /// Given up on.
    Dead,
}
words!(Outcome { Applied = "applied", Failed = "failed", Dead = "dead" });

/// A masked sample of a row that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedSample {
    /// The page.
    pub page: i64,
    /// The row on the page.
    pub row: i64,
    /// A stable code.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    /// The row, masked and cut.
    pub sample: String,
}

/// How far begun evaluations of a run have got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The run, its state now `fetched`.
    pub run: Run,
    /// How many evaluations were begun, this one included: 3 means alone, 5 means dead letter.
    pub attempts: u32,
}

/// A run as one metric sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRun {
    /// The run; `rows` and `rejected` are the metric's own.
    pub run: Run,
    /// How the metric's part ended, once it did.
    pub outcome: Option<Outcome>,
    /// What went wrong with the metric's part: JSON, redacted.
    pub outcome_error: Option<String>,
    /// Cells changed by the metric's part.
    pub changed: Option<i64>,
    /// What else is to be told of the metric's part: JSON of the caller's making.
    pub details: Option<String>,
}

/// Greater than every run's id.
const AFTER_ALL: &str = "s";
/// At most this many rejected samples are kept for each run and metric.
pub const REJECTED_SAMPLES_KEPT: usize = 20;

impl Store {
    /// Reads one run.
    pub async fn run(&self, ws: &str, id: &str) -> Result<Option<Run>> {
        let sql = columns!("WHERE id = $2 AND workspace = $1");
        let row = self
            .database
            .row("read a run", sql, values![ws, id])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Reads one run with its manifest and the outcome for each metric.
    pub async fn run_detail(&self, ws: &str, id: &str) -> Result<Option<RunDetail>> {
        let step = "read a run";
        let mut tx = self.database.begin_read(step).await?;
        let sql = columns!(", manifest", "WHERE id = $2 AND workspace = $1");
        let Some(row) = tx.row(step, sql, values![ws, id]).await? else {
            return Ok(None);
        };
        let sql = "SELECT metric, revision, outcome, rows_used, rejected, changed, overflow, version, error, at, details \
                   FROM outcomes WHERE run = $1 ORDER BY metric, revision";
        let outcomes = tx.rows(step, sql, values![id]).await?;
        Ok(Some(RunDetail {
            run: read(&row)?,
            manifest: row.text_or_null(COLUMNS)?,
            outcomes: outcomes.iter().map(outcome).collect::<Result<_>>()?,
        }))
    }

    /// Lists a dataset's runs newest first; `before` is the id of the last run of the page before.
    pub async fn runs_of_dataset(
        &self,
        ws: &str,
        dataset: &str,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<Run>> {
        let sql =
            columns!("WHERE workspace = $1 AND dataset = $2 AND id < $3 ORDER BY id DESC LIMIT $4");
        let values = values![ws, dataset, before.unwrap_or(AFTER_ALL), limit.min(1_000)];
        let rows = self.database.rows("list runs", sql, values).await?;
        rows.iter().map(read).collect()
    }

    /// Lists the runs that concern a metric, newest first: those of the dataset that it reads, and those of
    /// earlier datasets that did something to it. `before` is the id of the last run of the page before.
    pub async fn runs_of_metric(
        &self,
        ws: &str,
        metric: &str,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<MetricRun>> {
        let step = "list runs";
        let mut tx = self.database.begin_read(step).await?;
        let sql = columns!(
            "WHERE id IN (SELECT id FROM (SELECT id FROM runs WHERE workspace = $1 AND dataset = (SELECT dataset \
             FROM metrics WHERE workspace = $1 AND name = $2) AND id < $3 ORDER BY id DESC LIMIT $4) AS present \
             UNION SELECT id FROM (SELECT DISTINCT r.id FROM outcomes o JOIN runs r ON r.id = o.run \
             WHERE o.metric = $2 AND o.run < $3 AND r.workspace = $1 ORDER BY r.id DESC LIMIT $4) AS past) \
             ORDER BY id DESC LIMIT $4"
        );
        let values = values![ws, metric, before.unwrap_or(AFTER_ALL), limit.min(1_000)];
        let rows = tx.rows(step, sql, values).await?;
        let runs = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let ids: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
        let sql = "SELECT run, outcome, rows_used, rejected, error, changed, details FROM outcomes WHERE metric = $1 AND run §in($2) \
                   ORDER BY revision";
        let mut outcomes = HashMap::new();
        for row in tx.rows(step, sql, values![metric, ids]).await? {
            // The newest revision is what counts now.
            outcomes.insert(row.text(0)?, row);
        }
        runs.into_iter()
            .map(|run| {
                let own = outcomes.get(&run.id);
                Ok(MetricRun {
                    outcome: own
                        .map(|row| row.text(1))
                        .transpose()?
                        .and_then(|word| Outcome::parse(&word)),
                    outcome_error: own.map(|row| row.text_or_null(4)).transpose()?.flatten(),
                    changed: own.map(|row| row.int(5)).transpose()?,
                    details: own.map(|row| row.text_or_null(6)).transpose()?.flatten(),
                    run: Run {
                        rows: own.map_or(Ok(0), |row| row.int(2))?,
                        rejected: own.map_or(Ok(0), |row| row.int(3))?,
                        ..run
                    },
                })
            })
            .collect()
    }

    /// Lists the final runs of a metric's dataset at some slots, newest first: those that took a level's samples.
    pub async fn runs_at(
        &self,
        ws: &str,
        metric: &str,
        slots: &[i64],
        limit: u32,
    ) -> Result<Vec<Run>> {
        let sql = columns!(
            "WHERE workspace = $1 AND dataset = (SELECT dataset FROM metrics WHERE workspace = $1 AND name = $2) \
             AND slot §in($3) AND state = 'final' ORDER BY id DESC LIMIT $4"
        );
        let values = values![ws, metric, slots.to_vec(), limit];
        let rows = self.database.rows("list runs by slot", sql, values).await?;
        rows.iter().map(read).collect()
    }

    /// Lists the slots of a dataset's newest final runs, newest run first, each with the run's id.
    pub async fn final_slots(
        &self,
        ws: &str,
        dataset: &str,
        limit: u32,
    ) -> Result<Vec<(i64, String)>> {
        let sql = "SELECT slot, id FROM runs WHERE workspace = $1 AND dataset = $2 AND state = 'final' \
                   ORDER BY id DESC LIMIT $3";
        let values = values![ws, dataset, limit];
        let rows = self.database.rows("list slots", sql, values).await?;
        rows.iter()
            .map(|row| Ok((row.int(0)?, row.text(1)?)))
            .collect()
    }

    /// Lists the newest final runs of a dataset in its present epoch, with manifests: what a
    /// recompute can read again. See [`Store::runs_to_recompute`] for those that it must.
    pub async fn final_runs(
        &self,
        ws: &str,
        dataset: &str,
        limit: u32,
    ) -> Result<Vec<(Run, Option<String>)>> {
        let sql = columns!(
            ", manifest",
            "WHERE workspace = $1 AND dataset = $2 AND state = 'final' AND epoch = (SELECT epoch FROM datasets \
             WHERE workspace = $1 AND id = $2) ORDER BY id DESC LIMIT $3"
        );
        let rows = self
            .database
            .rows("list final runs", sql, values![ws, dataset, limit])
            .await?;
        rows.iter()
            .map(|row| Ok((read(row)?, row.text_or_null(COLUMNS)?)))
            .collect()
    }

    /// Lists the rejected samples of a run for one metric.
    pub async fn rejected(&self, ws: &str, run: &str, metric: &str) -> Result<Vec<RejectedSample>> {
        let sql = "SELECT j.page, j.row_index, j.code, j.reason, j.sample FROM rejected_rows j \
                   JOIN runs r ON r.id = j.run WHERE r.workspace = $1 AND j.run = $2 AND j.metric = $3 \
                   ORDER BY j.place";
        let rows = self
            .database
            .rows("read rejected rows", sql, values![ws, run, metric])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(RejectedSample {
                    page: row.int(0)?,
                    row: row.int(1)?,
                    code: row.text(2)?,
                    reason: row.text(3)?,
                    sample: row.text(4)?,
                })
            })
            .collect()
    }
}

/// How many columns [`columns!`] reads before those asked for in addition.
pub(crate) const COLUMNS: usize = 29;

/// A query of whole runs with the given end, and with more columns if asked.
macro_rules! columns {
    ($end:literal) => {
        $crate::runs::columns!("", $end)
    };
    ($more:literal, $end:literal) => {
        concat!(
            "SELECT ",
            $crate::runs::names!(),
            $more,
            " FROM runs ",
            $end
        )
    };
}
pub(crate) use columns;

/// The names of the columns that [`read`] reads.
macro_rules! names {
    () => {
        "id, workspace, dataset, connection, epoch, slot, kind, window_start, window_end, state, \
         attempt, evaluations, reason, not_before, created_at, dispatched_at, fetched_at, ended_at, resume, \
         pages, rows_used, rejected, partial, ended, error, notes, records, stated_total, requests"
    };
}
pub(crate) use names;

/// Reads a row of [`columns!`].
pub(crate) fn read(row: &Row) -> Result<Run> {
    Ok(Run {
        id: row.text(0)?,
        workspace: row.text(1)?,
        dataset: row.text(2)?,
        connection: row.text(3)?,
        epoch: row.int(4)?,
        slot: row.int(5)?,
        kind: RunKind::parse(&row.text(6)?).unwrap_or(RunKind::Manual),
        window: interval(row.int_or_null(7)?, row.int_or_null(8)?),
        state: RunState::parse(&row.text(9)?).unwrap_or(RunState::Dead),
        attempt: row.count(10)?,
        evaluations: row.count(11)?,
        reason: row.text_or_null(12)?,
        not_before: row.int(13)?,
        created_at: row.int(14)?,
        dispatched_at: row.int_or_null(15)?,
        fetched_at: row.int_or_null(16)?,
        ended_at: row.int_or_null(17)?,
        resume: row.text_or_null(18)?,
        pages: row.int(19)?,
        rows: row.int(20)?,
        rejected: row.int(21)?,
        partial: row.is(22)?,
        ended: row.text_or_null(23)?,
        error: row.text_or_null(24)?,
        notes: row
            .text_or_null(25)?
            .and_then(|notes| serde_json::from_str(&notes).ok())
            .unwrap_or_default(),
        records: row.int_or_null(26)?,
        stated_total: row.int_or_null(27)?,
        requests: row.int_or_null(28)?,
    })
}

fn outcome(row: &Row) -> Result<MetricOutcome> {
    Ok(MetricOutcome {
        metric: row.text(0)?,
        revision: row.int(1)?,
        outcome: Outcome::parse(&row.text(2)?).unwrap_or(Outcome::Dead),
        rows: row.int(3)?,
        rejected: row.int(4)?,
        changed: row.int(5)?,
        overflow: row.int(6)?,
        version: row.int(7)?,
        error: row.text_or_null(8)?,
        at: row.int(9)?,
        details: row.text_or_null(10)?,
    })
}
