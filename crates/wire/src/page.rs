//! A page on the wire: the body untouched, its origin in headers, its place in the manifest.

use crate::header;
use sha2::{Digest, Sha256};
use std::fmt::Write;

pub use crate::generated::PageEntry;

/// Where a page comes from: what its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageHeaders {
    /// The run that it belongs to.
    pub run: String,
    /// Which try at the run, from 1.
    pub attempt: u32,
    /// Number of the page, from 1.
    pub page: u32,
    /// HTTP status of the answer.
    pub status: u32,
    /// When the answer had arrived, RFC 3339.
    pub fetched_at: String,
    /// Address that was asked, with credentials removed.
    pub url: String,
}

/// Which piece of a page a message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHeaders {
    /// The page's own headers.
    pub page: PageHeaders,
    /// Number of this chunk, from 1.
    pub chunk: u32,
    /// How many chunks the page has.
    pub chunks: u32,
    /// SHA-256 of the whole body, lower-case hex.
    pub hash: String,
}

/// A page message whose headers are missing or unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header `{name}` of a page is missing or unreadable")]
pub struct BadPageHeader {
    /// The header.
    pub name: &'static str,
}

/// Longest address kept with a page: beyond it only its beginning helps a reader.
const MAX_URL: usize = 2048;

impl ChunkHeaders {
    /// Returns the headers as names and values.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let page = &self.page;
        vec![
            (header::RUN, page.run.clone()),
            (header::ATTEMPT, page.attempt.to_string()),
            (header::PAGE, page.page.to_string()),
            (header::CHUNK, self.chunk.to_string()),
            (header::CHUNKS, self.chunks.to_string()),
            (header::STATUS, page.status.to_string()),
            (header::FETCHED_AT, page.fetched_at.clone()),
            (header::HASH, self.hash.clone()),
            (header::URL, header_text(&page.url)),
        ]
    }

    /// Reads the headers; `value` returns the value of a name.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, BadPageHeader> {
        let text = |name| value(name).ok_or(BadPageHeader { name });
        let number = |name| {
            text(name)?
                .parse::<u32>()
                .map_err(|_| BadPageHeader { name })
        };
        Ok(Self {
            page: PageHeaders {
                run: text(header::RUN)?,
                attempt: number(header::ATTEMPT)?,
                page: number(header::PAGE)?,
                status: number(header::STATUS)?,
                fetched_at: text(header::FETCHED_AT)?,
                url: text(header::URL)?,
            },
            chunk: number(header::CHUNK)?,
            chunks: number(header::CHUNKS)?,
            hash: text(header::HASH)?,
        })
    }
}

/// Returns the hash by which a page's body is known: SHA-256, lower-case hex.
pub fn hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Returns `text` cut to a bounded length, without what would end a header.
fn header_text(text: &str) -> String {
    let mut end = text.len().min(MAX_URL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_headers_come_back_as_sent() {
        let sent = ChunkHeaders {
            page: PageHeaders {
                run: "r_1".to_owned(),
                attempt: 2,
                page: 7,
                status: 200,
                fetched_at: "2026-01-01T00:00:00Z".to_owned(),
                url: "https://api.example.com/v3/subscribers?page=7".to_owned(),
            },
            chunk: 1,
            chunks: 3,
            hash: hash(b"{}"),
        };
        let pairs = sent.to_pairs();
        let read = ChunkHeaders::read(|name| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        });
        assert_eq!(read, Ok(sent));
        assert_eq!(
            ChunkHeaders::read(|_| None),
            Err(BadPageHeader { name: header::RUN })
        );
    }

    #[test]
    fn an_address_cannot_break_out_of_its_header() {
        let long = format!("https://a/\r\nNats-TTL: 1\u{e9}{}", "é".repeat(2000));
        let text = header_text(&long);
        assert!(text.len() <= MAX_URL && !text.contains(['\r', '\n']));
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(
            hash(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
