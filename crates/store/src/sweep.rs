//! Retention: what goes when, in batches.

use crate::Store;
use crate::database::values;
use crate::error::Result;

const DAY: i64 = 86_400_000;
/// A quarter of history for people who ask what happened; the numbers themselves stay for ever.
pub const RUNS_KEPT: i64 = 90 * DAY;
/// Samples hold parts of foreign records: long enough to mend an expression, no longer.
pub const REJECTED_KEPT: i64 = 7 * DAY;
/// A year and a month, so that yearly reviews find the year whole.
pub const AUDIT_KEPT: i64 = 400 * DAY;
/// Expired tokens stay listed for a while, so that people see why something stopped.
pub const EXPIRED_TOKENS_KEPT: i64 = 30 * DAY;
/// A month of what was sent to whom, for people who ask.
pub const DELIVERIES_KEPT: i64 = 30 * DAY;
/// What is known to be gone is remembered until no earlier run can bring it back: runs retry for hours.
pub const GONE_RECORDS_KEPT: i64 = 7 * DAY;
/// Rows of one table deleted at a time: milliseconds, so that nobody waits behind a sweep.
pub const BATCH: u32 = 1_000;

enum Table {
    Runs,
    Rejected,
    Audit,
    Tokens,
    Deliveries,
    Records,
}

/// What one sweep deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Ended runs past their time, with their outcomes.
    pub runs: u64,
    /// Samples of rejected rows.
    pub rejected: u64,
    /// Audit rows.
    pub audit: u64,
    /// Cells of deleted metrics, and those that are older than their metric keeps them.
    pub cells: u64,
    /// Records that went long ago.
    pub records: u64,
    /// Tokens that expired long ago.
    pub tokens: u64,
    /// Messages to people that ended long ago.
    pub deliveries: u64,
    /// True when a batch was full: sweep again soon.
    pub more: bool,
}

impl Store {
    /// Deletes one batch of everything that is past its time at `now`.
    pub async fn sweep(&self, now: i64) -> Result<Swept> {
        let mut swept = Swept::default();
        let batch = i64::from(BATCH);
        for (table, sql, before) in [
            (
                Table::Runs,
                "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
                now - RUNS_KEPT,
            ),
            (
                Table::Rejected,
                "DELETE FROM rejected_rows WHERE at < $1 AND at <= COALESCE((SELECT at FROM rejected_rows \
                 WHERE at < $1 ORDER BY at LIMIT 1 OFFSET $2), $1)",
                now - REJECTED_KEPT,
            ),
            (
                Table::Audit,
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)",
                now - AUDIT_KEPT,
            ),
            (
                Table::Tokens,
                "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < $1 LIMIT $2)",
                now - EXPIRED_TOKENS_KEPT,
            ),
            (
                Table::Deliveries,
                "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE created_at < $1 \
                 AND state NOT IN ('waiting', 'queued') ORDER BY created_at LIMIT $2)",
                now - DELIVERIES_KEPT,
            ),
            (
                Table::Records,
                "DELETE FROM records WHERE (metric_id, key) IN (SELECT metric_id, key FROM records \
                 WHERE start_at IS NULL AND seen_at < $1 ORDER BY seen_at LIMIT $2)",
                now - GONE_RECORDS_KEPT,
            ),
        ] {
            let deleted = self
                .database
                .run("sweep", sql, values![before, batch])
                .await?;
            swept.more |= deleted >= u64::from(BATCH);
            match table {
                Table::Runs => swept.runs = deleted,
                Table::Rejected => swept.rejected = deleted,
                Table::Audit => swept.audit = deleted,
                Table::Tokens => swept.tokens = deleted,
                Table::Deliveries => swept.deliveries = deleted,
                Table::Records => swept.records = deleted,
            }
        }
        self.sweep_doomed(&mut swept).await?;
        self.sweep_kept(now, &mut swept).await?;
        Ok(swept)
    }

    /// Takes away one batch of what a deleted metric left behind.
    async fn sweep_doomed(&self, swept: &mut Swept) -> Result<()> {
        let step = "sweep points";
        let sql = "SELECT metric_id FROM doomed_metrics ORDER BY metric_id LIMIT 1";
        let Some(row) = self.database.row(step, sql, vec![]).await? else {
            return Ok(());
        };
        let metric = row.int(0)?;
        swept.more = true;
        let sql = "DELETE FROM cells WHERE metric_id = $1 AND start_at <= COALESCE((SELECT start_at FROM cells \
                   WHERE metric_id = $1 ORDER BY start_at LIMIT 1 OFFSET $2), $3)";
        let batch = i64::from(BATCH) * 10 - 1;
        swept.cells = self
            .database
            .run(step, sql, values![metric, batch, i64::MAX])
            .await?;
        let sql = "DELETE FROM records WHERE metric_id = $1 AND key <= COALESCE((SELECT key FROM records \
                   WHERE metric_id = $1 ORDER BY key LIMIT 1 OFFSET $2), (SELECT MAX(key) FROM records \
                   WHERE metric_id = $1))";
        let records = self.database.run(step, sql, values![metric, batch]).await?;
        swept.records += records;
        if swept.cells + records > 0 {
            return Ok(());
        }
        let mut tx = self.database.begin(step).await?;
        for sql in [
            "DELETE FROM series WHERE metric_id = $1",
            "DELETE FROM coverage WHERE metric_id = $1",
            "DELETE FROM notes WHERE metric_id = $1",
            "DELETE FROM syncs WHERE metric_id = $1",
            "DELETE FROM doomed_metrics WHERE metric_id = $1",
        ] {
            tx.run(step, sql, values![metric]).await?;
        }
        tx.commit(step).await
    }
}
