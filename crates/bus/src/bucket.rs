//! Buckets of small values that many writers change by compare-and-set: rate budgets, and tokens.

use crate::connect::Bus;
use crate::error::Error;
use crate::publish::{Failure, request_ack};
use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use std::time::Duration;
use wire::stream::{BUDGET_BUCKET, TOKEN_BUCKET, TokenCell, budget_key, consent_key, token_key};

/// NATS' number for a value that changed meanwhile.
const WRONG_LAST_SEQUENCE: u64 = 10_071;

/// The rate budgets of connections.
#[derive(Clone)]
pub struct Budgets {
    bus: Bus,
}

/// A value and the revision that a change must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The value.
    pub value: Bytes,
    /// Its revision.
    pub revision: u64,
}

/// What came of a compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The value is set, under this revision.
    Done(u64),
    /// Somebody was quicker: read again.
    Conflict,
}

impl Bus {
    /// Returns the rate budgets of connections.
    pub fn budgets(&self) -> Budgets {
        Budgets { bus: self.clone() }
    }

    /// Returns what fetchers share of connections' tokens.
    pub fn tokens(&self) -> Tokens {
        Tokens { bus: self.clone() }
    }
}

impl Budgets {
    /// Returns a connection's value; nothing when it was never set or its time is over.
    pub async fn get(&self, workspace: &str, connection: &str) -> Result<Option<Held>, Error> {
        get(
            &self.bus,
            BUDGET_BUCKET,
            &budget_key(workspace, connection)?,
        )
        .await
    }

    /// Sets a value if it is still the one of `revision` (nothing: if there is none); it is gone after `ttl`.
    ///
    /// Never tried twice: an error means that it may have been set, and a budget counts that as spent.
    pub async fn compare_and_set(
        &self,
        workspace: &str,
        connection: &str,
        revision: Option<u64>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Swap, Error> {
        let key = budget_key(workspace, connection)?;
        swap(&self.bus, BUDGET_BUCKET, &key, revision, value, ttl).await
    }

    /// Sets a value whatever it was; it is gone after `ttl`. Returns its revision.
    pub async fn put(
        &self,
        workspace: &str,
        connection: &str,
        value: Bytes,
        ttl: Duration,
    ) -> Result<u64, Error> {
        let key = budget_key(workspace, connection)?;
        send(&self.bus, BUDGET_BUCKET, &key, lifetime(ttl), value).await
    }
}

/// What fetchers share of a connection's tokens: never in the clear, that is the caller's duty.
#[derive(Clone)]
pub struct Tokens {
    bus: Bus,
}

impl Tokens {
    /// Returns a cell; nothing when it was never set or its time is over.
    pub async fn get(
        &self,
        workspace: &str,
        connection: &str,
        cell: TokenCell,
    ) -> Result<Option<Held>, Error> {
        let key = token_key(workspace, connection, cell)?;
        get(&self.bus, TOKEN_BUCKET, &key).await
    }

    /// Sets a cell if it is still the one of `revision` (nothing: if there is none); it is gone after `ttl`.
    ///
    /// An error means that it may have been set.
    pub async fn compare_and_set(
        &self,
        workspace: &str,
        connection: &str,
        cell: TokenCell,
        revision: Option<u64>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Swap, Error> {
        let key = token_key(workspace, connection, cell)?;
        swap(&self.bus, TOKEN_BUCKET, &key, revision, value, ttl).await
    }

    /// Sets a cell whatever it was; it is gone after `ttl`. Returns its revision.
    pub async fn put(
        &self,
        workspace: &str,
        connection: &str,
        cell: TokenCell,
        value: Bytes,
        ttl: Duration,
    ) -> Result<u64, Error> {
        let key = token_key(workspace, connection, cell)?;
        send(&self.bus, TOKEN_BUCKET, &key, lifetime(ttl), value).await
    }
}

impl Tokens {
    /// Returns what is kept of a person's consent, by the hash of its state.
    pub async fn consent(&self, state_hash: &str) -> Result<Option<Held>, Error> {
        get(&self.bus, TOKEN_BUCKET, &consent_key(state_hash)?).await
    }

    /// Sets what is kept of a person's consent if it is still the one of `revision`; it is gone after `ttl`.
    pub async fn set_consent(
        &self,
        state_hash: &str,
        revision: Option<u64>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Swap, Error> {
        let key = consent_key(state_hash)?;
        swap(&self.bus, TOKEN_BUCKET, &key, revision, value, ttl).await
    }
}

async fn get(bus: &Bus, bucket: &'static str, key: &str) -> Result<Option<Held>, Error> {
    let live = bus.live().await?;
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Error::Read {
        what: "a shared value",
        cause,
    };
    let stream = live
        .jetstream
        .get_stream_no_info(format!("KV_{bucket}"))
        .await
        .map_err(|cause| failed(Box::new(cause)))?;
    match stream
        .direct_get_last_for_subject(subject(bucket, key))
        .await
    {
        Ok(found) => Ok(Some(Held {
            value: found.payload,
            revision: found.sequence,
        })),
        Err(error) => match error.kind() {
            DirectGetErrorKind::NotFound => Ok(None),
            _ => Err(failed(Box::new(error))),
        },
    }
}

async fn swap(
    bus: &Bus,
    bucket: &'static str,
    key: &str,
    revision: Option<u64>,
    value: Bytes,
    ttl: Duration,
) -> Result<Swap, Error> {
    let mut headers = lifetime(ttl);
    headers.insert(
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        revision.unwrap_or(0).to_string().as_str(),
    );
    match send(bus, bucket, key, headers, value).await {
        Ok(revision) => Ok(Swap::Done(revision)),
        Err(Error::Refused {
            number: WRONG_LAST_SEQUENCE,
            ..
        }) => Ok(Swap::Conflict),
        Err(error) => Err(error),
    }
}

async fn send(
    bus: &Bus,
    bucket: &'static str,
    key: &str,
    headers: HeaderMap,
    value: Bytes,
) -> Result<u64, Error> {
    let live = bus.live().await?;
    match request_ack(&live, &subject(bucket, key), headers, value).await {
        Ok(ack) => Ok(ack.sequence),
        Err(Failure::Again(error) | Failure::Final(error)) => Err(error),
    }
}

fn subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// The server counts whole seconds and refuses less than one.
pub(crate) fn lifetime(ttl: Duration) -> HeaderMap {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_TTL, seconds.max(1).to_string().as_str());
    headers
}
