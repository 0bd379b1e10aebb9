//! Bearer tokens, kept as hashes.

use crate::Store;
use crate::error::{Error, Result};

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
        Err(Error::NotYet("insert_token"))
    }

    /// Keeps the first admin token; `None` when a living admin or operator token exists already.
    pub async fn insert_first_admin(&self, token: &NewToken) -> Result<Option<Token>> {
        Err(Error::NotYet("insert_first_admin"))
    }

    /// Finds the living token with this hash.
    pub async fn token_by_hash(&self, hash: &[u8; 32], now: i64) -> Result<Option<Token>> {
        Err(Error::NotYet("token_by_hash"))
    }

    /// Notes that a token was used; writes at most once a minute for each token.
    pub async fn touch_token(&self, id: &str, now: i64) -> Result<()> {
        Err(Error::NotYet("touch_token"))
    }

    /// Lists the tokens of a workspace (`None`: of all, operators included).
    pub async fn tokens(&self, ws: Option<&str>) -> Result<Vec<Token>> {
        Err(Error::NotYet("tokens"))
    }

    /// Deletes a token of the workspace (`None`: whichever); false when there is none.
    pub async fn revoke_token(&self, ws: Option<&str>, actor: &str, id: &str) -> Result<bool> {
        Err(Error::NotYet("revoke_token"))
    }
}
