//! What fetchers remember between runs: in this process, and in NATS where there is one.
//!
//! Nothing here may be needed: what is forgotten costs a few requests and is learned again. No secrets are kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

/// Keys kept in this process; beyond it all are forgotten and asked of NATS again.
const MOST_KEYS: usize = 1_000;

/// Longest value: NATS takes a message of 1 MiB, and a memory is small.
const MOST_BYTES: usize = 64 * 1024;

/// Half of what is remembered this long is stale.
const LIFE: Duration = Duration::from_hours(30 * 24);

/// What fetchers remember.
#[derive(Default)]
pub struct Memory {
    here: Mutex<HashMap<String, Bytes>>,
    shared: Option<bus::Memory>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// Makes a memory that is shared by all replicas.
    pub fn shared(memory: bus::Memory) -> Self {
        Memory {
            here: Mutex::default(),
            shared: Some(memory),
        }
    }

    /// What was kept under `key`, from this process if it knows: for what changes hardly ever.
    pub async fn recall(&self, key: &str) -> Option<Bytes> {
        let known = self.here().get(key).cloned();
        match known {
            Some(value) => Some(value),
            None => self.newest(key).await,
        }
    }

    /// What any replica kept last under `key`.
    pub async fn newest(&self, key: &str) -> Option<Bytes> {
        let Some(shared) = &self.shared else {
            return self.here().get(key).cloned();
        };
        match shared.get(key).await {
            Ok(found) => {
                if let Some(value) = &found {
                    self.keep(key, value.clone());
                }
                found
            }
            Err(error) => {
                tracing::debug!(%error, "memory cannot be read");
                None
            }
        }
    }

    /// Keeps a value for the runs to come; one that is too long is not kept.
    pub async fn remember(&self, key: &str, value: Bytes) {
        if value.len() > MOST_BYTES {
            return;
        }
        self.keep(key, value.clone());
        if let Some(shared) = &self.shared
            && let Err(error) = shared.put(key, value, LIFE).await
        {
            tracing::debug!(%error, "memory cannot be written");
        }
    }

    fn keep(&self, key: &str, value: Bytes) {
        let mut here = self.here();
        if here.len() >= MOST_KEYS && !here.contains_key(key) {
            here.clear();
        }
        here.insert(key.to_owned(), value);
    }

    fn here(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
