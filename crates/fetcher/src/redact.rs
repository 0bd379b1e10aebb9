//! Finds secret values in texts and bodies and puts `***` in their place.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use memchr::memmem::Finder;
use service::Secret;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Shorter values are too common to be looked for in bodies: masking "1" would ruin every page.
const SHORTEST_IN_BODIES: usize = 6;

/// Knows the secrets of one run, in every spelling in which an API may echo them. Never printed.
#[derive(Clone, Default)]
pub struct Redactor {
    finders: Vec<Finder<'static>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.finders.len())
    }
}

impl Redactor {
    /// Prepares for `values` as written, percent-encoded, JSON-escaped and in base64.
    pub fn new(values: &[Secret]) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for value in values {
            for spelling in spellings(value.expose()) {
                if !spelling.is_empty() && !needles.contains(&spelling.as_bytes().to_vec()) {
                    needles.push(spelling.into_bytes());
                }
            }
        }
        // The longest first, so that no tail of a longer spelling stays.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        Redactor {
            finders: needles
                .iter()
                .map(|needle| Finder::new(needle).into_owned())
                .collect(),
        }
    }

    /// Tells whether `text` holds a secret.
    pub fn finds_in(&self, text: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| finder.find(text).is_some())
    }

    /// Returns `text` with every secret masked.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for finder in &self.finders {
            let found = finder.find(masked.as_bytes()).is_some();
            if let Some(needle) = std::str::from_utf8(finder.needle()).ok().filter(|_| found) {
                masked = Cow::Owned(masked.replace(needle, MASK));
            }
        }
        masked
    }

    /// The first characters of a body with every secret masked, for an error.
    pub fn excerpt(&self, body: &[u8]) -> String {
        // Masked before it is cut, so that no half of a secret stays at the edge.
        let start = &body[..body.len().min(16 * 1024)];
        let text = String::from_utf8_lossy(start);
        crate::decode::excerpt(self.text(&text).as_bytes())
    }

    /// Returns `body` with every secret masked; the very same bytes when it holds none.
    ///
    /// A secret of digits alone that stands as a JSON number becomes ones, so that the page stays JSON.
    pub fn body(&self, body: Bytes) -> Bytes {
        let mut masked: Option<Vec<u8>> = None;
        for finder in self
            .finders
            .iter()
            .filter(|finder| finder.needle().len() >= SHORTEST_IN_BODIES)
        {
            let current: &[u8] = masked.as_deref().unwrap_or(&body);
            if finder.find(current).is_none() {
                continue;
            }
            let needle = finder.needle();
            let mut out = Vec::with_capacity(current.len());
            let mut from = 0;
            for at in finder.find_iter(current) {
                if at < from {
                    continue;
                }
                out.extend_from_slice(&current[from..at]);
                from = at + needle.len();
                if is_number(current, at, from) {
                    out.extend(std::iter::repeat_n(b'1', needle.len()));
                } else {
                    out.extend_from_slice(MASK.as_bytes());
                }
            }
            out.extend_from_slice(&current[from..]);
            masked = Some(out);
        }
        masked.map_or(body, Bytes::from)
    }
}

/// Whether the digits at `from..to` stand outside a string, as (part of) a number.
fn is_number(body: &[u8], from: usize, to: usize) -> bool {
    let of_number =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if !body[from..to].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let before = body[..from].iter().rev().find(|byte| !of_number(byte));
    let after = body[to..].iter().find(|byte| !of_number(byte));
    let opens =
        before.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b':' | b',' | b'['));
    let closes =
        after.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}'));
    opens && closes
}

fn spellings(value: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    if value.is_empty() {
        return Vec::new();
    }
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let percent: String = value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let ascii: String = json
        .chars()
        .map(|c| {
            if c.is_ascii() {
                return c.to_string();
            }
            let mut units = [0; 2];
            let mut escaped = String::new();
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
            escaped
        })
        .collect();
    let mut all = vec![
        value.to_owned(),
        form.to_ascii_lowercase(),
        form,
        percent.replace("%20", "+"),
        percent.clone(),
        percent
            .bytes()
            .fold((String::new(), 0), |(mut text, after), byte| {
                // Only the two digits of an escape become lower case.
                let after = if byte == b'%' { 2_u8 } else { after };
                let lower = after > 0 && byte != b'%';
                text.push(char::from(if lower {
                    byte.to_ascii_lowercase()
                } else {
                    byte
                }));
                (text, if lower { after - 1 } else { after })
            })
            .0,
        json.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        ascii,
        json,
    ];
    // The bare forms of a short text are everyday letters; its base64 is looked for from a length that is rare.
    if value.len() >= SHORTEST_IN_BODIES {
        all.push(STANDARD.encode(value));
        all.push(STANDARD_NO_PAD.encode(value));
        all.push(URL_SAFE_NO_PAD.encode(value));
    }
    all.retain(|spelling| !spelling.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(value: &str) -> Redactor {
        Redactor::new(&[Secret::new(value)])
    }

    #[test]
    fn every_spelling_of_a_secret_is_masked() {
        let redactor = redactor("s3cr3t/é \"x\"&y");
        for echoed in [
            r#"{"next":"https://h/?api_secret=s3cr3t%2F%C3%A9%20%22x%22%26y&page=2"}"#,
            r#"{"next":"https://h/?api_secret=s3cr3t%2f%c3%a9+%22x%22%26y&page=2"}"#,
            r#"{"key":"s3cr3t/é \"x\"&y"}"#,
            r#"{"key":"s3cr3t\/\u00e9 \"x\"&y"}"#,
            r#"{"key":"czNjcjN0L8OpICJ4IiZ5"}"#,
        ] {
            let masked = redactor.body(Bytes::from_static(echoed.as_bytes()));
            let text = String::from_utf8_lossy(&masked).into_owned();
            assert!(
                text.contains("***") && !text.contains("s3cr3t") && !text.contains("czNj"),
                "{text}"
            );
            assert!(
                serde_json::from_str::<serde_json::Value>(&text).is_ok(),
                "{text}"
            );
        }
        assert_eq!(redactor.text("bad key s3cr3t/é \"x\"&y"), "bad key ***");
    }

    #[test]
    fn a_body_without_a_secret_stays_the_same_bytes() {
        let body = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(
            redactor("sk_live_123").body(body.clone()).as_ptr(),
            body.as_ptr()
        );
    }

    #[test]
    fn digits_that_are_a_number_stay_a_number() {
        let redactor = redactor("8675309");
        let body = redactor.body(Bytes::from_static(
            b"{\"id\":8675309,\"t\":\"key 8675309\",\"l\":[-8675309.5]}",
        ));
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(
            text,
            "{\"id\":1111111,\"t\":\"key ***\",\"l\":[-1111111.5]}"
        );
    }

    #[test]
    fn short_secrets_are_masked_in_texts_only() {
        let redactor = redactor("abc");
        assert_eq!(redactor.text("key abc"), "key ***");
        assert_eq!(
            &redactor.body(Bytes::from_static(b"[\"abc\"]"))[..],
            b"[\"abc\"]"
        );
    }
}
