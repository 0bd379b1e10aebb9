//! What fetchers share of a connection's token: the access token, sealed to them all, in NATS KV.

use std::time::Duration;

use bus::Bus;
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use service::{Identity, SealedSecret, Secret};
use std::sync::Arc;
use wire::stream::TokenCell;

use super::{Access, Token};

/// A token whose end is not told is shared for a day, then asked for again.
const UNTOLD: Duration = Duration::from_hours(24);
/// No token is shared for longer.
const LONGEST: Duration = Duration::from_hours(31 * 24);

/// The way to other fetchers and to the store's side.
#[derive(Clone)]
pub struct Shared {
    pub(super) bus: Bus,
    pub(super) cells: bus::Tokens,
    identities: Arc<[Identity]>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// What is inside the seal.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    token: std::borrow::Cow<'a, str>,
    fingerprint: std::borrow::Cow<'a, str>,
    refresh_version: i64,
    expires_at: Option<Timestamp>,
}

impl Shared {
    /// Shares over `bus`; what is shared is sealed to the first of `identities`, and opened with any.
    pub fn new(bus: Bus, identities: Arc<[Identity]>) -> Self {
        let cells = bus.tokens();
        Shared {
            bus,
            cells,
            identities,
        }
    }

    /// Returns the token that a fetcher shared; nothing when there is none that can be read.
    pub(super) async fn access(&self, access: &Access) -> Option<Token> {
        let (workspace, connection) = (access.workspace(), access.connection());
        let held = self
            .cells
            .get(workspace, connection, TokenCell::Access)
            .await
            .ok()??;
        let text = std::str::from_utf8(&held.value).ok()?;
        let opened = service::open(&self.identities, text).ok()?;
        if opened.workspace != workspace || opened.name != name(connection) {
            return None;
        }
        let written: Written<'_> = serde_json::from_str(opened.value.expose_secret()).ok()?;
        Some(Token {
            value: Secret::new(written.token.into_owned()),
            fingerprint: written.fingerprint.into_owned(),
            refresh_version: written.refresh_version,
            expires_at: written.expires_at,
        })
    }

    /// Shares a token; that it cannot be is no fault.
    pub(super) async fn keep_access(&self, access: &Access, token: &Token, now: Timestamp) {
        let life = match token.expires_at {
            Some(end) => Duration::try_from(end.duration_since(now)).unwrap_or_default(),
            None => UNTOLD,
        };
        let Some(sealed) = self.sealed(access, token) else {
            return;
        };
        if life < Duration::from_secs(1) {
            return;
        }
        let (workspace, connection) = (access.workspace(), access.connection());
        let life = life.min(LONGEST);
        let kept = self
            .cells
            .put(workspace, connection, TokenCell::Access, sealed, life)
            .await;
        if let Err(error) = kept {
            tracing::debug!(%error, "a token could not be shared");
        }
    }

    fn sealed(&self, access: &Access, token: &Token) -> Option<Bytes> {
        let written = Written {
            token: token.value.expose().into(),
            fingerprint: token.fingerprint.as_str().into(),
            refresh_version: token.refresh_version,
            expires_at: token.expires_at,
        };
        let secret = SealedSecret {
            workspace: access.workspace().to_owned(),
            name: name(access.connection()),
            version: token.refresh_version,
            origins: Vec::new(),
            value: SecretString::from(serde_json::to_string(&written).ok()?),
        };
        self.seal(&secret)
    }

    /// Seals something to all fetchers.
    pub(super) fn seal(&self, secret: &SealedSecret) -> Option<Bytes> {
        let recipient = self.identities.first()?.recipient();
        service::seal(&recipient, secret).ok().map(Bytes::from)
    }
}

/// The name inside the seal: no secret can be called so.
fn name(connection: &str) -> String {
    format!("access token of {connection}")
}
