//! Turns answers that are not JSON into it, within the limits of a page, before anything else looks at them.
//!
//! NDJSON becomes the list of its documents, CSV a list of objects whose values are text, XML one object with the
//! name of its root. A compressed file is opened first, and a charset becomes UTF-8. What cannot be read is an error
//! with its place, never an empty page.

mod csv;
mod csv_shape;
mod file;
mod ndjson;
mod recognise;
mod xml;

use ::http::HeaderValue;
use ::http::header::{self, HeaderMap};
use bytes::Bytes;
use definition::{Response, ResponseFormat};

use crate::decode::{self, Unusable};
use crate::http::Answer;
pub use recognise::{Recognised, recognise};

/// Larger bodies are read off the async threads.
const INLINE: usize = 64 * 1024;

/// What a request says it takes, where its definition does not.
pub fn accept(format: ResponseFormat) -> Option<&'static str> {
    match format {
        ResponseFormat::Json => None,
        ResponseFormat::Ndjson => Some("application/x-ndjson, application/json;q=0.8, */*;q=0.5"),
        ResponseFormat::Csv => Some("text/csv, */*;q=0.5"),
        ResponseFormat::Xml => Some("application/xml, text/xml;q=0.9, */*;q=0.5"),
    }
}

/// Returns `answer` with a body of JSON; `cap` is the largest a page may be, as it came, opened and as JSON.
///
/// Answers of errors and answers without content stay as they came.
pub async fn read(answer: Answer, response: &Response, cap: usize) -> Result<Answer, Unusable> {
    let is_plain = response.format == ResponseFormat::Json
        && response.encoding.is_none()
        && file::kind(&answer.body, response.compression) == file::Kind::Plain;
    if is_plain || !answer.status.is_success() || matches!(answer.status.as_u16(), 204 | 205) {
        return Ok(answer);
    }
    let content_type = answer.content_type().map(str::to_owned);
    let body = answer.body.clone();
    let read = if body.len() <= INLINE {
        to_json(body, content_type.as_deref(), response, cap)
    } else {
        let response = response.clone();
        let reading = move || to_json(body, content_type.as_deref(), &response, cap);
        let stopped = || Unusable::TooLarge("its reader stopped".to_owned());
        tokio::task::spawn_blocking(reading)
            .await
            .unwrap_or_else(|_| Err(stopped()))
    };
    let mut headers: HeaderMap = answer.headers;
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    Ok(Answer {
        body: read?,
        headers,
        ..answer
    })
}

/// Reads a body of `response`'s format into JSON.
pub fn to_json(
    body: Bytes,
    content_type: Option<&str>,
    response: &Response,
    cap: usize,
) -> Result<Bytes, Unusable> {
    let (body, was_file) = file::open(body, response.compression, cap)?;
    // The type of a file says nothing about what is in it.
    let content_type = content_type.filter(|_| !was_file);
    let body = text(body, content_type, response)?;
    if body.len() > cap {
        return Err(too_large(cap));
    }
    refuse_html(&body, content_type, response.format)?;
    let json = match response.format {
        ResponseFormat::Json => return Ok(body),
        ResponseFormat::Ndjson => ndjson::to_json(&body, cap)?,
        ResponseFormat::Csv => csv::to_json(&body, response, cap)?,
        ResponseFormat::Xml => xml::to_json(&body, &response.lists, cap)?,
    };
    if json.len() > cap {
        return Err(too_large(cap));
    }
    Ok(Bytes::from(json))
}

fn too_large(cap: usize) -> Unusable {
    Unusable::TooLarge(format!("more than {cap} bytes as JSON"))
}

fn malformed(format: ResponseFormat, reason: impl Into<String>) -> Unusable {
    Unusable::Malformed {
        format,
        reason: reason.into(),
        ends_early: false,
    }
}

/// Returns the text of a body as UTF-8: by `encoding`, else by its byte order mark, else as it says of itself.
fn text(body: Bytes, content_type: Option<&str>, response: &Response) -> Result<Bytes, Unusable> {
    let named = response
        .encoding
        .as_deref()
        .and_then(|label| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes()));
    let marked = encoding_rs::Encoding::for_bom(&body);
    let is_utf8 = std::str::from_utf8(&body).is_ok();
    let declared = || match response.format {
        ResponseFormat::Xml => xml::declared_encoding(&body),
        _ => None,
    };
    let encoding = match (named, marked) {
        (Some(named), _) => named,
        (None, Some((marked, _))) if response.format != ResponseFormat::Json => marked,
        // JSON is UTF-8 by its standard, whatever is declared.
        (None, _) if is_utf8 && response.format == ResponseFormat::Json => encoding_rs::UTF_8,
        _ => {
            let label = content_type
                .and_then(decode::charset)
                .map(str::to_owned)
                .or_else(declared);
            let declared = label.and_then(|label| {
                encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())
            });
            match declared {
                // Text of two bytes a character would hold NULs: what is declared is plainly not so.
                Some(wide) if !wide.is_ascii_compatible() && is_utf8 && !body.contains(&0) => {
                    encoding_rs::UTF_8
                }
                Some(declared) => declared,
                None if is_utf8 => encoding_rs::UTF_8,
                None => return decode::text(body, content_type),
            }
        }
    };
    let skip = marked
        .filter(|(marked, _)| *marked == encoding)
        .map_or(0, |(_, length)| length);
    if encoding == encoding_rs::UTF_8 && std::str::from_utf8(&body).is_ok() {
        return Ok(body.slice(skip..));
    }
    match encoding.decode_without_bom_handling_and_without_replacement(&body[skip..]) {
        Some(text) => Ok(Bytes::from(text.into_owned())),
        None => Err(Unusable::Encoding {
            reason: format!("it is not {}", encoding.name()),
        }),
    }
}

/// A login or error page in place of data must not become data.
fn refuse_html(
    body: &[u8],
    content_type: Option<&str>,
    format: ResponseFormat,
) -> Result<(), Unusable> {
    if format == ResponseFormat::Json {
        return Ok(());
    }
    let start = body.trim_ascii_start();
    let begins_as_html = ["<!doctype html", "<html"].iter().any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()))
    });
    let is_called_html = content_type.is_some_and(|name| {
        name.trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
    });
    let is_html = match format {
        ResponseFormat::Csv => begins_as_html || (is_called_html && start.starts_with(b"<")),
        _ => begins_as_html,
    };
    if is_html {
        let reason = "it begins with `<html>`; is it a login or error page?";
        return Err(malformed(format, reason));
    }
    if start.is_empty() && format != ResponseFormat::Ndjson {
        return Err(malformed(format, "empty body"));
    }
    Ok(())
}

/// Appends `text` as a JSON string.
fn push_text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests;
