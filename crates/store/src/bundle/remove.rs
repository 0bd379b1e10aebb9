//! Deleting definitions, and refusing what would leave the workspace inconsistent.

use std::collections::BTreeSet;

use super::{Bundle, STEP};
use crate::database::{Tx, values};
use crate::definitions::{
    Applied, ApplyOutcome, Change, Kind, METRICS_QUOTA, METRICS_QUOTA_SETTING,
};
use crate::error::{Error, Result};

/// How many names an "in use" error lists.
pub(super) const NAMES_TOLD: usize = 20;

impl Bundle<'_> {
    pub(crate) async fn delete(&mut self, tx: &mut Tx, at: usize, change: &Change) -> Result<()> {
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
            Kind::Goal | Kind::Alert | Kind::Board | Kind::Scorecard => {
                self.forget_watch(tx, kind, name).await?;
                None
            }
        };
        self.deleted.insert((kind, name.to_owned()));
        let sql = "DELETE FROM definitions WHERE workspace = $1 AND kind = $2 AND name = $3";
        tx.run(STEP, sql, values![self.ws, kind.as_str(), name])
            .await?;
        self.note("deleted", kind, name, None);
        self.answers[at] = Some(Applied {
            kind,
            name: name.to_owned(),
            outcome: ApplyOutcome::Deleted,
            version,
            created_at: self.created_at(kind, name),
            revision: None,
            dataset,
        });
        Ok(())
    }

    pub(crate) async fn delete_dataset(
        &mut self,
        tx: &mut Tx,
        name: &str,
    ) -> Result<Option<String>> {
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

    pub(crate) async fn delete_metric(
        &mut self,
        tx: &mut Tx,
        name: &str,
    ) -> Result<Option<String>> {
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
        self.left.extend(metric.dataset.clone());
        self.replan.extend(metric.dataset.clone());
        Ok(metric.dataset)
    }

    /// Implicit datasets that nobody reads any more go, with their open runs.
    pub(crate) async fn retire(&mut self, tx: &mut Tx) -> Result<()> {
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
    pub(crate) async fn check(&self, tx: &mut Tx) -> Result<()> {
        self.check_uses(tx).await?;
        if !self.deleted_connections.is_empty() {
            let sql = "SELECT d.connection, d.name, m.name FROM datasets d LEFT JOIN metrics m \
                       ON m.workspace = d.workspace AND m.dataset = d.id \
                       WHERE d.workspace = $1 AND d.connection §in($2) ORDER BY d.connection, d.name, m.name";
            let values = values![self.ws, self.deleted_connections.clone()];
            let rows = tx.rows(STEP, sql, values).await?;
            if let Some(first) = rows.first() {
                let connection = first.text(0)?;
                let mut users = BTreeSet::new();
                for row in &rows {
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
}

async fn cancel_runs(tx: &mut Tx, ws: &str, ids: Vec<String>, now: i64) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE runs SET state = 'cancelled', ended_at = $3, resume = NULL WHERE workspace = $1 \
               AND dataset §in($2) AND state IN ('waiting', 'dispatched', 'fetched')";
    tx.run(STEP, sql, values![ws, ids, now]).await.map(drop)
}

fn told(names: Vec<String>, kind: &str) -> Vec<String> {
    names
        .into_iter()
        .take(NAMES_TOLD)
        .map(|name| format!("{kind} `{name}`"))
        .collect()
}
