//! A message given up on, with its reason and its original bytes.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use crate::generated::DeadLetter;

/// Stands where a subject does not tell the workspace or dataset.
pub const UNKNOWN: &str = "unknown";

impl DeadLetter {
    /// Returns the original bytes, as far as this part holds them.
    pub fn original(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(&self.payload)
    }

    /// Returns the letter with a workspace and a dataset that a subject can hold: what cannot be one is
    /// [`UNKNOWN`]. The server takes `run.*` as a subject, and the letter keeps that one as text.
    #[must_use]
    pub fn addressable(mut self) -> Self {
        for token in [&mut self.workspace, &mut self.dataset] {
            if !subject::is_token(token) {
                UNKNOWN.clone_into(token);
            }
        }
        self
    }

    /// Returns one dead letter for each piece of `payload` of at most `bytes_per_part`.
    pub fn into_parts(self, payload: &[u8], bytes_per_part: usize) -> Vec<Self> {
        let pieces: Vec<&[u8]> = if payload.is_empty() {
            vec![payload]
        } else {
            payload.chunks(bytes_per_part.max(1)).collect()
        };
        let parts = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        (1..=parts)
            .zip(pieces)
            .map(|(part, piece)| Self {
                payload: STANDARD.encode(piece),
                part,
                parts,
                ..self.clone()
            })
            .collect()
    }
}

impl Message for DeadLetter {
    const NAME: &'static str = "DeadLetter";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::dead(&self.workspace, &self.dataset)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("dataset", &self.dataset),
            ("code", &self.code),
        ]
    }

    fn run(&self) -> Option<(&str, u32)> {
        (!self.run.is_empty()).then_some((&*self.run, self.attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_can_be_sent_whatever_its_subject_was() {
        let long = "x".repeat(200);
        for bad in ["*", ">", "", "a b", "a.b", "ü", &long] {
            let letter = DeadLetter {
                workspace: bad.to_owned(),
                dataset: bad.to_owned(),
                subject: format!("tidemark.v1.{bad}.run.{bad}"),
                ..DeadLetter::default()
            };
            let sent = letter.clone().addressable();
            assert_eq!(
                sent.subject().unwrap().as_str(),
                "tidemark.v1.unknown.dead.unknown",
                "{bad:?}"
            );
            assert_eq!(Message::workspace(&sent), UNKNOWN);
            assert_eq!(sent.subject, letter.subject, "the original is kept");
        }
        let letter = DeadLetter {
            workspace: "acme".to_owned(),
            dataset: "d_1".to_owned(),
            ..DeadLetter::default()
        };
        assert_eq!(letter.clone().addressable(), letter);
    }

    #[test]
    fn the_original_bytes_survive_in_parts() {
        let payload = [0x00, 0xff, 0x13, 0x7b, 0x22];
        let parts = DeadLetter::default().into_parts(&payload, 2);
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.original().unwrap())
            .collect();
        assert_eq!((parts.len(), parts[2].part, parts[2].parts), (3, 3, 3));
        assert_eq!(joined, payload);
        assert_eq!(DeadLetter::default().into_parts(b"", 2).len(), 1);
    }
}
