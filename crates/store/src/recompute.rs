//! The queue of metrics whose kept pages wait to be evaluated again.

use crate::Store;
use crate::database::{Value, values};
use crate::error::{Error, Result};
use crate::runs::{self, Run};

/// Queues metrics; a repeated request moves its time, so that one in hand is not taken for done.
pub(crate) const REQUEST: &str = "INSERT INTO recomputes \
    (workspace, metric, requested_at, attempts, leased_until, is_whole) VALUES §values \
    ON CONFLICT (workspace, metric) DO UPDATE SET attempts = 0, is_whole = CASE \
    WHEN excluded.is_whole > recomputes.is_whole THEN excluded.is_whole ELSE recomputes.is_whole END, \
    requested_at = CASE \
    WHEN excluded.requested_at > recomputes.requested_at THEN excluded.requested_at \
    ELSE recomputes.requested_at + 1 END RETURNING id";

/// Which kept runs are evaluated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that the metric's present revision has not seen.
    Unseen,
    /// All of them: a person asked, or the metric came back to a dataset it had left.
    All,
}

/// One row of [`REQUEST`].
pub(crate) fn request(ws: &str, metric: &str, now: i64, which: Which) -> Vec<Value> {
    values![ws, metric, now, 0i64, 0i64, which == Which::All]
}

/// A metric that waits to be recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recompute {
    /// Its place in the queue.
    pub id: i64,
    /// Workspace.
    pub workspace: String,
    /// The metric's name.
    pub metric: String,
    /// Its dataset.
    pub dataset: String,
    /// When it was asked for.
    pub requested_at: i64,
    /// How often it was claimed.
    pub attempts: u32,
    /// True when runs are evaluated again that the metric's present revision has seen.
    pub is_whole: bool,
}

impl Store {
    /// Asks for a recompute; one that waits already is joined. Returns its id.
    pub async fn request_recompute(&self, ws: &str, metric: &str) -> Result<i64> {
        let step = "request a recompute";
        let mut tx = self.database.begin(step).await?;
        let sql = "SELECT id FROM metrics WHERE workspace = $1 AND name = $2";
        if tx.row(step, sql, values![ws, metric]).await?.is_none() {
            return Err(Error::NotFound {
                kind: "metric",
                name: metric.to_owned(),
            });
        }
        let now = tx.now().await?;
        let rows = tx
            .many(
                step,
                REQUEST,
                &[],
                vec![request(ws, metric, now, Which::All)],
            )
            .await?;
        let id = rows.first().map_or(Ok(0), |row| row.int(0))?;
        tx.commit(step).await?;
        Ok(id)
    }

    /// Takes the oldest waiting recompute for `lease_ms`; when it is not ended by then, another
    /// caller may take it.
    pub async fn claim_recompute(&self, now: i64, lease_ms: i64) -> Result<Option<Recompute>> {
        let step = "claim a recompute";
        // Looking first costs nothing; a writing transaction at every poll would.
        let sql = "SELECT id FROM recomputes WHERE leased_until <= $1 LIMIT 1";
        if self.database.row(step, sql, values![now]).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.database.begin(step).await?;
        tx.rows(
            step,
            "SELECT name FROM locks WHERE name = 'dispatch' §lock",
            vec![],
        )
        .await?;
        let sql = "SELECT r.id, r.workspace, r.metric, m.dataset, r.requested_at, r.attempts, r.is_whole \
                   FROM recomputes r JOIN metrics m ON m.workspace = r.workspace AND m.name = r.metric \
                   WHERE r.leased_until <= $1 ORDER BY r.attempts, r.id LIMIT 1";
        let Some(row) = tx.row(step, sql, values![now]).await? else {
            return Ok(None);
        };
        let recompute = Recompute {
            id: row.int(0)?,
            workspace: row.text(1)?,
            metric: row.text(2)?,
            dataset: row.text(3)?,
            requested_at: row.int(4)?,
            attempts: row.count(5)?.saturating_add(1),
            is_whole: row.is(6)?,
        };
        let sql = "UPDATE recomputes SET attempts = attempts + 1, leased_until = $2 WHERE id = $1";
        tx.run(step, sql, values![recompute.id, now + lease_ms])
            .await?;
        tx.commit(step).await?;
        Ok(Some(recompute))
    }

    /// Lists the newest final runs that a recompute evaluates again, with manifests: those of the dataset's
    /// present epoch, unless the metric has an outcome of `revision` for them already.
    pub async fn runs_to_recompute(
        &self,
        recompute: &Recompute,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<(Run, Option<String>)>> {
        let sql = runs::columns!(
            ", manifest",
            "WHERE workspace = $1 AND dataset = $2 AND state = 'final' AND epoch = (SELECT epoch FROM datasets \
             WHERE workspace = $1 AND id = $2) AND ($3 = 1 OR NOT EXISTS (SELECT 1 FROM outcomes o \
             WHERE o.run = runs.id AND o.metric = $4 AND o.revision = $5)) ORDER BY id DESC LIMIT $6"
        );
        let (ws, dataset, metric) = (&recompute.workspace, &recompute.dataset, &recompute.metric);
        let whole = i64::from(recompute.is_whole);
        let values = values![ws, dataset, whole, metric, revision, limit];
        let rows = self
            .database
            .rows("list runs to recompute", sql, values)
            .await?;
        rows.iter()
            .map(|row| Ok((runs::read(row)?, row.text_or_null(runs::COLUMNS)?)))
            .collect()
    }

    /// Takes a recompute off the queue; a request that came in since it was claimed stays.
    pub async fn end_recompute(&self, recompute: &Recompute) -> Result<()> {
        let sql = "DELETE FROM recomputes WHERE id = $1 AND requested_at = $2";
        let step = "end a recompute";
        if self
            .database
            .run(step, sql, values![recompute.id, recompute.requested_at])
            .await?
            == 0
        {
            // Asked for again meanwhile: free for the next claim.
            let sql = "UPDATE recomputes SET leased_until = 0 WHERE id = $1";
            self.database.run(step, sql, values![recompute.id]).await?;
        }
        Ok(())
    }
}
