//! Listening: updates from any point of the stream, progress and wakes as they are said.

use crate::ask::Listening;
use crate::connect::Bus;
use crate::error::Error;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::{Stream, StreamExt};
use std::time::Duration;
use tokio::sync::watch;
use wire::message;
use wire::stream::Stream as StreamName;
use wire::{Filter, MetricUpdate, Progress, Wake, subject::filter};

/// Pause before the stream is asked again after trouble.
const PAUSE: Duration = Duration::from_millis(500);

/// One update and its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// Its sequence: what a reader resumes behind.
    pub sequence: u64,
    /// What changed.
    pub update: MetricUpdate,
}

/// Updates in order, without end: outages are sat out and nothing is left out that the stream still holds.
pub struct Updates {
    bus: Bus,
    filter: Filter,
    next: u64,
    first_sequence: u64,
    last_sequence: u64,
    reading: Option<pull::Ordered>,
    connections: watch::Receiver<u64>,
}

impl Bus {
    /// Reads the updates of all workspaces: from sequence `from` on, or only those yet to come.
    pub async fn updates(&self, from: Option<u64>) -> Result<Updates, Error> {
        self.updates_by(filter::updates(), from).await
    }

    /// Reads the updates of one workspace: from sequence `from` on, or only those yet to come.
    pub async fn updates_of(&self, workspace: &str, from: Option<u64>) -> Result<Updates, Error> {
        self.updates_by(filter::updates_of(workspace)?, from).await
    }

    /// Returns the first and last sequence of the updates that the stream holds.
    ///
    /// The first is one above the last when it holds none.
    pub async fn update_range(&self) -> Result<(u64, u64), Error> {
        let live = self.live().await?;
        let stream = live
            .jetstream
            .get_stream(StreamName::Update.name())
            .await
            .map_err(|cause| Error::Read {
                what: "the updates",
                cause: Box::new(cause),
            })?;
        let state = &stream.cached_info().state;
        Ok((state.first_sequence, state.last_sequence))
    }

    /// Hears the progress of one run from now on.
    pub async fn progress(&self, workspace: &str, run: &str) -> Result<Listening<Progress>, Error> {
        self.listen(&wire::subject::progress(workspace, run)?.as_filter())
            .await
    }

    /// Hears the nudges of the scheduler from now on.
    pub async fn wakes(&self) -> Result<Listening<Wake>, Error> {
        self.listen(&filter::wakes()).await
    }

    /// Hears dead letters from now on.
    pub async fn dead_letters(&self) -> Result<Listening<wire::DeadLetter>, Error> {
        self.listen(&filter::dead()).await
    }

    async fn updates_by(&self, filter: Filter, from: Option<u64>) -> Result<Updates, Error> {
        let connections = self.connections();
        let (first_sequence, last_sequence) = self.update_range().await?;
        let next = from.unwrap_or(last_sequence + 1).max(1);
        let mut updates = Updates {
            bus: self.clone(),
            filter,
            next,
            first_sequence,
            last_sequence,
            reading: None,
            connections,
        };
        updates.open().await?;
        Ok(updates)
    }
}

impl Updates {
    /// Returns the first sequence that the stream held at the beginning: a reader that wants an older one must resync.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Returns the last sequence that the stream held at the beginning.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Waits for the next update.
    pub async fn next(&mut self) -> Announced {
        loop {
            let Some(reading) = self.reading.as_mut() else {
                if let Err(error) = self.open().await {
                    tracing::debug!(%error, "updates cannot be read for now");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            };
            let received = tokio::select! {
                biased;
                received = reading.next() => received,
                // A reader of before the outage would notice by itself, but only after missed heartbeats.
                _ = self.connections.changed() => None,
            };
            let Some(Ok(received)) = received else {
                if let Some(Err(error)) = received {
                    tracing::debug!(%error, "the updates are read anew");
                }
                self.reading = None;
                continue;
            };
            let Ok(sequence) = received.info().map(|info| info.stream_sequence) else {
                continue;
            };
            if sequence < self.next {
                continue;
            }
            self.next = sequence + 1;
            match message::decode::<MetricUpdate>(&received.subject, &received.payload) {
                Ok(update) => return Announced { sequence, update },
                Err(error) => {
                    tracing::error!(sequence, %error, "an update in the stream cannot be read");
                }
            }
        }
    }

    /// Returns the updates as a stream that never ends.
    pub fn into_stream(self) -> impl Stream<Item = Announced> + Send {
        futures::stream::unfold(self, |mut updates| async move {
            let announced = updates.next().await;
            Some((announced, updates))
        })
    }

    async fn open(&mut self) -> Result<(), Error> {
        self.connections.mark_unchanged();
        let live = self.bus.live().await?;
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Error::Read {
            what: "the updates",
            cause,
        };
        let stream = live
            .jetstream
            .get_stream(StreamName::Update.name())
            .await
            .map_err(|cause| failed(Box::new(cause)))?;
        // A stream that was lost and made again counts from 1: go on with whatever it holds.
        let last = stream.cached_info().state.last_sequence;
        if self.next > last + 1 {
            tracing::warn!(next = self.next, last, "the stream of updates began anew");
            self.next = last + 1;
        }
        let consumer = stream
            .create_consumer(pull::OrderedConfig {
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: self.next,
                },
                filter_subject: self.filter.to_string(),
                ..pull::OrderedConfig::default()
            })
            .await
            .map_err(|cause| failed(Box::new(cause)))?;
        self.reading = Some(
            consumer
                .messages()
                .await
                .map_err(|cause| failed(Box::new(cause)))?,
        );
        Ok(())
    }
}
