//! A plain NATS client that notes when it heard what.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

/// A run whose update is not heard within this will never be.
const PATIENCE: Duration = Duration::from_mins(3);

/// The part of an update that is looked at.
#[derive(Deserialize)]
pub(crate) struct Update {
    /// The run that made it.
    pub(crate) run: String,
    /// When it was committed, by the store's clock.
    pub(crate) committed_at: Timestamp,
}

struct Heard {
    at: Instant,
    time: Timestamp,
    payload: Vec<u8>,
}

/// One subscriber.
pub(crate) struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    count: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Ear {
    /// Connects and subscribes to all updates of the default workspace.
    pub(crate) async fn open(nats: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(nats).await?;
        let mut messages = client.subscribe("tidemark.v1.default.update.>").await?;
        client.flush().await?;
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let into = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                // The clocks first: reading the message is not part of hearing it.
                let (at, time) = (Instant::now(), Timestamp::now());
                let one = Heard {
                    at,
                    time,
                    payload: message.payload.to_vec(),
                };
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(one);
                counted.send_modify(|count| *count += 1);
            }
            drop(client);
        });
        Ok(Self { heard, count, task })
    }

    /// How many updates were heard so far.
    pub(crate) fn heard(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits for the update of a run and says when it came.
    pub(crate) async fn update_of(&mut self, run: &str) -> anyhow::Result<Instant> {
        let waiting = async {
            loop {
                self.count.mark_unchanged();
                if let Some(at) = self.when(run) {
                    return Ok(at);
                }
                self.count
                    .changed()
                    .await
                    .context("the subscription ended")?;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .with_context(|| format!("no update of run {run}"))?
    }

    /// Milliseconds from commit to hearing, of every update of these runs.
    pub(crate) fn delays(&self, runs: &[String]) -> Vec<f64> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = |one: &Heard| {
            let update: Update = serde_json::from_slice(&one.payload).ok()?;
            let is_asked = runs.contains(&update.run);
            is_asked.then(|| one.time.duration_since(update.committed_at).as_secs_f64() * 1000.0)
        };
        heard.iter().filter_map(delay).collect()
    }

    fn when(&self, run: &str) -> Option<Instant> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |one: &&Heard| {
            serde_json::from_slice::<Update>(&one.payload).is_ok_and(|update| update.run == run)
        };
        heard.iter().rev().find(is_of).map(|one| one.at)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}
