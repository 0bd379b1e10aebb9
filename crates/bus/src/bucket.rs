//! The bucket of rate budgets: small values that many writers change by compare-and-set.

use crate::connect::Bus;
use crate::error::Error;
use crate::publish::{Failure, request_ack};
use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use std::time::Duration;
use wire::stream::{BUDGET_BUCKET, budget_key};

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
}

impl Budgets {
    /// Returns a connection's value; nothing when it was never set or its time is over.
    pub async fn get(&self, workspace: &str, connection: &str) -> Result<Option<Held>, Error> {
        let subject = subject(workspace, connection)?;
        let live = self.bus.live().await?;
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Error::Read {
            what: "a rate budget",
            cause,
        };
        let stream = live
            .jetstream
            .get_stream_no_info(format!("KV_{BUDGET_BUCKET}"))
            .await
            .map_err(|cause| failed(Box::new(cause)))?;
        match stream.direct_get_last_for_subject(subject).await {
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
        let mut headers = lifetime(ttl);
        headers.insert(
            NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            revision.unwrap_or(0).to_string().as_str(),
        );
        match self.send(workspace, connection, headers, value).await {
            Ok(revision) => Ok(Swap::Done(revision)),
            Err(Error::Refused {
                number: WRONG_LAST_SEQUENCE,
                ..
            }) => Ok(Swap::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Sets a value whatever it was; it is gone after `ttl`. Returns its revision.
    pub async fn put(
        &self,
        workspace: &str,
        connection: &str,
        value: Bytes,
        ttl: Duration,
    ) -> Result<u64, Error> {
        self.send(workspace, connection, lifetime(ttl), value).await
    }

    async fn send(
        &self,
        workspace: &str,
        connection: &str,
        headers: HeaderMap,
        value: Bytes,
    ) -> Result<u64, Error> {
        let subject = subject(workspace, connection)?;
        let live = self.bus.live().await?;
        match request_ack(&live, &subject, headers, value).await {
            Ok(ack) => Ok(ack.sequence),
            Err(Failure::Again(error) | Failure::Final(error)) => Err(error),
        }
    }
}

fn subject(workspace: &str, connection: &str) -> Result<String, Error> {
    Ok(format!(
        "$KV.{BUDGET_BUCKET}.{}",
        budget_key(workspace, connection)?
    ))
}

/// The server counts whole seconds and refuses less than one.
fn lifetime(ttl: Duration) -> HeaderMap {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_TTL, seconds.max(1).to_string().as_str());
    headers
}
