//! Applying a bundle of definitions: one transaction, all or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use crate::Store;
use crate::database::{Tx, Value, values};
use crate::definitions::{
    Action, Applied, ApplyOutcome, Change, Kind, METRICS_QUOTA, METRICS_QUOTA_SETTING, Put,
    REVISIONS_KEPT,
};
use crate::error::{Error, Result};
use crate::identity::{self, hex};
use crate::recompute;

/// The step named in errors.
const STEP: &str = "apply definitions";
/// How many names an "in use" error lists.
const NAMES_TOLD: usize = 20;

impl Store {
    /// Applies a bundle in one transaction, all or nothing, and answers in the order of `changes`.
    ///
    /// Puts happen before deletes, whatever the order given, so that a bundle may move things
    /// around. Identical documents are [`ApplyOutcome::Unchanged`]. Every real change is audited.
    /// A metric with a new revision, or a new metric on a dataset that exists, is queued for
    /// recomputing (see [`Store::claim_recompute`]).
    pub async fn apply(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        let mut tx = self.database.begin(STEP).await?;
        let applied = apply(&mut tx, ws, actor, changes).await?;
        tx.commit(STEP).await?;
        Ok(applied)
    }

    /// Tells what [`Store::apply`] would do or refuse, and changes nothing.
    pub async fn plan(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        let mut tx = self.database.begin(STEP).await?;
        let applied = apply(&mut tx, ws, actor, changes).await?;
        tx.roll_back(STEP).await?;
        Ok(applied)
    }
}

async fn apply(tx: &mut Tx, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
    let mut bundle = Bundle::read(tx, ws, actor, changes).await?;
    for kind in [Kind::Connection, Kind::Dataset, Kind::Metric] {
        for (at, change) in changes.iter().enumerate() {
            if let (true, Action::Put(put)) = (change.kind == kind, &change.action) {
                bundle.put(at, change, put)?;
            }
        }
        // Connections and datasets are written before what refers to them.
        bundle.write_epochs(tx).await?;
        bundle.write_datasets(tx).await?;
    }
    bundle.write_metrics(tx).await?;
    for kind in [Kind::Metric, Kind::Dataset, Kind::Connection] {
        for (at, change) in changes.iter().enumerate() {
            if change.kind == kind && matches!(change.action, Action::Delete) {
                bundle.delete(tx, at, change).await?;
            }
        }
    }
    bundle.write_definitions(tx).await?;
    bundle.retire(tx).await?;
    bundle.check(tx).await?;
    Ok(bundle.answers.into_iter().flatten().collect())
}

/// A definition as it was before.
struct Before {
    document: String,
    version: i64,
    origin: Option<String>,
}

/// A metric as it is, or becomes.
struct MetricRow {
    id: i64,
    dataset: String,
    revision: i64,
    evaluation: String,
}

/// A dataset as it is, or becomes.
#[derive(Clone)]
struct DatasetRow {
    id: String,
    name: Option<String>,
    connection: String,
    hash: String,
    epoch: i64,
    is_new: bool,
}

/// Everything a bundle touches, read under locks, and what is to be written.
struct Bundle<'a> {
    ws: &'a str,
    actor: &'a str,
    now: i64,
    answers: Vec<Option<Applied>>,
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
    audit: Vec<Vec<Value>>,
    deleted_connections: Vec<String>,
    has_new_metrics: bool,
}

impl<'a> Bundle<'a> {
    async fn read(
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
            audit: Vec::new(),
            deleted_connections: Vec::new(),
            has_new_metrics: false,
        };
        for kind in [Kind::Connection, Kind::Dataset, Kind::Metric] {
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
        let sql = "SELECT name, document, version, origin FROM definitions \
                   WHERE workspace = $1 AND kind = $2 AND name §in($3)";
        for row in tx
            .rows(STEP, sql, values![self.ws, kind.as_str(), names])
            .await?
        {
            let before = Before {
                document: row.text(1)?,
                version: row.int(2)?,
                origin: row.text_or_null(3)?,
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
                dataset: row.text(2)?,
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
            .map(|metric| metric.dataset.clone())
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

    fn know(&mut self, dataset: DatasetRow) {
        match &dataset.name {
            Some(name) => self.by_name.insert(name.clone(), dataset.id.clone()),
            None => self
                .by_hash
                .insert(dataset.hash.clone(), dataset.id.clone()),
        };
        self.datasets.insert(dataset.id.clone(), dataset);
    }

    fn version(&self, kind: Kind, name: &str) -> i64 {
        self.before
            .get(&(kind, name.to_owned()))
            .map_or(0, |before| before.version)
    }

    fn put(&mut self, at: usize, change: &Change, put: &Put) -> Result<()> {
        let (kind, name) = (change.kind, change.name.as_str());
        let before = self.before.get(&(kind, change.name.clone()));
        let is_same_document = before.is_some_and(|before| before.document == put.document);
        let version = self.version(kind, name);
        let (is_changed, revision, dataset) = match kind {
            Kind::Connection => {
                let is_moved = before.is_some_and(|before| before.origin != put.origin);
                if is_moved {
                    self.moved.push(name.to_owned());
                }
                (!is_same_document || is_moved, None, None)
            }
            Kind::Dataset => {
                let (id, is_changed) = self.put_dataset(name, put, !is_same_document)?;
                (is_changed || !is_same_document, None, Some(id))
            }
            Kind::Metric => {
                let (is_changed, revision, dataset) =
                    self.put_metric(name, put, !is_same_document)?;
                (
                    is_changed || !is_same_document,
                    Some(revision),
                    Some(dataset),
                )
            }
        };
        let outcome = match (version, is_changed) {
            (0, _) => ApplyOutcome::Created,
            (_, true) => ApplyOutcome::Updated,
            (_, false) => ApplyOutcome::Unchanged,
        };
        let version = if is_changed || version == 0 {
            version + 1
        } else {
            version
        };
        if outcome != ApplyOutcome::Unchanged {
            let search = search_text(name, &put.document);
            self.definition_rows.push(values![
                self.ws,
                kind.as_str(),
                name,
                search,
                version,
                &put.origin,
                self.now,
                self.now,
                &put.document,
            ]);
            let word = if outcome == ApplyOutcome::Created {
                "created"
            } else {
                "updated"
            };
            let detail = revision
                .map(|revision| format!(r#"{{"version":{version},"revision":{revision}}}"#))
                .unwrap_or_else(|| format!(r#"{{"version":{version}}}"#));
            self.note(word, kind, name, Some(detail));
        }
        let name = change.name.clone();
        self.answers[at] = Some(Applied {
            kind,
            name,
            outcome,
            version,
            revision,
            dataset,
        });
        Ok(())
    }

    /// Returns the dataset's id, and whether what it fetches changed.
    fn put_dataset(&mut self, name: &str, put: &Put, is_changed: bool) -> Result<(String, bool)> {
        let Some(fetch) = &put.fetch else {
            return Err(Error::Invalid(format!(
                "dataset `{name}` says nothing to fetch"
            )));
        };
        self.needed.insert(fetch.connection.clone());
        let hash = identity_hash(&fetch.identity);
        let Some(id) = self.by_name.get(name).cloned() else {
            return Ok((self.new_dataset(Some(name), fetch), true));
        };
        let Some(known) = self.datasets.get_mut(&id) else {
            return Ok((id, false));
        };
        let is_other = known.hash != hash || known.connection != fetch.connection;
        if is_other {
            known.hash.clone_from(&hash);
            known.connection.clone_from(&fetch.connection);
            self.raised.insert(id.clone());
            self.write_dataset(&id, fetch);
        } else if is_changed {
            self.write_dataset(&id, fetch);
            self.replan.insert(id.clone());
        }
        Ok((id, is_other))
    }

    /// Returns whether anything changed, the revision in force, and the dataset.
    fn put_metric(
        &mut self,
        name: &str,
        put: &Put,
        is_changed: bool,
    ) -> Result<(bool, i64, String)> {
        let dataset = self.dataset_for(name, put)?;
        let evaluation = put
            .evaluation
            .clone()
            .unwrap_or_else(|| put.document.clone());
        let is_new_dataset = self
            .datasets
            .get(&dataset)
            .is_some_and(|dataset| dataset.is_new);
        let Some(known) = self.metrics.get_mut(name) else {
            let (version, revision) = self.former.get(name).copied().unwrap_or_default();
            let revision = revision + 1;
            self.has_new_metrics = true;
            self.new_metrics.push(values![
                self.ws,
                name,
                &dataset,
                revision,
                version,
                self.now,
                &evaluation,
            ]);
            let document = put.document.clone();
            self.new_revisions
                .push((name.to_owned(), revision, document, evaluation.clone()));
            if !is_new_dataset {
                self.replan.insert(dataset.clone());
                self.recomputes
                    .push(recompute::request(self.ws, name, self.now));
            }
            let row = MetricRow {
                id: 0,
                dataset: dataset.clone(),
                revision,
                evaluation,
            };
            self.metrics.insert(name.to_owned(), row);
            return Ok((true, revision, dataset));
        };
        let is_moved = known.dataset != dataset;
        let is_revised = known.evaluation != evaluation;
        if is_moved {
            self.left.insert(known.dataset.clone());
            self.replan.insert(known.dataset.clone());
        }
        if is_moved || is_changed {
            self.replan.insert(dataset.clone());
        }
        if is_revised {
            known.revision += 1;
            known.evaluation.clone_from(&evaluation);
            let revision = known.revision;
            let document = put.document.clone();
            self.new_revisions
                .push((name.to_owned(), revision, document, evaluation.clone()));
        }
        if is_revised || (is_moved && !is_new_dataset) {
            self.recomputes
                .push(recompute::request(self.ws, name, self.now));
        }
        known.dataset.clone_from(&dataset);
        if is_moved || is_revised {
            self.changed_metrics
                .push(values![known.id, &dataset, known.revision, evaluation]);
        }
        Ok((is_moved || is_revised, known.revision, dataset))
    }

    fn dataset_for(&mut self, metric: &str, put: &Put) -> Result<String> {
        if let Some(name) = &put.dataset_name {
            return self
                .by_name
                .get(name)
                .cloned()
                .ok_or_else(|| Error::NotFound {
                    kind: "dataset",
                    name: name.clone(),
                });
        }
        let Some(fetch) = &put.fetch else {
            return Err(Error::Invalid(format!(
                "metric `{metric}` has neither dataset nor request"
            )));
        };
        self.needed.insert(fetch.connection.clone());
        match self.by_hash.get(&identity_hash(&fetch.identity)) {
            Some(id) => Ok(id.clone()),
            None => Ok(self.new_dataset(None, fetch)),
        }
    }

    fn new_dataset(&mut self, name: Option<&str>, fetch: &crate::FetchIdentity) -> String {
        let mut again = 0;
        let mut id = identity::dataset(self.ws, name, &fetch.identity, again);
        while self.datasets.contains_key(&id) {
            again += 1;
            id = identity::dataset(self.ws, name, &fetch.identity, again);
        }
        self.know(DatasetRow {
            id: id.clone(),
            name: name.map(str::to_owned),
            connection: fetch.connection.clone(),
            hash: identity_hash(&fetch.identity),
            epoch: 0,
            is_new: true,
        });
        self.write_dataset(&id, fetch);
        id
    }

    fn write_dataset(&mut self, id: &str, fetch: &crate::FetchIdentity) {
        let Some(dataset) = self.datasets.get(id) else {
            return;
        };
        self.dataset_rows.push(values![
            self.ws,
            id,
            &dataset.name,
            &dataset.connection,
            &dataset.hash,
            dataset.epoch,
            self.now,
            self.now,
            self.now,
            &fetch.identity,
            &fetch.document,
        ]);
    }

    async fn write_datasets(&mut self, tx: &mut Tx) -> Result<()> {
        let sql = "INSERT INTO datasets (workspace, id, name, connection, identity_hash, epoch, next_due_at, \
                   wake_at, created_at, identity, document) VALUES §values \
                   ON CONFLICT (workspace, id) DO UPDATE SET connection = excluded.connection, \
                   identity_hash = excluded.identity_hash, identity = excluded.identity, \
                   document = excluded.document RETURNING id";
        tx.many(STEP, sql, &[], std::mem::take(&mut self.dataset_rows))
            .await?;
        // An id that was used before goes on above the epochs of the runs it left behind.
        let fresh: Vec<String> = self
            .datasets
            .values_mut()
            .filter_map(|dataset| std::mem::take(&mut dataset.is_new).then(|| dataset.id.clone()))
            .collect();
        if !fresh.is_empty() {
            let sql = "UPDATE datasets SET epoch = COALESCE((SELECT MAX(r.epoch) + 1 FROM runs r \
                       WHERE r.workspace = datasets.workspace AND r.dataset = datasets.id), 0) \
                       WHERE workspace = $1 AND id §in($2)";
            tx.run(STEP, sql, values![self.ws, fresh.clone()]).await?;
            self.replan.retain(|id| !fresh.contains(id));
        }
        let raised: Vec<String> = std::mem::take(&mut self.raised).into_iter().collect();
        raise(tx, self.ws, raised, self.now).await
    }

    async fn write_epochs(&mut self, tx: &mut Tx) -> Result<()> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let sql = "SELECT id FROM datasets WHERE workspace = $1 AND connection §in($2) ORDER BY id";
        let moved = std::mem::take(&mut self.moved);
        let rows = tx.rows(STEP, sql, values![self.ws, moved]).await?;
        let ids = rows
            .iter()
            .map(|row| row.text(0))
            .collect::<Result<Vec<_>>>()?;
        raise(tx, self.ws, ids, self.now).await
    }

    async fn write_metrics(&mut self, tx: &mut Tx) -> Result<()> {
        // Metrics in the order of their names, as in every transaction.
        let known: Vec<i64> = self
            .metrics
            .values()
            .map(|metric| metric.id)
            .filter(|id| *id > 0)
            .collect();
        if !known.is_empty() {
            let sql = "SELECT id FROM metrics WHERE id §in($1) ORDER BY name §lock";
            tx.rows(STEP, sql, values![known]).await?;
        }
        let sql = "INSERT INTO metrics (workspace, name, dataset, revision, version, created_at, evaluation) \
                   VALUES §values RETURNING id, name";
        for row in tx
            .many(STEP, sql, &[], std::mem::take(&mut self.new_metrics))
            .await?
        {
            if let Some(metric) = self.metrics.get_mut(&row.text(1)?) {
                metric.id = row.int(0)?;
            }
        }
        let sql = "WITH new (id, dataset, revision, evaluation) AS (VALUES §values) UPDATE metrics \
                   SET dataset = new.dataset, revision = new.revision, evaluation = new.evaluation \
                   FROM new WHERE metrics.id = new.id";
        tx.many(STEP, sql, &[], std::mem::take(&mut self.changed_metrics))
            .await?;
        let mut rows = Vec::new();
        let mut pruned = Vec::new();
        for (name, revision, document, evaluation) in std::mem::take(&mut self.new_revisions) {
            let id = self.metrics.get(&name).map_or(0, |metric| metric.id);
            rows.push(values![
                id, revision, self.now, self.actor, document, evaluation
            ]);
            if revision > REVISIONS_KEPT {
                pruned.push((id, revision - REVISIONS_KEPT));
            }
        }
        let sql = "INSERT INTO revisions (metric_id, revision, created_at, actor, document, evaluation) \
                   VALUES §values";
        tx.many(STEP, sql, &[], rows).await?;
        for (id, oldest) in pruned {
            let sql = "DELETE FROM revisions WHERE metric_id = $1 AND revision <= $2";
            tx.run(STEP, sql, values![id, oldest]).await?;
        }
        let recomputes = std::mem::take(&mut self.recomputes);
        tx.many(STEP, recompute::REQUEST, &[], recomputes)
            .await
            .map(drop)
    }

    async fn delete(&mut self, tx: &mut Tx, at: usize, change: &Change) -> Result<()> {
        let (kind, name) = (change.kind, change.name.as_str());
        let version = self.version(kind, name);
        if version == 0 {
            return Err(Error::NotFound {
                kind: kind.as_str(),
                name: name.to_owned(),
            });
        }
        let dataset = match kind {
            Kind::Connection => {
                self.deleted_connections.push(name.to_owned());
                None
            }
            Kind::Dataset => self.delete_dataset(tx, name).await?,
            Kind::Metric => self.delete_metric(tx, name).await?,
        };
        let sql = "DELETE FROM definitions WHERE workspace = $1 AND kind = $2 AND name = $3";
        tx.run(STEP, sql, values![self.ws, kind.as_str(), name])
            .await?;
        self.note("deleted", kind, name, None);
        self.answers[at] = Some(Applied {
            kind,
            name: name.to_owned(),
            outcome: ApplyOutcome::Deleted,
            version,
            revision: None,
            dataset,
        });
        Ok(())
    }

    async fn delete_dataset(&mut self, tx: &mut Tx, name: &str) -> Result<Option<String>> {
        let Some(id) = self.by_name.get(name).cloned() else {
            return Ok(None);
        };
        let sql = "SELECT name FROM metrics WHERE workspace = $1 AND dataset = $2 ORDER BY name";
        let rows = tx.rows(STEP, sql, values![self.ws, &id]).await?;
        if !rows.is_empty() {
            let names = told(
                rows.iter().map(|row| row.text(0)).collect::<Result<_>>()?,
                "metric",
            );
            return Err(Error::InUse {
                kind: "dataset",
                name: name.to_owned(),
                names,
            });
        }
        let sql = "DELETE FROM datasets WHERE workspace = $1 AND id = $2";
        tx.run(STEP, sql, values![self.ws, &id]).await?;
        cancel_runs(tx, self.ws, vec![id.clone()], self.now).await?;
        Ok(Some(id))
    }

    async fn delete_metric(&mut self, tx: &mut Tx, name: &str) -> Result<Option<String>> {
        let Some(metric) = self.metrics.remove(name) else {
            return Ok(None);
        };
        for sql in [
            "INSERT INTO former_metrics (workspace, name, version, revision) \
             SELECT workspace, name, version, revision FROM metrics WHERE id = $1 \
             ON CONFLICT (workspace, name) DO UPDATE SET version = excluded.version, revision = excluded.revision",
            "DELETE FROM recomputes WHERE (workspace, metric) IN \
             (SELECT workspace, name FROM metrics WHERE id = $1)",
            "DELETE FROM metrics WHERE id = $1",
            // Out of sight at once; the points themselves go with the next sweeps.
            "INSERT INTO doomed_metrics (metric_id) VALUES ($1)",
        ] {
            tx.run(STEP, sql, values![metric.id]).await?;
        }
        self.left.insert(metric.dataset.clone());
        self.replan.insert(metric.dataset.clone());
        Ok(Some(metric.dataset))
    }

    async fn write_definitions(&mut self, tx: &mut Tx) -> Result<()> {
        let sql = "INSERT INTO definitions (workspace, kind, name, search, version, origin, created_at, \
                   updated_at, document) VALUES §values ON CONFLICT (workspace, kind, name) DO UPDATE SET \
                   search = excluded.search, version = excluded.version, origin = excluded.origin, \
                   updated_at = excluded.updated_at, document = excluded.document";
        tx.many(STEP, sql, &[], std::mem::take(&mut self.definition_rows))
            .await?;
        let sql =
            "INSERT INTO audit (workspace, at, actor, action, kind, name, detail) VALUES §values";
        tx.many(STEP, sql, &[], std::mem::take(&mut self.audit))
            .await?;
        let replan: Vec<String> = std::mem::take(&mut self.replan).into_iter().collect();
        if !replan.is_empty() {
            // 0: look at once, but do not fetch for that reason.
            let sql = "UPDATE datasets SET wake_at = 0 WHERE workspace = $1 AND id §in($2) \
                       AND (wake_at IS NULL OR wake_at > $3)";
            tx.run(STEP, sql, values![self.ws, replan, self.now])
                .await?;
        }
        Ok(())
    }

    /// Implicit datasets that nobody reads any more go, with their open runs.
    async fn retire(&mut self, tx: &mut Tx) -> Result<()> {
        let left: Vec<String> = std::mem::take(&mut self.left).into_iter().collect();
        if left.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM datasets WHERE workspace = $1 AND id §in($2) AND name IS NULL AND NOT EXISTS \
                   (SELECT 1 FROM metrics m WHERE m.workspace = datasets.workspace AND m.dataset = datasets.id) \
                   RETURNING id";
        let rows = tx.rows(STEP, sql, values![self.ws, left]).await?;
        let gone = rows
            .iter()
            .map(|row| row.text(0))
            .collect::<Result<Vec<_>>>()?;
        cancel_runs(tx, self.ws, gone, self.now).await
    }

    /// Refuses what would leave the workspace inconsistent or over its limits.
    async fn check(&self, tx: &mut Tx) -> Result<()> {
        if !self.deleted_connections.is_empty() {
            let sql = "SELECT d.connection, d.name, m.name FROM datasets d LEFT JOIN metrics m \
                       ON m.workspace = d.workspace AND m.dataset = d.id \
                       WHERE d.workspace = $1 AND d.connection §in($2) ORDER BY d.connection, d.name, m.name";
            let values = values![self.ws, self.deleted_connections.clone()];
            let rows = tx.rows(STEP, sql, values).await?;
            if let Some(first) = rows.first() {
                let connection = first.text(0)?;
                let mut users = BTreeSet::new();
                for row in rows.iter() {
                    if row.text(0)? == connection {
                        users.extend(row.text_or_null(1)?.map(|name| format!("dataset `{name}`")));
                        users.extend(row.text_or_null(2)?.map(|name| format!("metric `{name}`")));
                    }
                }
                let names = users.into_iter().take(NAMES_TOLD).collect();
                return Err(Error::InUse {
                    kind: "connection",
                    name: connection,
                    names,
                });
            }
        }
        let needed: Vec<String> = self.needed.iter().cloned().collect();
        let sql = "SELECT name FROM definitions WHERE workspace = $1 AND kind = 'connection' AND name §in($2)";
        let rows = tx.rows(STEP, sql, values![self.ws, needed]).await?;
        let known = rows
            .iter()
            .map(|row| row.text(0))
            .collect::<Result<BTreeSet<_>>>()?;
        if let Some(name) = self.needed.difference(&known).next() {
            return Err(Error::NotFound {
                kind: "connection",
                name: name.clone(),
            });
        }
        if self.has_new_metrics {
            let sql = "SELECT value FROM settings WHERE key = $1";
            let row = tx.row(STEP, sql, values![METRICS_QUOTA_SETTING]).await?;
            let limit = row.map(|row| row.text(0)).transpose()?;
            let limit = limit
                .and_then(|text| text.parse().ok())
                .unwrap_or(METRICS_QUOTA);
            let sql = "SELECT COUNT(*) FROM metrics WHERE workspace = $1";
            let row = tx.row(STEP, sql, values![self.ws]).await?;
            if row.map_or(Ok(0), |row| row.int(0))? > limit {
                return Err(Error::Quota {
                    what: "metrics",
                    limit,
                });
            }
        }
        Ok(())
    }

    fn note(&mut self, action: &str, kind: Kind, name: &str, detail: Option<String>) {
        let kind = kind.as_str();
        self.audit.push(values![
            self.ws, self.now, self.actor, action, kind, name, detail
        ]);
    }
}

/// Voids what datasets fetched so far: their epoch rises, runs in flight are superseded, waiting ones
/// begin anew, and they are due now.
async fn raise(tx: &mut Tx, ws: &str, ids: Vec<String>, now: i64) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE datasets SET epoch = epoch + 1, last_window_end = NULL, next_due_at = $3, wake_at = $3, \
               attention_reason = NULL WHERE workspace = $1 AND id §in($2)";
    tx.run(STEP, sql, values![ws, ids.clone(), now]).await?;
    let sql = "UPDATE runs SET state = 'superseded', ended_at = $3 WHERE workspace = $1 AND dataset §in($2) \
               AND state IN ('dispatched', 'fetched')";
    tx.run(STEP, sql, values![ws, ids.clone(), now]).await?;
    let sql = "UPDATE runs SET epoch = epoch + 1, resume = NULL, connection = (SELECT d.connection \
               FROM datasets d WHERE d.workspace = runs.workspace AND d.id = runs.dataset) \
               WHERE workspace = $1 AND dataset §in($2) AND state = 'waiting'";
    tx.run(STEP, sql, values![ws, ids]).await.map(drop)
}

async fn cancel_runs(tx: &mut Tx, ws: &str, ids: Vec<String>, now: i64) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE runs SET state = 'cancelled', ended_at = $3, resume = NULL WHERE workspace = $1 \
               AND dataset §in($2) AND state IN ('waiting', 'dispatched', 'fetched')";
    tx.run(STEP, sql, values![ws, ids, now]).await.map(drop)
}

fn names(changes: &[Change], kind: Kind) -> Vec<String> {
    let of_kind = changes.iter().filter(|change| change.kind == kind);
    of_kind.map(|change| change.name.clone()).collect()
}

fn told(names: Vec<String>, kind: &str) -> Vec<String> {
    names
        .into_iter()
        .take(NAMES_TOLD)
        .map(|name| format!("{kind} `{name}`"))
        .collect()
}

fn identity_hash(identity: &str) -> String {
    hex(&Sha256::digest(identity.as_bytes()))
}

/// What a search looks at: the name and the title.
fn search_text(name: &str, document: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let title = document
        .get("title")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    format!("{name}\n{}", title.to_lowercase())
}
