//! `keep:`: points that are older than a metric wants them are swept away, in batches.

use definition::Metric;
use jiff::Timestamp;

use crate::Store;
use crate::calculated;
use crate::database::values;
use crate::error::Result;
use crate::points::next_version;
use crate::reading::instant;
use crate::sweep::Swept;

/// Metrics looked at in one sweep; those with `keep` are few.
const METRICS: i64 = 10_000;
/// Points or records of one metric deleted at a time, as of a deleted metric.
const AT_ONCE: i64 = 10_000;

/// Returns the first instant that a metric still keeps; `None` when it keeps all.
pub fn kept_from(metric: &Metric, now: Timestamp) -> Option<Timestamp> {
    let keep = metric.keep?;
    let zone = metric.zone();
    let before = keep.before(&now.to_zoned(zone.clone())).timestamp();
    Some(metric.resolution.start_of(before, &zone, metric.week_start))
}

impl Store {
    /// Takes away one batch of what metrics do not keep any more.
    pub(crate) async fn sweep_kept(&self, now: i64, swept: &mut Swept) -> Result<()> {
        let sql = "SELECT workspace, name, document FROM definitions WHERE kind = 'metric' \
                   AND document LIKE '%\"keep\":%' ORDER BY workspace, name LIMIT $1";
        let rows = self
            .database
            .rows("sweep points", sql, values![METRICS])
            .await?;
        for row in rows {
            let (ws, name, document) = (row.text(0)?, row.text(1)?, row.text(2)?);
            let document: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
            let Ok(definition::Definition::Metric(metric)) =
                definition::Definition::from_document(&document)
            else {
                continue;
            };
            if let Some(from) = kept_from(&metric, instant(now)) {
                let dropped = self.drop_before(&ws, &name, from.as_millisecond());
                let (cells, records) = dropped.await?;
                swept.cells += cells;
                swept.records += records;
                swept.more |= is_full(cells) || is_full(records);
            }
        }
        Ok(())
    }

    /// Takes away a batch of a metric's points before `from`, and once none is left a batch of the records that made
    /// them and what is known of that time; returns both counts.
    ///
    /// Points go first: one that was folded again from half of its records would be wrong while it is there.
    async fn drop_before(&self, ws: &str, metric: &str, from: i64) -> Result<(u64, u64)> {
        let step = "sweep points";
        let sql = "SELECT m.id FROM metrics m WHERE m.workspace = $1 AND m.name = $2 AND ( \
                   EXISTS (SELECT 1 FROM cells c WHERE c.metric_id = m.id AND c.start_at < $3) \
                   OR EXISTS (SELECT 1 FROM records r WHERE r.metric_id = m.id AND r.start_at < $3) \
                   OR EXISTS (SELECT 1 FROM coverage v WHERE v.metric_id = m.id AND v.start_at < $3) \
                   OR EXISTS (SELECT 1 FROM syncs s WHERE s.metric_id = m.id AND s.at < $3))";
        let values = values![ws, metric, from];
        if self.database.row(step, sql, values).await?.is_none() {
            return Ok((0, 0));
        }
        let mut tx = self.database.begin(step).await?;
        let sql = "SELECT id, version FROM metrics WHERE workspace = $1 AND name = $2 §lock";
        let Some(row) = tx.row(step, sql, values![ws, metric]).await? else {
            return Ok((0, 0));
        };
        let (id, version) = (row.int(0)?, row.int(1)?);
        let sql = "DELETE FROM cells WHERE metric_id = $1 AND start_at < $2 AND start_at <= COALESCE((SELECT start_at \
                   FROM cells WHERE metric_id = $1 ORDER BY start_at LIMIT 1 OFFSET $3), $2)";
        let cells = tx.run(step, sql, values![id, from, AT_ONCE - 1]).await?;
        let mut records = 0;
        if !is_full(cells) {
            let sql = "DELETE FROM records WHERE metric_id = $1 AND key IN (SELECT key FROM records \
                       WHERE metric_id = $1 AND start_at < $2 ORDER BY start_at, series_id, key LIMIT $3)";
            records = tx.run(step, sql, values![id, from, AT_ONCE]).await?;
            for sql in [
                "DELETE FROM syncs WHERE metric_id = $1 AND at < $2",
                "DELETE FROM coverage WHERE metric_id = $1 AND end_at <= $2",
                "UPDATE coverage SET start_at = $2 WHERE metric_id = $1 AND start_at < $2",
            ] {
                tx.run(step, sql, values![id, from]).await?;
            }
        }
        if cells > 0 {
            // Whoever has the numbers in hand reads them again; what is calculated from them changes too.
            let epoch = calculated::epoch(&mut tx).await?;
            let sql = "UPDATE metrics SET version = $2 WHERE id = $1";
            tx.run(step, sql, values![id, next_version(version, epoch)])
                .await?;
            let (now, changed) = (tx.now().await?, [metric.to_owned()]);
            calculated::raise_dependents(&mut tx, ws, &changed, epoch, now).await?;
        }
        tx.commit(step).await?;
        Ok((cells, records))
    }
}

fn is_full(deleted: u64) -> bool {
    i64::try_from(deleted).unwrap_or(i64::MAX) >= AT_ONCE
}
