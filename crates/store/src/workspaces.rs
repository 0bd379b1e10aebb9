//! Workspaces, settings and the audit trail.

use crate::Store;
use crate::error::{Error, Result};

/// The workspace that always exists.
pub const DEFAULT_WORKSPACE: &str = "default";

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: i64,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the trail.
    pub id: i64,
    /// Workspace; `None`: the whole installation.
    pub workspace: Option<String>,
    /// When.
    pub at: i64,
    /// Who: a token id, or a word for the installation itself.
    pub actor: String,
    /// What: `created`, `updated`, `deleted`, `purged` …
    pub action: String,
    /// To what kind of thing.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// More, as JSON; never a secret.
    pub detail: Option<String>,
}

impl Store {
    /// Lists workspaces by name.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>> {
        Err(Error::NotYet("workspaces"))
    }

    /// Makes a workspace; false when it exists.
    pub async fn create_workspace(&self, actor: &str, name: &str) -> Result<bool> {
        Err(Error::NotYet("create_workspace"))
    }

    /// Deletes a workspace with everything in it (points go in the next sweeps); false when there is
    /// none. The default workspace stays, empty.
    pub async fn delete_workspace(&self, actor: &str, name: &str) -> Result<bool> {
        Err(Error::NotYet("delete_workspace"))
    }

    /// Reads a setting.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        Err(Error::NotYet("setting"))
    }

    /// Writes a setting.
    pub async fn put_setting(&self, key: &str, value: &str) -> Result<()> {
        Err(Error::NotYet("put_setting"))
    }

    /// Writes a setting unless it exists, and returns the one that holds now.
    pub async fn put_setting_if_absent(&self, key: &str, value: &str) -> Result<String> {
        Err(Error::NotYet("put_setting_if_absent"))
    }

    /// Raises the epoch of versions (after a restore from a backup) and returns it.
    pub async fn raise_epoch(&self) -> Result<i64> {
        Err(Error::NotYet("raise_epoch"))
    }

    /// Notes that somebody did something.
    pub async fn record_audit(
        &self,
        ws: Option<&str>,
        actor: &str,
        action: &str,
        kind: &str,
        name: &str,
        detail: Option<&str>,
    ) -> Result<()> {
        Err(Error::NotYet("record_audit"))
    }

    /// Lists the audit trail newest first; `ws` `None` lists all; `before` is the last id seen.
    pub async fn audit(
        &self,
        ws: Option<&str>,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<AuditRow>> {
        Err(Error::NotYet("audit"))
    }
}
