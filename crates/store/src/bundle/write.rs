//! Writing what the puts of a bundle came to, many rows at a time.

use super::{Bundle, STEP};
use crate::database::{Tx, values};
use crate::definitions::REVISIONS_KEPT;
use crate::error::Result;
use crate::recompute;

impl Bundle<'_> {
    pub(crate) async fn write_datasets(&mut self, tx: &mut Tx) -> Result<()> {
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

    pub(crate) async fn write_epochs(&mut self, tx: &mut Tx) -> Result<()> {
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

    pub(crate) async fn write_metrics(&mut self, tx: &mut Tx) -> Result<()> {
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

    pub(crate) async fn write_definitions(&mut self, tx: &mut Tx) -> Result<()> {
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
            // 0: look at once, but do not fetch for that reason. An edit ends a pause.
            let sql = "UPDATE datasets SET wake_at = 0, gone_in_a_row = 0, paused_reason = NULL, \
                       attention_reason = CASE WHEN paused_reason IS NULL THEN attention_reason END \
                       WHERE workspace = $1 AND id §in($2) AND (wake_at IS NULL OR wake_at > $3)";
            tx.run(STEP, sql, values![self.ws, replan, self.now])
                .await?;
        }
        Ok(())
    }
}

/// Voids what datasets fetched so far: their epoch rises, runs in flight are superseded, waiting ones
/// begin anew, and they are due now.
async fn raise(tx: &mut Tx, ws: &str, ids: Vec<String>, now: i64) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE datasets SET epoch = epoch + 1, last_window_end = NULL, next_due_at = $3, wake_at = $3, \
               attention_reason = NULL, gone_in_a_row = 0, paused_reason = NULL \
               WHERE workspace = $1 AND id §in($2)";
    tx.run(STEP, sql, values![ws, ids.clone(), now]).await?;
    let sql = "UPDATE runs SET state = 'superseded', ended_at = $3 WHERE workspace = $1 AND dataset §in($2) \
               AND state IN ('dispatched', 'fetched')";
    tx.run(STEP, sql, values![ws, ids.clone(), now]).await?;
    let sql = "UPDATE runs SET epoch = epoch + 1, resume = NULL, connection = (SELECT d.connection \
               FROM datasets d WHERE d.workspace = runs.workspace AND d.id = runs.dataset) \
               WHERE workspace = $1 AND dataset §in($2) AND state = 'waiting'";
    tx.run(STEP, sql, values![ws, ids]).await.map(drop)
}
