//! Announcements that wait to be published.

use crate::Store;
use crate::database::values;
use crate::error::Result;

/// An announcement, committed together with what it announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the queue.
    pub id: i64,
    /// Workspace.
    pub workspace: String,
    /// The metric's name.
    pub metric: String,
    /// The version announced.
    pub version: i64,
    /// The message as JSON; empty: it is not known which points changed, so the series is to be read.
    pub payload: String,
    /// When it was committed.
    pub created_at: i64,
}

impl Store {
    /// Reads the oldest announcements, in order.
    pub async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>> {
        let sql = "SELECT id, workspace, metric, version, payload, created_at FROM outbox \
                   ORDER BY id LIMIT $1";
        let rows = self
            .database
            .rows("read the outbox", sql, values![limit])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(OutboxRow {
                    id: row.int(0)?,
                    workspace: row.text(1)?,
                    metric: row.text(2)?,
                    version: row.int(3)?,
                    payload: row.text(4)?,
                    created_at: row.int(5)?,
                })
            })
            .collect()
    }

    /// Deletes announcements that the broker has acknowledged.
    pub async fn outbox_delete(&self, ids: &[i64]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM outbox WHERE id §in($1)";
        self.database
            .run("delete from the outbox", sql, values![ids.to_vec()])
            .await
            .map(drop)
    }

    /// When the oldest waiting announcement was committed.
    pub async fn outbox_oldest(&self) -> Result<Option<i64>> {
        let sql = "SELECT MIN(created_at) FROM outbox";
        match self.database.row("read the outbox", sql, vec![]).await? {
            Some(row) => row.int_or_null(0),
            None => Ok(None),
        }
    }
}
