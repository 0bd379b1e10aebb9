//! Decides whether an answer's body is one complete JSON document, and reads the few values that paging needs.
//!
//! A body that is not JSON, is cut short, or has trailing bytes is a failure, never an empty page. The body itself
//! stays as it came (a byte order mark is cut off and other charsets become UTF-8).

mod scan;

use bytes::Bytes;

pub use scan::{Found, Kind, PlainPath, Scan, scan, scan_records};

/// Deeper answers are attacks: real ones nest a dozen levels.
pub const DEPTH_LIMIT: usize = 128;

/// Values (keys included) in one page; past it a page costs more memory than its megabytes tell.
pub const VALUE_LIMIT: u64 = 2_000_000;

/// How much of a body an error shows.
const EXCERPT_LIMIT: usize = 200;

/// Why a body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No JSON, or not exactly one document.
    #[error("the answer is not JSON: {reason}")]
    NotJson {
        /// What is wrong and where.
        reason: String,
        /// The document stops in the middle, as a cut connection leaves it.
        ends_early: bool,
    },
    /// Not what the definition's format says.
    #[error("the answer is not {format}: {reason}")]
    Malformed {
        /// The format that was expected.
        format: definition::ResponseFormat,
        /// What is wrong and where.
        reason: String,
        /// The document stops in the middle, as a cut connection leaves it.
        ends_early: bool,
    },
    /// A compressed file that cannot be opened.
    #[error("the answer's file cannot be opened {reason}")]
    Compressed {
        /// What is wrong.
        reason: String,
        /// It stops in the middle.
        ends_early: bool,
    },
    /// More than a page may be, once opened or as JSON.
    #[error("the answer is too large: {0}")]
    TooLarge(String),
    /// Text that is not what its charset says, or a charset that is not read.
    #[error("the answer's text cannot be read: {reason}")]
    Encoding {
        /// What is wrong and where.
        reason: String,
    },
    /// A number that no metric can hold.
    #[error("the answer holds a number out of range at line {line}, column {column}")]
    OutOfRange {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// More than [`VALUE_LIMIT`] values.
    #[error("the answer holds more than {VALUE_LIMIT} values")]
    TooManyValues,
    /// Nested deeper than [`DEPTH_LIMIT`].
    #[error("the answer is nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
}

impl Unusable {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Unusable::NotJson { .. } => "upstream.not_json",
            Unusable::Malformed { format, .. } => match format {
                definition::ResponseFormat::Json => "upstream.not_json",
                definition::ResponseFormat::Ndjson => "upstream.not_ndjson",
                definition::ResponseFormat::Csv => "upstream.not_csv",
                definition::ResponseFormat::Xml => "upstream.not_xml",
            },
            Unusable::Compressed { .. } | Unusable::Encoding { .. } => "upstream.encoding",
            Unusable::TooLarge(_) => "upstream.body_too_large",
            Unusable::OutOfRange { .. } => "value.out_of_range",
            Unusable::TooManyValues => "upstream.too_many_values",
            Unusable::TooDeep => "upstream.too_deep",
        }
    }
}

/// Returns the body as UTF-8 without byte order mark.
///
/// JSON is UTF-8 by its standard, so bytes that are valid UTF-8 are taken as such (see [`overruled`]); otherwise the
/// charset of `content_type` decides. UTF-16 and UTF-32 are refused, also where no byte order mark tells them.
pub fn text(body: Bytes, content_type: Option<&str>) -> Result<Bytes, Unusable> {
    let refuse = |reason: String| Err(Unusable::Encoding { reason });
    if body.starts_with(&[0xff, 0xfe])
        || body.starts_with(&[0xfe, 0xff])
        || body.starts_with(&[0, 0, 0xfe, 0xff])
    {
        return refuse(
            "it is UTF-16 or UTF-32, and only UTF-8 and single-byte charsets are read".to_owned(),
        );
    }
    // No JSON has a NUL among its first two characters; one of two or four bytes each has.
    if body.iter().take(4).any(|byte| *byte == 0) {
        return refuse(
            "it looks like UTF-16 or UTF-32, and JSON is read as UTF-8 or in single-byte charsets"
                .to_owned(),
        );
    }
    let body = if body.starts_with(&[0xef, 0xbb, 0xbf]) {
        body.slice(3..)
    } else {
        body
    };
    let invalid_at = match std::str::from_utf8(&body) {
        Ok(_) => return Ok(body),
        Err(error) => error.valid_up_to(),
    };
    let Some(label) = content_type.and_then(charset) else {
        return refuse(format!(
            "it is not UTF-8 (first wrong byte at offset {invalid_at}) and names no charset"
        ));
    };
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes());
    match encoding {
        Some(encoding) if encoding == encoding_rs::UTF_8 => refuse(format!(
            "it is not UTF-8 (first wrong byte at offset {invalid_at})"
        )),
        Some(encoding) if encoding.is_ascii_compatible() => {
            match encoding.decode_without_bom_handling_and_without_replacement(&body) {
                Some(text) => Ok(Bytes::from(text.into_owned())),
                None => refuse(format!("it is not {}", encoding.name())),
            }
        }
        _ => refuse(format!(
            "charset `{}` is not read",
            excerpt(label.as_bytes())
        )),
    }
}

/// Returns the charset that `content_type` declares and [`text`] does not go by: the bytes are UTF-8, as JSON has to
/// be, and would read otherwise as declared.
pub fn overruled(body: &[u8], content_type: Option<&str>) -> Option<String> {
    let label = content_type.and_then(charset)?;
    let declared = encoding_rs::Encoding::for_label(label.as_bytes())?;
    let differs = declared != encoding_rs::UTF_8 && !body.is_ascii();
    (differs && std::str::from_utf8(body).is_ok()).then(|| declared.name().to_owned())
}

pub(crate) fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    })
}

/// Reads a whole page: text, validity, the values at `wanted`, and fingerprints of the list at the index `records`.
pub fn page(
    body: Bytes,
    content_type: Option<&str>,
    wanted: &[PlainPath],
    records: Option<usize>,
) -> Result<(Bytes, Scan), Unusable> {
    let body = text(body, content_type)?;
    match scan_records(&body, wanted, records) {
        Ok(scan) => Ok((body, scan)),
        Err(Unusable::NotJson { reason, ends_early }) => {
            let reason = explain(&body, content_type).unwrap_or(reason);
            Err(Unusable::NotJson { reason, ends_early })
        }
        Err(other) => Err(other),
    }
}

/// Says what a body is that is plainly something else than JSON.
fn explain(body: &[u8], content_type: Option<&str>) -> Option<String> {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some(start) = start else {
        return Some("empty body".to_owned());
    };
    let kind = content_type.unwrap_or_default().to_ascii_lowercase();
    let content_type = content_type.map_or_else(
        || "of no content type".to_owned(),
        |name| excerpt(name.as_bytes()),
    );
    let looks_like_json = matches!(
        body[start],
        b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I'
    );
    (!looks_like_json).then(|| {
        let hint = match body[start] {
            b'<' if kind.contains("xml") && !kind.contains("xhtml") => {
                "; if it is data, say `response: xml`"
            }
            b'<' => "; is it a login or error page?",
            _ if kind.contains("csv") => "; if it is a table, say `response: csv`",
            _ => "",
        };
        format!(
            "it is {content_type} and begins with `{}`{hint}",
            excerpt(&body[start..])
        )
    })
}

/// The first characters of a body, without control characters, for an error. Redact it before it is shown.
pub fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_LIMIT * 4)]);
    let mut excerpt: String = text
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{200e}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                ' '
            } else {
                c
            }
        })
        .take(EXCERPT_LIMIT)
        .collect();
    if text.chars().nth(EXCERPT_LIMIT).is_some() || body.len() > EXCERPT_LIMIT * 4 {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests;
