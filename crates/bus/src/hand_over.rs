//! Hands pages from a fetcher to an evaluator of the same process, without a way through the broker.
//!
//! A page is here only after the stream's word that it has it, and only until it is read once: whoever reads it again,
//! or anywhere else, reads the stream. It is known by sequence and hash, so it is the page that the manifest names.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes kept for a reader; the oldest make room. Most runs have less, and longer ones read their beginning from the
/// stream.
const MOST_BYTES: usize = 16 << 20;

/// Pages on their way through this process.
#[derive(Default)]
pub(crate) struct HandOver {
    is_wanted: AtomicBool,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// By the sequence of the first chunk.
    bodies: HashMap<u64, (String, Bytes)>,
    /// Sequences in the order of arrival, some of them read already.
    order: VecDeque<u64>,
    bytes: usize,
}

impl HandOver {
    /// Keeps pages from now on.
    pub(crate) fn begin(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether somebody in this process reads pages.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Keeps a page that the stream has; nothing happens where nobody would read it here.
    pub(crate) fn keep(&self, sequences: &[u64], hash: &str, body: Bytes) {
        let Some(&first) = sequences.first().filter(|_| self.is_wanted()) else {
            return;
        };
        if body.len() > MOST_BYTES {
            return;
        }
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.remove(first);
        pages.bytes += body.len();
        pages.order.push_back(first);
        pages.bodies.insert(first, (hash.to_owned(), body));
        while pages.bytes > MOST_BYTES {
            let Some(oldest) = pages.order.pop_front() else {
                break;
            };
            pages.remove(oldest);
        }
        // Those that were read leave their number behind.
        if pages.order.len() > 64 + 2 * pages.bodies.len() {
            let Pages { bodies, order, .. } = &mut *pages;
            order.retain(|sequence| bodies.contains_key(sequence));
        }
    }

    /// Takes a page, if it is here and is the one that is meant.
    pub(crate) fn take(&self, sequences: &[u64], hash: &str) -> Option<Bytes> {
        let first = *sequences.first().filter(|_| self.is_wanted())?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, body) = pages.remove(first)?;
        (kept == hash).then_some(body)
    }
}

impl Pages {
    fn remove(&mut self, sequence: u64) -> Option<(String, Bytes)> {
        let removed = self.bodies.remove(&sequence)?;
        self.bytes -= removed.1.len();
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_handed_over_once_and_only_as_what_it_is() {
        let pages = HandOver::default();
        pages.keep(&[1], "h1", Bytes::from_static(b"[1]"));
        assert_eq!(pages.take(&[1], "h1"), None, "nobody reads here");
        pages.begin();
        for sequence in 1..=3 {
            pages.keep(&[sequence, 9], "h", Bytes::from_static(b"[1]"));
        }
        assert_eq!(pages.take(&[2, 9], "other"), None);
        assert_eq!(pages.take(&[2, 9], "h"), None, "it was not what is meant");
        assert_eq!(pages.take(&[3, 9], "h").unwrap(), "[1]");
        assert_eq!(pages.take(&[3, 9], "h"), None, "it was read");
    }

    #[test]
    fn the_oldest_pages_make_room_and_no_numbers_pile_up() {
        let pages = HandOver::default();
        pages.begin();
        let body = Bytes::from(vec![b' '; MOST_BYTES / 4]);
        for sequence in 1..=6 {
            pages.keep(&[sequence], "h", body.clone());
        }
        assert!(pages.take(&[2], "h").is_none() && pages.take(&[3], "h").is_some());
        pages.keep(&[7], "h", Bytes::from(vec![b' '; MOST_BYTES + 1]));
        assert_eq!(pages.take(&[7], "h"), None);
        for sequence in 100..10_000 {
            pages.keep(&[sequence], "h", Bytes::new());
            assert!(pages.take(&[sequence], "h").is_some());
        }
        assert!(pages.pages.lock().unwrap().order.len() < 200);
    }
}
