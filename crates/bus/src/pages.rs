//! Reads single messages by their sequences, and removes those of a run or a workspace.

use crate::connect::{Bus, Live};
use crate::error::Error;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind};
use bytes::Bytes;
use wire::PageHeaders;
use wire::page::ChunkHeaders;
use wire::stream::Stream;

/// One stored chunk of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// Where it comes from.
    pub headers: PageHeaders,
    /// Number of this chunk, from 1.
    pub chunk: u32,
    /// How many chunks the page has.
    pub chunks: u32,
    /// SHA-256 of the whole body.
    pub hash: String,
    /// The chunk's bytes.
    pub body: Bytes,
}

impl Bus {
    /// Returns the chunk at `sequence`; nothing when it is gone.
    pub async fn page(&self, sequence: u64) -> Result<Option<StoredPage>, Error> {
        let Some(message) = self.message(Stream::Page, sequence).await? else {
            return Ok(None);
        };
        let header = |name: &str| {
            message
                .headers
                .get(name)
                .map(|value| value.as_str().to_owned())
        };
        let read = ChunkHeaders::read(header).map_err(|error| Error::Damaged {
            what: "a page",
            problem: error.to_string(),
        })?;
        let ChunkHeaders {
            page: headers,
            chunk,
            chunks,
            hash,
        } = read;
        Ok(Some(StoredPage {
            headers,
            chunk,
            chunks,
            hash,
            body: message.payload,
        }))
    }

    /// Removes all pages of one run from the stream. Returns how many messages went.
    pub async fn purge_run_pages(
        &self,
        workspace: &str,
        dataset: &str,
        run: &str,
    ) -> Result<u64, Error> {
        let subject = wire::subject::page(workspace, dataset, run)?;
        self.purge(Stream::Page, subject.as_str()).await
    }

    /// Removes everything of one workspace from every stream. Returns how many messages went.
    pub async fn purge_workspace(&self, workspace: &str) -> Result<u64, Error> {
        let filter = wire::subject::filter::workspace(workspace)?;
        let mut gone = 0;
        for stream in Stream::ALL {
            gone += self.purge(stream, filter.as_str()).await?;
        }
        Ok(gone)
    }

    async fn purge(&self, stream: Stream, filter: &str) -> Result<u64, Error> {
        let handle = self.stream(&self.live().await?, stream).await?;
        let purged = handle
            .purge()
            .filter(filter)
            .await
            .map_err(|cause| Error::Read {
                what: "a stream to be purged",
                cause: Box::new(cause),
            })?;
        Ok(purged.purged)
    }

    pub(crate) async fn stream(
        &self,
        live: &Live,
        stream: Stream,
    ) -> Result<async_nats::jetstream::stream::Stream<()>, Error> {
        live.jetstream
            .get_stream_no_info(stream.name())
            .await
            .map_err(|cause| Error::Read {
                what: "a stream",
                cause: Box::new(cause),
            })
    }

    /// Returns the message at `sequence`; nothing when it is gone.
    pub(crate) async fn message(
        &self,
        stream: Stream,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Error> {
        let handle = self.stream(&self.live().await?, stream).await?;
        match handle.direct_get_builder().sequence(sequence).send().await {
            Ok(message) => Ok(Some(message)),
            // A replica may lag behind; the leader decides.
            Err(error) if matches!(error.kind(), DirectGetErrorKind::NotFound) => {
                match handle.raw_message_builder().sequence(sequence).send().await {
                    Ok(message) => Ok(Some(message)),
                    Err(error) => match error.kind() {
                        RawMessageErrorKind::NoMessageFound => Ok(None),
                        _ => Err(Error::Read {
                            what: "a message",
                            cause: Box::new(error),
                        }),
                    },
                }
            }
            Err(cause) => Err(Error::Read {
                what: "a message",
                cause: Box::new(cause),
            }),
        }
    }
}
