//! Dead letters: a message given up on is kept with its reason and its original bytes.

use crate::connect::Bus;
use crate::error::Error;
use crate::outcome::Reason;
use async_nats::HeaderMap;
use wire::dead_letter::UNKNOWN;
use wire::message::{self, id};
use wire::{DeadLetter, RunManifest, header};

/// Room for the letter's own fields beside the original bytes.
const FIELDS: usize = 64 << 10;

/// Original headers kept, and bytes of each: enough for ours, bounded against strangers'.
const HEADERS: usize = 40;
const HEADER_BYTES: usize = 512;

/// The message that is given up on.
pub(crate) struct Given<'a> {
    pub(crate) subject: &'a str,
    pub(crate) headers: Option<&'a HeaderMap>,
    pub(crate) payload: &'a [u8],
    pub(crate) stream: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) sequence: u64,
    pub(crate) deliveries: u64,
    pub(crate) run: Option<(&'a str, u32)>,
}

impl Bus {
    /// Keeps a dead letter with the bytes that it is about, in parts where one message is too small.
    pub async fn publish_dead(&self, letter: DeadLetter, payload: &[u8]) -> Result<(), Error> {
        let limit = self.live().await?.client.max_payload();
        // Base64 makes four bytes of three.
        let room = limit.saturating_sub(FIELDS.min(limit / 2)) / 4 * 3;
        for part in letter.addressable().into_parts(payload, room) {
            let id = id::dead(&part.stream, part.sequence, &part.consumer, part.part);
            self.publish_message(&part, &id, &[]).await?;
        }
        Ok(())
    }

    /// Keeps a dead letter about a run that is given up on outside of any delivery, with its manifest.
    pub async fn publish_dead_run(
        &self,
        manifest: &RunManifest,
        code: &str,
        reason: &str,
    ) -> Result<(), Error> {
        use wire::Message;
        let payload = message::encode(manifest).map_err(Error::Encode)?;
        let letter = DeadLetter {
            workspace: manifest.workspace.clone(),
            dataset: manifest.dataset.clone(),
            run: manifest.run.clone(),
            attempt: manifest.attempt,
            subject: manifest
                .subject()
                .map_or_else(|_| String::new(), |subject| subject.to_string()),
            code: code.to_owned(),
            message: reason.to_owned(),
            at: now(),
            // No stream and sequence: its identity is the run.
            stream: format!("{}.{}", manifest.run, manifest.attempt),
            ..DeadLetter::default()
        };
        self.publish_dead(letter, &payload).await
    }

    pub(crate) async fn bury(&self, given: &Given<'_>, reason: &Reason) -> Result<(), Error> {
        let origin = wire::subject::origin(given.subject);
        let (run, attempt) = given.run.unwrap_or(("", 0));
        let letter = DeadLetter {
            workspace: origin.map_or(UNKNOWN, |origin| origin.workspace).to_owned(),
            dataset: origin.map_or(UNKNOWN, |origin| origin.noun).to_owned(),
            run: run.to_owned(),
            attempt,
            subject: given.subject.to_owned(),
            stream: given.stream.to_owned(),
            sequence: given.sequence,
            consumer: given.consumer.to_owned(),
            deliveries: given.deliveries,
            code: reason.code.to_string(),
            message: reason.message.clone(),
            at: now(),
            headers: kept(given.headers),
            ..DeadLetter::default()
        };
        self.publish_dead(letter, given.payload).await
    }
}

fn kept(headers: Option<&HeaderMap>) -> std::collections::BTreeMap<String, String> {
    let values = headers.into_iter().flat_map(|headers| headers.iter());
    values
        .filter(|(name, _)| AsRef::<str>::as_ref(*name) != header::MESSAGE_ID)
        .filter_map(|(name, values)| Some((name, values.first()?)))
        .take(HEADERS)
        .map(|(name, value)| {
            let text: String = value.as_str().chars().take(HEADER_BYTES).collect();
            (AsRef::<str>::as_ref(name).to_owned(), text)
        })
        .collect()
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
