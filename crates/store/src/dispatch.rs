//! Which waiting runs go next, and how runs in flight come back.

use std::collections::HashMap;

use crate::Store;
use crate::database::{Row, Tx, values};
use crate::error::Result;
use crate::runs::{self, Evaluation, Run};

/// Waiting runs in the order in which they may go.
///
/// `nth` counts the runs of a dataset, `line` those of a connection's present or past (backfills), `place` those
/// of a connection and `turn` those of a workspace, each behind what is in flight already; taking low numbers first
/// is the round robin. So no dataset holds up its neighbours, and of a connection's places backfills get about a
/// quarter while others wait and never more than `$5`. A run waits while an older open run of the same dataset and
/// window is not through.
const DISPATCHABLE: &str = "WITH flying AS ( \
        SELECT workspace, connection, dataset, CASE WHEN priority = 3 THEN 1 ELSE 0 END AS past, COUNT(*) AS n \
        FROM runs WHERE state = 'dispatched' \
        GROUP BY workspace, connection, dataset, CASE WHEN priority = 3 THEN 1 ELSE 0 END), \
    of_dataset AS ( \
        SELECT workspace, dataset, CAST(SUM(n) AS BIGINT) AS n FROM flying GROUP BY workspace, dataset), \
    of_line AS ( \
        SELECT workspace, connection, past, CAST(SUM(n) AS BIGINT) AS n FROM flying \
        GROUP BY workspace, connection, past), \
    of_connection AS ( \
        SELECT workspace, connection, CAST(SUM(n) AS BIGINT) AS n FROM flying GROUP BY workspace, connection), \
    of_workspace AS (SELECT workspace, CAST(SUM(n) AS BIGINT) AS n FROM flying GROUP BY workspace), \
    ready AS ( \
        SELECT r.id, r.workspace, r.connection, r.dataset, r.priority, \
        CASE WHEN r.priority = 0 THEN 0 ELSE 1 END AS later, CASE WHEN r.priority = 3 THEN 1 ELSE 0 END AS past \
        FROM runs r WHERE r.state = 'waiting' AND r.not_before <= $1 AND NOT EXISTS ( \
            SELECT 1 FROM runs o WHERE o.workspace = r.workspace AND o.dataset = r.dataset \
            AND o.window_token = r.window_token AND o.state IN ('waiting', 'dispatched', 'fetched') \
            AND o.id <> r.id AND (o.state <> 'waiting' OR o.id < r.id))), \
    counted AS ( \
        SELECT r.id, r.workspace, r.connection, r.priority, r.later, r.past, COALESCE(d.n, 0) + ROW_NUMBER() OVER ( \
            PARTITION BY r.workspace, r.dataset ORDER BY r.priority, r.id) AS nth \
        FROM ready r LEFT JOIN of_dataset d ON d.workspace = r.workspace AND d.dataset = r.dataset), \
    lined AS ( \
        SELECT c.id, c.workspace, c.connection, c.priority, c.later, c.past, COALESCE(l.n, 0) + ROW_NUMBER() OVER ( \
            PARTITION BY c.workspace, c.connection, c.past ORDER BY c.later, c.nth, c.priority, c.id) AS line \
        FROM counted c LEFT JOIN of_line l \
        ON l.workspace = c.workspace AND l.connection = c.connection AND l.past = c.past), \
    placed AS ( \
        SELECT l.id, l.workspace, l.priority, l.later, COALESCE(f.n, 0) + ROW_NUMBER() OVER ( \
            PARTITION BY l.workspace, l.connection ORDER BY l.later, l.line * (1 + 2 * l.past), l.priority, l.id) \
            AS place \
        FROM lined l LEFT JOIN of_connection f ON f.workspace = l.workspace AND f.connection = l.connection \
        WHERE l.past = 0 OR l.line <= $5), \
    turned AS ( \
        SELECT p.id, p.workspace, COALESCE(b.n, 0) + ROW_NUMBER() OVER ( \
            PARTITION BY p.workspace ORDER BY p.later, p.place, p.priority, p.id) AS turn \
        FROM placed p LEFT JOIN of_workspace b ON b.workspace = p.workspace WHERE p.place <= $2) \
    SELECT id FROM turned WHERE turn <= $3 ORDER BY turn, workspace LIMIT $4";

/// Of a connection's places, so many stay free of backfills: people and schedules need not wait for the past.
fn most_past(per_connection: u32) -> u32 {
    per_connection.saturating_sub(per_connection / 4).max(1)
}

impl Store {
    /// Lists waiting runs that may go now: round robin over workspaces, never more in flight than
    /// the caps, never two runs of one dataset and window at once.
    pub async fn dispatchable(
        &self,
        now: i64,
        limit: u32,
        per_workspace: u32,
        per_connection: u32,
    ) -> Result<Vec<Run>> {
        let mut tx = self.database.begin_read("list dispatchable runs").await?;
        let ids = dispatchable(&mut tx, now, limit, per_workspace, per_connection).await?;
        let sql = runs::columns!("WHERE id §in($1)");
        let rows = tx.rows("read runs", sql, values![ids.clone()]).await?;
        in_order(&rows, &ids)
    }

    /// As [`Store::dispatchable`], and marks the runs as dispatched in the same transaction: each is
    /// handed to one caller only, with `attempt` already raised. Publish them next; a crash before
    /// that is healed by [`Store::overdue`].
    pub async fn claim(
        &self,
        now: i64,
        limit: u32,
        per_workspace: u32,
        per_connection: u32,
    ) -> Result<Vec<Run>> {
        let step = "claim runs";
        // Looking first costs nothing; a writing transaction every second would.
        if self
            .database
            .row(step, ANY_WAITING, values![now])
            .await?
            .is_none()
        {
            return Ok(Vec::new());
        }
        let mut tx = self.database.begin(step).await?;
        tx.rows(
            step,
            "SELECT name FROM locks WHERE name = 'dispatch' §lock",
            vec![],
        )
        .await?;
        let ids = dispatchable(&mut tx, now, limit, per_workspace, per_connection).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = concat!(
            "UPDATE runs SET state = 'dispatched', attempt = attempt + 1, dispatched_at = $2 \
             WHERE id §in($1) AND state = 'waiting' RETURNING ",
            runs::names!()
        );
        let rows = tx.rows(step, sql, values![ids.clone(), now]).await?;
        let claimed = in_order(&rows, &ids)?;
        tx.commit(step).await?;
        Ok(claimed)
    }

    /// Marks a waiting run as dispatched for the `attempt`-th time (the run's attempt + 1). False
    /// when somebody else did, or it is no longer waiting.
    pub async fn mark_dispatched(
        &self,
        ws: &str,
        run: &str,
        attempt: u32,
        at: i64,
    ) -> Result<bool> {
        let sql = "UPDATE runs SET state = 'dispatched', attempt = $3, dispatched_at = $4 \
                   WHERE id = $2 AND workspace = $1 AND state = 'waiting' AND attempt = $3 - 1";
        let step = "mark a run as dispatched";
        Ok(self
            .database
            .run(step, sql, values![ws, run, attempt, at])
            .await?
            > 0)
    }

    /// Puts a dispatched or fetched run back to waiting, not to go before `not_before`. False when it
    /// is not in flight.
    pub async fn release(
        &self,
        ws: &str,
        run: &str,
        not_before: i64,
        reason: Option<&str>,
    ) -> Result<bool> {
        let sql = "UPDATE runs SET state = 'waiting', not_before = $3, reason = COALESCE($4, reason), \
                   fetched_at = NULL WHERE id = $2 AND workspace = $1 AND state IN ('dispatched', 'fetched')";
        let values = values![ws, run, not_before, reason];
        Ok(self.database.run("release a run", sql, values).await? > 0)
    }

    /// As [`Store::release`], for several runs of any workspace.
    pub async fn release_all(&self, runs: &[String], not_before: i64, reason: &str) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE runs SET state = 'waiting', not_before = $2, reason = $3, fetched_at = NULL \
                   WHERE id §in($1) AND state IN ('dispatched', 'fetched')";
        let values = values![runs.to_vec(), not_before, reason];
        self.database
            .run("release runs", sql, values)
            .await
            .map(drop)
    }

    /// As [`Store::release`], with the point where the next attempt goes on.
    pub async fn checkpoint(
        &self,
        ws: &str,
        run: &str,
        resume: &str,
        not_before: i64,
    ) -> Result<bool> {
        let sql = "UPDATE runs SET state = 'waiting', not_before = $3, resume = $4, fetched_at = NULL \
                   WHERE id = $2 AND workspace = $1 AND state IN ('dispatched', 'fetched')";
        let values = values![ws, run, not_before, resume];
        Ok(self.database.run("checkpoint a run", sql, values).await? > 0)
    }

    /// Lists runs dispatched before `dispatched_before`, or fetched before `fetched_before`, and not
    /// ended: oldest first.
    pub async fn overdue(
        &self,
        dispatched_before: i64,
        fetched_before: i64,
        limit: u32,
    ) -> Result<Vec<Run>> {
        let sql = runs::columns!(
            "WHERE (state = 'dispatched' AND dispatched_at < $1) OR (state = 'fetched' AND fetched_at < $2) \
             ORDER BY id LIMIT $3"
        );
        let values = values![dispatched_before, fetched_before, limit];
        let rows = self.database.rows("list overdue runs", sql, values).await?;
        rows.iter().map(runs::read).collect()
    }

    /// Begins an evaluation: marks the run as fetched and counts the attempt. `None` when the run is
    /// unknown or has ended (a repeated delivery).
    pub async fn begin_evaluation(&self, ws: &str, run: &str) -> Result<Option<Evaluation>> {
        let step = "begin an evaluation";
        let sql = concat!(
            "UPDATE runs SET state = 'fetched', fetched_at = COALESCE(fetched_at, §now), \
             evaluations = evaluations + 1 \
             WHERE id = $2 AND workspace = $1 AND state IN ('waiting', 'dispatched', 'fetched') RETURNING ",
            runs::names!()
        );
        let rows = self
            .database
            .write_rows(step, sql, values![ws, run])
            .await?;
        let run = rows.first().map(runs::read).transpose()?;
        Ok(run.map(|run| Evaluation {
            attempts: run.evaluations,
            run,
        }))
    }

    /// Takes back one counted evaluation: it ended for reasons outside of the run.
    pub async fn refund_evaluation(&self, ws: &str, run: &str) -> Result<()> {
        let sql = "UPDATE runs SET evaluations = evaluations - 1 \
                   WHERE id = $2 AND workspace = $1 AND evaluations > 0";
        self.database
            .run("refund an evaluation", sql, values![ws, run])
            .await
            .map(drop)
    }
}

const ANY_WAITING: &str =
    "SELECT id FROM runs WHERE state = 'waiting' AND not_before <= $1 LIMIT 1";

async fn dispatchable(
    tx: &mut Tx,
    now: i64,
    limit: u32,
    per_workspace: u32,
    per_connection: u32,
) -> Result<Vec<String>> {
    let values = values![
        now,
        per_connection,
        per_workspace,
        limit,
        most_past(per_connection)
    ];
    let rows = tx
        .rows("list dispatchable runs", DISPATCHABLE, values)
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Reads runs in the order of the ids.
fn in_order(rows: &[Row], ids: &[String]) -> Result<Vec<Run>> {
    let places: HashMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
    let mut found = rows.iter().map(runs::read).collect::<Result<Vec<_>>>()?;
    found.sort_by_key(|run| places.get(run.id.as_str()).copied());
    Ok(found)
}
