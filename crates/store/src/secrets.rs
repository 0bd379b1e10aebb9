//! Sealed secrets: the store keeps what only a fetcher can open.

use crate::Store;
use crate::database::{Row, values};
use crate::error::{Error, Result};
use crate::workspaces::{Entry, audit};

/// A sealed secret, for a sync request.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name.
    pub name: String,
    /// The version, part of what is sealed.
    pub version: i64,
    /// The sealed text.
    pub sealed: String,
    /// Where it may be sent: `scheme://host:port` each.
    pub origins: Vec<String>,
}

/// What may be told about a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Where it may be sent.
    pub origins: Vec<String>,
    /// When it was first set.
    pub created_at: i64,
    /// When it was last set.
    pub updated_at: i64,
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedSecret")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("sealed", &"***")
            .field("origins", &self.origins)
            .finish()
    }
}

impl Store {
    /// The version that the next write of this secret will have: seal for it, then
    /// [`Store::put_secret`] with it.
    pub async fn next_secret_version(&self, ws: &str, name: &str) -> Result<i64> {
        let sql = "SELECT version FROM secrets WHERE workspace = $1 AND name = $2";
        let row = self
            .database
            .row("read a secret's version", sql, values![ws, name])
            .await?;
        Ok(row.map(|row| row.int(0)).transpose()?.unwrap_or(0) + 1)
    }

    /// Keeps a sealed secret as `version`; a conflict when that is not the next version.
    pub async fn put_secret(&self, ws: &str, actor: &str, secret: &SealedSecret) -> Result<()> {
        let step = "keep a secret";
        let mut tx = self.database.begin(step).await?;
        let now = tx.now().await?;
        let sql = if secret.version == 1 {
            "INSERT INTO secrets (workspace, name, version, origins, created_at, updated_at, deleted, sealed) \
             VALUES ($1, $2, $3, $4, $5, $5, 0, $6) ON CONFLICT (workspace, name) DO NOTHING"
        } else {
            "UPDATE secrets SET version = $3, origins = $4, updated_at = $5, deleted = 0, sealed = $6 \
             WHERE workspace = $1 AND name = $2 AND version = $3 - 1"
        };
        let origins = serde_json::Value::from(secret.origins.clone()).to_string();
        let values = values![
            ws,
            &secret.name,
            secret.version,
            origins,
            now,
            &secret.sealed
        ];
        if tx.run(step, sql, values).await? == 0 {
            let sql = "SELECT version FROM secrets WHERE workspace = $1 AND name = $2";
            let row = tx.row(step, sql, values![ws, &secret.name]).await?;
            return Err(Error::Conflict {
                kind: "secret",
                name: secret.name.clone(),
                current: row.map_or(Ok(0), |row| row.int(0))?,
            });
        }
        let action = if secret.version == 1 {
            "created"
        } else {
            "updated"
        };
        let entry = Entry {
            action,
            kind: "secret",
            name: &secret.name,
            detail: None,
        };
        audit(&mut tx, Some(ws), actor, &entry).await?;
        tx.commit(step).await
    }

    /// Reads sealed secrets by name; unknown names are left out.
    pub async fn sealed_secrets(&self, ws: &str, names: &[String]) -> Result<Vec<SealedSecret>> {
        let sql = "SELECT name, version, sealed, origins FROM secrets \
                   WHERE workspace = $1 AND name §in($2) AND deleted = 0 ORDER BY name";
        let rows = self
            .database
            .rows("read sealed secrets", sql, values![ws, names.to_vec()])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(SealedSecret {
                    name: row.text(0)?,
                    version: row.int(1)?,
                    sealed: row.text(2)?,
                    origins: origins(row, 3)?,
                })
            })
            .collect()
    }

    /// Binds a secret that was sealed without origins to those of its first use, once. True when all
    /// of `wanted` are (now or already) among those it is bound to.
    pub async fn bind_secret_origins(
        &self,
        ws: &str,
        name: &str,
        version: i64,
        wanted: &[String],
    ) -> Result<bool> {
        let step = "bind a secret";
        let mut tx = self.database.begin(step).await?;
        let sql = "SELECT origins FROM secrets WHERE workspace = $1 AND name = $2 AND version = $3 \
                   AND deleted = 0 §lock";
        let Some(row) = tx.row(step, sql, values![ws, name, version]).await? else {
            return Ok(false);
        };
        let bound = origins(&row, 0)?;
        if !bound.is_empty() {
            return Ok(wanted.iter().all(|origin| bound.contains(origin)));
        }
        let text = serde_json::Value::from(wanted.to_vec()).to_string();
        let sql = "UPDATE secrets SET origins = $3 WHERE workspace = $1 AND name = $2";
        tx.run(step, sql, values![ws, name, text]).await?;
        tx.commit(step).await?;
        Ok(true)
    }

    /// Lists secrets by name, without any value.
    pub async fn secrets(&self, ws: &str) -> Result<Vec<SecretInfo>> {
        let sql = "SELECT name, version, origins, created_at, updated_at FROM secrets \
                   WHERE workspace = $1 AND deleted = 0 ORDER BY name";
        let rows = self.database.rows("list secrets", sql, values![ws]).await?;
        rows.iter()
            .map(|row| {
                Ok(SecretInfo {
                    name: row.text(0)?,
                    version: row.int(1)?,
                    origins: origins(row, 2)?,
                    created_at: row.int(3)?,
                    updated_at: row.int(4)?,
                })
            })
            .collect()
    }

    /// Deletes a secret; false when there is none.
    pub async fn delete_secret(&self, ws: &str, actor: &str, name: &str) -> Result<bool> {
        let step = "delete a secret";
        let mut tx = self.database.begin(step).await?;
        // The row stays without its text, so that versions never come twice.
        let sql = "UPDATE secrets SET deleted = 1, sealed = '', origins = '[]' \
                   WHERE workspace = $1 AND name = $2 AND deleted = 0";
        if tx.run(step, sql, values![ws, name]).await? == 0 {
            return Ok(false);
        }
        let entry = Entry {
            action: "deleted",
            kind: "secret",
            name,
            detail: None,
        };
        audit(&mut tx, Some(ws), actor, &entry).await?;
        tx.commit(step).await?;
        Ok(true)
    }
}

fn origins(row: &Row, at: usize) -> Result<Vec<String>> {
    serde_json::from_str(&row.text(at)?).map_err(|_| Error::Database {
        step: "read a secret's origins",
        code: "decode".into(),
    })
}
