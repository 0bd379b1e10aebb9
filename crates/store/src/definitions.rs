//! What users wrote: connections, datasets and metrics, with their versions and revisions.

use crate::Store;
use crate::error::{Error, Result};

/// The kinds of definitions the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One remote API.
    Connection,
    /// One request with its schedule, named by the user.
    Dataset,
    /// One metric.
    Metric,
}

impl Kind {
    /// The word used in documents, tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Dataset => "dataset",
            Self::Metric => "metric",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "connection" => Some(Self::Connection),
            "dataset" => Some(Self::Dataset),
            "metric" => Some(Self::Metric),
            _ => None,
        }
    }
}

/// One step of a bundle: put or delete one definition.
#[derive(Debug, Clone)]
pub struct Change {
    /// What kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What to do with it.
    pub action: Action,
    /// The version the caller has seen; `Some(0)`: it must not exist yet; `None`: whatever there is.
    pub if_match: Option<i64>,
}

/// What a change does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Create or replace.
    Put(Put),
    /// Delete; refused while others use it.
    Delete,
}

/// A definition to be kept.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// The canonical document (JSON with sorted keys); equal text means unchanged.
    pub document: String,
    /// Metrics: the part whose change makes a new revision.
    pub evaluation: Option<String>,
    /// Datasets, and metrics with their own request: what is fetched.
    pub fetch: Option<FetchIdentity>,
    /// Metrics on a named dataset: its name. Wins over `fetch`.
    pub dataset_name: Option<String>,
    /// Connections: `scheme://host:port` of the base URL, if it is constant. When it changes, the
    /// epoch of every dataset of the connection rises and their runs in flight are superseded.
    pub origin: Option<String>,
}

/// What a dataset asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchIdentity {
    /// Canonical JSON; metrics whose identities are equal share one dataset.
    pub identity: String,
    /// The connection's name.
    pub connection: String,
    /// The fetch itself as JSON, kept for the scheduler.
    pub document: String,
}

/// What became of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It was already so; nothing was written.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// The answer to one [`Change`], in the order of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: ApplyOutcome,
    /// Its version (the `ETag`).
    pub version: i64,
    /// Metrics: the revision in force.
    pub revision: Option<i64>,
    /// Metrics and datasets: the id of the dataset.
    pub dataset: Option<String>,
}

/// A definition as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The canonical document.
    pub document: String,
    /// The version (the `ETag`).
    pub version: i64,
    /// When it was first applied.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// Metrics: the revision in force.
    pub revision: Option<i64>,
    /// Metrics and datasets: the id of the dataset.
    pub dataset: Option<String>,
}

/// One immutable state of a metric's evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// 1, 2, 3 …
    pub revision: i64,
    /// The whole document at that time.
    pub document: String,
    /// The part that made it a revision.
    pub evaluation: String,
    /// When.
    pub created_at: i64,
    /// Who.
    pub actor: String,
}

/// A metric as its dataset's evaluator and scheduler need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMetric {
    /// Its name.
    pub name: String,
    /// The revision in force.
    pub revision: i64,
    /// The canonical document.
    pub document: String,
    /// The version of its data.
    pub version: i64,
}

/// How many revisions of a metric are kept: enough for years of edits, small enough to list.
pub const REVISIONS_KEPT: i64 = 200;
/// How many metrics a workspace may hold unless [`METRICS_QUOTA_SETTING`] says otherwise.
pub const METRICS_QUOTA: i64 = 10_000;
/// The setting that overrides [`METRICS_QUOTA`].
pub const METRICS_QUOTA_SETTING: &str = "quota.metrics_per_workspace";

impl Store {
    /// Applies a bundle in one transaction, all or nothing, and answers in the order of `changes`.
    ///
    /// Puts happen before deletes, whatever the order given, so that a bundle may move things
    /// around. Identical documents are [`ApplyOutcome::Unchanged`]. Every real change is audited.
    /// A metric with a new revision, or a new metric on a dataset that has runs, is queued for
    /// recomputing (see [`Store::claim_recompute`]).
    pub async fn apply(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        Err(Error::NotYet("apply"))
    }

    /// Tells what [`Store::apply`] would do or refuse, and changes nothing.
    pub async fn plan(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        Err(Error::NotYet("plan"))
    }

    /// Reads one definition.
    pub async fn definition(&self, ws: &str, kind: Kind, name: &str) -> Result<Option<Stored>> {
        Err(Error::NotYet("definition"))
    }

    /// Lists definitions by name, after `after`, at most `limit` (≤ 1,000); `q` filters by a part of
    /// the name or of the document's title, ignoring ASCII case.
    pub async fn definitions(
        &self,
        ws: &str,
        kind: Kind,
        after: Option<&str>,
        limit: u32,
        q: Option<&str>,
    ) -> Result<Vec<Stored>> {
        Err(Error::NotYet("definitions"))
    }

    /// Lists the kept revisions of a metric, newest first.
    pub async fn revisions(&self, ws: &str, metric: &str) -> Result<Vec<Revision>> {
        Err(Error::NotYet("revisions"))
    }

    /// Lists the metrics of a dataset by name.
    pub async fn metrics_of(&self, ws: &str, dataset: &str) -> Result<Vec<StoredMetric>> {
        Err(Error::NotYet("metrics_of"))
    }
}
