//! Ids: of runs, datasets, tokens and series.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng as _;
use sha2::{Digest as _, Sha256};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A new run id, `r_` and 20 of `[0-9a-z]`: 9 of time, 4 that count within a process, 7 of chance.
pub(crate) fn run(now: i64) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id = String::from("r_");
    push(&mut id, u64::try_from(now).unwrap_or(0), 9);
    push(&mut id, count, 4);
    push(&mut id, rand::rng().random(), 7);
    id
}

/// A new token id, `t_` and 12 of `[0-9a-z]`.
pub(crate) fn token() -> String {
    let mut id = String::from("t_");
    push(&mut id, rand::rng().random(), 12);
    id
}

/// The id of a dataset, `d_` and 16 hexadecimal digits; `again` counts collisions.
pub(crate) fn dataset(workspace: &str, name: Option<&str>, identity: &str, again: u32) -> String {
    let mut hash = Sha256::new();
    for part in [workspace, name.unwrap_or(""), identity] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(again.to_be_bytes());
    format!("d_{}", hex(&hash.finalize()[..8]))
}

/// A short key for a long text: 32 hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    text
}

/// Appends the last `width` base-36 digits of a number.
fn push(text: &mut String, number: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = (number / 36u64.pow(place)) % 36;
        text.push(char::from(DIGITS[usize::try_from(digit).unwrap_or(0)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_then_by_count() {
        let ids: Vec<String> = [1_000, 1_000, 1_001, 1_763_900_000_000]
            .into_iter()
            .map(run)
            .collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == 22));
    }
}
