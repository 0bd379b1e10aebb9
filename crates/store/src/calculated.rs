//! Metrics that are calculated from others: found, and given new versions when those change.

use crate::Store;
use crate::database::{Tx, values};
use crate::error::Result;
use crate::points::next_version;
use crate::workspaces::{EPOCH_SETTING, epoch as read_epoch};

/// The step named in errors.
const STEP: &str = "raise calculated metrics";

/// All that is calculated from the metrics `$2`, however far.
const DEPENDENTS: &str = "WITH RECURSIVE found (name) AS (\
     SELECT name FROM definition_uses WHERE workspace = $1 AND kind = 'metric' AND used_kind = 'metric' \
     AND used_name §in($2) \
     UNION SELECT u.name FROM definition_uses u JOIN found f ON u.used_name = f.name \
     WHERE u.workspace = $1 AND u.kind = 'metric' AND u.used_kind = 'metric') \
     SELECT name FROM found ORDER BY name";

impl Store {
    /// Lists all metrics that are calculated from any of `metrics`, directly or through others, by name.
    pub async fn calculated_from(&self, ws: &str, metrics: &[String]) -> Result<Vec<String>> {
        let values = values![ws, metrics.to_vec()];
        let rows = self
            .database
            .rows("list calculated metrics", DEPENDENTS, values)
            .await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

/// Returns all metrics that are calculated from any of `metrics`, by name.
pub(crate) async fn dependents(tx: &mut Tx, ws: &str, metrics: &[String]) -> Result<Vec<String>> {
    let rows = tx
        .rows(STEP, DEPENDENTS, values![ws, metrics.to_vec()])
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Gives what is calculated from any of `metrics` a new version, as [`raise`] does.
pub(crate) async fn raise_dependents(
    tx: &mut Tx,
    ws: &str,
    metrics: &[String],
    epoch: i64,
    now: i64,
) -> Result<()> {
    let names = dependents(tx, ws, metrics).await?;
    raise(tx, ws, names, epoch, now).await
}

/// Returns the epoch of versions.
pub(crate) async fn epoch(tx: &mut Tx) -> Result<i64> {
    let sql = "SELECT value FROM settings WHERE key = $1";
    let row = tx.row(STEP, sql, values![EPOCH_SETTING]).await?;
    read_epoch(row.as_ref())
}

/// Gives calculated metrics a new version each, and queues announcements without points: whoever hears
/// them reads the series.
///
/// Calculated metrics are locked after all others, in the order of their names, so that two runs that
/// change inputs of the same ones wait for one another.
pub(crate) async fn raise(
    tx: &mut Tx,
    ws: &str,
    names: Vec<String>,
    epoch: i64,
    now: i64,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let sql = "SELECT id, name, version FROM metrics WHERE workspace = $1 AND name §in($2) \
               ORDER BY name §lock";
    let mut news = Vec::new();
    for row in tx.rows(STEP, sql, values![ws, names]).await? {
        let version = next_version(row.int(2)?, epoch);
        let sql = "UPDATE metrics SET version = $2, last_success_at = $3 WHERE id = $1";
        tx.run(STEP, sql, values![row.int(0)?, version, now])
            .await?;
        news.push(values![ws, row.text(1)?, version, now, ""]);
    }
    let sql = "INSERT INTO outbox (workspace, metric, version, created_at, payload) VALUES §values";
    tx.many(STEP, sql, &[], news).await.map(drop)
}
