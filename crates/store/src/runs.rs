//! The run ledger: which slots are open, and how each run ended.

use crate::Store;
use crate::error::{Error, Result};

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
    /// Opens runs for one slot and answers for each window which run will do it.
    ///
    /// A run of the same dataset, slot and window is never opened twice, and manual runs join any
    /// open run of the same window. A scheduled slot joins a waiting manual run of the same window
    /// and supersedes waiting scheduled runs of older slots that hold no resume point.
    pub async fn open_runs(&self, new: &NewRuns) -> Result<Vec<Opened>> {
        Err(Error::NotYet("open_runs"))
    }

    /// Opens the runs of many due slots and moves each dataset's next due time, in one transaction.
    ///
    /// Slots of datasets that are gone are passed over in silence.
    pub async fn open_due(&self, batch: &[DueSlot]) -> Result<Vec<Opened>> {
        Err(Error::NotYet("open_due"))
    }

    /// Lists waiting runs that may go now: round robin over workspaces, never more in flight than
    /// the caps, never two runs of one dataset and window at once.
    pub async fn dispatchable(
        &self,
        now: i64,
        limit: u32,
        per_workspace: u32,
        per_connection: u32,
    ) -> Result<Vec<Run>> {
        Err(Error::NotYet("dispatchable"))
    }

    /// As [`Store::dispatchable`], and marks the runs as dispatched in the same transaction: each is
    /// handed to one caller only, with `attempt` already raised. Publish them next; a crash before
    /// that is healed by [`Store::overdue`].
    pub async fn claim(
        &self,
        now: i64,
        limit: u32,
        per_workspace: u32,
        per_connection: u32,
    ) -> Result<Vec<Run>> {
        Err(Error::NotYet("claim"))
    }

    /// Marks a waiting run as dispatched for the `attempt`-th time (the run's attempt + 1). False
    /// when somebody else did, or it is no longer waiting.
    pub async fn mark_dispatched(
        &self,
        ws: &str,
        run: &str,
        attempt: u32,
        at: i64,
    ) -> Result<bool> {
        Err(Error::NotYet("mark_dispatched"))
    }

    /// Puts a dispatched or fetched run back to waiting, not to go before `not_before`. False when it
    /// is not in flight.
    pub async fn release(
        &self,
        ws: &str,
        run: &str,
        not_before: i64,
        reason: Option<&str>,
    ) -> Result<bool> {
        Err(Error::NotYet("release"))
    }

    /// As [`Store::release`], with the point where the next attempt goes on.
    pub async fn checkpoint(
        &self,
        ws: &str,
        run: &str,
        resume: &str,
        not_before: i64,
    ) -> Result<bool> {
        Err(Error::NotYet("checkpoint"))
    }

    /// Reads one run.
    pub async fn run(&self, ws: &str, id: &str) -> Result<Option<Run>> {
        Err(Error::NotYet("run"))
    }

    /// Reads one run with its manifest and the outcome for each metric.
    pub async fn run_detail(&self, ws: &str, id: &str) -> Result<Option<RunDetail>> {
        Err(Error::NotYet("run_detail"))
    }

    /// Lists runs newest first; `before` is the id of the last run of the page before.
    pub async fn runs(
        &self,
        ws: &str,
        of: RunsOf<'_>,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<Run>> {
        Err(Error::NotYet("runs"))
    }

    /// Lists the newest final runs of a dataset in its present epoch, with manifests: what a
    /// recompute can read again.
    pub async fn final_runs(
        &self,
        ws: &str,
        dataset: &str,
        limit: u32,
    ) -> Result<Vec<(Run, Option<String>)>> {
        Err(Error::NotYet("final_runs"))
    }

    /// Lists runs dispatched before `dispatched_before`, or fetched before `fetched_before`, and not
    /// ended: oldest first.
    pub async fn overdue(
        &self,
        dispatched_before: i64,
        fetched_before: i64,
        limit: u32,
    ) -> Result<Vec<Run>> {
        Err(Error::NotYet("overdue"))
    }

    /// Begins an evaluation: marks the run as fetched and counts the attempt. `None` when the run is
    /// unknown or has ended (a repeated delivery).
    pub async fn begin_evaluation(&self, ws: &str, run: &str) -> Result<Option<Evaluation>> {
        Err(Error::NotYet("begin_evaluation"))
    }

    /// Takes back one counted evaluation: it ended for reasons outside of the run.
    pub async fn refund_evaluation(&self, ws: &str, run: &str) -> Result<()> {
        Err(Error::NotYet("refund_evaluation"))
    }

    /// Ends a run as failed; false when it had ended.
    pub async fn fail_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        Err(Error::NotYet("fail_run"))
    }

    /// Ends a run as dead; false when it had ended.
    pub async fn dead_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        Err(Error::NotYet("dead_run"))
    }

    /// Ends an open run as cancelled; false when it had ended.
    pub async fn cancel_run(&self, ws: &str, run: &str, reason: &str) -> Result<bool> {
        Err(Error::NotYet("cancel_run"))
    }

    /// Lists the rejected samples of a run for one metric.
    pub async fn rejected(&self, ws: &str, run: &str, metric: &str) -> Result<Vec<RejectedSample>> {
        Err(Error::NotYet("rejected"))
    }
}
