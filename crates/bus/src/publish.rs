//! Hands messages to streams and waits until they have them.

use crate::connect::{Bus, Live};
use crate::error::Error;
use crate::trace_context;
use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;
use wire::message::{self, Message, id};
use wire::{MetricUpdate, Progress, RunManifest, Subject, SyncRequest, Wake, header};

/// A stream that has not answered by then has lost the message or the answer; the identity makes asking again harmless.
const ACK_WITHIN: Duration = Duration::from_secs(5);

/// A restart of the server takes seconds; past this the caller should know. Far within the duplicate window.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that is missing for this long is not just starting.
const NO_STREAM_PATIENCE: Duration = Duration::from_secs(5);

/// Pause before a message is handed over again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Room for the trace context and the line endings of headers.
pub(crate) const SPARE: usize = 512;

/// NATS' number for a store that refused a message; the words tell why.
const STORE_FAILED: u64 = 10_077;

/// Whether a sync request was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is in the queue.
    Accepted,
    /// A request of the same dataset and window is still there.
    AlreadyRunning,
}

/// A stream's word that it has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) sequence: u64,
    pub(crate) duplicate: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Bus {
    /// Puts a sync request into the queue, unless one of the same dataset and window is there.
    pub async fn publish_sync(&self, request: &SyncRequest) -> Result<Published, Error> {
        let id = id::sync(&request.run, request.attempt);
        match self.publish_message(request, &id, &[]).await {
            Ok(_) => Ok(Published::Accepted),
            Err(Error::Refused {
                number: STORE_FAILED,
                description,
                ..
            }) if description.contains("per subject") => Ok(Published::AlreadyRunning),
            Err(error) => Err(error),
        }
    }

    /// Says how a run ended, in parts where one message is too small. Returns the sequence of the last part.
    pub async fn publish_manifest(&self, manifest: &RunManifest) -> Result<u64, Error> {
        let scope = format!("{}.{}", manifest.run, manifest.attempt);
        let limit = self
            .live()
            .await?
            .client
            .max_payload()
            .saturating_sub(8 * SPARE);
        let size = message::encode(manifest).map_err(Error::Encode)?.len();
        let mut pages_per_part = manifest.pages.len().max(1);
        if size > limit {
            pages_per_part = (pages_per_part * limit / size).max(1);
        }
        let mut parts = loop {
            let parts = manifest.clone().into_parts(pages_per_part);
            let mut largest = 0;
            for part in &parts {
                largest = largest.max(message::encode(part).map_err(Error::Encode)?.len());
            }
            // The last part names the others: some twenty digits each.
            if largest + 21 * parts.len() <= limit || pages_per_part == 1 {
                break parts;
            }
            pages_per_part = (pages_per_part / 2).max(1);
        };
        let mut last = parts.pop().unwrap_or_else(|| manifest.clone());
        for part in parts {
            let payload = message::encode(&part).map_err(Error::Encode)?;
            let ack = self.publish_content(&part, &scope, payload).await?;
            last.part_sequences.push(ack.sequence);
        }
        let payload = message::encode(&last).map_err(Error::Encode)?;
        Ok(self.publish_content(&last, &scope, payload).await?.sequence)
    }

    /// Announces a metric's new version, with CloudEvents headers. Returns its sequence.
    pub async fn publish_update(&self, update: &MetricUpdate) -> Result<u64, Error> {
        let ack = self
            .publish_message(update, &update.id(), &update.event_headers())
            .await?;
        Ok(ack.sequence)
    }

    /// Orders a message to people. Returns its sequence.
    pub async fn publish_delivery(&self, delivery: &wire::Delivery) -> Result<u64, Error> {
        let id = format!(
            "{}.{}.{}",
            delivery.workspace, delivery.id, delivery.attempt
        );
        Ok(self.publish_message(delivery, &id, &[]).await?.sequence)
    }

    /// Says what became of a try at a message to people. Returns its sequence.
    pub async fn publish_delivered(&self, delivered: &wire::Delivered) -> Result<u64, Error> {
        let id = format!(
            "{}.{}.{}.{}",
            delivered.workspace, delivered.id, delivered.attempt, delivered.outcome
        );
        Ok(self.publish_message(delivered, &id, &[]).await?.sequence)
    }

    /// Announces an alert or goal, with CloudEvents headers. Returns its sequence.
    pub async fn publish_alert(&self, alert: &wire::Alert) -> Result<u64, Error> {
        let id = format!("{}.{}", alert.workspace, alert.id);
        let headers = alert.event_headers();
        Ok(self.publish_message(alert, &id, &headers).await?.sequence)
    }

    /// Tells how far a run has come; nobody depends on hearing it, so nothing is awaited.
    pub async fn publish_progress(&self, progress: &Progress) -> Result<(), Error> {
        self.tell(progress).await
    }

    /// Nudges the scheduler: a run of the dataset waits in the ledger.
    pub async fn wake(&self, workspace: &str, dataset: &str) -> Result<(), Error> {
        let wake = Wake {
            workspace: workspace.to_owned(),
            dataset: dataset.to_owned(),
        };
        self.tell(&wake).await
    }

    async fn tell<M: Message>(&self, message: &M) -> Result<(), Error> {
        let subject = message.subject()?;
        let payload = message::encode(message).map_err(Error::Encode)?;
        let mut headers = HeaderMap::new();
        trace_context::inject(&mut headers);
        let client = self.live().await?.client;
        let sent = client.publish_with_headers(subject.to_string(), headers, payload.into());
        match tokio::time::timeout(ACK_WITHIN, sent).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::Away),
        }
    }

    pub(crate) async fn publish_content<M: Message>(
        &self,
        message: &M,
        scope: &str,
        payload: Vec<u8>,
    ) -> Result<Ack, Error> {
        let id = id::content(scope, &payload);
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(header::MESSAGE_ID, id.as_str());
            headers
        };
        self.publish(&message.subject()?, headers, payload.into())
            .await
    }

    pub(crate) async fn publish_message<M: Message>(
        &self,
        message: &M,
        id: &str,
        more: &[(&'static str, String)],
    ) -> Result<Ack, Error> {
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(header::MESSAGE_ID, id);
            for (name, value) in more {
                headers.insert(*name, value.as_str());
            }
            headers
        };
        let payload = message::encode(message).map_err(Error::Encode)?;
        self.publish(&message.subject()?, headers, payload.into())
            .await
    }

    /// Hands over one message and waits for the stream's word, again and again while the server is away.
    ///
    /// The headers are made anew for each time; they must hold the message's identity, which is what makes handing
    /// it over twice harmless.
    pub(crate) async fn publish(
        &self,
        subject: &Subject,
        headers: impl Fn() -> HeaderMap,
        payload: Bytes,
    ) -> Result<Ack, Error> {
        let began = Instant::now();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let live = self.live().await;
            let failure = match live {
                Ok(live) => match once(&live, subject, headers(), &payload).await {
                    Ok(ack) => {
                        if ack.duplicate {
                            tracing::debug!(%subject, "the stream had this message already");
                        }
                        return Ok(ack);
                    }
                    Err(failure) => failure,
                },
                Err(error) => Failure::Again(error),
            };
            match failure {
                Failure::Again(error) => {
                    let patience = match error {
                        Error::NoStream { .. } => NO_STREAM_PATIENCE,
                        _ => PATIENCE,
                    };
                    if began.elapsed() + pause >= patience {
                        return Err(error);
                    }
                    tracing::debug!(%subject, %error, "handing over a message again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Failure::Final(error) => return Err(error),
            }
        }
    }
}

pub(crate) enum Failure {
    Again(Error),
    Final(Error),
}

async fn once(
    live: &Live,
    subject: &Subject,
    mut headers: HeaderMap,
    payload: &Bytes,
) -> Result<Ack, Failure> {
    trace_context::inject(&mut headers);
    let (limit, bytes) = (
        live.client.max_payload(),
        payload.len() + headers_size(&headers),
    );
    if bytes > limit {
        return Err(Failure::Final(Error::TooLarge {
            subject: subject.to_string(),
            bytes,
            limit,
        }));
    }
    request_ack(live, subject.as_str(), headers, payload.clone()).await
}

/// Hands one message to whichever stream takes `subject` and reads its word.
pub(crate) async fn request_ack(
    live: &Live,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Ack, Failure> {
    let request = Request::new()
        .headers(headers)
        .payload(payload)
        .timeout(Some(ACK_WITHIN));
    let answer = live
        .client
        .send_request(subject.to_owned(), request)
        .await
        .map_err(|error| {
            let subject = subject.to_owned();
            Failure::Again(match error.kind() {
                RequestErrorKind::NoResponders => Error::NoStream { subject },
                RequestErrorKind::TimedOut => Error::Unacknowledged { subject },
                _ => Error::Away,
            })
        })?;
    let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
        let problem = error.to_string();
        Failure::Final(Error::Damaged {
            what: "a stream's acknowledgement",
            problem,
        })
    })?;
    match answer.error {
        None => Ok(Ack {
            sequence: answer.seq,
            duplicate: answer.duplicate,
        }),
        Some(AnswerError {
            code,
            err_code,
            description,
        }) => {
            let error = Error::Refused {
                subject: subject.to_owned(),
                number: err_code,
                description,
            };
            // 503 is the server's "not now": no leader yet, or starting. A full store says 503 as well, which only
            // an operator or time can change.
            let transient = code == 503 && err_code != STORE_FAILED;
            Err(if transient {
                Failure::Again(error)
            } else {
                Failure::Final(error)
            })
        }
    }
}

/// Returns how many bytes the headers take on the wire.
pub(crate) fn headers_size(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        values
            .iter()
            .map(move |value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4)
    });
    "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>()
}
