//! Sealed secrets: the store keeps what only a fetcher can open.

use crate::Store;
use crate::error::{Error, Result};

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
        Err(Error::NotYet("next_secret_version"))
    }

    /// Keeps a sealed secret as `version`; a conflict when that is not the next version.
    pub async fn put_secret(&self, ws: &str, actor: &str, secret: &SealedSecret) -> Result<()> {
        Err(Error::NotYet("put_secret"))
    }

    /// Reads sealed secrets by name; unknown names are left out.
    pub async fn sealed_secrets(&self, ws: &str, names: &[String]) -> Result<Vec<SealedSecret>> {
        Err(Error::NotYet("sealed_secrets"))
    }

    /// Binds a secret that was sealed without origins to its first origin, once. True when `origin`
    /// is (now or already) the one it is bound to.
    pub async fn bind_secret_origin(
        &self,
        ws: &str,
        name: &str,
        version: i64,
        origin: &str,
    ) -> Result<bool> {
        Err(Error::NotYet("bind_secret_origin"))
    }

    /// Lists secrets by name, without any value.
    pub async fn secrets(&self, ws: &str) -> Result<Vec<SecretInfo>> {
        Err(Error::NotYet("secrets"))
    }

    /// Deletes a secret; false when there is none.
    pub async fn delete_secret(&self, ws: &str, actor: &str, name: &str) -> Result<bool> {
        Err(Error::NotYet("delete_secret"))
    }
}
