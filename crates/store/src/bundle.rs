//! What a bundle of definitions touches, read under locks, and what is to be written for it.

mod calculated;
mod put;
mod remove;
mod uses;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use crate::database::{Tx, Value, values};
use crate::definitions::{Action, Applied, Change, Kind};
use crate::error::{Error, Result};
use crate::identity::hex;

/// The step named in errors.
pub(crate) const STEP: &str = "apply definitions";

/// A definition as it was before.
pub(crate) struct Before {
    document: String,
    version: i64,
    origin: Option<String>,
    created_at: i64,
}

/// A metric as it is, or becomes.
pub(crate) struct MetricRow {
    id: i64,
    /// Calculated metrics have none.
    dataset: Option<String>,
    revision: i64,
    evaluation: String,
}

/// A dataset as it is, or becomes.
#[derive(Clone)]
pub(crate) struct DatasetRow {
    id: String,
    name: Option<String>,
    connection: String,
    hash: String,
    epoch: i64,
    is_new: bool,
}

/// Everything a bundle touches, read under locks, and what is to be written.
pub(crate) struct Bundle<'a> {
    ws: &'a str,
    actor: &'a str,
    now: i64,
    pub(crate) answers: Vec<Option<Applied>>,
    before: HashMap<(Kind, String), Before>,
    metrics: HashMap<String, MetricRow>,
    former: HashMap<String, (i64, i64)>,
    datasets: BTreeMap<String, DatasetRow>,
    by_name: HashMap<String, String>,
    by_hash: HashMap<String, String>,
    /// Connections whose origin changed.
    moved: Vec<String>,
    /// Datasets whose pages and resume points are void.
    raised: BTreeSet<String>,
    /// Datasets to be planned again.
    replan: BTreeSet<String>,
    /// Datasets that lost a metric.
    left: BTreeSet<String>,
    /// Connections that must exist in the end.
    needed: BTreeSet<String>,
    dataset_rows: Vec<Vec<Value>>,
    definition_rows: Vec<Vec<Value>>,
    new_metrics: Vec<Vec<Value>>,
    changed_metrics: Vec<Vec<Value>>,
    /// Name, revision, document, evaluation.
    new_revisions: Vec<(String, i64, String, String)>,
    recomputes: Vec<Vec<Value>>,
    /// Calculated metrics that are new or revised.
    calculated: BTreeSet<String>,
    audit: Vec<Vec<Value>>,
    deleted_connections: Vec<String>,
    has_new_metrics: bool,
    /// Definitions whose references are written anew.
    users: Vec<(Kind, String)>,
    use_rows: Vec<Vec<Value>>,
    watch_rows: Vec<Vec<Value>>,
    unwatched: Vec<(Kind, String)>,
    deleted: BTreeSet<(Kind, String)>,
}

impl<'a> Bundle<'a> {
    pub(crate) async fn read(
        tx: &mut Tx,
        ws: &'a str,
        actor: &'a str,
        changes: &[Change],
    ) -> Result<Bundle<'a>> {
        // One bundle at a time in a workspace.
        let lock = "SELECT name FROM workspaces WHERE name = $1 §lock";
        if tx.row(STEP, lock, values![ws]).await?.is_none() {
            return Err(Error::NotFound {
                kind: "workspace",
                name: ws.to_owned(),
            });
        }
        let mut seen = BTreeSet::new();
        for change in changes {
            if !seen.insert((change.kind, change.name.as_str())) {
                let (kind, name) = (change.kind.as_str(), &change.name);
                return Err(Error::Invalid(format!("{kind} `{name}` comes twice")));
            }
        }
        let mut bundle = Bundle {
            ws,
            actor,
            now: tx.now().await?,
            answers: changes.iter().map(|_| None).collect(),
            before: HashMap::new(),
            metrics: HashMap::new(),
            former: HashMap::new(),
            datasets: BTreeMap::new(),
            by_name: HashMap::new(),
            by_hash: HashMap::new(),
            moved: Vec::new(),
            raised: BTreeSet::new(),
            replan: BTreeSet::new(),
            left: BTreeSet::new(),
            needed: BTreeSet::new(),
            dataset_rows: Vec::new(),
            definition_rows: Vec::new(),
            new_metrics: Vec::new(),
            changed_metrics: Vec::new(),
            new_revisions: Vec::new(),
            recomputes: Vec::new(),
            calculated: BTreeSet::new(),
            audit: Vec::new(),
            deleted_connections: Vec::new(),
            has_new_metrics: false,
            users: Vec::new(),
            use_rows: Vec::new(),
            watch_rows: Vec::new(),
            unwatched: Vec::new(),
            deleted: BTreeSet::new(),
        };
        for kind in Kind::ALL {
            bundle.read_definitions(tx, kind, changes).await?;
        }
        bundle.read_metrics(tx, changes).await?;
        bundle.read_datasets(tx, changes).await?;
        for change in changes {
            let current = bundle.version(change.kind, &change.name);
            if change.if_match.is_some_and(|expected| expected != current) {
                let (kind, name) = (change.kind.as_str(), change.name.clone());
                return Err(Error::Conflict {
                    kind,
                    name,
                    current,
                });
            }
        }
        Ok(bundle)
    }

    async fn read_definitions(
        &mut self,
        tx: &mut Tx,
        kind: Kind,
        changes: &[Change],
    ) -> Result<()> {
        let names = names(changes, kind);
        if names.is_empty() {
            return Ok(());
        }
        let sql = "SELECT name, document, version, origin, created_at FROM definitions \
                   WHERE workspace = $1 AND kind = $2 AND name §in($3)";
        for row in tx
            .rows(STEP, sql, values![self.ws, kind.as_str(), names])
            .await?
        {
            let before = Before {
                document: row.text(1)?,
                version: row.int(2)?,
                origin: row.text_or_null(3)?,
                created_at: row.int(4)?,
            };
            self.before.insert((kind, row.text(0)?), before);
        }
        Ok(())
    }

    async fn read_metrics(&mut self, tx: &mut Tx, changes: &[Change]) -> Result<()> {
        let names = names(changes, Kind::Metric);
        let sql = "SELECT id, name, dataset, revision, evaluation FROM metrics \
                   WHERE workspace = $1 AND name §in($2)";
        for row in tx.rows(STEP, sql, values![self.ws, names.clone()]).await? {
            let metric = MetricRow {
                id: row.int(0)?,
                dataset: row.text_or_null(2)?,
                revision: row.int(3)?,
                evaluation: row.text(4)?,
            };
            self.metrics.insert(row.text(1)?, metric);
        }
        let sql = "SELECT name, version, revision FROM former_metrics \
                   WHERE workspace = $1 AND name §in($2)";
        for row in tx.rows(STEP, sql, values![self.ws, names]).await? {
            self.former.insert(row.text(0)?, (row.int(1)?, row.int(2)?));
        }
        Ok(())
    }

    /// Reads and locks the datasets that the bundle may touch, in the order of their ids; metrics
    /// come after datasets, as in every transaction.
    async fn read_datasets(&mut self, tx: &mut Tx, changes: &[Change]) -> Result<()> {
        let mut dataset_names = names(changes, Kind::Dataset);
        let mut hashes = Vec::new();
        let mut connections = Vec::new();
        for change in changes {
            if let Action::Put(put) = &change.action {
                dataset_names.extend(put.dataset_name.clone());
                if let (Kind::Metric, Some(fetch)) = (change.kind, &put.fetch) {
                    hashes.push(identity_hash(&fetch.identity));
                }
                let before = self.before.get(&(change.kind, change.name.clone()));
                if change.kind == Kind::Connection
                    && before.is_some_and(|before| before.origin != put.origin)
                {
                    connections.push(change.name.clone());
                }
            }
        }
        let ids: Vec<String> = self
            .metrics
            .values()
            .filter_map(|metric| metric.dataset.clone())
            .collect();
        let sql = "SELECT id, name, connection, identity_hash, epoch FROM datasets WHERE workspace = $1 \
                   AND (id §in($2) OR name §in($3) OR (name IS NULL AND identity_hash §in($4)) \
                   OR connection §in($5)) ORDER BY id §lock";
        let values = values![self.ws, ids, dataset_names, hashes, connections];
        for row in tx.rows(STEP, sql, values).await? {
            let dataset = DatasetRow {
                id: row.text(0)?,
                name: row.text_or_null(1)?,
                connection: row.text(2)?,
                hash: row.text(3)?,
                epoch: row.int(4)?,
                is_new: false,
            };
            self.know(dataset);
        }
        Ok(())
    }

    pub(crate) fn know(&mut self, dataset: DatasetRow) {
        match &dataset.name {
            Some(name) => self.by_name.insert(name.clone(), dataset.id.clone()),
            None => self
                .by_hash
                .insert(dataset.hash.clone(), dataset.id.clone()),
        };
        self.datasets.insert(dataset.id.clone(), dataset);
    }

    pub(crate) fn version(&self, kind: Kind, name: &str) -> i64 {
        self.before
            .get(&(kind, name.to_owned()))
            .map_or(0, |before| before.version)
    }

    /// When a definition was first applied: now, if it was not yet.
    pub(crate) fn created_at(&self, kind: Kind, name: &str) -> i64 {
        self.before
            .get(&(kind, name.to_owned()))
            .map_or(self.now, |before| before.created_at)
    }

    pub(crate) fn note(&mut self, action: &str, kind: Kind, name: &str, detail: Option<String>) {
        let kind = kind.as_str();
        self.audit.push(values![
            self.ws, self.now, self.actor, action, kind, name, detail
        ]);
    }
}

fn names(changes: &[Change], kind: Kind) -> Vec<String> {
    let of_kind = changes.iter().filter(|change| change.kind == kind);
    of_kind.map(|change| change.name.clone()).collect()
}

fn identity_hash(identity: &str) -> String {
    hex(&Sha256::digest(identity.as_bytes()))
}
