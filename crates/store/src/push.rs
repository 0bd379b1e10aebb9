//! Rows that nobody fetched: a run that begins and ends in one transaction.

use crate::Store;
use crate::commit::Commit;
use crate::database::values;
use crate::error::Result;
use crate::identity;

/// The connection of datasets that ask nobody.
pub const NO_CONNECTION: &str = "";

impl Store {
    /// Begins the commit of rows that were pushed to a metric, as a run of its own; `None` when there is no such
    /// metric, or it is fetched. Unlike other runs this one is in the ledger only once it is committed.
    pub async fn begin_push(&self, ws: &str, metric: &str, reason: &str) -> Result<Option<Commit>> {
        let step = "begin a push";
        let mut tx = self.database.begin(step).await?;
        let sql = "SELECT id, epoch FROM datasets WHERE workspace = $1 AND connection = $3 AND id = (SELECT dataset \
                   FROM metrics WHERE workspace = $1 AND name = $2) §lock";
        let Some(row) = tx
            .row(step, sql, values![ws, metric, NO_CONNECTION])
            .await?
        else {
            return Ok(None);
        };
        let (dataset, epoch) = (row.text(0)?, row.int(1)?);
        let now = tx.now().await?;
        let id = identity::run(now);
        // Its own id stands for the window, so that two pushes of one millisecond are two.
        let sql = "INSERT INTO runs (id, workspace, dataset, connection, epoch, slot, kind, window_token, priority, \
                   not_before, created_at, dispatched_at, fetched_at, reason, state, attempt, evaluations, pages, \
                   rows_used, rejected, partial) \
                   VALUES ($1, $2, $3, $4, $5, $6, 'push', $1, 0, $6, $6, $6, $6, $7, 'fetched', 1, 1, 0, 0, 0, 0)";
        let values = values![&id, ws, &dataset, NO_CONNECTION, epoch, now, reason];
        tx.run(step, sql, values).await?;
        Commit::of_run(tx, ws, &dataset, &id).await
    }
}
