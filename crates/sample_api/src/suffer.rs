//! Answers on their way out, with what has been asked to go wrong.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};

use crate::answer::Answer;
use crate::body::PageBody;
use crate::encode;
use crate::fault::{Kind, Odd};

/// The connection is to be reset: hyper ends it on any error of the service.
#[derive(Debug, thiserror::Error)]
#[error("reset on request")]
pub(crate) struct ResetOnRequest;

pub(crate) fn respond(answer: &Answer) -> Response<PageBody> {
    let mut response = Response::new(PageBody::whole(answer.body.clone()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(answer.content_type),
    );
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

pub(crate) fn too_many(retry_after: String) -> Answer {
    let answer = Answer::v4_error(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    answer.header("retry-after", retry_after)
}

/// Lets the striking faults have their way with an answer.
pub(crate) async fn suffer(
    mut answer: Answer,
    striking: Vec<Kind>,
) -> Result<Response<PageBody>, ResetOnRequest> {
    let mut manner: Option<Kind> = None;
    for kind in striking {
        match kind {
            Kind::Latency(latency) => tokio::time::sleep(latency).await,
            Kind::Status(status) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                answer = Answer::v4_error(status, status.canonical_reason().unwrap_or("Error"));
            }
            Kind::RetryAfter(text) => answer = too_many(text),
            Kind::RetryDate(seconds) => {
                let at = Timestamp::now()
                    .saturating_add(SignedDuration::from_secs(seconds))
                    .unwrap_or(Timestamp::MAX);
                answer = too_many(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            }
            Kind::Reset => return Err(ResetOnRequest),
            Kind::Hang => std::future::pending().await,
            Kind::EmptyBody => answer.body = Bytes::new(),
            Kind::Html => {
                answer.content_type = "text/html; charset=utf-8";
                answer.body = Bytes::from_static(
                    b"<!doctype html><html><title>Sign in</title><p>Please sign in</html>",
                );
            }
            Kind::Trailing => answer.body = [&answer.body[..], br#"{"b":2}"#].concat().into(),
            Kind::CutJson => answer.body = answer.body.slice(..answer.body.len() / 2),
            Kind::Odd(odd) => answer.body = twisted(odd, &answer.body),
            Kind::Field(from, to) => {
                let text = String::from_utf8_lossy(&answer.body);
                answer.body = text
                    .replace(&format!("\"{from}\":"), &format!("\"{to}\":"))
                    .into();
            }
            Kind::Texts(field) => answer.body = in_words(&field, &answer.body).into(),
            Kind::Pad(size) => {
                answer.body = [answer.body.to_vec(), vec![b' '; size]].concat().into();
            }
            Kind::Encoded(encoding) => {
                if let Ok((body, word)) = encode::encode(encoding, &answer.body) {
                    answer = Answer { body, ..answer }.header("content-encoding", word.to_owned());
                }
            }
            Kind::Bomb(size) => {
                if let Ok(body) = encode::gzip(&answer.body, size) {
                    answer =
                        Answer { body, ..answer }.header("content-encoding", "gzip".to_owned());
                }
            }
            Kind::Redirect(url) => {
                answer = Answer::of(StatusCode::FOUND, "").header("location", url);
            }
            Kind::Echo(text) => {
                answer = Answer::v4_error(StatusCode::BAD_REQUEST, &text.replace(['"', '\\'], "'"));
            }
            Kind::Cut | Kind::Stall | Kind::Drip(_) => manner = Some(kind),
            // These have had their way when the list was written.
            Kind::List(_) | Kind::Duplicate | Kind::Shifted(_) | Kind::Loop => {}
        }
    }
    let mut response = respond(&answer);
    match manner {
        Some(Kind::Cut) => *response.body_mut() = PageBody::cut(&answer.body),
        Some(Kind::Stall) => *response.body_mut() = PageBody::stalled(&answer.body),
        Some(Kind::Drip(pause)) => *response.body_mut() = PageBody::dripping(answer.body, pause),
        _ => {}
    }
    Ok(response)
}

/// The body as something that one parser takes and another does not.
fn twisted(odd: Odd, body: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(body);
    // Behind the first bracket, whatever it is, so that the rest stays as it was.
    let with = |field: &str, value: &str| {
        let (open, rest) = text.split_at(text.len().min(1));
        if open == "[" {
            format!("[{value},{rest}")
        } else {
            format!("{open}\"{field}\":{value},{rest}")
        }
    };
    match odd {
        Odd::Ndjson => format!("{text}\n{text}\n").into(),
        Odd::Nan => with("ratio", "NaN").into(),
        Odd::HugeNumber => with("ratio", "1e400").into(),
        Odd::Surrogate => with("note", r#""\ud800""#).into(),
        Odd::Utf16 => {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>().into()
        }
    }
}

/// The body with the numbers of a field as texts that are none.
fn in_words(field: &str, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let name = format!("\"{field}\":");
    let mut parts = text.split(&name);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !matches!(c, '0'..='9' | '.' | '-'));
        let (number, rest) = part.split_at(end.unwrap_or(part.len()));
        // Writing to a String cannot fail.
        let _ = write!(out, "{name}\"{number} kg\"{rest}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bodies_are_odd_in_one_place() {
        let body = br#"{"items":[{"weight":12}]}"#;
        assert_eq!(
            twisted(Odd::Nan, body),
            r#"{"ratio":NaN,"items":[{"weight":12}]}"#
        );
        assert_eq!(twisted(Odd::HugeNumber, b"[1]"), "[1e400,1]");
        assert_eq!(twisted(Odd::Utf16, b"[1]").len(), 8);
        assert_eq!(
            in_words("weight", body),
            r#"{"items":[{"weight":"12 kg"}]}"#
        );
    }
}
