//! What users wrote: connections, datasets and metrics, with their versions and revisions.

use std::collections::BTreeMap;

use crate::Store;
use crate::database::{Row, values};
use crate::error::Result;

/// The kinds of definitions the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One remote API.
    Connection,
    /// One request with its schedule, named by the user.
    Dataset,
    /// One metric.
    Metric,
    /// A number that a metric should come to.
    Goal,
    /// A condition that people want to hear of.
    Alert,
    /// A page of blocks.
    Board,
    /// A digest sent at its times.
    Scorecard,
}

impl Kind {
    /// Every kind, those before that others refer to.
    pub const ALL: [Self; 7] = [
        Self::Connection,
        Self::Dataset,
        Self::Metric,
        Self::Goal,
        Self::Alert,
        Self::Board,
        Self::Scorecard,
    ];

    /// The word used in documents, tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Dataset => "dataset",
            Self::Metric => "metric",
            Self::Goal => "goal",
            Self::Alert => "alert",
            Self::Board => "board",
            Self::Scorecard => "scorecard",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
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
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are puts, and a bundle has at most thousands"
)]
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
    /// Goals, alerts, boards and scorecards: the definitions they name, which must exist and stay. A metric
    /// that names others is calculated from them and has no dataset.
    pub uses: Vec<(Kind, String)>,
    /// Goals, alerts and scorecards: that they are judged, and of which metric; `None`: they are not.
    pub watch: Option<NewWatch>,
}

/// How a definition is to be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewWatch {
    /// The metric whose every new version is judged; none for what only goes by time.
    pub metric: Option<String>,
    /// What of the definition its state belongs to: when that changes, it begins anew.
    pub subject: String,
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
    /// Its version; one that is made again after it was deleted begins anew.
    pub version: i64,
    /// When it was first applied.
    pub created_at: i64,
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
    /// The version; one that is made again after it was deleted begins anew.
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
    /// The windows it has whole, as stored: read them with [`StoredMetric::whole_windows`].
    pub windows: Option<String>,
}

/// How many revisions of a metric are kept: enough for years of edits, small enough to list.
pub const REVISIONS_KEPT: i64 = 200;
/// How many metrics a workspace may hold unless [`METRICS_QUOTA_SETTING`] says otherwise.
pub const METRICS_QUOTA: i64 = 10_000;
/// The setting that overrides [`METRICS_QUOTA`].
pub const METRICS_QUOTA_SETTING: &str = "quota.metrics_per_workspace";

impl Store {
    /// Reads one definition.
    pub async fn definition(&self, ws: &str, kind: Kind, name: &str) -> Result<Option<Stored>> {
        let sql = select!("WHERE f.workspace = $1 AND f.kind = $2 AND f.name = $3");
        let values = values![ws, kind.as_str(), name];
        let row = self.database.row("read a definition", sql, values).await?;
        row.as_ref().map(|row| stored(row, kind)).transpose()
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
        let sql = select!(
            "WHERE f.workspace = $1 AND f.kind = $2 AND f.name > $3 AND f.search LIKE $4 ESCAPE '!' \
             ORDER BY f.name LIMIT $5"
        );
        let pattern = q.map_or_else(|| "%".to_owned(), pattern);
        let limit = limit.min(1_000);
        let values = values![ws, kind.as_str(), after.unwrap_or(""), pattern, limit];
        let rows = self.database.rows("list definitions", sql, values).await?;
        rows.iter().map(|row| stored(row, kind)).collect()
    }

    /// Reads one revision of a metric; `None` when it is not kept.
    pub async fn revision(
        &self,
        ws: &str,
        metric: &str,
        revision: i64,
    ) -> Result<Option<Revision>> {
        let sql = "SELECT r.revision, r.document, r.evaluation, r.created_at, r.actor FROM revisions r \
                   JOIN metrics m ON m.id = r.metric_id WHERE m.workspace = $1 AND m.name = $2 AND r.revision = $3";
        let row = self
            .database
            .row("read a revision", sql, values![ws, metric, revision])
            .await?;
        row.map(|row| {
            Ok(Revision {
                revision: row.int(0)?,
                document: row.text(1)?,
                evaluation: row.text(2)?,
                created_at: row.int(3)?,
                actor: row.text(4)?,
            })
        })
        .transpose()
    }

    /// Lists the kept revisions of a metric, newest first.
    pub async fn revisions(&self, ws: &str, metric: &str) -> Result<Vec<Revision>> {
        let sql = "SELECT r.revision, r.document, r.evaluation, r.created_at, r.actor FROM revisions r \
                   JOIN metrics m ON m.id = r.metric_id WHERE m.workspace = $1 AND m.name = $2 \
                   ORDER BY r.revision DESC";
        let rows = self
            .database
            .rows("list revisions", sql, values![ws, metric])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Revision {
                    revision: row.int(0)?,
                    document: row.text(1)?,
                    evaluation: row.text(2)?,
                    created_at: row.int(3)?,
                    actor: row.text(4)?,
                })
            })
            .collect()
    }

    /// Reads several definitions of one kind by name; those that are gone are left out.
    pub async fn definitions_named(
        &self,
        ws: &str,
        kind: Kind,
        names: &[String],
    ) -> Result<Vec<Stored>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let sql = select!("WHERE f.workspace = $1 AND f.kind = $2 AND f.name §in($3)");
        let values = values![ws, kind.as_str(), names.to_vec()];
        let rows = self.database.rows("read definitions", sql, values).await?;
        rows.iter().map(|row| stored(row, kind)).collect()
    }

    /// Lists the metrics of a dataset by name.
    pub async fn metrics_of(&self, ws: &str, dataset: &str) -> Result<Vec<StoredMetric>> {
        let sql = metrics!("WHERE m.workspace = $1 AND m.dataset = $2 ORDER BY m.name");
        let rows = self
            .database
            .rows("list metrics", sql, values![ws, dataset])
            .await?;
        rows.iter().map(metric).collect()
    }

    /// Lists the metrics of several datasets, by dataset and name.
    pub async fn metrics_of_all(
        &self,
        ws: &str,
        datasets: &[String],
    ) -> Result<BTreeMap<String, Vec<StoredMetric>>> {
        let sql =
            metrics!("WHERE m.workspace = $1 AND m.dataset §in($2) ORDER BY m.dataset, m.name");
        let values = values![ws, datasets.to_vec()];
        let mut found: BTreeMap<String, Vec<StoredMetric>> = BTreeMap::new();
        for row in self.database.rows("list metrics", sql, values).await? {
            found.entry(row.text(4)?).or_default().push(metric(&row)?);
        }
        Ok(found)
    }
}

/// A query of metrics with their documents, with the given end.
///
/// Each document is looked up by its key: a join would let a database without statistics read all of them.
macro_rules! metrics {
    ($end:literal) => {
        concat!(
            "SELECT m.name, m.revision, (SELECT f.document FROM definitions f WHERE f.workspace = m.workspace ",
            "AND f.kind = 'metric' AND f.name = m.name), m.version, m.dataset, m.windows FROM metrics m ",
            $end
        )
    };
}
use metrics;

fn metric(row: &Row) -> Result<StoredMetric> {
    Ok(StoredMetric {
        name: row.text(0)?,
        revision: row.int(1)?,
        document: row.text_or_null(2)?.unwrap_or_default(),
        version: row.int(3)?,
        windows: row.text_or_null(5)?,
    })
}

/// A query of definitions with the given end.
macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT f.name, f.document, f.version, f.created_at, f.updated_at, m.revision, ",
            "COALESCE(m.dataset, d.id) FROM definitions f ",
            "LEFT JOIN metrics m ON f.kind = 'metric' AND m.workspace = f.workspace AND m.name = f.name ",
            "LEFT JOIN datasets d ON f.kind = 'dataset' AND d.workspace = f.workspace AND d.name = f.name ",
            $end
        )
    };
}
use select;

fn stored(row: &Row, kind: Kind) -> Result<Stored> {
    Ok(Stored {
        kind,
        name: row.text(0)?,
        document: row.text(1)?,
        version: row.int(2)?,
        created_at: row.int(3)?,
        updated_at: row.int(4)?,
        revision: row.int_or_null(5)?,
        dataset: row.text_or_null(6)?,
    })
}

/// A part of the lower-case text as a pattern; `!` makes the next character plain.
fn pattern(q: &str) -> String {
    let mut pattern = String::from("%");
    for letter in q.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
