//! Whatever a secret is made of and however an API spells it, nothing of it is left.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

/// Secrets as people have them: letters, digits and signs, some beyond ASCII.
fn secret() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9&<>\"'/+=%\\\\ .:;_é€😀-]{8,40}"
        .prop_filter("begins and ends visibly", |text| text.trim() == text)
}

/// Ways to write a text, each after a rule of its own.
const SPELLINGS: &[fn(&str) -> String] = &[
    str::to_owned,
    |text| percent(text, |byte| format!("%{byte:02X}")),
    |text| percent(text, |byte| format!("%{byte:02x}")),
    |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |text| {
        percent(&percent(text, |byte| format!("%{byte:02X}")), |byte| {
            format!("%{byte:02X}")
        })
    },
    |text| {
        let json = serde_json::to_string(text).unwrap();
        json[1..json.len() - 1].to_owned()
    },
    |text| {
        text.encode_utf16().fold(String::new(), |mut out, unit| {
            let _ = write!(out, "\\u{unit:04X}");
            out
        })
    },
    |text| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#x27;")
    },
    |text| {
        text.chars().fold(String::new(), |mut out, c| {
            let _ = write!(out, "&#{};", u32::from(c));
            out
        })
    },
    |text| text.replace('"', "'"),
    |text| text.replace(['"', '\''], "`"),
    |text| text.replace('\'', "\\'"),
    |text| STANDARD.encode(text),
    |text| URL_SAFE.encode(text),
];

fn percent(text: &str, escape: fn(u8) -> String) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => escape(other),
        })
        .collect()
}

proptest! {
    #[test]
    fn no_spelling_stays(secret in secret(), which in 0..SPELLINGS.len()) {
        let redactor = Redactor::new(&[Secret::new(secret.clone())]);
        let echoed = SPELLINGS[which](&secret);
        let masked = redactor.text(&format!("no such key: {echoed}, sorry")).into_owned();
        prop_assert_eq!(masked, "no such key: ***, sorry");
    }

    #[test]
    fn no_line_break_inside_helps(secret in secret(), which in 0..SPELLINGS.len(), every in 1_usize..20) {
        let redactor = Redactor::new(&[Secret::new(secret.clone())]);
        // Lines break between the characters of the secret, not inside of an escape.
        let mut echoed = String::new();
        for (at, c) in secret.chars().enumerate() {
            if at > 0 && at % every == 0 {
                echoed.push_str("\n\t");
            }
            // Base64 knows no single characters.
            echoed.push_str(&SPELLINGS[which % 12](&c.to_string()));
        }
        let masked = redactor.text(&format!("({echoed})")).into_owned();
        prop_assert_eq!(masked, "(***)");
    }

    #[test]
    fn base64_of_something_longer_tells_nothing(secret in secret(), before in "[a-z:]{0,7}", after in "[a-z:]{0,7}") {
        let redactor = Redactor::new(&[Secret::new(secret.clone())]);
        let echoed = STANDARD.encode(format!("{before}{secret}{after}"));
        let masked = redactor.text(&echoed).into_owned();
        prop_assert!(masked.contains("***"), "{}", masked);
        // What is left of both sides holds no byte of the secret.
        let (left, right) = masked.split_once("***").unwrap();
        prop_assert!(left.len() * 6 / 8 <= before.len(), "{}", masked);
        prop_assert!(right.trim_end_matches('=').len() * 6 / 8 <= after.len(), "{}", masked);
    }

    #[test]
    fn what_holds_no_secret_stays(secret in secret(), text in "[ -~]{0,200}") {
        let redactor = Redactor::new(&[Secret::new(secret.clone())]);
        let lower = text.to_lowercase();
        prop_assume!(!secret.is_ascii() || !lower.contains(&secret.to_lowercase()));
        prop_assert_eq!(redactor.text(&text).into_owned(), text);
    }

    #[test]
    fn pages_stay_json(secret in secret(), which in 0..SPELLINGS.len()) {
        let redactor = Redactor::new(&[Secret::new(secret.clone())]);
        let page = serde_json::json!({ "next": SPELLINGS[which](&secret), "n": [1, 2] }).to_string();
        let masked = redactor.body(Bytes::from(page));
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&masked).is_ok(), "{:?}", masked);
    }
}
