//! Workspaces, settings and the audit trail.

use crate::Store;
use crate::database::{Row, Tx, values};
use crate::error::Result;

/// The setting that holds the epoch of versions.
pub(crate) const EPOCH_SETTING: &str = "versions.epoch";

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
        let sql = "SELECT name, created_at FROM workspaces ORDER BY name";
        let rows = self.database.rows("list workspaces", sql, vec![]).await?;
        rows.iter()
            .map(|row| {
                Ok(Workspace {
                    name: row.text(0)?,
                    created_at: row.int(1)?,
                })
            })
            .collect()
    }

    /// Makes a workspace; false when it exists.
    pub async fn create_workspace(&self, actor: &str, name: &str) -> Result<bool> {
        let step = "make a workspace";
        let mut tx = self.database.begin(step).await?;
        let now = tx.now().await?;
        let sql = "INSERT INTO workspaces (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        if tx.run(step, sql, values![name, now]).await? == 0 {
            return Ok(false);
        }
        let entry = Entry {
            action: "created",
            kind: "workspace",
            name,
            detail: None,
        };
        audit(&mut tx, Some(name), actor, &entry).await?;
        tx.commit(step).await?;
        Ok(true)
    }

    /// Deletes a workspace with everything in it (points go in the next sweeps); false when there is
    /// none. The default workspace stays, empty.
    pub async fn delete_workspace(&self, actor: &str, name: &str) -> Result<bool> {
        let step = "delete a workspace";
        let mut tx = self.database.begin(step).await?;
        let lock = "SELECT name FROM workspaces WHERE name = $1 §lock";
        if tx.row(step, lock, values![name]).await?.is_none() {
            return Ok(false);
        }
        // Datasets first: a commit in hand ends before we go on, a later one finds nothing.
        let lock = "SELECT id FROM datasets WHERE workspace = $1 ORDER BY id §lock";
        tx.rows(step, lock, values![name]).await?;
        for sql in [
            "INSERT INTO doomed_metrics (metric_id) SELECT id FROM metrics WHERE workspace = $1",
            "DELETE FROM metrics WHERE workspace = $1",
            "DELETE FROM datasets WHERE workspace = $1",
            "DELETE FROM definitions WHERE workspace = $1",
            "DELETE FROM deliveries WHERE workspace = $1",
            "DELETE FROM runs WHERE workspace = $1",
            "DELETE FROM recomputes WHERE workspace = $1",
            "DELETE FROM outbox WHERE workspace = $1",
            "DELETE FROM tokens WHERE workspace = $1",
            "DELETE FROM secrets WHERE workspace = $1",
        ] {
            tx.run(step, sql, values![name]).await?;
        }
        if name != DEFAULT_WORKSPACE {
            tx.run(
                step,
                "DELETE FROM workspaces WHERE name = $1",
                values![name],
            )
            .await?;
        }
        let entry = Entry {
            action: "deleted",
            kind: "workspace",
            name,
            detail: None,
        };
        audit(&mut tx, Some(name), actor, &entry).await?;
        tx.commit(step).await?;
        Ok(true)
    }

    /// Reads a setting.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM settings WHERE key = $1";
        let row = self
            .database
            .row("read a setting", sql, values![key])
            .await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Writes a setting.
    pub async fn put_setting(&self, key: &str, value: &str) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        self.database
            .run("write a setting", sql, values![key, value, now])
            .await
            .map(drop)
    }

    /// Writes a setting unless it exists, and returns the one that holds now.
    pub async fn put_setting_if_absent(&self, key: &str, value: &str) -> Result<String> {
        let now = self.now().await?;
        let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (key) DO NOTHING";
        self.database
            .run("write a setting", sql, values![key, value, now])
            .await?;
        Ok(self.setting(key).await?.unwrap_or_else(|| value.to_owned()))
    }

    /// Raises the epoch of versions (after a restore from a backup) and returns it.
    pub async fn raise_epoch(&self) -> Result<i64> {
        let step = "raise the epoch";
        let mut tx = self.database.begin(step).await?;
        let lock = "SELECT value FROM settings WHERE key = $1 §lock";
        let row = tx.row(step, lock, values![EPOCH_SETTING]).await?;
        let epoch = epoch(row.as_ref())? + 1;
        let now = tx.now().await?;
        let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        tx.run(step, sql, values![EPOCH_SETTING, epoch.to_string(), now])
            .await?;
        tx.commit(step).await?;
        Ok(epoch)
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
        let mut tx = self.database.begin("write the audit trail").await?;
        audit(
            &mut tx,
            ws,
            actor,
            &Entry {
                action,
                kind,
                name,
                detail,
            },
        )
        .await?;
        tx.commit("write the audit trail").await
    }

    /// Notes in the audit trail that somebody did something which changes nothing, such as reading what is guarded.
    pub async fn note(
        &self,
        ws: &str,
        actor: &str,
        action: &str,
        kind: &str,
        name: &str,
    ) -> Result<()> {
        let step = "note what was done";
        let mut tx = self.database.begin(step).await?;
        let entry = Entry {
            action,
            kind,
            name,
            detail: None,
        };
        audit(&mut tx, Some(ws), actor, &entry).await?;
        tx.commit(step).await
    }

    /// Lists the audit trail newest first; `ws` `None` lists all; `before` is the last id seen.
    pub async fn audit(
        &self,
        ws: Option<&str>,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<AuditRow>> {
        let sql = "SELECT id, workspace, at, actor, action, kind, name, detail FROM audit \
                   WHERE ($1 = '' OR workspace = $1) AND id < $2 ORDER BY id DESC LIMIT $3";
        let values = values![
            ws.unwrap_or(""),
            before.unwrap_or(i64::MAX),
            limit.min(1_000)
        ];
        let rows = self
            .database
            .rows("read the audit trail", sql, values)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    id: row.int(0)?,
                    workspace: row.text_or_null(1)?,
                    at: row.int(2)?,
                    actor: row.text(3)?,
                    action: row.text(4)?,
                    kind: row.text(5)?,
                    name: row.text(6)?,
                    detail: row.text_or_null(7)?,
                })
            })
            .collect()
    }
}

/// One line of the audit trail, without who, where and when.
pub(crate) struct Entry<'a> {
    pub(crate) action: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) detail: Option<&'a str>,
}

/// Writes a line of the audit trail inside of a transaction.
pub(crate) async fn audit(
    tx: &mut Tx,
    ws: Option<&str>,
    actor: &str,
    entry: &Entry<'_>,
) -> Result<()> {
    let at = tx.now().await?;
    tx.run(
        "write the audit trail",
        "INSERT INTO audit (workspace, at, actor, action, kind, name, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![
            ws,
            at,
            actor,
            entry.action,
            entry.kind,
            entry.name,
            entry.detail
        ],
    )
    .await
    .map(drop)
}

/// Reads the epoch from its setting's row.
pub(crate) fn epoch(row: Option<&Row>) -> Result<i64> {
    Ok(row
        .map(|row| row.text(0))
        .transpose()?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0))
}
