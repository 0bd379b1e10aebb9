//! Finds secret values in texts and bodies and puts `***` in their place.

mod pattern;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use service::Secret;

use pattern::{Case, Pattern, Search};

/// What stands where a secret stood.
const MASK: &str = "***";

/// Shorter values are too common to be looked for in bodies: masking "1" would ruin every page.
const SHORTEST_IN_BODIES: usize = 6;

/// Knows the secrets of one run, however an API may spell them when it echoes them. Never printed.
///
/// Every character of a secret is recognized as itself, percent-encoded (once or twice), escaped as
/// in JSON, JavaScript or a shell, as an HTML entity, and a quote as any other quote, mixed at will;
/// the whole also in base64, alone or inside of something longer. In texts for people it is
/// recognized across line breaks too; in whole pages one run of its plain characters must stand as
/// it is.
///
/// Clones know what the others learn: tokens are given while a run is under way.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    values: Vec<Secret>,
    needles: Arc<[Needle]>,
}

struct Needle {
    pattern: Pattern,
    /// Whether it is rare enough to be looked for in pages.
    is_long: bool,
    /// Whether it is the middle of a base64 text, whose first and last characters depend on what is around it.
    is_base64: bool,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.needles().len())
    }
}

impl Redactor {
    /// Prepares for these values.
    pub fn new(values: &[Secret]) -> Self {
        Redactor {
            known: Arc::new(RwLock::new(Known {
                values: values.to_vec(),
                needles: needles(values),
            })),
        }
    }

    /// Prepares for one more value.
    pub fn learn(&self, value: &Secret) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known
            .values
            .iter()
            .all(|one| one.expose() != value.expose())
        {
            known.values.push(value.clone());
            known.needles = needles(&known.values);
        }
    }

    fn needles(&self) -> Arc<[Needle]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.needles)
    }

    /// Tells whether `text` holds a secret.
    pub fn finds_in(&self, text: &[u8]) -> bool {
        !self.find(text, Search::Texts).is_empty()
    }

    /// Returns `text` with every secret masked.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text.as_bytes(), Search::Texts);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut from = 0;
        for range in found {
            masked.push_str(text.get(from..range.start).unwrap_or_default());
            masked.push_str(MASK);
            from = range.end;
        }
        masked.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(masked)
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
        let found = self.find(&body, Search::Pages);
        if found.is_empty() {
            return body;
        }
        let mut out = Vec::with_capacity(body.len());
        let mut from = 0;
        for range in found {
            let range = with_its_escapes(&body, &range);
            if range.end <= from {
                continue;
            }
            out.extend_from_slice(body.get(from..range.start).unwrap_or_default());
            if is_number(&body, range.start, range.end) {
                out.extend(std::iter::repeat_n(b'1', range.len()));
            } else {
                out.extend_from_slice(MASK.as_bytes());
            }
            from = range.end;
        }
        out.extend_from_slice(&body[from..]);
        Bytes::from(out)
    }

    /// Returns where secrets stand, in order, without overlaps.
    fn find(&self, text: &[u8], search: Search) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for needle in self.needles().iter() {
            if search == Search::Pages && !needle.is_long {
                continue;
            }
            let before = found.len();
            needle.pattern.find(text, search, &mut found);
            if needle.is_base64 {
                for range in &mut found[before..] {
                    *range = widened(text, range);
                }
            }
        }
        found.sort_by_key(|range| (range.start, range.end));
        let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        apart
    }
}

fn needles(values: &[Secret]) -> Arc<[Needle]> {
    let mut texts: Vec<(String, bool)> = Vec::new();
    for value in values.iter().map(Secret::expose) {
        let mut add = |text: String, is_base64| {
            if !text.is_empty() && !texts.iter().any(|(known, _)| *known == text) {
                texts.push((text, is_base64));
            }
        };
        add(value.to_owned(), false);
        if value.len() >= SHORTEST_IN_BODIES {
            for middle in base64_middles(value.as_bytes()) {
                add(middle, true);
            }
        }
    }
    texts
        .iter()
        .map(|(text, is_base64)| Needle {
            pattern: Pattern::new(text, if *is_base64 { Case::Exact } else { Case::Any }),
            is_long: text.len() >= SHORTEST_IN_BODIES,
            is_base64: *is_base64,
        })
        .collect()
}

/// The part of a value's base64 that does not depend on its neighbours, in both alphabets, for each
/// of the three ways in which it may lie across the groups of a longer text.
fn base64_middles(value: &[u8]) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let mut middles = Vec::new();
    for before in 0..3 {
        let shifted = [&[0; 2][..before], value].concat();
        let (first, behind) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        for whole in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            middles.extend(whole.get(first..behind).map(str::to_owned));
        }
    }
    middles
}

/// Adds the characters at both ends that hold a few bits of the secret, and padding.
fn widened(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let of_base64 =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let (mut start, mut end) = (range.start, range.end);
    if start > 0 && of_base64(&text[start - 1]) {
        start -= 1;
    }
    if text.get(end).is_some_and(of_base64) {
        end += 1;
    }
    while end < range.end + 3 && text.get(end) == Some(&b'=') {
        end += 1;
    }
    start..end
}

/// Widens a range so that it cuts no JSON escape in two: half of one would leave the page unreadable.
fn with_its_escapes(body: &[u8], range: &Range<usize>) -> Range<usize> {
    let is_escaped = |at: usize| {
        let backslashes = body[..at].iter().rev().take_while(|byte| **byte == b'\\');
        backslashes.count() % 2 == 1
    };
    let start = range.start - usize::from(is_escaped(range.start));
    let end = range.end + usize::from(range.end < body.len() && is_escaped(range.end));
    start..end
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

#[cfg(test)]
mod laws;

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
    fn spellings_that_no_library_writes_are_masked_in_texts() {
        let redactor = redactor("p&ss'w0rd<xyz>");
        for echoed in [
            "p&amp;ss&#x27;w0rd&lt;xyz&gt;",
            "p&amp;ss&#39;w0rd&LT;xyz&#62;",
            "p&ss\"w0rd<xyz>",
            "p&ss’w0rd<xyz>",
            "p\\u0026ss\\u0027w0rd\\u003Cxyz\\u003e",
            "p%26ss%27w0rd%3cxyz%3E",
            "p%2526ss%2527w0rd%253Cxyz%253E",
            "P&SS'W0RD<XYZ>",
            "p&ss'w0\n    rd<xyz>",
            "\\u0070&ss\\'w0rd\\<xyz\\>",
        ] {
            assert_eq!(
                redactor.text(&format!("key {echoed}.")),
                "key ***.",
                "{echoed}"
            );
            assert!(redactor.finds_in(echoed.as_bytes()));
        }
        assert_eq!(redactor.text("pass word xyz"), "pass word xyz");
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
    fn no_escape_is_cut_in_two() {
        for secret in ["\"a\\bcdefg", "abcdefg\\", "\\\\abcdef\"", "\"\\\"abcdefgh"] {
            let page = serde_json::json!({ "next": secret, "n": 1 }).to_string();
            let masked = redactor(secret).body(Bytes::from(page));
            let read = serde_json::from_slice::<serde_json::Value>(&masked);
            assert!(read.is_ok_and(|page| page["next"] == "***"), "{masked:?}");
        }
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
