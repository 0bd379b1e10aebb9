//! Datasets as the scheduler sees them: what is fetched, when it is due, how it went.

use crate::Store;
use crate::database::{Row, Value, values};
use crate::error::Result;

/// A dataset as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDataset {
    /// Its workspace.
    pub workspace: String,
    /// `d_` and 16 hexadecimal digits; never changes.
    pub id: String,
    /// The name a user gave it; `None` for a metric's own request.
    pub name: Option<String>,
    /// The connection's name.
    pub connection: String,
    /// Canonical identity of what is fetched.
    pub identity: String,
    /// The fetch as JSON.
    pub document: String,
    /// Rises when the origin of the connection, or the request of a named dataset, changes: pages
    /// and resume points of earlier epochs are void.
    pub epoch: i64,
    /// When the next slot is due; `None`: not until its definitions change.
    pub next_due_at: Option<i64>,
    /// True when definitions changed since `next_due_at` was computed: compute it again
    /// ([`Store::set_next_due`] clears this), but do not fetch for that reason.
    pub replan: bool,
    /// When a run last ended as final.
    pub last_success_at: Option<i64>,
    /// The greatest end of a window that a final run covered.
    pub last_window_end: Option<i64>,
    /// True after a failure that only a person can cure (401, 403).
    pub needs_attention: bool,
    /// Why.
    pub attention_reason: Option<String>,
    /// Why nothing is scheduled any more, until its definitions change or a sync succeeds.
    pub paused_reason: Option<String>,
    /// When it was first made.
    pub created_at: i64,
}

impl Store {
    /// Reads one dataset by id; retired ones are not found.
    pub async fn dataset(&self, ws: &str, id: &str) -> Result<Option<StoredDataset>> {
        let sql = columns!("WHERE workspace = $1 AND id = $2");
        let row = self
            .database
            .row("read a dataset", sql, values![ws, id])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Reads several datasets of a workspace by id; those that are gone are left out.
    pub async fn datasets_by_id(&self, ws: &str, ids: &[String]) -> Result<Vec<StoredDataset>> {
        let sql = columns!("WHERE workspace = $1 AND id §in($2)");
        let rows = self
            .database
            .rows("read datasets", sql, values![ws, ids.to_vec()])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Sets when many datasets are due next, as [`Store::set_next_due`] does for one.
    pub async fn set_next_dues(&self, plans: &[(String, String, Option<i64>)]) -> Result<()> {
        let step = "plan datasets";
        let plans: Vec<Vec<Value>> = plans
            .iter()
            .map(|(ws, dataset, at)| values![ws, dataset, *at])
            .collect();
        if plans.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin(step).await?;
        tx.many(step, PLAN, &[], plans).await?;
        tx.commit(step).await
    }

    /// Reads the dataset that a user named.
    pub async fn dataset_named(&self, ws: &str, name: &str) -> Result<Option<StoredDataset>> {
        let sql = columns!("WHERE workspace = $1 AND name = $2");
        let row = self
            .database
            .row("read a dataset", sql, values![ws, name])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Lists the datasets of a connection.
    pub async fn datasets_of(&self, ws: &str, connection: &str) -> Result<Vec<StoredDataset>> {
        let sql = columns!("WHERE workspace = $1 AND connection = $2 ORDER BY id");
        let rows = self
            .database
            .rows("list datasets", sql, values![ws, connection])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Lists datasets that are due at `now` or must be planned again, longest due first.
    pub async fn due_datasets(&self, now: i64, limit: u32) -> Result<Vec<StoredDataset>> {
        let sql = columns!(
            "WHERE wake_at <= $1 AND connection <> '' ORDER BY wake_at, workspace, id LIMIT $2"
        );
        let rows = self
            .database
            .rows("list due datasets", sql, values![now, limit])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Sets when a dataset is due next (`None`: not until its definitions change) and clears `replan`.
    pub async fn set_next_due(&self, ws: &str, dataset: &str, at: Option<i64>) -> Result<()> {
        let sql =
            "UPDATE datasets SET next_due_at = $3, wake_at = $3 WHERE workspace = $1 AND id = $2";
        self.database
            .run("plan a dataset", sql, values![ws, dataset, at])
            .await
            .map(drop)
    }

    /// Marks a dataset as needing a person (`Some(reason)`), or clears the mark.
    pub async fn set_attention(&self, ws: &str, dataset: &str, reason: Option<&str>) -> Result<()> {
        let sql = "UPDATE datasets SET attention_reason = $3 WHERE workspace = $1 AND id = $2";
        self.database
            .run("mark a dataset", sql, values![ws, dataset, reason])
            .await
            .map(drop)
    }
}

/// Sets when datasets are due next and clears what asks for planning them again.
pub(crate) const PLAN: &str = "WITH plan (workspace, id, due) AS (VALUES §values) UPDATE datasets \
    SET next_due_at = plan.due, wake_at = plan.due FROM plan \
    WHERE datasets.workspace = plan.workspace AND datasets.id = plan.id";

/// A query of whole datasets with the given end.
macro_rules! columns {
    ($end:literal) => {
        concat!(
            "SELECT workspace, id, name, connection, identity, document, epoch, next_due_at, wake_at, ",
            "last_success_at, last_window_end, attention_reason, created_at, paused_reason FROM datasets ",
            $end
        )
    };
}
use columns;

fn read(row: &Row) -> Result<StoredDataset> {
    let attention_reason = row.text_or_null(11)?;
    Ok(StoredDataset {
        workspace: row.text(0)?,
        id: row.text(1)?,
        name: row.text_or_null(2)?,
        connection: row.text(3)?,
        identity: row.text(4)?,
        document: row.text(5)?,
        epoch: row.int(6)?,
        next_due_at: row.int_or_null(7)?,
        replan: row.int_or_null(8)? == Some(0),
        last_success_at: row.int_or_null(9)?,
        last_window_end: row.int_or_null(10)?,
        needs_attention: attention_reason.is_some(),
        attention_reason,
        created_at: row.int(12)?,
        paused_reason: row.text_or_null(13)?,
    })
}
