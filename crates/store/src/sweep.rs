//! Retention: what goes when, in batches.

use crate::Store;
use crate::error::{Error, Result};

/// What one sweep deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Ended runs past their time, with their outcomes.
    pub runs: u64,
    /// Samples of rejected rows.
    pub rejected: u64,
    /// Audit rows.
    pub audit: u64,
    /// Cells of deleted metrics.
    pub cells: u64,
    /// Expired tokens, old revisions, retired datasets.
    pub other: u64,
    /// True when a batch was full: sweep again soon.
    pub more: bool,
}

impl Store {
    /// Deletes one batch of everything that is past its time at `now`.
    pub async fn sweep(&self, now: i64) -> Result<Swept> {
        Err(Error::NotYet("sweep"))
    }
}
