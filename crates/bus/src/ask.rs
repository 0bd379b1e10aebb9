//! Core NATS: things said once to whoever hears, and questions with an answer (previews).

use crate::connect::Bus;
use crate::error::Error;
use crate::trace_context;
use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Request, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::message::{self, Message};
use wire::{Filter, Subject};

/// Pause before a lost subscription is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Reconnecting takes less than this; past it a person who waits for an answer is told.
const OUTAGE: Duration = Duration::from_secs(2);

/// How often the connection is looked at while an answer is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Messages as they are said. Ends when the connection ends for good; an outage only leaves a gap.
pub struct Listening<M> {
    subscriber: Subscriber,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Stream for Listening<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<M>> {
        loop {
            match self.subscriber.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(heard)) => match message::decode(&heard.subject, &heard.payload) {
                    Ok(message) => return Poll::Ready(Some(message)),
                    Err(error) => tracing::warn!(%error, "something unreadable was said"),
                },
            }
        }
    }
}

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The subject that it came on.
    pub subject: String,
    /// The workspace that the subject names.
    pub workspace: String,
    /// The question.
    pub payload: Bytes,
}

impl Bus {
    /// Asks and waits at most `timeout` for the first answer.
    pub async fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Error> {
        let mut headers = HeaderMap::new();
        trace_context::inject(&mut headers);
        let client = self.live().await?.client;
        let (limit, bytes) = (client.max_payload(), payload.len());
        if bytes > limit {
            return Err(Error::TooLarge {
                subject: subject.to_string(),
                bytes,
                limit,
            });
        }
        let request = Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(Some(timeout));
        let asking = client.send_request(subject.to_string(), request);
        let answered = tokio::select! {
            answered = asking => answered,
            // A question is not kept for a server that is away: whoever asks is told.
            () = self.gone() => return Err(Error::Away),
        };
        match answered {
            Ok(answer) => Ok(answer.payload),
            Err(error) => match error.kind() {
                RequestErrorKind::NoResponders | RequestErrorKind::TimedOut => {
                    Err(Error::Unanswered {
                        subject: subject.to_string(),
                    })
                }
                _ => Err(Error::Away),
            },
        }
    }

    /// Ends when the connection has been down for a while.
    async fn gone(&self) {
        let mut since = None;
        loop {
            let now = tokio::time::Instant::now();
            if self.is_healthy() {
                since = None;
            } else if now.duration_since(*since.get_or_insert(now)) >= OUTAGE {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks in a message and reads the answer, which must belong to the same workspace.
    pub async fn ask<Q: Message, A: Message>(
        &self,
        question: &Q,
        timeout: Duration,
    ) -> Result<A, Error> {
        let subject = question.subject()?;
        let payload = message::encode(question).map_err(Error::Encode)?;
        let answer = self.request(&subject, payload.into(), timeout).await?;
        message::decode(subject.as_str(), &answer).map_err(|cause| Error::Read {
            what: "an answer",
            cause: Box::new(cause),
        })
    }

    /// Answers questions on `filter` until `shutdown`, `concurrency` at a time; each question goes to one of `group`.
    ///
    /// Those in hand at shutdown are answered. A handler that panics leaves its question unanswered.
    pub async fn serve<H, F>(
        &self,
        filter: &Filter,
        group: &str,
        concurrency: usize,
        shutdown: CancellationToken,
        handler: H,
    ) where
        H: Fn(Ask) -> F + Send + Sync + 'static,
        F: Future<Output = Bytes> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let slots = Arc::new(Semaphore::new(concurrency.max(1)));
        let mut in_hand = JoinSet::new();
        while !shutdown.is_cancelled() {
            let subscribed = match self.live().await {
                Ok(live) => {
                    let subscriber = live
                        .client
                        .queue_subscribe(filter.to_string(), group.to_owned())
                        .await;
                    subscriber.ok().map(|subscriber| (live.client, subscriber))
                }
                Err(_) => None,
            };
            let Some((client, mut questions)) = subscribed else {
                let pause = tokio::time::sleep(PAUSE);
                tokio::select! { () = pause => continue, () = shutdown.cancelled() => break }
            };
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else {
                    break;
                };
                let question = tokio::select! {
                    question = questions.next() => question,
                    () = shutdown.cancelled() => break,
                };
                let Some(question) = question else { break };
                let Some(reply) = question.reply.clone() else {
                    continue;
                };
                while in_hand.try_join_next().is_some() {}
                let span = tracing::info_span!("answer", subject = %question.subject);
                trace_context::adopt(&span, question.headers.as_ref());
                let workspace =
                    wire::subject::origin(&question.subject).map_or("", |origin| origin.workspace);
                let ask = Ask {
                    workspace: workspace.to_owned(),
                    subject: question.subject.to_string(),
                    payload: question.payload.clone(),
                };
                let (handler, client) = (handler.clone(), client.clone());
                in_hand.spawn(
                    async move {
                        let answering = AssertUnwindSafe(async { handler(ask).await });
                        let Ok(answer) = answering.catch_unwind().await else {
                            tracing::error!("a handler panicked; no answer is sent");
                            return;
                        };
                        if let Err(error) = client.publish(reply, answer).await {
                            tracing::warn!(%error, "an answer could not be sent");
                        }
                        drop(slot);
                    }
                    .instrument(span),
                );
            }
        }
        while in_hand.join_next().await.is_some() {}
        let _ = self.flush().await;
    }

    pub(crate) async fn listen<M: Message>(&self, filter: &Filter) -> Result<Listening<M>, Error> {
        let live = self.live().await?;
        let subscriber = live
            .client
            .subscribe(filter.to_string())
            .await
            .map_err(|_| Error::Away)?;
        Ok(Listening {
            subscriber,
            message: PhantomData,
        })
    }
}
