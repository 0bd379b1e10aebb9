//! The store's side of refresh tokens: fetchers ask for the newest sealed values and bring rotated ones.
//!
//! Nothing here can open a secret. A brought one replaces only what a connection names as its refresh token, one version
//! at a time, so that of two fetchers one is told to look again.

use bus::{Ask, Bus};
use bytes::Bytes;
use definition::Auth;
use service::Context;
use store::{Kind, SealedSecret, Store};
use wire::credential::Kept;
use wire::message::{self, Message};
use wire::subject::filter;
use wire::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted};

use crate::error::Error;

/// Replicas share the questions.
const GROUP: &str = "keeper";
/// Questions in hand at the same time; each is a query or two.
const AT_ONCE: usize = 8;
/// Names of one question; a connection has a handful of secrets.
const NAMES: usize = 32;
/// Who the audit names.
const ACTOR: &str = "fetcher";

/// Answers until shutdown.
pub(crate) fn start(context: &Context, store: &Store, bus: &Bus) {
    let (bus_read, store_read, stop) = (bus.clone(), store.clone(), context.shutdown.clone());
    context.tasks.spawn_essential("keeper.read", async move {
        let handler = move |ask: Ask| {
            let store = store_read.clone();
            async move { read(&store, &ask).await }
        };
        let filter = filter::secrets_wanted();
        bus_read
            .serve(&filter, GROUP, AT_ONCE, stop.token(), handler)
            .await;
    });
    let (bus, store, stop) = (bus.clone(), store.clone(), context.shutdown.clone());
    context.tasks.spawn_essential("keeper.keep", async move {
        let handler = move |ask: Ask| {
            let store = store.clone();
            async move { keep(&store, &ask).await }
        };
        let filter = filter::secrets_replaced();
        bus.serve(&filter, GROUP, AT_ONCE, stop.token(), handler)
            .await;
    });
}

async fn read(store: &Store, ask: &Ask) -> Bytes {
    let mut answer = SecretsRead {
        workspace: ask.workspace.clone(),
        ..SecretsRead::default()
    };
    match message::decode::<SecretsWanted>(&ask.subject, &ask.payload) {
        Ok(wanted) if wanted.names.len() > NAMES => {
            answer.error = format!("at most {NAMES} names");
        }
        Ok(wanted) => match store.sealed_secrets(&wanted.workspace, &wanted.names).await {
            Ok(found) => {
                let sent = |secret: SealedSecret| wire::SealedSecret {
                    name: secret.name,
                    version: secret.version,
                    sealed: secret.sealed,
                    origins: secret.origins,
                };
                answer.secrets = found.into_iter().map(sent).collect();
            }
            Err(error) => {
                tracing::warn!(error = %service::report::chain(&error), "secrets could not be read");
                "the store cannot be read".clone_into(&mut answer.error);
            }
        },
        Err(malformed) => answer.error = malformed.message,
    }
    encoded(&answer)
}

async fn keep(store: &Store, ask: &Ask) -> Bytes {
    let mut answer = SecretKept {
        workspace: ask.workspace.clone(),
        ..SecretKept::default()
    };
    match message::decode::<SecretReplaced>(&ask.subject, &ask.payload) {
        Ok(brought) => match replace(store, &brought).await {
            Ok((outcome, reason)) => {
                outcome.as_str().clone_into(&mut answer.outcome);
                reason.clone_into(&mut answer.error);
            }
            // Without an outcome the fetcher tries again.
            Err(error) => {
                tracing::warn!(error = %service::report::chain(&error), "a refresh token could not be kept");
                "the store cannot be written".clone_into(&mut answer.error);
            }
        },
        Err(malformed) => {
            Kept::Refused.as_str().clone_into(&mut answer.outcome);
            answer.error = malformed.message;
        }
    }
    encoded(&answer)
}

async fn replace(store: &Store, brought: &SecretReplaced) -> Result<(Kept, &'static str), Error> {
    let Some(secret) = &brought.secret else {
        return Ok((Kept::Refused, "no secret was brought"));
    };
    let workspace = brought.workspace.as_str();
    let stored = store
        .definition(workspace, Kind::Connection, &brought.connection)
        .await?;
    let Some(stored) = stored else {
        return Ok((Kept::Refused, "the connection was deleted"));
    };
    // One that cannot be read any more has no refresh token either.
    let connection = stored.connection().ok();
    let is_its_own = match connection.map(|connection| connection.auth) {
        Some(Auth::OAuth2(oauth2)) => oauth2
            .grant
            .refresh_token()
            .is_some_and(|name| name.as_str() == secret.name),
        _ => false,
    };
    if !is_its_own {
        return Ok((
            Kept::Refused,
            "the secret is not the connection's refresh token",
        ));
    }
    let known = store
        .sealed_secrets(workspace, std::slice::from_ref(&secret.name))
        .await?;
    let Some(known) = known.into_iter().next() else {
        return Ok((Kept::Refused, "the secret was deleted"));
    };
    // An answer may have been lost: the same text again is kept already.
    if known.version == secret.version && known.sealed == secret.sealed {
        return Ok((Kept::Done, ""));
    }
    if known.version + 1 != secret.version {
        return Ok((Kept::Conflict, ""));
    }
    // Where it may be sent is not the fetcher's to say; what counts is inside the seal.
    let next = SealedSecret {
        name: known.name,
        version: secret.version,
        sealed: secret.sealed.clone(),
        origins: known.origins,
    };
    match store.put_secret(workspace, ACTOR, &next).await {
        Ok(()) => Ok((Kept::Done, "")),
        Err(store::Error::Conflict { .. }) => Ok((Kept::Conflict, "")),
        Err(error) => Err(error.into()),
    }
}

fn encoded<M: Message>(answer: &M) -> Bytes {
    message::encode(answer).map(Bytes::from).unwrap_or_default()
}
