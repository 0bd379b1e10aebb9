//! Reads a run's bodies back by the sequences that its manifest names, many with one question.
//!
//! The pages of a run share a subject, so the server can be asked for "the next sixteen from here on". That costs
//! it and us about half of what sixteen questions cost. Whatever does not come so (a page adopted from another run, a
//! replica that lags behind, an answer that stays away) is asked for by itself.

use crate::connect::Bus;
use crate::error::Error;
use async_nats::{Message, Subscriber};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use wire::stream::Stream;
use wire::{PageEntry, Subject, page};

/// Messages on their way at once: 100 pages of 30 KB took 4 to 7 ms so.
const IN_FLIGHT: usize = 16;

/// Bytes on their way at once, unless one message is larger.
const BYTES_IN_FLIGHT: usize = 8 << 20;

/// A server on the same network begins in milliseconds; past this the pages are asked for one by one.
const SILENCE: Duration = Duration::from_secs(5);

/// The server's word that an answer is over.
const OVER: u16 = 204;

/// The header in which the server says where a message lies.
const SEQUENCE: &str = "Nats-Sequence";

/// Reads the pages of one run.
pub struct RunPages {
    bus: Bus,
    /// Nothing where a name cannot be part of one: then there is nothing on it either.
    subject: Option<Subject>,
    /// Sequences of the whole manifest, sorted.
    named: Vec<u64>,
    /// Chunks that came before they were asked for: pages published in parallel lie out of order.
    early: HashMap<u64, Bytes>,
    answers: Option<Answers>,
}

/// Where the server's answers arrive.
struct Answers {
    inbox: String,
    subscriber: Subscriber,
}

/// What the server is asked for; its own names.
#[derive(Serialize)]
struct Question<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: usize,
    max_bytes: usize,
    /// The page's own headers stay where they are: the manifest says the same.
    no_hdr: bool,
}

impl Bus {
    /// Prepares for reading `pages`, all that the manifest of a run names.
    pub fn run_pages(
        &self,
        workspace: &str,
        dataset: &str,
        run: &str,
        pages: &[PageEntry],
    ) -> RunPages {
        let mut named: Vec<u64> = pages
            .iter()
            .flat_map(|page| page.sequences.iter().copied())
            .collect();
        named.sort_unstable();
        RunPages {
            bus: self.clone(),
            subject: wire::subject::page(workspace, dataset, run).ok(),
            named,
            early: HashMap::new(),
            answers: None,
        }
    }

    /// Returns the whole bodies of `pages`, whatever runs they are of, in their order; nothing when one is gone or not
    /// what it was.
    pub async fn pages(&self, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, Error> {
        let mut reading = RunPages {
            bus: self.clone(),
            subject: None,
            named: Vec::new(),
            early: HashMap::new(),
            answers: None,
        };
        reading.bodies(pages).await
    }
}

impl RunPages {
    /// Returns the whole bodies of `pages`, in their order; nothing when one is gone or not what it was.
    ///
    /// All of them are held in memory: ask for a few at a time.
    pub async fn bodies(&mut self, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, Error> {
        let here: Vec<Option<Bytes>> = pages
            .iter()
            .map(|page| self.bus.hand_over().take(&page.sequences, &page.hash))
            .collect();
        let wanted = pages.iter().zip(&here).filter(|(_, here)| here.is_none());
        let wanted = wanted.flat_map(|(page, _)| page.sequences.iter().copied());
        let mut chunks = HashMap::new();
        let mut missing: Vec<u64> = Vec::new();
        for sequence in wanted {
            match self.early.remove(&sequence) {
                Some(chunk) => {
                    chunks.insert(sequence, chunk);
                }
                None => missing.push(sequence),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        self.many(&mut missing, &mut chunks).await;
        // Owned: a borrowing closure inside the stream would keep callers from changing threads.
        let bus = self.bus.clone();
        let single: Vec<(u64, Option<Bytes>)> = stream::iter(missing)
            .map(|sequence| {
                let bus = bus.clone();
                async move {
                    let message = bus.message(Stream::Page, sequence).await?;
                    Ok::<_, Error>((sequence, message.map(|message| message.payload)))
                }
            })
            .buffered(IN_FLIGHT)
            .try_collect()
            .await?;
        for (sequence, chunk) in single {
            match chunk {
                Some(chunk) => chunks.insert(sequence, chunk),
                None => return Ok(None),
            };
        }
        let mut bodies = Vec::with_capacity(pages.len());
        for (page, here) in pages.iter().zip(here) {
            if let Some(body) = here {
                bodies.push(body);
                continue;
            }
            let parts = page.sequences.iter();
            let body = joined(parts.filter_map(|sequence| chunks.get(sequence).cloned()));
            // After a stream was lost and made again, a sequence may name another message.
            if page::hash(&body) != page.hash {
                tracing::error!(
                    page = page.number,
                    "a page in NATS is not what its manifest says; it counts as gone"
                );
                return Ok(None);
            }
            bodies.push(body);
        }
        Ok(Some(bodies))
    }

    /// Moves what comes in few questions from `missing` to `chunks`.
    async fn many(&mut self, missing: &mut Vec<u64>, chunks: &mut HashMap<u64, Bytes>) {
        while missing.len() > 1 {
            let before = missing.len();
            let came = self.ask(missing).await;
            if came.is_none() {
                // A late answer must not be taken for that to a later question.
                self.answers = None;
            }
            for (sequence, chunk) in came.iter().flatten() {
                if let Ok(place) = missing.binary_search(sequence) {
                    missing.remove(place);
                    chunks.insert(*sequence, chunk.clone());
                } else if !chunks.contains_key(sequence)
                    && self.named.binary_search(sequence).is_ok()
                {
                    self.early.insert(*sequence, chunk.clone());
                }
            }
            if missing.len() == before {
                return;
            }
        }
    }

    /// Asks once, from the first of `missing` on; nothing when the answer does not come to its end.
    async fn ask(&mut self, missing: &[u64]) -> Option<Vec<(u64, Bytes)>> {
        let (first, last) = (*missing.first()?, *missing.last()?);
        // Those in between that belong to later pages come along, and are kept until their turn.
        let from = self.named.partition_point(|named| *named < first);
        let to = self.named.partition_point(|named| *named <= last);
        let question = Question {
            seq: first,
            next_by_subj: self.subject.as_ref()?.as_str(),
            batch: (to - from).clamp(1, IN_FLIGHT),
            max_bytes: BYTES_IN_FLIGHT,
            no_hdr: true,
        };
        let question = serde_json::to_vec(&question).ok()?;
        let live = self.bus.live().await.ok()?;
        if self.answers.is_none() {
            let inbox = live.client.new_inbox();
            let subscriber = live.client.subscribe(inbox.clone()).await.ok()?;
            self.answers = Some(Answers { inbox, subscriber });
        }
        let Answers { inbox, subscriber } = self.answers.as_mut()?;
        let subject = format!("$JS.API.DIRECT.GET.{}", Stream::Page.name());
        live.client
            .publish_with_reply(subject, inbox.clone(), question.into())
            .await
            .ok()?;
        let mut came = Vec::with_capacity(IN_FLIGHT);
        loop {
            let next = tokio::time::timeout(SILENCE, subscriber.next()).await;
            let message = next.ok().flatten()?;
            match message.status.map(|status| status.as_u16()) {
                None | Some(200) => came.push((sequence_of(&message)?, message.payload)),
                Some(OVER) => return Some(came),
                // Not found, or not understood: the question one by one tells.
                Some(_) => return None,
            }
        }
    }
}

fn sequence_of(message: &Message) -> Option<u64> {
    message
        .headers
        .as_ref()?
        .get(SEQUENCE)?
        .as_str()
        .parse()
        .ok()
}

fn joined(mut chunks: impl Iterator<Item = Bytes>) -> Bytes {
    let Some(first) = chunks.next() else {
        return Bytes::new();
    };
    let Some(second) = chunks.next() else {
        return first;
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}
