//! A message in our hands, and the word that settles it.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use wire::stream::Consumer;

use crate::connect::Live;

/// How often an acknowledgement is tried; then the message comes again, which is harmless.
const ACK_TRIES: u32 = 3;

/// A message as the broker delivered it.
pub(super) struct Taken {
    pub(super) subject: String,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    pub(super) sequence: u64,
    pub(super) deliveries: u64,
    pub(super) acker: Arc<jetstream::message::Acker>,
}

impl Taken {
    pub(super) fn of(
        live: &Live,
        message: async_nats::Message,
        consumer: Consumer,
    ) -> Option<Self> {
        let message = jetstream::Message {
            message,
            context: live.jetstream.clone(),
        };
        let (sequence, deliveries) = {
            let info = message.info().ok()?;
            if info.stream != consumer.stream().name() {
                return None;
            }
            (
                info.stream_sequence,
                u64::try_from(info.delivered).unwrap_or(1),
            )
        };
        let (message, acker) = message.split();
        Some(Self {
            subject: message.subject.to_string(),
            headers: message.headers,
            payload: message.payload,
            sequence,
            deliveries,
            acker: Arc::new(acker),
        })
    }

    /// Tells the server and waits for its word, a few times. Failing is harmless: the message comes again.
    pub(super) async fn answer(&self, kind: AckKind) {
        for _ in 0..ACK_TRIES {
            match self.acker.double_ack_with(kind).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, ?kind, "an acknowledgement was not confirmed");
                }
            }
        }
        tracing::warn!(
            subject = self.subject,
            "a message is not acknowledged and comes again"
        );
    }
}
