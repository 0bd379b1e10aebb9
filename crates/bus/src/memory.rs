//! What fetchers remember between runs: small values that anybody may overwrite and that may be lost.

use crate::bucket::lifetime;
use crate::connect::Bus;
use crate::error::Error;
use crate::publish::{Failure, request_ack};
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use std::time::Duration;
use wire::stream::MEMORY_BUCKET;

/// What fetchers remember between runs.
#[derive(Clone)]
pub struct Memory {
    bus: Bus,
}

impl Bus {
    /// Returns what fetchers remember between runs.
    pub fn memory(&self) -> Memory {
        Memory { bus: self.clone() }
    }
}

impl Memory {
    /// Returns the value of a key of `wire::stream`; nothing when it was never set or its time is over.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let live = self.bus.live().await?;
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Error::Read {
            what: "what was remembered",
            cause,
        };
        let stream = live
            .jetstream
            .get_stream_no_info(format!("KV_{MEMORY_BUCKET}"))
            .await
            .map_err(|cause| failed(Box::new(cause)))?;
        match stream.direct_get_last_for_subject(subject(key)).await {
            Ok(found) => Ok(Some(found.payload)),
            Err(error) => match error.kind() {
                DirectGetErrorKind::NotFound => Ok(None),
                _ => Err(failed(Box::new(error))),
            },
        }
    }

    /// Sets the value of a key of `wire::stream`, whatever it was; it is gone after `ttl`.
    pub async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), Error> {
        let live = self.bus.live().await?;
        match request_ack(&live, &subject(key), lifetime(ttl), value).await {
            Ok(_) => Ok(()),
            Err(Failure::Again(error) | Failure::Final(error)) => Err(error),
        }
    }
}

fn subject(key: &str) -> String {
    format!("$KV.{MEMORY_BUCKET}.{key}")
}
