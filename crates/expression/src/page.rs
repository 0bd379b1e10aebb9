//! From the bytes of a page to text that the engine may parse: UTF-8, bounded, and with every
//! number that a double cannot hold written as text.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::budget::{PAGE_VALUES, RUN_BYTES};
use crate::{EvaluationError, Page};

/// What stands before a number that was put in quotes: a character that is none, so no text of an API begins with it.
pub(crate) const MARK: char = '\u{fdd0}';

/// The digits of a number that was put in quotes; nothing for any other text.
pub(crate) fn long_number(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)
        .filter(|digits| needs_quotes(digits))
}

/// Returns a value with numbers for those that were put in quotes; beyond 64 bits their digits stay text.
pub(crate) fn with_numbers(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => match long_number(&text) {
            None => Value::String(text),
            Some(digits) => digits
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| digits.parse::<u64>().map(Value::from))
                .unwrap_or_else(|_| digits.into()),
        },
        Value::Array(items) => items.into_iter().map(with_numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, with_numbers(value)))
            .collect(),
        other => other,
    }
}

/// Returns the page as text, with numbers a double would change put in quotes, behind a mark.
///
/// Those are integers beyond ±2^53, and numbers of more than 17 significant digits that come
/// back different from a double. Everything else is left as it is, and a page without such
/// numbers is borrowed.
pub(crate) fn prepare(bytes: &[u8]) -> Result<Cow<'_, str>, EvaluationError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, &error))?;
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(EvaluationError::new(
            "upstream.not_json",
            "the page has an empty body",
        ));
    }
    // Each value and each key takes at least two bytes with its separator.
    if text.len() / 2 > PAGE_VALUES && count_values(text) > PAGE_VALUES {
        return Err(EvaluationError::new(
            "upstream.too_many_values",
            format!("the page holds more than the limit of {PAGE_VALUES} keys and values"),
        ));
    }
    if may_hold_long_number(bytes) {
        Ok(quote_long_numbers(text))
    } else {
        Ok(Cow::Borrowed(text))
    }
}

/// The pages of a run as one JSON array; each page must be JSON by itself.
pub(crate) fn joined(pages: &[Page<'_>]) -> Result<String, EvaluationError> {
    let bytes: usize = pages.iter().map(|page| page.bytes.len() + 1).sum();
    if bytes > RUN_BYTES {
        return Err(EvaluationError::new(
            "expression.run_too_large",
            format!(
                "the run has {bytes} bytes, more than the limit of {RUN_BYTES} for `scope: run`"
            ),
        ));
    }
    let mut text = String::with_capacity(bytes + 2);
    text.push('[');
    for (place, page) in pages.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let own = prepare(page.bytes)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&own).map_err(|error| {
            let error = parse_error(&error, &own);
            EvaluationError {
                message: format!("page {}: {}", page.number, error.message),
                ..error
            }
        })?;
        text.push_str(&own);
    }
    text.push(']');
    Ok(text)
}

/// Explains why a page could not be parsed, by line and column and without quoting it.
pub(crate) fn parse_error(error: &serde_json::Error, text: &str) -> EvaluationError {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    let place = format!("at line {}, column {}", error.line(), error.column());
    if reason.starts_with("trailing characters") {
        let hint = if starts_new_line(text, error.line()) {
            "; one JSON value per line is NDJSON: set `response: { format: ndjson }`"
        } else {
            ""
        };
        return EvaluationError::new(
            "upstream.not_json",
            format!("trailing characters after the JSON value {place}{hint}"),
        );
    }
    if reason.starts_with("number out of range") {
        return EvaluationError::new(
            "value.out_of_range",
            format!("a number {place} is larger than any number that can be kept"),
        );
    }
    if reason.starts_with("recursion limit") {
        return EvaluationError::new(
            "upstream.too_deep",
            format!("the page is nested deeper than the limit of 128 levels {place}"),
        );
    }
    if reason.contains("surrogate") || reason.contains("hex escape") || reason.contains("unicode") {
        return EvaluationError::new(
            "upstream.encoding",
            format!("a text holds half a character (lone surrogate escape) {place}"),
        );
    }
    if error.is_eof() {
        return EvaluationError::new(
            "upstream.not_json",
            format!("the page ends in the middle of a JSON value {place}: it was cut short"),
        );
    }
    EvaluationError::new(
        "upstream.not_json",
        format!("the page is not JSON: {reason} {place}"),
    )
}

fn not_utf8(bytes: &[u8], error: &std::str::Utf8Error) -> EvaluationError {
    let hint = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => " (it looks like UTF-16)",
        _ => "",
    };
    EvaluationError::new(
        "upstream.encoding",
        format!(
            "the page is not UTF-8{hint}: byte {} is invalid",
            error.valid_up_to()
        ),
    )
}

fn starts_new_line(text: &str, line: usize) -> bool {
    line > 1
        && text
            .lines()
            .nth(line - 1)
            .is_some_and(|rest| rest.trim_start().starts_with(['{', '[']))
}

/// Keys plus values, from the separators outside strings.
fn count_values(text: &str) -> usize {
    let mut count = 1;
    for part in outside_strings(text) {
        count += part
            .bytes()
            .filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{'))
            .count();
    }
    count
}

/// Shortest run of digits and points that may need quotes: 2^53 has 16 digits.
const LONG: usize = 16;

fn is_digit_or_point(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// Looks for a run of sixteen digits and points that stands like a number.
///
/// Such a run covers a multiple of sixteen and one of the positions eight before and after it, so
/// two looks per sixteen bytes are enough; a page usually has none.
fn may_hold_long_number(bytes: &[u8]) -> bool {
    let numeric = |at: usize| bytes.get(at).copied().is_some_and(is_digit_or_point);
    let mut at = 0;
    while at < bytes.len() {
        if numeric(at) && (numeric(at + 8) || (at >= 8 && numeric(at - 8))) {
            let start = bytes[..at]
                .iter()
                .rposition(|&b| !is_digit_or_point(b))
                .map_or(0, |i| i + 1);
            let end = bytes[at..]
                .iter()
                .position(|&b| !is_digit_or_point(b))
                .map_or(bytes.len(), |i| at + i);
            if end - start >= LONG && stands_like_a_number(bytes, start) {
                return true;
            }
            at = end.next_multiple_of(LONG).max(at + LONG);
        } else {
            at += LONG;
        }
    }
    false
}

/// Whether what comes before `start` may come before a number; texts mostly begin with `"`.
fn stands_like_a_number(bytes: &[u8], start: usize) -> bool {
    let before = bytes[..start]
        .iter()
        .rev()
        .find(|byte| !byte.is_ascii_whitespace());
    before.is_none_or(|byte| matches!(byte, b':' | b',' | b'[' | b'-'))
}

/// The parts of a JSON text that are outside its strings, in order.
fn outside_strings(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let quote = memchr(b'"', &bytes[at..]).map_or(bytes.len(), |i| at + i);
        at = end_of_string(bytes, quote);
        Some(&text[start..quote])
    })
}

/// The position behind the string whose opening quote is at `quote`.
fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match memchr2(b'"', b'\\', &bytes[at..]) {
            Some(i) if bytes[at + i] == b'"' => return at + i + 1,
            Some(i) => at += i + 2,
            None => return bytes.len(),
        }
    }
    bytes.len()
}

fn quote_long_numbers(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    for part in outside_strings(text) {
        let offset = part.as_ptr().addr() - text.as_ptr().addr();
        let bytes = part.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !(bytes[at].is_ascii_digit() || bytes[at] == b'-') {
                at += 1;
                continue;
            }
            let end = bytes[at..]
                .iter()
                .position(|b| !matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
                .map_or(bytes.len(), |i| at + i);
            if needs_quotes(&part[at..end]) {
                out.push_str(&text[copied..offset + at]);
                out.push('"');
                out.push(MARK);
                out.push_str(&part[at..end]);
                out.push('"');
                copied = offset + end;
            }
            at = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Whether a double would change this number of JSON.
pub(crate) fn needs_quotes(number: &str) -> bool {
    const EXACT: u64 = 1 << 53;
    let digits = number
        .bytes()
        .take_while(|b| !matches!(b, b'e' | b'E'))
        .filter(u8::is_ascii_digit)
        .count();
    if digits < LONG || !is_json_number(number) {
        return false;
    }
    let magnitude = number.trim_start_matches('-');
    if magnitude.bytes().all(|b| b.is_ascii_digit()) {
        return magnitude.parse::<u64>().map_or(true, |n| n > EXACT);
    }
    let Some((significant, exponent)) = decimal_digits(number) else {
        return false;
    };
    if significant.len() <= 17 {
        return false;
    }
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => {
            decimal_digits(&format!("{value:e}")) != Some((significant, exponent))
        }
        _ => false,
    }
}

/// Whether a text is one number as JSON writes it, so that quoting it keeps the JSON valid.
fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = split_digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return false;
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => match split_digits(fraction) {
            ("", _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let (digits, rest) = split_digits(exponent);
            !digits.is_empty() && rest.is_empty()
        }
        None => rest.is_empty(),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number as its significant digits and the power of ten of the last one.
fn decimal_digits(text: &str) -> Option<(String, i64)> {
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?;
    let significant = kept.trim_start_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    Some((significant.to_owned(), exponent - scale + dropped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prepared(text: &str) -> String {
        let text = prepare(text.as_bytes()).unwrap().into_owned();
        text.replace(MARK, "")
    }

    #[test]
    fn numbers_that_a_double_keeps_stay_as_they_are() {
        for text in [
            "9007199254740992",
            "-9007199254740991",
            "0.1234567890123456",
            "1.7976931348623157e308",
            "0.10000000000000000000000",
            "\"9007199254740993\"",
            "{\"a\": \"x, 9007199254740993 ,\\\" 9007199254740993\"}",
            "[2026,\"2026-11-22T10:00:00.000000000Z\"]",
        ] {
            assert_eq!(prepared(text), text);
        }
    }

    #[test]
    fn numbers_that_a_double_would_change_become_text() {
        for (text, expected) in [
            ("9007199254740993", "\"9007199254740993\""),
            ("-9007199254740993", "\"-9007199254740993\""),
            (
                "{\"id\":18446744073709551617,\"n\":1}",
                "{\"id\":\"18446744073709551617\",\"n\":1}",
            ),
            ("[1, 90071992547409931 ,2]", "[1, \"90071992547409931\" ,2]"),
            ("[0.12345678901234567891]", "[\"0.12345678901234567891\"]"),
            (
                "{\"9007199254740993\":9007199254740993}",
                "{\"9007199254740993\":\"9007199254740993\"}",
            ),
        ] {
            assert_eq!(prepared(text), expected);
        }
    }

    #[test]
    fn a_page_that_is_not_utf_8_or_empty_is_refused_with_its_reason() {
        let error = prepare(b"\xff\xfe{\0}\0").unwrap_err();
        assert_eq!(error.code, "upstream.encoding");
        assert!(error.message.contains("UTF-16"), "{error}");
        assert_eq!(prepare(b" \n").unwrap_err().code, "upstream.not_json");
        assert_eq!(prepare("\u{feff}{}".as_bytes()).unwrap(), "{}");
    }

    #[test]
    fn a_million_keys_are_too_many() {
        let keys: Vec<String> = (0..1_000_000).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!("{{{}}}", keys.join(","));
        assert_eq!(
            prepare(text.as_bytes()).unwrap_err().code,
            "upstream.too_many_values"
        );
    }

    proptest! {
        #[test]
        fn quoting_changes_nothing_but_long_numbers(
            numbers in proptest::collection::vec(any::<i128>(), 0..20),
            texts in proptest::collection::vec("[ -~]{0,40}", 0..20),
            pad in 0_usize..40,
        ) {
            let page = serde_json::json!({
                "pad": " ".repeat(pad),
                "texts": texts,
                "small": numbers.iter().map(|n| (n % (1 << 53)) as i64).collect::<Vec<_>>(),
            });
            let text = page.to_string();
            prop_assert_eq!(prepared(&text), text.clone());
            let listed = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let long = format!("{{\"pad\":\"{}\",\"n\":[{listed}]}}", "x".repeat(pad));
            let parsed: serde_json::Value = serde_json::from_str(&prepared(&long)).unwrap();
            for (n, seen) in numbers.iter().zip(parsed["n"].as_array().unwrap()) {
                if n.unsigned_abs() > 1 << 53 {
                    prop_assert_eq!(seen.as_str().unwrap(), n.to_string());
                } else {
                    prop_assert_eq!(i128::from(seen.as_i64().unwrap()), *n);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = prepare(&bytes);
        }
    }
}
