//! Bearer tokens, kept as hashes.

use crate::Store;
use crate::database::{Row, Tx, values};
use crate::error::{Error, Result};
use crate::identity::{self, hex};
use crate::workspaces::{Entry, audit};

/// The last use is told to the minute, so that busy tokens do not write on every request.
const LAST_USE_STEP: i64 = 60_000;

/// A token as stored; its text is never known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `t_` and 12 of `[0-9a-z]`.
    pub id: String,
    /// The workspace it is good for; `None`: all of them (operator).
    pub workspace: Option<String>,
    /// `viewer`, `editor`, `admin` or `operator`.
    pub role: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created_at: i64,
    /// When it stops to work.
    pub expires_at: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// The workspace it is good for; `None`: all of them (operator).
    pub workspace: Option<String>,
    /// `viewer`, `editor`, `admin` or `operator`.
    pub role: String,
    /// What its owner calls it.
    pub name: String,
    /// When it stops to work.
    pub expires_at: Option<i64>,
}

impl Store {
    /// Keeps a token.
    pub async fn insert_token(&self, actor: &str, token: &NewToken) -> Result<Token> {
        let mut tx = self.database.begin("keep a token").await?;
        let kept = insert(&mut tx, actor, token).await?;
        tx.commit("keep a token").await?;
        Ok(kept)
    }

    /// Keeps the first admin token; `None` when a living admin or operator token exists already.
    pub async fn insert_first_admin(&self, token: &NewToken) -> Result<Option<Token>> {
        let step = "keep the first admin token";
        let mut tx = self.database.begin(step).await?;
        tx.rows(
            step,
            "SELECT name FROM locks WHERE name = 'first_admin' §lock",
            vec![],
        )
        .await?;
        let now = tx.now().await?;
        let sql = "SELECT id FROM tokens WHERE role IN ('admin', 'operator') \
                   AND (expires_at IS NULL OR expires_at > $1) LIMIT 1";
        if tx.row(step, sql, values![now]).await?.is_some() {
            return Ok(None);
        }
        let kept = insert(&mut tx, "installation", token).await?;
        tx.commit(step).await?;
        Ok(Some(kept))
    }

    /// Finds the living token with this hash.
    pub async fn token_by_hash(&self, hash: &[u8; 32], now: i64) -> Result<Option<Token>> {
        let sql = "SELECT id, workspace, role, name, created_at, expires_at, last_used_at, hash FROM tokens \
                   WHERE hash = $1 AND (expires_at IS NULL OR expires_at > $2)";
        let hash = hex(hash);
        let row = self
            .database
            .row("find a token", sql, values![&hash, now])
            .await?;
        row.as_ref().map(token).transpose()
    }

    /// Notes that a token was used; writes at most once a minute for each token.
    pub async fn touch_token(&self, id: &str, now: i64) -> Result<()> {
        let sql = "UPDATE tokens SET last_used_at = $2 WHERE id = $1 \
                   AND (last_used_at IS NULL OR last_used_at <= $3)";
        self.database
            .run(
                "note the use of a token",
                sql,
                values![id, now, now - LAST_USE_STEP],
            )
            .await
            .map(drop)
    }

    /// Lists the tokens of a workspace (`None`: of all, operators included).
    pub async fn tokens(&self, ws: Option<&str>) -> Result<Vec<Token>> {
        let sql = "SELECT id, workspace, role, name, created_at, expires_at, last_used_at FROM tokens \
                   WHERE $1 = '' OR workspace = $1 ORDER BY created_at, id";
        let rows = self
            .database
            .rows("list tokens", sql, values![ws.unwrap_or("")])
            .await?;
        rows.iter().map(token).collect()
    }

    /// Deletes a token of the workspace (`None`: whichever); false when there is none.
    pub async fn revoke_token(&self, ws: Option<&str>, actor: &str, id: &str) -> Result<bool> {
        let step = "revoke a token";
        let mut tx = self.database.begin(step).await?;
        let sql = "DELETE FROM tokens WHERE id = $1 AND ($2 = '' OR workspace = $2) RETURNING workspace, name";
        let Some(row) = tx.row(step, sql, values![id, ws.unwrap_or("")]).await? else {
            return Ok(false);
        };
        let workspace = row.text_or_null(0)?;
        let entry = Entry {
            action: "deleted",
            kind: "token",
            name: id,
            detail: None,
        };
        audit(&mut tx, workspace.as_deref(), actor, &entry).await?;
        tx.commit(step).await?;
        Ok(true)
    }
}

async fn insert(tx: &mut Tx, actor: &str, new: &NewToken) -> Result<Token> {
    if !matches!(
        new.role.as_str(),
        "viewer" | "editor" | "admin" | "operator"
    ) {
        return Err(Error::Invalid(
            "a role is viewer, editor, admin or operator".into(),
        ));
    }
    let now = tx.now().await?;
    let id = identity::token();
    tx.run(
        "keep a token",
        "INSERT INTO tokens (id, hash, workspace, role, name, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![
            &id,
            hex(&new.hash),
            &new.workspace,
            &new.role,
            &new.name,
            now,
            new.expires_at
        ],
    )
    .await?;
    let entry = Entry {
        action: "created",
        kind: "token",
        name: &id,
        detail: None,
    };
    audit(tx, new.workspace.as_deref(), actor, &entry).await?;
    Ok(Token {
        id,
        workspace: new.workspace.clone(),
        role: new.role.clone(),
        name: new.name.clone(),
        created_at: now,
        expires_at: new.expires_at,
        last_used_at: None,
    })
}

fn token(row: &Row) -> Result<Token> {
    Ok(Token {
        id: row.text(0)?,
        workspace: row.text_or_null(1)?,
        role: row.text(2)?,
        name: row.text(3)?,
        created_at: row.int(4)?,
        expires_at: row.int_or_null(5)?,
        last_used_at: row.int_or_null(6)?,
    })
}
