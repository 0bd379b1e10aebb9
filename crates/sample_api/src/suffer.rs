//! Answers on their way out, with what has been asked to go wrong.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};

use crate::answer::Answer;
use crate::body::PageBody;
use crate::encode;
use crate::fault::Kind;

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
