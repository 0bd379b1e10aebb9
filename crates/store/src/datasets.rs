//! Datasets as the scheduler sees them: what is fetched, when it is due, how it went.

use crate::Store;
use crate::error::{Error, Result};

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
    /// When it was first made.
    pub created_at: i64,
}

impl Store {
    /// Reads one dataset by id; retired ones are not found.
    pub async fn dataset(&self, ws: &str, id: &str) -> Result<Option<StoredDataset>> {
        Err(Error::NotYet("dataset"))
    }

    /// Reads the dataset that a user named.
    pub async fn dataset_named(&self, ws: &str, name: &str) -> Result<Option<StoredDataset>> {
        Err(Error::NotYet("dataset_named"))
    }

    /// Lists the datasets of a connection.
    pub async fn datasets_of(&self, ws: &str, connection: &str) -> Result<Vec<StoredDataset>> {
        Err(Error::NotYet("datasets_of"))
    }

    /// Lists datasets that are due at `now` or must be planned again, longest due first.
    pub async fn due_datasets(&self, now: i64, limit: u32) -> Result<Vec<StoredDataset>> {
        Err(Error::NotYet("due_datasets"))
    }

    /// Sets when a dataset is due next (`None`: not until its definitions change) and clears `replan`.
    pub async fn set_next_due(&self, ws: &str, dataset: &str, at: Option<i64>) -> Result<()> {
        Err(Error::NotYet("set_next_due"))
    }

    /// Marks a dataset as needing a person (`Some(reason)`), or clears the mark.
    pub async fn set_attention(&self, ws: &str, dataset: &str, reason: Option<&str>) -> Result<()> {
        Err(Error::NotYet("set_attention"))
    }
}
