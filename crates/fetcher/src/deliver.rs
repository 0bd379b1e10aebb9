//! Sends messages to people: webhooks and mail, from the delivery queue, under the same guard as everything else.
//!
//! One try for each delivery; when and whether to try again is the ledger's to decide, so that nothing waits in the queue.

mod body;
mod digest;
mod mail;
mod sign;
mod webhook;

use bus::{Bus, Delivery, Outcome, Reason};
use definition::Target;
use serde_json::Value;
use service::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;
use wire::delivery::Fate;
use wire::stream::Consumer;
use wire::{Delivered, Delivery as Order};

use crate::plan::document;
use crate::sync_run::Engine;

pub use mail::{MailServer, MailServerError};

/// Messages at the same time; each is one short request.
const AT_ONCE: usize = 8;

/// A delivery that met an outage of NATS comes back after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// A message handed out so often never came to an end: it takes its fetcher down.
const POISON: u64 = 5;

/// What one try came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Whether it was taken.
    pub fate: Fate,
    /// What the other side answered.
    pub status: Option<u32>,
    /// How long it asked to be left alone.
    pub after: Option<Duration>,
    /// What went wrong, without secrets.
    pub error: String,
}

impl Tried {
    fn sent(status: u32) -> Self {
        Tried {
            fate: Fate::Sent,
            status: Some(status),
            after: None,
            error: String::new(),
        }
    }

    fn failed(fate: Fate, error: impl Into<String>) -> Self {
        Tried {
            fate,
            status: None,
            after: None,
            error: error.into(),
        }
    }
}

/// Sends until shutdown; then finishes what is in hand.
pub(crate) async fn serve(engine: &Arc<Engine>, bus: &Bus, stop: &Shutdown) {
    let (engine, answering) = (engine.clone(), bus.clone());
    let handler = move |delivery: Delivery<Order>| {
        let (engine, bus) = (engine.clone(), answering.clone());
        async move { handle(&engine, &bus, delivery).await }
    };
    bus.consume(Consumer::Delivery, AT_ONCE, stop.token(), handler)
        .await;
}

async fn handle(engine: &Engine, bus: &Bus, delivery: Delivery<Order>) -> Outcome {
    let order = delivery.message;
    let span = tracing::info_span!(
        "deliver",
        workspace = order.workspace,
        channel = order.channel,
        id = order.id,
        attempt = order.attempt,
    );
    async {
        let tried = if delivery.deliveries >= POISON {
            Tried::failed(
                Fate::Dead,
                "the message was handed out five times and never ended",
            )
        } else {
            engine.deliver(&order).await
        };
        match tried.fate {
            Fate::Sent => tracing::info!(status = tried.status, "message sent"),
            Fate::Again | Fate::Dead => tracing::warn!(
                status = tried.status,
                reason = tried.error,
                outcome = tried.fate.as_str(),
                "message not sent"
            ),
        }
        let delivered = Delivered {
            workspace: order.workspace.clone(),
            channel: order.channel.clone(),
            id: order.id.clone(),
            attempt: order.attempt,
            outcome: tried.fate.into(),
            at: engine.clock.now().to_string(),
            status: tried.status,
            retry_after_ms: tried
                .after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            error: tried.error.clone(),
            requires: Vec::new(),
        };
        // Sent and not told would be sent again: the ledger learns of it before the queue forgets it.
        if let Err(error) = bus.publish_delivered(&delivered).await {
            tracing::warn!(%error, "what became of a message could not be told");
            return Outcome::RetryAfter(AFTER_TROUBLE);
        }
        match tried.fate {
            Fate::Dead => Outcome::Reject(Reason::new("delivery.dead", tried.error)),
            Fate::Sent | Fate::Again => Outcome::Done,
        }
    }
    .instrument(span)
    .await
}

impl Engine {
    /// Sends one message once.
    pub async fn deliver(&self, order: &Order) -> Tried {
        let target = match read_target(&document(order.target.as_ref())) {
            Ok(target) => target,
            Err(error) => return Tried::failed(Fate::Dead, error),
        };
        let content = document(order.content.as_ref());
        match target {
            Target::Webhook(webhook) => Box::pin(self.post(order, &webhook, &content)).await,
            Target::Email(email) => Box::pin(self.mail(order, &email, &content)).await,
        }
    }
}

/// Reads where a message goes from the form in which definitions are kept.
fn read_target(document: &Value) -> Result<Target, String> {
    Target::from_document(document).map_err(|problems| {
        let first = problems.first().map(ToString::to_string);
        format!(
            "its target cannot be read: {}",
            first.unwrap_or_else(|| "unknown problem".to_owned())
        )
    })
}
