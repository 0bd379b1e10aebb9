//! Takes messages from a durable consumer, hands them to a handler, and does what the outcome says.
//!
//! Each worker pulls one message, handles it, settles it and pulls the next. Nothing is fetched ahead, so nothing
//! waits in a queue of ours while its acknowledgement is due, and stopping hands nothing back but what nobody began.

mod taken;

use crate::connect::{Bus, Live};
use crate::dead::Given;
use crate::error::Error;
use crate::in_hand::{InHand, keep};
use crate::outcome::{Outcome, Reason};
use crate::trace_context;
use async_nats::Subscriber;
use async_nats::jetstream::{self, AckKind};
use futures::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use taken::Taken;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::message::{self, Malformed, Message, Part, TENANT_MISMATCH};
use wire::stream::{Consumer, KeptBy};

/// How long the server keeps a pull open. A lost pull costs at most this, and only without a reconnect.
const PULL: Duration = Duration::from_secs(30);

/// The server says when a pull is over; past this it has been forgotten.
const PULL_OVERDUE: Duration = Duration::from_secs(33);

/// Pause before asking again after trouble.
const PAUSE: Duration = Duration::from_millis(500);

/// A message that another version must take comes back after this: old and new replicas run side by side for minutes.
const OTHER_VERSION: Duration = Duration::from_secs(5);

/// A message that met a panic or an outage comes back after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(2);

/// Longer waits belong in the ledger: a waiting message counts as unacknowledged.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// How long a stopping worker waits for a message that was already on its way to it.
const LAST_CALL: Duration = Duration::from_millis(500);

/// A message in the handler's hands.
pub struct Delivery<M> {
    /// The message.
    pub message: M,
    /// The subject that it came on.
    pub subject: String,
    /// Its sequence in its stream.
    pub sequence: u64,
    /// How often it has been delivered, this time included.
    pub deliveries: u64,
    /// For telling the broker that work goes on.
    pub in_hand: InHand,
}

struct Loop<H> {
    bus: Bus,
    consumer: Consumer,
    shutdown: CancellationToken,
    handler: H,
}

impl Bus {
    /// Handles the messages of `consumer`, `concurrency` at a time, until `shutdown`; then finishes those in hand.
    ///
    /// Returns only then: outages are sat out. The handler runs in a span that continues the message's trace. What
    /// cannot be read never reaches it: malformed messages become dead letters, and messages that require an unknown
    /// ability are handed back. A handler that panics has its message delivered again.
    pub async fn consume<M, H, F>(
        &self,
        consumer: Consumer,
        concurrency: usize,
        shutdown: CancellationToken,
        handler: H,
    ) where
        M: Message,
        H: Fn(Delivery<M>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let shared = Arc::new(Loop {
            bus: self.clone(),
            consumer,
            shutdown,
            handler,
        });
        let mut workers = JoinSet::new();
        for _ in 0..concurrency.max(1) {
            let shared = shared.clone();
            workers.spawn(async move { shared.work().await });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, consumer = consumer.name(), "a worker of the bus ended");
            }
        }
        let _ = self.flush().await;
    }
}

enum Pulled {
    Message(Box<async_nats::Message>),
    Nothing,
    Trouble(String),
    Stop,
}

impl<H> Loop<H> {
    async fn work<M, F>(&self)
    where
        M: Message,
        H: Fn(Delivery<M>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut troubled = false;
        while !self.shutdown.is_cancelled() {
            let opened = match self.bus.live().await {
                Ok(live) => {
                    let inbox = live.client.new_inbox();
                    let subscriber = live.client.subscribe(inbox.clone()).await;
                    subscriber.ok().map(|subscriber| (live, inbox, subscriber))
                }
                Err(_) => None,
            };
            let Some((live, inbox, mut subscriber)) = opened else {
                self.rest().await;
                continue;
            };
            loop {
                match self.pull(&live, &inbox, &mut subscriber).await {
                    Pulled::Message(message) => {
                        troubled = false;
                        self.take(&live, *message).await;
                        if self.shutdown.is_cancelled() {
                            break;
                        }
                    }
                    Pulled::Nothing => troubled = false,
                    Pulled::Stop => break,
                    Pulled::Trouble(what) => {
                        if troubled {
                            tracing::debug!(consumer = self.consumer.name(), what, "still waiting");
                        } else {
                            tracing::warn!(
                                consumer = self.consumer.name(),
                                what,
                                "messages cannot be taken for now"
                            );
                            troubled = true;
                        }
                        self.rest().await;
                        break;
                    }
                }
            }
            self.hand_back_rest(&live, subscriber).await;
        }
    }

    async fn rest(&self) {
        let pause = tokio::time::sleep(PAUSE);
        tokio::select! { () = pause => {}, () = self.shutdown.cancelled() => {} }
    }

    /// Asks for one message and waits for it.
    async fn pull(&self, live: &Live, inbox: &str, subscriber: &mut Subscriber) -> Pulled {
        let mut connections = self.bus.connections();
        let next = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            self.consumer.stream().name(),
            self.consumer.name()
        );
        let wish = format!(r#"{{"batch":1,"expires":{}}}"#, PULL.as_nanos());
        let asked = live
            .client
            .publish_with_reply(next, inbox.to_owned(), wish.into())
            .await;
        if asked.is_err() {
            return Pulled::Trouble("the connection is gone".to_owned());
        }
        let overdue = tokio::time::sleep(PULL_OVERDUE);
        tokio::select! {
            biased;
            message = subscriber.next() => match message {
                None => Pulled::Trouble("the subscription ended".to_owned()),
                Some(message) => sorted(message),
            },
            () = self.shutdown.cancelled() => Pulled::Stop,
            // The server has forgotten our pull: ask again.
            _ = connections.changed() => Pulled::Nothing,
            () = overdue => Pulled::Nothing,
        }
    }

    /// Gives back what reaches a worker that does not want more.
    async fn hand_back_rest(&self, live: &Live, mut subscriber: Subscriber) {
        if subscriber.drain().await.is_err() {
            return;
        }
        let rest = async {
            while let Some(message) = subscriber.next().await {
                if let Pulled::Message(message) = sorted(message) {
                    let context = live.jetstream.clone();
                    let message = jetstream::Message {
                        message: *message,
                        context,
                    };
                    if let Err(error) = message.ack_with(AckKind::Nak(None)).await {
                        tracing::debug!(%error, "a message could not be handed back");
                    }
                }
            }
        };
        let _ = tokio::time::timeout(LAST_CALL, rest).await;
    }

    async fn take<M, F>(&self, live: &Live, message: async_nats::Message)
    where
        M: Message,
        H: Fn(Delivery<M>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Some(taken) = Taken::of(live, message, self.consumer) else {
            tracing::error!(
                consumer = self.consumer.name(),
                "a delivery without its origin"
            );
            return;
        };
        let span = tracing::info_span!(
            "handle",
            otel.kind = "consumer",
            consumer = self.consumer.name(),
            message = M::NAME,
            run = tracing::field::Empty,
            deliveries = taken.deliveries,
        );
        trace_context::adopt(&span, taken.headers.as_ref());
        self.settle(taken).instrument(span).await;
    }

    async fn settle<M, F>(&self, taken: Taken)
    where
        M: Message,
        H: Fn(Delivery<M>) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut message = match message::decode::<M>(&taken.subject, &taken.payload) {
            Ok(message) => message,
            Err(Malformed { code, message }) => {
                if code == TENANT_MISMATCH {
                    tracing::error!(subject = taken.subject, "security: {message}");
                }
                return self.reject(&taken, None, &Reason::new(code, message)).await;
            }
        };
        let run = message
            .run()
            .map(|(run, attempt)| (run.to_owned(), attempt));
        if let Some((run, _)) = &run {
            tracing::Span::current().record("run", run.as_str());
        }
        let missing = message::missing_abilities(&message);
        if !missing.is_empty() {
            tracing::warn!(?missing, "handing a message back to a newer version");
            return taken.answer(AckKind::Nak(Some(OTHER_VERSION))).await;
        }
        if message.part() == Part::Earlier {
            // The last part names this one and brings it along.
            return taken.answer(AckKind::Ack).await;
        }
        match self.bus.join_parts(&mut message).await {
            Ok(true) => {}
            Ok(false) => {
                let reason = Reason::new("message.parts_missing", "an earlier part is gone");
                return self.reject(&taken, run.as_ref(), &reason).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the parts of a message cannot be read for now");
                return taken.answer(AckKind::Nak(Some(AFTER_TROUBLE))).await;
            }
        }
        let delivery = Delivery {
            message,
            subject: taken.subject.clone(),
            sequence: taken.sequence,
            deliveries: taken.deliveries,
            in_hand: InHand::of(taken.acker.clone()),
        };
        let in_hand = delivery.in_hand.clone();
        let handled = AssertUnwindSafe(async { (self.handler)(delivery).await }).catch_unwind();
        let handled = match self.consumer.spec().kept_by {
            KeptBy::Handler => handled.await,
            KeptBy::Bus => keep(&in_hand, handled).await,
        };
        match handled {
            Ok(Outcome::Done) => taken.answer(AckKind::Ack).await,
            Ok(Outcome::HandBack) => taken.answer(AckKind::Nak(None)).await,
            Ok(Outcome::RetryAfter(pause)) => {
                let pause = (!pause.is_zero()).then(|| pause.min(LONGEST_RETRY));
                taken.answer(AckKind::Nak(pause)).await;
            }
            Ok(Outcome::Reject(reason)) => self.reject(&taken, run.as_ref(), &reason).await,
            Err(_) => {
                tracing::error!("a handler panicked; its message comes again");
                taken.answer(AckKind::Nak(Some(AFTER_TROUBLE))).await;
            }
        }
    }

    /// Keeps a dead letter, and only then lets go of the message.
    async fn reject(&self, taken: &Taken, run: Option<&(String, u32)>, reason: &Reason) {
        if self.consumer == Consumer::DeadLetters {
            // A dead letter about a dead letter would never end; the original stays in its stream.
            tracing::error!(code = %reason.code, reason = reason.message, "unreadable dead letter");
            return taken.answer(AckKind::Term).await;
        }
        let given = Given {
            subject: &taken.subject,
            headers: taken.headers.as_ref(),
            payload: &taken.payload,
            stream: self.consumer.stream().name(),
            consumer: self.consumer.name(),
            sequence: taken.sequence,
            deliveries: taken.deliveries,
            run: run.map(|(run, attempt)| (run.as_str(), *attempt)),
        };
        match self.bus.bury(&given, reason).await {
            Ok(()) => {
                tracing::error!(
                    subject = taken.subject,
                    code = %reason.code,
                    reason = reason.message,
                    "gave up on a message; a dead letter keeps it"
                );
                taken.answer(AckKind::Term).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a dead letter cannot be kept for now");
                taken.answer(AckKind::Nak(Some(AFTER_TROUBLE))).await;
            }
        }
    }
}

/// Tells a delivery from the server's own words.
fn sorted(message: async_nats::Message) -> Pulled {
    match message.status.map(|status| status.as_u16()) {
        None | Some(200) => Pulled::Message(Box::new(message)),
        // No messages, or the pull's time is over.
        Some(404 | 408) => Pulled::Nothing,
        Some(503) => Pulled::Trouble("the consumer does not exist or is not there yet".to_owned()),
        Some(_) => Pulled::Trouble(message.description.unwrap_or_default()),
    }
}

/// Errors of the bus end a handler's work in one way: the message should come again.
impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        if error.is_transient() {
            Self::RetryAfter(AFTER_TROUBLE)
        } else {
            Self::Reject(Reason::new(error.code(), error.to_string()))
        }
    }
}
