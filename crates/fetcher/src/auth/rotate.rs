//! Refresh tokens, which many servers take once: the newest is asked from the store's side, handed in under a lease,
//! and what replaces it is kept before the access token is used.

use std::time::Duration;

use bytes::Bytes;
use definition::OAuth2;
use secrecy::SecretString;
use serde_json::Value;
use service::{SealedSecret, Secret};
use tokio::time::Instant;
use wire::credential::Kept;
use wire::stream::TokenCell;
use wire::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted};

use super::access::{Opened, unseal};
use super::lease::Lease;
use super::oauth2::{Given, Offer};
use super::shared::Shared;
use super::tokens::{Token, Tokens};
use super::{Access, SecretFault, TokenFault};

/// The store's side answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(5);
/// That a token was handed in is remembered longer than servers remember refresh tokens that are not used.
const REMEMBERED: Duration = Duration::from_hours(31 * 24);
/// Errors by which a server says that it knows the refresh token no more.
const SPENT: [&str; 2] = ["invalid_grant", "invalid_token"];

impl Tokens {
    /// Gets an access token for the newest refresh token.
    pub(super) async fn refreshed(
        &self,
        access: &Access,
        oauth2: &OAuth2,
        name: &str,
        held: Option<(&Shared, &mut Lease<'_>)>,
    ) -> Result<Token, TokenFault> {
        let Some((shared, lease)) = held else {
            return self.refreshed_alone(access, oauth2, name).await;
        };
        let newest = self.newest(shared, access, name).await?;
        if let Some(token) = self.lasting(access, &newest) {
            return Ok(token);
        }
        let intent = shared
            .cells
            .get(access.workspace(), access.connection(), TokenCell::Intent)
            .await
            .map_err(|error| TokenFault::Away(error.to_string()))?;
        let mark = Bytes::from(format!("{name}.{}", newest.version));
        let was_handed_in = intent.is_some_and(|intent| intent.value == mark);
        mark_as(shared, access, mark, REMEMBERED)
            .await
            .map_err(TokenFault::Away)?;
        // All that took its time; what is handed in now must come back while the lease is ours.
        if !lease.renew().await {
            return Err(TokenFault::Away("its lease was lost".to_owned()));
        }
        let given = match self
            .exchange(access, oauth2, &Offer::Refresh(&newest.value))
            .await
        {
            Ok(given) => given,
            Err(TokenFault::Refused { said, .. }) if was_handed_in && is_spent(&said) => {
                let connection = access.connection().to_owned();
                return Err(TokenFault::Lost { connection, said });
            }
            Err(fault) => {
                if !may_be_spent(&fault) && !was_handed_in {
                    unmark(shared, access).await;
                }
                return Err(fault);
            }
        };
        let version = match &given.refresh_token {
            Some(next) if next.expose() != newest.value.expose() => {
                access.redactor().learn(next);
                self.keep(shared, lease, access, name, &newest, next)
                    .await?;
                newest.version + 1
            }
            _ => newest.version,
        };
        unmark(shared, access).await;
        Ok(self.token_of(access, &given, version))
    }

    /// Without other fetchers and without a store: good for servers that do not rotate.
    async fn refreshed_alone(
        &self,
        access: &Access,
        oauth2: &OAuth2,
        name: &str,
    ) -> Result<Token, TokenFault> {
        let missing = || SecretFault::Missing(name.to_owned());
        let stored = access.opened(name).ok_or_else(missing)?;
        if let Some(token) = self.lasting(access, stored) {
            return Ok(token);
        }
        let given = self
            .exchange(access, oauth2, &Offer::Refresh(&stored.value))
            .await?;
        match &given.refresh_token {
            Some(next) if next.expose() != stored.value.expose() => Err(TokenFault::Away(
                "the next refresh token cannot be kept".to_owned(),
            )),
            _ => Ok(self.token_of(access, &given, stored.version)),
        }
    }

    /// A consent may come to an access token that lasts, and no refresh token.
    fn lasting(&self, access: &Access, stored: &Opened) -> Option<Token> {
        let value: Value = serde_json::from_str(stored.value.expose()).ok()?;
        let given = Given {
            access_token: Secret::new(value.get("access_token")?.as_str()?),
            refresh_token: None,
            expires_in: None,
        };
        access.redactor().learn(&given.access_token);
        Some(self.token_of(access, &given, stored.version))
    }

    async fn newest(
        &self,
        shared: &Shared,
        access: &Access,
        name: &str,
    ) -> Result<Opened, TokenFault> {
        let question = SecretsWanted {
            workspace: access.workspace().to_owned(),
            names: vec![name.to_owned()],
        };
        let answer: SecretsRead = shared.bus.ask(&question, ANSWER).await.map_err(|error| {
            TokenFault::Away(format!("the store's side does not answer: {error}"))
        })?;
        if !answer.error.is_empty() {
            return Err(TokenFault::Away(answer.error));
        }
        let sealed = answer
            .secrets
            .iter()
            .find(|sealed| sealed.name == name)
            .ok_or_else(|| SecretFault::Missing(name.to_owned()))?;
        let opened = unseal(access.workspace(), name, sealed, &self.identities)?;
        access.redactor().learn(&opened.value);
        Ok(opened)
    }

    /// Keeps the next refresh token on the store's side, trying for minutes: without it the connection is lost.
    async fn keep(
        &self,
        shared: &Shared,
        lease: &mut Lease<'_>,
        access: &Access,
        name: &str,
        newest: &Opened,
        next: &Secret,
    ) -> Result<(), TokenFault> {
        let secret = SealedSecret {
            workspace: access.workspace().to_owned(),
            name: name.to_owned(),
            version: newest.version + 1,
            origins: newest.origins.clone(),
            value: SecretString::from(next.expose()),
        };
        let sealed = shared
            .seal(&secret)
            .and_then(|sealed| String::from_utf8(sealed.to_vec()).ok())
            .ok_or_else(|| TokenFault::Unfit("this fetcher has no identity".to_owned()))?;
        let question = SecretReplaced {
            workspace: access.workspace().to_owned(),
            connection: access.connection().to_owned(),
            secret: Some(wire::SealedSecret {
                name: name.to_owned(),
                version: newest.version + 1,
                sealed,
                origins: newest.origins.clone(),
            }),
        };
        let deadline = Instant::now() + self.patience.keep;
        let mut pause = Duration::from_millis(200);
        loop {
            lease.renew().await;
            match shared.bus.ask::<_, SecretKept>(&question, ANSWER).await {
                Ok(kept) if kept.outcome == Kept::Done.as_str() => return Ok(()),
                Ok(kept) if kept.outcome == Kept::Conflict.as_str() => {
                    let reason = "a new refresh token was stored meanwhile";
                    return Err(TokenFault::Away(reason.to_owned()));
                }
                Ok(kept) if kept.outcome == Kept::Refused.as_str() => {
                    return Err(TokenFault::Unfit(kept.error));
                }
                Ok(_) | Err(_) if Instant::now() > deadline => {
                    tracing::error!(
                        connection = access.connection(),
                        "a rotated refresh token could not be kept; the connection will need a new one"
                    );
                    return Err(TokenFault::Away(
                        "the store's side does not answer".to_owned(),
                    ));
                }
                Ok(_) | Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.patience.lease / 4);
                }
            }
        }
    }
}

fn is_spent(said: &str) -> bool {
    SPENT.iter().any(|word| said.starts_with(word))
}

/// Whether a server may have taken the refresh token although there was no token in return.
fn may_be_spent(fault: &TokenFault) -> bool {
    use crate::http::Failure;
    match fault {
        TokenFault::Transport(failure) => !matches!(
            failure,
            Failure::Connect(_) | Failure::Refused(_) | Failure::Tls(_)
        ),
        TokenFault::Server { status, .. } => *status >= 500,
        TokenFault::Unreadable(_) => true,
        _ => false,
    }
}

async fn mark_as(
    shared: &Shared,
    access: &Access,
    mark: Bytes,
    life: Duration,
) -> Result<(), String> {
    let (workspace, connection) = (access.workspace(), access.connection());
    shared
        .cells
        .put(workspace, connection, TokenCell::Intent, mark, life)
        .await
        .map(|_| ())
        .map_err(|error| error.to_string())
}

async fn unmark(shared: &Shared, access: &Access) {
    let none = Bytes::from_static(b"none");
    if let Err(error) = mark_as(shared, access, none, Duration::from_secs(1)).await {
        tracing::debug!(
            error,
            "that a refresh token was handed in could not be forgotten"
        );
    }
}
