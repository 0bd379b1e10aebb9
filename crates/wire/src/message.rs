//! What every message can do: be read with care, be addressed, and say which fact it is.

use crate::subject::{InvalidToken, Subject};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// A message of the contract in `proto/`.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the contract.
    const NAME: &'static str;

    /// Abilities in `requires` that this version of Tidemark has.
    const ABILITIES: &'static [&'static str] = &[];

    /// Returns the subject that it belongs on.
    fn subject(&self) -> Result<Subject, InvalidToken>;

    /// Returns the workspace that it says it belongs to.
    fn workspace(&self) -> &str;

    /// Returns the fields without which it means nothing, by name.
    fn identity(&self) -> Vec<(&'static str, &str)>;

    /// Returns the abilities that a reader must have.
    fn requires(&self) -> &[String] {
        &[]
    }

    /// Returns the run and attempt that it belongs to, for a dead letter.
    fn run(&self) -> Option<(&str, u32)> {
        None
    }

    /// Returns how this message is a part of a longer one; most are whole.
    fn part(&self) -> Part<'_> {
        Part::Whole
    }

    /// Adds what an earlier part of the same message holds; called with the parts in order.
    fn join(&mut self, _earlier: Vec<Self>) {}
}

/// How a message relates to a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// It is all there is.
    Whole,
    /// More follows; the last part names this one's sequence.
    Earlier,
    /// It completes the message together with the parts of these sequences.
    Last(&'a [u64]),
}

/// A message that cannot be read; asking for it again will not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// Stable code: `message.malformed`, `message.tenant_mismatch` or `message.subject_mismatch`.
    pub code: &'static str,
    /// The reason in one sentence.
    pub message: String,
}

/// Code of a message that cannot be read.
pub const MALFORMED: &str = "message.malformed";

/// Code of a message on another workspace's subject.
pub const TENANT_MISMATCH: &str = "message.tenant_mismatch";

/// Code of a message on the subject of another dataset, metric, run or channel.
pub const SUBJECT_MISMATCH: &str = "message.subject_mismatch";

impl Malformed {
    fn new(message: String) -> Self {
        Self {
            code: MALFORMED,
            message,
        }
    }
}

/// Reads a message: a JSON object with every identifying field, on a subject of its own workspace and noun.
///
/// Unknown fields are ignored, so that old readers survive new writers; `{}` and `[]` are not messages.
pub fn decode<M: Message>(subject: &str, payload: &[u8]) -> Result<M, Malformed> {
    let name = M::NAME;
    if payload.iter().all(u8::is_ascii_whitespace) {
        return Err(Malformed::new(format!("an empty payload is not a {name}")));
    }
    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Malformed::new(format!(
            "the payload is not a JSON object, so not a {name}"
        )));
    }
    let message: M = serde_json::from_slice(payload)
        .map_err(|error| Malformed::new(format!("the payload is not a {name}: {error}")))?;
    if let Some((field, _)) = message
        .identity()
        .into_iter()
        .find(|(_, text)| text.is_empty())
    {
        return Err(Malformed::new(format!(
            "a {name} without `{field}` means nothing"
        )));
    }
    let Some(origin) = crate::subject::origin(subject) else {
        return Ok(message);
    };
    if origin.workspace != message.workspace() {
        return Err(Malformed {
            code: TENANT_MISMATCH,
            message: format!("a {name} of another workspace came on this workspace's subject"),
        });
    }
    let own = message
        .subject()
        .map_err(|error| Malformed::new(format!("a {name} that belongs on no subject: {error}")))?;
    // Of another kind are kept answers: a draft's pages have a subject of their own.
    if crate::subject::origin(own.as_str())
        .is_some_and(|own| own.kind == origin.kind && own.noun != origin.noun)
    {
        return Err(Malformed {
            code: SUBJECT_MISMATCH,
            message: format!("a {name} came on a subject that is not its own; its own is `{own}`"),
        });
    }
    Ok(message)
}

/// Writes a message as JSON.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(message)
}

/// Whether nobody waits for the answer to a question any more; a deadline that is none never passes.
pub fn is_over(deadline: &str, now: Timestamp) -> bool {
    deadline
        .parse::<Timestamp>()
        .is_ok_and(|deadline| deadline < now)
}

/// Returns the abilities that `message` requires and this version lacks: then it must be handed back.
pub fn missing_abilities<M: Message>(message: &M) -> Vec<String> {
    let known = |ability: &&String| !M::ABILITIES.contains(&ability.as_str());
    message.requires().iter().filter(known).cloned().collect()
}

/// Message identities (`Nats-Msg-Id`): they say *which* fact a message is, so that sending it twice is harmless.
///
/// They only spare work: the server forgets them after two minutes, and earlier when it is killed.
pub mod id {
    use super::{Digest, Sha256};

    /// Identity of a sync request: one per attempt at a run.
    pub fn sync(run: &str, attempt: u32) -> String {
        format!("{run}.{attempt}")
    }

    /// Identity of one chunk of a page.
    ///
    /// `delivery` is the broker's count, since a second delivery may see another body under the same number.
    pub fn page(run: &str, attempt: u32, delivery: u64, page: u32, chunk: u32) -> String {
        format!("{run}.{attempt}.{delivery}.{page}.{chunk}")
    }

    /// Identity of a message that is known only by what it says: `scope` and a hash of `payload`.
    pub fn content(scope: &str, payload: &[u8]) -> String {
        let digest = Sha256::digest(payload);
        format!("{scope}.{}", crate::page::hex(&digest[..16]))
    }

    /// Identity of an update: one per version of a metric.
    pub fn update(workspace: &str, metric: &str, version: i64) -> String {
        format!("{workspace}.{metric}.{version}")
    }

    /// Identity of a dead letter: one per message and consumer.
    pub fn dead(stream: &str, sequence: u64, consumer: &str, part: u32) -> String {
        format!("{stream}.{sequence}.{consumer}.{part}")
    }
}
