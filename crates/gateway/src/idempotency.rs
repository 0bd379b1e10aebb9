//! `Idempotency-Key`: a write that is sent twice is done once.
//!
//! What was answered is remembered in this process for a day, within bounds; gateways do not share
//! it. What must hold everywhere does so without it: syncs join open runs, and bundles applied
//! again are unchanged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::auth::Caller;
use crate::body::collect;
use crate::problem::Problem;
use crate::router::Gateway;

/// Clients that retry do so within hours.
const MEMORY: Duration = Duration::from_hours(24);
/// Keys remembered at once.
const KEYS: usize = 4096;
/// The longest key; a UUID has 36 characters.
const KEY_CHARACTERS: usize = 200;
/// An answer larger than this is not remembered.
const ANSWER_BYTES: usize = 64 * 1024;

/// The keys that were used lately.
#[derive(Debug, Default)]
pub(crate) struct Idempotency {
    known: Mutex<HashMap<Key, Known>>,
}

/// Whose key it is, and the key.
type Key = (String, String);

#[derive(Debug)]
struct Known {
    request: [u8; 32],
    at: Instant,
    answer: Option<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

/// Runs a write once for each key.
pub(crate) async fn once(
    State(gateway): State<Gateway>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = request.headers().get("idempotency-key") else {
        return Ok(next.run(request).await);
    };
    let key = key
        .to_str()
        .ok()
        .filter(|key| (1..=KEY_CHARACTERS).contains(&key.len()))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "request.header",
                "a header is wrong",
            )
            .detail(format!(
                "`Idempotency-Key` has 1 to {KEY_CHARACTERS} plain characters"
            ))
        })?;
    let key = (caller.token.clone(), key.to_owned());
    let (parts, body) = request.into_parts();
    let body = collect(&parts.headers, body, gateway.config().limits.body_bytes).await?;
    let mut print = Sha256::new();
    print.update(parts.method.as_str());
    print.update(parts.uri.to_string());
    print.update([0]);
    print.update(&body);
    let attempt = match gateway.idempotency().begin(key, print.finalize().into())? {
        Begun::Answered(answer) => return Ok(answer.replayed()),
        Begun::First(attempt) => Attempt {
            gateway: gateway.clone(),
            key: Some(attempt),
        },
    };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    attempt.end(response).await
}

enum Begun {
    First(Key),
    Answered(Answer),
}

impl Idempotency {
    fn begin(&self, key: Key, request: [u8; 32]) -> Result<Begun, Problem> {
        let mut known = self.known();
        if known.len() >= KEYS {
            known.retain(|_, one| one.at.elapsed() < MEMORY);
        }
        if known.len() >= KEYS {
            let oldest = known
                .iter()
                .min_by_key(|(_, one)| one.at)
                .map(|(key, _)| key.clone());
            oldest.map(|oldest| known.remove(&oldest));
        }
        match known.get(&key).filter(|one| one.at.elapsed() < MEMORY) {
            Some(one) if one.request != request => Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency.mismatch",
                "this key belongs to another request",
            )
            .detail("the same `Idempotency-Key` came with another body or address; use a new key")),
            Some(Known {
                answer: Some(answer),
                ..
            }) => Ok(Begun::Answered(answer.clone())),
            Some(_) => Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency.in_progress",
                "this request is being done",
            )
            .detail("the first one with this `Idempotency-Key` has not ended; try again shortly")
            .retry_after(1)),
            None => {
                known.insert(
                    key.clone(),
                    Known {
                        request,
                        at: Instant::now(),
                        answer: None,
                    },
                );
                Ok(Begun::First(key))
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first request of a key; dropped before its end, the key is free again.
struct Attempt {
    gateway: Gateway,
    key: Option<Key>,
}

impl Attempt {
    async fn end(mut self, response: Response) -> Result<Response, Problem> {
        let (parts, body) = response.into_parts();
        if parts.status.is_server_error() {
            return Ok(Response::from_parts(parts, body));
        }
        // Our own answers: bounded, and there already.
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|_| Problem::internal())?;
        if body.len() <= ANSWER_BYTES
            && let Some(key) = self.key.take()
            && let Some(known) = self.gateway.idempotency().known().get_mut(&key)
        {
            known.answer = Some(Answer {
                status: parts.status,
                content_type: parts.headers.get(CONTENT_TYPE).cloned(),
                body: body.clone(),
            });
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.gateway.idempotency().known().remove(&key);
        }
    }
}

impl Answer {
    fn replayed(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        );
        match self.content_type {
            Some(kind) => headers.insert(CONTENT_TYPE, kind),
            None => headers.remove(CONTENT_TYPE),
        };
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        ("t_1".to_owned(), text.to_owned())
    }

    #[test]
    fn a_key_belongs_to_one_request() {
        let memory = Idempotency::default();
        assert!(matches!(
            memory.begin(key("k"), [1; 32]),
            Ok(Begun::First(_))
        ));
        let Err(busy) = memory.begin(key("k"), [1; 32]) else {
            panic!("in progress")
        };
        assert_eq!(busy.code(), "idempotency.in_progress");
        let Err(other) = memory.begin(key("k"), [2; 32]) else {
            panic!("another request")
        };
        assert_eq!(
            (other.status().as_u16(), other.code()),
            (409, "idempotency.mismatch")
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let memory = Idempotency::default();
        for number in 0..(KEYS + 10) {
            assert!(memory.begin(key(&number.to_string()), [0; 32]).is_ok());
        }
        assert!(memory.known().len() <= KEYS);
    }
}
