//! Announcements that wait to be published.

use crate::Store;
use crate::error::{Error, Result};

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
    /// The message as JSON.
    pub payload: String,
    /// When it was committed.
    pub created_at: i64,
}

impl Store {
    /// Reads the oldest announcements, in order.
    pub async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>> {
        Err(Error::NotYet("outbox"))
    }

    /// Deletes announcements that the broker has acknowledged.
    pub async fn outbox_delete(&self, ids: &[i64]) -> Result<()> {
        Err(Error::NotYet("outbox_delete"))
    }

    /// When the oldest waiting announcement was committed.
    pub async fn outbox_oldest(&self) -> Result<Option<i64>> {
        Err(Error::NotYet("outbox_oldest"))
    }
}
