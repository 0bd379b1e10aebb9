//! The queue of metrics whose kept pages wait to be evaluated again.

use crate::Store;
use crate::error::{Error, Result};

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
}

impl Store {
    /// Asks for a recompute; one that waits already is joined. Returns its id.
    pub async fn request_recompute(&self, ws: &str, metric: &str) -> Result<i64> {
        Err(Error::NotYet("request_recompute"))
    }

    /// Takes the oldest waiting recompute for `lease_ms`; when it is not ended by then, another
    /// caller may take it.
    pub async fn claim_recompute(&self, now: i64, lease_ms: i64) -> Result<Option<Recompute>> {
        Err(Error::NotYet("claim_recompute"))
    }

    /// Takes a recompute off the queue; a request that came in since it was claimed stays.
    pub async fn end_recompute(&self, recompute: &Recompute) -> Result<()> {
        Err(Error::NotYet("end_recompute"))
    }
}
