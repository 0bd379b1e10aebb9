//! Hands pages to their stream, in as many messages as each needs.

use crate::connect::Bus;
use crate::error::Error;
use crate::publish::{SPARE, headers_size};
use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::time::Duration;
use wire::message::id;
use wire::page::{self, ChunkHeaders};
use wire::{PageHeaders, Subject, header};

/// A page's body with the hash by which it is known, so that it is hashed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageBody {
    bytes: Bytes,
    hash: String,
}

impl PageBody {
    /// Hashes `bytes`.
    pub fn of(bytes: Bytes) -> Self {
        let hash = page::hash(&bytes);
        Self { bytes, hash }
    }

    /// The body itself.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the body, lower-case hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Where a page lies now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPage {
    /// Sequences of its chunks, in order.
    pub sequences: Vec<u64>,
    /// SHA-256 of the whole body, lower-case hex.
    pub hash: String,
    /// Length of the whole body.
    pub bytes: u64,
}

impl Bus {
    /// Stores a page's body untouched, in as many chunks as the server's bound on messages needs.
    ///
    /// At most 16 chunks are on their way at once over the whole process; the rest wait here. `delivery` is how often
    /// the sync request had been delivered: a second delivery may see another body under the same number.
    pub async fn publish_page(
        &self,
        workspace: &str,
        dataset: &str,
        page: PageHeaders,
        delivery: u64,
        body: PageBody,
    ) -> Result<PublishedPage, Error> {
        let bytes = self.hand_over().is_wanted().then(|| body.bytes.clone());
        let stored = self
            .store_page(workspace, dataset, page, delivery, body, None)
            .await?;
        if let Some(bytes) = bytes {
            self.hand_over()
                .keep(&stored.sequences, &stored.hash, bytes);
        }
        Ok(stored)
    }

    /// Stores a page; with a `life`, the stream lets it go after that by itself.
    pub(crate) async fn store_page(
        &self,
        workspace: &str,
        dataset: &str,
        page: PageHeaders,
        delivery: u64,
        body: PageBody,
        life: Option<Duration>,
    ) -> Result<PublishedPage, Error> {
        let subject = wire::subject::page(workspace, dataset, &page.run)?;
        let PageBody { bytes: body, hash } = body;
        let bytes = body.len() as u64;
        let mut chunk = ChunkHeaders {
            page,
            chunk: 1,
            chunks: u32::MAX,
            hash,
        };
        // The longest numbers are assumed, so that every chunk's headers fit.
        let reserved = headers_size(&chunk_headers(&chunk, delivery)) + SPARE;
        let room = self
            .live()
            .await?
            .client
            .max_payload()
            .saturating_sub(reserved)
            .max(1);
        let chunks = body.len().div_ceil(room).max(1);
        chunk.chunks = u32::try_from(chunks).unwrap_or(u32::MAX);

        let headers = |number: u32| {
            let mut headers = chunk_headers(
                &ChunkHeaders {
                    chunk: number,
                    ..chunk.clone()
                },
                delivery,
            );
            if let Some(life) = life {
                headers.insert(header::LIFE, life.as_secs().max(1).to_string());
            }
            headers
        };
        let sequences = if chunk.chunks == 1 {
            vec![self.publish_chunk(&subject, || headers(1), body).await?]
        } else {
            stream::iter(1..=chunk.chunks)
                .map(|number| {
                    let start = (number as usize - 1) * room;
                    let piece = body.slice(start..(start + room).min(body.len()));
                    let (subject, headers) = (&subject, &headers);
                    self.publish_chunk(subject, move || headers(number), piece)
                })
                .buffered(16)
                .try_collect()
                .await?
        };
        Ok(PublishedPage {
            sequences,
            hash: chunk.hash,
            bytes,
        })
    }

    async fn publish_chunk(
        &self,
        subject: &Subject,
        headers: impl Fn() -> HeaderMap,
        body: Bytes,
    ) -> Result<u64, Error> {
        let _slot = self.page_slots().acquire().await.map_err(|_| Error::Away)?;
        Ok(self.publish(subject, headers, body).await?.sequence)
    }
}

fn chunk_headers(chunk: &ChunkHeaders, delivery: u64) -> HeaderMap {
    let page = &chunk.page;
    let mut headers = HeaderMap::new();
    let id = id::page(&page.run, page.attempt, delivery, page.page, chunk.chunk);
    headers.insert(header::MESSAGE_ID, id.as_str());
    for (name, value) in chunk.to_pairs() {
        headers.insert(name, value.as_str());
    }
    headers
}
