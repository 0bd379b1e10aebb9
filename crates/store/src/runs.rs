//! The run ledger: which slots are open, and how each run ended.

use crate::Store;
use crate::database::{Row, Tx, values};
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
words!(RunKind { Scheduled = "scheduled", Manual = "manual", Backfill = "backfill", Recovery = "recovery" });
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
}

/// How a run ends.
#[derive(Debug, Clone, Default)]
pub struct RunEnd {
    /// The manifest as JSON: needed for recomputing and provenance.
    pub manifest: Option<String>,
    /// Pages read.
    pub pages: i64,
    /// Rows used, over all metrics.
    pub rows: i64,
    /// Rows rejected, over all metrics.
    pub rejected: i64,
    /// True when it was cut short.
    pub partial: bool,
    /// How the fetch ended.
    pub ended: Option<String>,
    /// What went wrong: JSON, redacted.
    pub error: Option<String>,
    /// Marks the dataset as needing a person, with the reason.
    pub needs_attention: Option<String>,
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

/// Whose runs to list.
#[derive(Debug, Clone, Copy)]
pub enum RunsOf<'a> {
    /// Runs of the dataset that this metric reads.
    Metric(&'a str),
    /// Runs of this dataset.
    Dataset(&'a str),
}

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
        let sql = "SELECT metric, revision, outcome, rows_used, rejected, changed, overflow, version, error, at \
                   FROM outcomes WHERE run = $1 ORDER BY metric, revision";
        let outcomes = tx.rows(step, sql, values![id]).await?;
        Ok(Some(RunDetail {
            run: read(&row)?,
            manifest: row.text_or_null(COLUMNS)?,
            outcomes: outcomes.iter().map(outcome).collect::<Result<_>>()?,
        }))
    }

    /// Lists runs newest first; `before` is the id of the last run of the page before.
    pub async fn runs(
        &self,
        ws: &str,
        of: RunsOf<'_>,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<Run>> {
        let before = before.unwrap_or("s");
        let limit = limit.min(1_000);
        let (sql, name) = match of {
            RunsOf::Dataset(name) => (
                columns!(
                    "WHERE workspace = $1 AND dataset = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
                ),
                name,
            ),
            RunsOf::Metric(name) => (
                columns!(
                    "WHERE workspace = $1 AND dataset = (SELECT dataset FROM metrics WHERE workspace = $1 \
                     AND name = $2) AND id < $3 ORDER BY id DESC LIMIT $4"
                ),
                name,
            ),
        };
        let rows = self
            .database
            .rows("list runs", sql, values![ws, name, before, limit])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Lists the newest final runs of a dataset in its present epoch, with manifests: what a
    /// recompute can read again.
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

    /// Ends a run as failed; false when it had ended.
    pub async fn fail_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        self.end_run(ws, run, RunState::Failed, end).await
    }

    /// Ends a run as dead; false when it had ended.
    pub async fn dead_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        self.end_run(ws, run, RunState::Dead, end).await
    }

    /// Ends an open run as cancelled; false when it had ended.
    pub async fn cancel_run(&self, ws: &str, run: &str, reason: &str) -> Result<bool> {
        let now = self.now().await?;
        let sql = "UPDATE runs SET state = 'cancelled', ended_at = $3, reason = $4 \
                   WHERE id = $2 AND workspace = $1 AND state IN ('waiting', 'dispatched', 'fetched')";
        Ok(self
            .database
            .run("cancel a run", sql, values![ws, run, now, reason])
            .await?
            > 0)
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

    async fn end_run(&self, ws: &str, run: &str, state: RunState, end: &RunEnd) -> Result<bool> {
        let step = "end a run";
        let mut tx = self.database.begin(step).await?;
        // The dataset's row first, as everywhere.
        let sql = "SELECT d.id FROM datasets d JOIN runs r ON r.workspace = d.workspace AND r.dataset = d.id \
                   WHERE r.workspace = $1 AND r.id = $2";
        if let Some(row) = tx.row(step, sql, values![ws, run]).await? {
            let sql = "SELECT id FROM datasets WHERE workspace = $1 AND id = $2 §lock";
            tx.rows(step, sql, values![ws, row.text(0)?]).await?;
        }
        let has_ended = finish(&mut tx, ws, run, state, end).await?;
        tx.commit(step).await?;
        Ok(has_ended)
    }
}

/// Ends an open run inside of a transaction; false when it had ended.
pub(crate) async fn finish(
    tx: &mut Tx,
    ws: &str,
    run: &str,
    state: RunState,
    end: &RunEnd,
) -> Result<bool> {
    let step = "end a run";
    let now = tx.now().await?;
    let sql = "UPDATE runs SET state = $3, ended_at = $4, manifest = COALESCE($5, manifest), pages = $6, \
               rows_used = $7, rejected = $8, partial = $9, ended = $10, error = $11, resume = NULL \
               WHERE id = $2 AND workspace = $1 AND state IN ('waiting', 'dispatched', 'fetched') \
               RETURNING dataset, window_end, epoch";
    let values = values![
        ws,
        run,
        state.as_str(),
        now,
        &end.manifest,
        end.pages,
        end.rows,
        end.rejected,
        end.partial,
        &end.ended,
        &end.error,
    ];
    let Some(row) = tx.row(step, sql, values).await? else {
        return Ok(false);
    };
    let (dataset, window_end, epoch) = (row.text(0)?, row.int_or_null(1)?, row.int(2)?);
    if state == RunState::Final {
        let sql = "UPDATE datasets SET last_success_at = $3, attention_reason = $4, \
                   last_window_end = CASE WHEN last_window_end IS NULL OR last_window_end < $5 \
                   THEN COALESCE($5, last_window_end) ELSE last_window_end END \
                   WHERE workspace = $1 AND id = $2 AND epoch = $6";
        let attention = end.needs_attention.as_deref();
        tx.run(
            step,
            sql,
            values![ws, dataset, now, attention, window_end, epoch],
        )
        .await?;
    } else if let Some(reason) = &end.needs_attention {
        let sql = "UPDATE datasets SET attention_reason = $3 WHERE workspace = $1 AND id = $2";
        tx.run(step, sql, values![ws, dataset, reason]).await?;
    }
    Ok(true)
}

/// How many columns [`columns!`] reads before those asked for in addition.
const COLUMNS: usize = 25;

/// A query of whole runs with the given end, and with more columns if asked.
macro_rules! columns {
    ($end:literal) => {
        $crate::runs::columns!("", $end)
    };
    ($more:literal, $end:literal) => {
        concat!(
            "SELECT id, workspace, dataset, connection, epoch, slot, kind, window_start, window_end, state, ",
            "attempt, evaluations, reason, not_before, created_at, dispatched_at, fetched_at, ended_at, resume, ",
            "pages, rows_used, rejected, partial, ended, error",
            $more,
            " FROM runs ",
            $end
        )
    };
}
pub(crate) use columns;

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
    })
}
