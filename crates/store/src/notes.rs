//! What people note of a metric's points and ranges.

use crate::Store;
use crate::database::{Row, values};
use crate::error::{Error, Result};

/// Notes of one metric: enough for years, few enough to be listed at once.
pub const NOTES_KEPT: i64 = 1_000;

/// A note on a point or a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its number.
    pub id: i64,
    /// The first instant it is about.
    pub start: i64,
    /// The first instant past it.
    pub end: i64,
    /// What it says.
    pub text: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub created_at: i64,
}

impl Store {
    /// Keeps a note on `[start, end)` of a metric and returns it.
    pub async fn add_note(
        &self,
        ws: &str,
        metric: &str,
        author: &str,
        range: (i64, i64),
        text: &str,
    ) -> Result<Note> {
        let step = "add a note";
        let mut tx = self.database.begin(step).await?;
        let sql = "SELECT id FROM metrics WHERE workspace = $1 AND name = $2 §lock";
        let row = tx.row(step, sql, values![ws, metric]).await?;
        let id = row
            .map(|row| row.int(0))
            .transpose()?
            .ok_or_else(|| Error::NotFound {
                kind: "metric",
                name: metric.to_owned(),
            })?;
        let sql = "SELECT COUNT(*) FROM notes WHERE metric_id = $1";
        let count = tx
            .row(step, sql, values![id])
            .await?
            .map_or(Ok(0), |row| row.int(0))?;
        if count >= NOTES_KEPT {
            return Err(Error::Quota {
                what: "notes of a metric",
                limit: NOTES_KEPT,
            });
        }
        let now = tx.now().await?;
        let sql = "INSERT INTO notes (metric_id, start_at, end_at, text, author, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
        let values = values![id, range.0, range.1, text, author, now];
        let note = tx
            .row(step, sql, values)
            .await?
            .map_or(Ok(0), |row| row.int(0))?;
        tx.commit(step).await?;
        Ok(Note {
            id: note,
            start: range.0,
            end: range.1,
            text: text.to_owned(),
            author: author.to_owned(),
            created_at: now,
        })
    }

    /// Lists the notes on a metric that touch `[from, to)`, by start.
    pub async fn notes(&self, ws: &str, metric: &str, from: i64, to: i64) -> Result<Vec<Note>> {
        let sql = "SELECT n.id, n.start_at, n.end_at, n.text, n.author, n.created_at FROM notes n \
                   JOIN metrics m ON m.id = n.metric_id WHERE m.workspace = $1 AND m.name = $2 \
                   AND n.start_at < $4 AND n.end_at > $3 ORDER BY n.start_at, n.id";
        let rows = self
            .database
            .rows("list notes", sql, values![ws, metric, from, to])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a note; false when there is none.
    pub async fn delete_note(&self, ws: &str, metric: &str, id: i64) -> Result<bool> {
        let sql = "DELETE FROM notes WHERE id = $3 AND metric_id = (SELECT id FROM metrics \
                   WHERE workspace = $1 AND name = $2)";
        Ok(self
            .database
            .run("delete a note", sql, values![ws, metric, id])
            .await?
            > 0)
    }
}

fn read(row: &Row) -> Result<Note> {
    Ok(Note {
        id: row.int(0)?,
        start: row.int(1)?,
        end: row.int(2)?,
        text: row.text(3)?,
        author: row.text(4)?,
        created_at: row.int(5)?,
    })
}
