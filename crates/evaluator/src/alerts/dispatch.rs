//! Hands messages over when their time has come, and keeps what became of them.
//!
//! Announcements on NATS are published here; all else goes to the fetchers' queue. Retries wait in the store, never in
//! the queue. A message whose fate nobody tells is handed over again: at least once, always under one id.

use std::time::Duration;

use bus::{Bus, Delivery as Handed, Outcome};
use definition::Target;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use service::Shutdown;
use store::{DeliveryEnd, Store, StoredDelivery, instant};
use wire::delivery::Fate;
use wire::stream::Consumer;
use wire::{Alert, Delivered, Delivery, SealedSecret};

use super::content::NATS;
use crate::error::Error;
use crate::nudge::Nudge;

/// Messages handed over at once.
const BATCH: u32 = 100;
/// Words on messages that are kept at the same time.
const AT_ONCE: usize = 4;
/// The pauses between tries: nine tries over some eleven hours; past that, news is no news.
const PAUSES: [SignedDuration; 8] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(3),
    SignedDuration::from_hours(6),
];
/// A receiver may ask for a pause, but not for ever.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// A message that met an outage of NATS waits so long.
const AFTER_TROUBLE: SignedDuration = SignedDuration::from_secs(5);

/// Hands messages over, at once when nudged and now and then by itself.
#[derive(Clone)]
pub(crate) struct Dispatch {
    store: Store,
    bus: Bus,
    nudge: Nudge,
}

impl Dispatch {
    pub(crate) fn new(store: Store, bus: Bus) -> Self {
        Self {
            store,
            bus,
            nudge: Nudge::default(),
        }
    }

    /// Says that a message was ordered.
    pub(crate) fn nudge(&self) {
        self.nudge.give();
    }

    /// Hands over until shutdown.
    pub(crate) async fn run(&self, shutdown: Shutdown, every: Duration, beat: impl Fn()) {
        let round = || self.hand_all_over(&shutdown);
        self.nudge
            .rounds(&shutdown, every, beat, "messages wait", round)
            .await;
    }

    /// Keeps what became of messages, until shutdown.
    pub(crate) async fn listen(&self, shutdown: Shutdown) {
        let dispatch = self.clone();
        let handler = move |handed: Handed<Delivered>| {
            let dispatch = dispatch.clone();
            async move {
                match dispatch.keep(&handed.message).await {
                    Ok(()) => Outcome::Done,
                    Err(error) => {
                        tracing::warn!(error = %service::report::chain(&error), "what became of a message waits");
                        Outcome::from(&error)
                    }
                }
            }
        };
        self.bus
            .consume(Consumer::Delivered, AT_ONCE, shutdown.token(), handler)
            .await;
    }

    async fn hand_all_over(&self, shutdown: &Shutdown) -> Result<(), Error> {
        while !shutdown.is_requested() {
            let now = self.store.now().await?;
            let due = self.store.due_deliveries(now, BATCH).await?;
            let full = due.len() >= BATCH as usize;
            for delivery in due {
                self.hand_over(&delivery, now).await?;
            }
            if !full {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn hand_over(&self, delivery: &StoredDelivery, now: i64) -> Result<(), Error> {
        let tried = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
        if tried > PAUSES.len() {
            let error = delivery
                .error
                .clone()
                .unwrap_or_else(|| "nothing was heard of it".to_owned());
            let end = DeliveryEnd::Dead {
                status: delivery.status,
                error,
            };
            self.store
                .end_delivery(&delivery.workspace, &delivery.key, &end)
                .await?;
            return Ok(());
        }
        if !self.store.claim_delivery(delivery, now).await? {
            return Ok(());
        }
        let handed = if delivery.channel == NATS {
            self.announce(delivery).await
        } else {
            self.queue(delivery).await
        };
        if let Err(error) = handed {
            let later = instant(now)
                .saturating_add(AFTER_TROUBLE)
                .unwrap_or(Timestamp::MAX);
            self.store
                .unclaim_delivery(delivery, later.as_millisecond())
                .await?;
            return Err(error);
        }
        Ok(())
    }

    async fn announce(&self, delivery: &StoredDelivery) -> Result<(), Error> {
        let content: Value = serde_json::from_str(&delivery.content)?;
        self.bus.publish_alert(&announcement(&content)).await?;
        let end = DeliveryEnd::Sent { status: None };
        self.store
            .end_delivery(&delivery.workspace, &delivery.key, &end)
            .await?;
        Ok(())
    }

    async fn queue(&self, delivery: &StoredDelivery) -> Result<(), Error> {
        let target: Value = serde_json::from_str(&delivery.target)?;
        let content: Value = serde_json::from_str(&delivery.content)?;
        let secrets = match Target::from_document(&target) {
            Ok(target) => target.secrets(),
            Err(_) => Vec::new(),
        };
        let names: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        let sealed = self
            .store
            .sealed_secrets(&delivery.workspace, &names)
            .await?;
        let order = Delivery {
            workspace: delivery.workspace.clone(),
            channel: delivery.channel.clone(),
            id: delivery.key.clone(),
            kind: delivery.channel.clone(),
            created_at: instant(delivery.created_at).to_string(),
            target: Some(wire::Json(target)),
            content: Some(wire::Json(content)),
            secrets: sealed
                .into_iter()
                .map(|secret| SealedSecret {
                    name: secret.name,
                    version: secret.version,
                    sealed: secret.sealed,
                    origins: secret.origins,
                })
                .collect(),
            requires: Vec::new(),
            attempt: delivery.attempts + 1,
        };
        self.bus.publish_delivery(&order).await?;
        Ok(())
    }

    async fn keep(&self, told: &Delivered) -> Result<(), Error> {
        let status = told.status.map(i64::from);
        let end = match Fate::parse(&told.outcome) {
            Some(Fate::Sent) => DeliveryEnd::Sent { status },
            Some(Fate::Again) => {
                let now = self.store.now().await?;
                match pause(told.attempt, told.retry_after_ms) {
                    Some(pause) => DeliveryEnd::Again {
                        not_before: instant(now)
                            .saturating_add(pause)
                            .unwrap_or(Timestamp::MAX)
                            .as_millisecond(),
                        status,
                        error: told.error.clone(),
                    },
                    None => DeliveryEnd::Dead {
                        status,
                        error: format!("{}; given up on after {} tries", told.error, told.attempt),
                    },
                }
            }
            // A word of a newer fetcher: it is not tried again and again for that.
            Some(Fate::Dead) | None => DeliveryEnd::Dead {
                status,
                error: told.error.clone(),
            },
        };
        self.store
            .end_delivery(&told.workspace, &told.id, &end)
            .await?;
        Ok(())
    }
}

/// The pause after a try; nothing when there were enough.
fn pause(attempt: u32, asked_ms: Option<u64>) -> Option<SignedDuration> {
    let tried = usize::try_from(attempt.max(1)).unwrap_or(usize::MAX) - 1;
    let own = *PAUSES.get(tried)?;
    let asked = asked_ms.map_or(SignedDuration::ZERO, |ms| {
        SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
    });
    Some(own.max(asked.min(LONGEST_PAUSE)))
}

/// The announcement of a message's content.
fn announcement(content: &Value) -> Alert {
    let text = |name: &str| {
        content
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |name: &str| content.get(name).and_then(Value::as_f64);
    Alert {
        workspace: text("workspace"),
        name: text("name"),
        kind: text("kind"),
        id: text("id"),
        event: text("event"),
        at: text("at"),
        title: text("title"),
        description: text("description"),
        urgency: text("urgency"),
        metric: text("metric"),
        metric_title: text("metric_title"),
        metric_description: text("metric_description"),
        condition: text("condition"),
        value: number("value"),
        previous: number("previous"),
        change: number("change"),
        threshold: number("threshold"),
        unit: text("unit"),
        from: text("from"),
        to: text("to"),
        text: text("text"),
        link: text("link"),
        requires: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_and_a_receiver_may_ask_for_longer_ones() {
        assert_eq!(pause(1, None), Some(SignedDuration::from_secs(5)));
        assert_eq!(pause(1, Some(60_000)), Some(SignedDuration::from_mins(1)));
        assert_eq!(pause(3, Some(1)), Some(SignedDuration::from_mins(2)));
        assert_eq!(
            pause(1, Some(u64::MAX)),
            Some(SignedDuration::from_hours(6))
        );
        assert_eq!(pause(8, None), Some(SignedDuration::from_hours(6)));
        assert_eq!(pause(9, None), None);
    }
}
