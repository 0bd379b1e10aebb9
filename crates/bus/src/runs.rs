//! What the reconciler asks: does the broker still hold a run's request or its manifest?

use crate::connect::Bus;
use crate::error::Error;
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind};
use wire::message::{self, Message, Part};
use wire::stream::Stream;
use wire::{RunManifest, Window};

/// Manifests looked through for one run: a month of one every five minutes.
const LOOKED_THROUGH: usize = 10_000;

impl Bus {
    /// Whether a sync request of the dataset and window is in the queue, waiting or in somebody's hands.
    pub async fn sync_waits(
        &self,
        workspace: &str,
        dataset: &str,
        window: Option<&Window>,
    ) -> Result<bool, Error> {
        let subject = wire::subject::sync(workspace, dataset, window)?;
        let handle = self.stream(&self.live().await?, Stream::Sync).await?;
        match handle
            .get_last_raw_message_by_subject(subject.as_str())
            .await
        {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(false),
                _ => Err(Error::Read {
                    what: "the sync queue",
                    cause: Box::new(error),
                }),
            },
        }
    }

    /// Returns the newest manifest of `run` that the stream holds, with all its parts; nothing when there is none.
    ///
    /// Looks at the dataset's newest manifest first and else through all of them, so it is for repairs only.
    pub async fn manifest_of(
        &self,
        workspace: &str,
        dataset: &str,
        run: &str,
    ) -> Result<Option<RunManifest>, Error> {
        let subject = wire::subject::run(workspace, dataset)?;
        let handle = self.stream(&self.live().await?, Stream::Run).await?;
        if let Ok(newest) = handle.direct_get_last_for_subject(subject.as_str()).await
            && let Some(found) = self
                .manifest_if(subject.as_str(), &newest.payload, run)
                .await?
        {
            return Ok(Some(found));
        }
        let (mut found, mut from) = (None, 0);
        for _ in 0..LOOKED_THROUGH {
            match handle
                .direct_get_next_for_subject(subject.as_str(), Some(from))
                .await
            {
                Ok(next) => {
                    from = next.sequence + 1;
                    if let Some(manifest) = self
                        .manifest_if(subject.as_str(), &next.payload, run)
                        .await?
                    {
                        found = Some(manifest);
                    }
                }
                Err(error) if matches!(error.kind(), DirectGetErrorKind::NotFound) => break,
                Err(cause) => {
                    return Err(Error::Read {
                        what: "the manifests",
                        cause: Box::new(cause),
                    });
                }
            }
        }
        Ok(found)
    }

    /// Returns the manifest whose last part is at `sequence`, with all its parts; nothing when one of them is gone or
    /// when it belongs to another run.
    pub async fn manifest_at(
        &self,
        sequence: u64,
        run: &str,
    ) -> Result<Option<RunManifest>, Error> {
        match self.message(Stream::Run, sequence).await? {
            Some(stored) => {
                self.manifest_if(stored.subject.as_str(), &stored.payload, run)
                    .await
            }
            None => Ok(None),
        }
    }

    async fn manifest_if(
        &self,
        subject: &str,
        payload: &[u8],
        run: &str,
    ) -> Result<Option<RunManifest>, Error> {
        let Ok(mut manifest) = message::decode::<RunManifest>(subject, payload) else {
            return Ok(None);
        };
        if manifest.run != run || manifest.part() == Part::Earlier {
            return Ok(None);
        }
        Ok(self.join_parts(&mut manifest).await?.then_some(manifest))
    }

    /// Fetches the earlier parts of a message and joins them to it; false when one is gone.
    pub(crate) async fn join_parts<M: Message>(&self, message: &mut M) -> Result<bool, Error> {
        let Part::Last(sequences) = message.part() else {
            return Ok(true);
        };
        let mut earlier = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let Some(stored) = self.message(Stream::Run, *sequence).await? else {
                return Ok(false);
            };
            match message::decode::<M>(&stored.subject, &stored.payload) {
                Ok(part) => earlier.push(part),
                Err(_) => return Ok(false),
            }
        }
        message.join(earlier);
        Ok(true)
    }
}
