//! How a run ends, once.

use crate::Store;
use crate::database::{Tx, values};
use crate::error::Result;
use crate::runs::RunState;

/// How a run ends.
#[derive(Debug, Clone, Default)]
pub struct RunEnd {
    /// The manifest as JSON: needed for recomputing and provenance.
    pub manifest: Option<String>,
    /// Pages read.
    pub pages: i64,
    /// Rows used, over all metrics.
    pub rows: i64,
    /// Rows rejected, over all metrics.
    pub rejected: i64,
    /// True when it was cut short.
    pub partial: bool,
    /// How the fetch ended.
    pub ended: Option<String>,
    /// What went wrong: JSON, redacted.
    pub error: Option<String>,
    /// Marks the dataset as needing a person, with the reason.
    pub needs_attention: Option<String>,
    /// What else a person should know, in sentences.
    pub notes: Vec<String>,
    /// Records fetched, repeated ones included, as far as they can be counted.
    pub records: Option<i64>,
    /// Records that the API says there are.
    pub stated_total: Option<i64>,
    /// Requests sent, retries included.
    pub requests: Option<i64>,
    /// True when the API said that what is asked for is gone for good (410): [`GONE_PAUSES_AT`] such
    /// ends in a row pause the dataset.
    pub is_gone: bool,
}

/// So many answers 410 in a row pause a dataset: its address is no more, and nobody should go on knocking.
pub const GONE_PAUSES_AT: i64 = 3;
/// Why such a dataset is paused.
const GONE_REASON: &str = "paused: the API answered 410 Gone three times in a row, so what this asks for is no more; \
    edit its request, or sync it once the API has it again";

impl Store {
    /// Ends a run as failed; false when it had ended.
    pub async fn fail_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        self.end_run(ws, run, RunState::Failed, end).await
    }

    /// Ends a run as dead; false when it had ended.
    pub async fn dead_run(&self, ws: &str, run: &str, end: &RunEnd) -> Result<bool> {
        self.end_run(ws, run, RunState::Dead, end).await
    }

    /// Ends an open run as cancelled; false when it had ended.
    pub async fn cancel_run(&self, ws: &str, run: &str, reason: &str) -> Result<bool> {
        let sql = "UPDATE runs SET state = 'cancelled', ended_at = §now, reason = $3 \
                   WHERE id = $2 AND workspace = $1 AND state IN ('waiting', 'dispatched', 'fetched')";
        Ok(self
            .database
            .run("cancel a run", sql, values![ws, run, reason])
            .await?
            > 0)
    }

    async fn end_run(&self, ws: &str, run: &str, state: RunState, end: &RunEnd) -> Result<bool> {
        let step = "end a run";
        let mut tx = self.database.begin(step).await?;
        // The dataset's row first, as everywhere.
        let sql = "SELECT d.id FROM datasets d JOIN runs r ON r.workspace = d.workspace AND r.dataset = d.id \
                   WHERE r.workspace = $1 AND r.id = $2";
        if let Some(row) = tx.row(step, sql, values![ws, run]).await? {
            let sql = "SELECT id FROM datasets WHERE workspace = $1 AND id = $2 §lock";
            tx.rows(step, sql, values![ws, row.text(0)?]).await?;
        }
        let has_ended = finish(&mut tx, ws, run, state, end).await?;
        tx.commit(step).await?;
        Ok(has_ended)
    }
}

/// Ends an open run inside of a transaction; false when it had ended.
pub(crate) async fn finish(
    tx: &mut Tx,
    ws: &str,
    run: &str,
    state: RunState,
    end: &RunEnd,
) -> Result<bool> {
    let step = "end a run";
    let sql = "UPDATE runs SET state = $3, ended_at = §now, manifest = COALESCE($4, manifest), pages = $5, \
               rows_used = $6, rejected = $7, partial = $8, ended = $9, error = $10, notes = $11, \
               records = $12, stated_total = $13, requests = $14, resume = NULL \
               WHERE id = $2 AND workspace = $1 AND state IN ('waiting', 'dispatched', 'fetched') \
               RETURNING dataset, window_end, epoch";
    let notes =
        (!end.notes.is_empty()).then(|| serde_json::to_string(&end.notes).unwrap_or_default());
    let values = values![
        ws,
        run,
        state.as_str(),
        &end.manifest,
        end.pages,
        end.rows,
        end.rejected,
        end.partial,
        &end.ended,
        &end.error,
        notes,
        end.records,
        end.stated_total,
        end.requests,
    ];
    let Some(row) = tx.row(step, sql, values).await? else {
        return Ok(false);
    };
    let (dataset, window_end, epoch) = (row.text(0)?, row.int_or_null(1)?, row.int(2)?);
    let attention = end.needs_attention.as_deref();
    if state == RunState::Final {
        // A success ends a pause: the scheduler plans the dataset again.
        let sql = "UPDATE datasets SET last_success_at = §now, attention_reason = $3, \
                   last_window_end = CASE WHEN last_window_end IS NULL OR last_window_end < $4 \
                   THEN COALESCE($4, last_window_end) ELSE last_window_end END, \
                   wake_at = CASE WHEN paused_reason IS NULL THEN wake_at ELSE 0 END, \
                   gone_in_a_row = 0, paused_reason = NULL \
                   WHERE workspace = $1 AND id = $2 AND epoch = $5";
        let values = values![ws, dataset, attention, window_end, epoch];
        tx.run(step, sql, values).await?;
    } else if end.is_gone {
        let sql = "UPDATE datasets SET gone_in_a_row = gone_in_a_row + 1, \
                   attention_reason = CASE WHEN gone_in_a_row + 1 >= $4 THEN $5 \
                   ELSE COALESCE($6, attention_reason) END, \
                   paused_reason = CASE WHEN gone_in_a_row + 1 >= $4 THEN $5 ELSE paused_reason END \
                   WHERE workspace = $1 AND id = $2 AND epoch = $3";
        let values = values![ws, dataset, epoch, GONE_PAUSES_AT, GONE_REASON, attention];
        tx.run(step, sql, values).await?;
    } else if attention.is_some() || state == RunState::Failed {
        let sql = "UPDATE datasets SET attention_reason = COALESCE($3, attention_reason), gone_in_a_row = 0 \
                   WHERE workspace = $1 AND id = $2 AND ($3 IS NOT NULL OR gone_in_a_row > 0)";
        tx.run(step, sql, values![ws, dataset, attention]).await?;
    }
    Ok(true)
}
