//! One POST of a message: addressed, signed, sent, and what the answer means.

use bytes::Bytes;
use definition::{SecretRef, Webhook};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use service::Secret;
use std::time::Duration;
use url::Url;
use wire::Delivery as Order;
use wire::delivery::Fate;

use super::{Tried, body, sign};
use crate::auth::{SecretFault, open_secret};
use crate::egress::origin;
use crate::http::{Answer, Credentials, Failure, Outgoing};
use crate::redact::Redactor;
use crate::retry;
use crate::sync_run::Engine;

/// A receiver takes a message in seconds; what it does with it afterwards is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Engine {
    /// Posts a message once.
    pub(super) async fn post(&self, order: &Order, webhook: &Webhook, content: &Value) -> Tried {
        let redactor = Redactor::new(&[]);
        let tried = match self.prepare(order, webhook, content, &redactor) {
            Ok(outgoing) => {
                let sending = self.http.send(&order.workspace, &outgoing);
                match tokio::time::timeout(PATIENCE, Box::pin(sending)).await {
                    Ok(Ok(answer)) => judge(&outgoing.url, &answer, &redactor, self.clock.now()),
                    Ok(Err(failure)) => unsent(&failure),
                    Err(_) => Tried::failed(
                        Fate::Again,
                        format!(
                            "the receiver did not answer within {} s",
                            PATIENCE.as_secs()
                        ),
                    ),
                }
            }
            Err(error) => Tried::failed(Fate::Dead, error),
        };
        Tried {
            error: redactor.text(&tried.error).into_owned(),
            ..tried
        }
    }

    fn prepare(
        &self,
        order: &Order,
        webhook: &Webhook,
        content: &Value,
        redactor: &Redactor,
    ) -> Result<Outgoing, String> {
        let base = Url::parse(&webhook.url).map_err(|_| "its address cannot be read".to_owned())?;
        let secret = |named: &SecretRef| -> Result<Secret, SecretFault> {
            let opened = open_secret(
                &order.workspace,
                named.secret.as_str(),
                &order.secrets,
                self.identities(),
                &base,
            )?;
            redactor.learn(&opened);
            Ok(opened)
        };
        let url = match &webhook.path {
            Some(named) => {
                let rest = secret(named).map_err(|fault| fault.to_string())?;
                whole_address(&base, rest.expose()).ok_or_else(|| {
                    format!(
                        "secret `{}` holds no path of {}",
                        named.secret,
                        origin(&base)
                    )
                })?
            }
            None => base.clone(),
        };
        let (text, kind) = body::of_webhook(webhook, content)?;
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::try_from(text).map_err(|_| "a header of it cannot be sent".to_owned())
        };
        headers.insert(CONTENT_TYPE, value(&kind)?);
        let at = self.clock.now().as_second();
        headers.insert(ID, value(&order.id)?);
        headers.insert(TIMESTAMP, value(&at.to_string())?);
        if let Some(named) = &webhook.sign {
            let key = secret(named).map_err(|fault| fault.to_string())?;
            let signed = sign::signature(&key, &order.id, at, text.as_bytes())
                .ok_or_else(|| format!("secret `{}` is no key", named.secret))?;
            headers.insert(SIGNATURE, value(&signed)?);
        }
        Ok(Outgoing {
            method: Method::POST,
            url,
            headers,
            body: Some((Bytes::from(text), "application/json")),
            credentials: Credentials::default(),
        })
    }
}

/// Puts what a secret holds behind the origin: a path, or a whole address of that origin.
fn whole_address(base: &Url, rest: &str) -> Option<Url> {
    let rest = rest.trim();
    let whole = match Url::parse(rest) {
        Ok(whole) => whole,
        Err(_) => base
            .join(&format!("/{}", rest.trim_start_matches('/')))
            .ok()?,
    };
    (origin(&whole) == origin(base) && whole.username().is_empty() && whole.password().is_none())
        .then_some(whole)
}

/// What an answer means: 2xx is taken; what may pass is tried again; the rest would only tell the same.
fn judge(url: &Url, answer: &Answer, redactor: &Redactor, now: Timestamp) -> Tried {
    let status = answer.status;
    let code = u32::from(status.as_u16());
    if origin(&answer.url) != origin(url) || answer.url.path() != url.path() {
        return Tried {
            status: Some(code),
            ..Tried::failed(
                Fate::Dead,
                "the receiver redirects, which messages do not follow: write its own address",
            )
        };
    }
    if status.is_success() {
        return Tried::sent(code);
    }
    let said = redactor.excerpt(&answer.body);
    let error = if said.is_empty() {
        format!("the receiver answered {status}")
    } else {
        format!("the receiver answered {status}: {said}")
    };
    let after = answer
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| retry::retry_after(text, now));
    // 410 is how a receiver says that it wants no more of them; 404 may be a receiver that is being deployed.
    let passes = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
        );
    Tried {
        fate: if passes { Fate::Again } else { Fate::Dead },
        status: Some(code),
        after,
        error,
    }
}

/// Nothing was sent, or no answer came.
fn unsent(failure: &Failure) -> Tried {
    let fate = match failure {
        Failure::Refused(refusal) if !refusal.retryable => Fate::Dead,
        _ => Fate::Again,
    };
    Tried::failed(fate, failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_path_stays_on_its_origin() {
        let base = Url::parse("https://hooks.slack.com").unwrap();
        let of = |rest: &str| whole_address(&base, rest).map(String::from);
        let whole = Some("https://hooks.slack.com/services/T/B/x".to_owned());
        assert_eq!(of("/services/T/B/x"), whole);
        assert_eq!(of("services/T/B/x\n"), whole);
        assert_eq!(of("https://hooks.slack.com/services/T/B/x"), whole);
        for other in [
            "https://evil.example.com/services/T/B/x",
            "http://hooks.slack.com/x",
            "https://a:b@hooks.slack.com/x",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(
            of("//evil.example.com/x").as_deref(),
            Some("https://hooks.slack.com/evil.example.com/x")
        );
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        let url = Url::parse("https://a.example.com/hook").unwrap();
        let fate = |status: u16| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                url: url.clone(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                wire_bytes: 0,
            };
            judge(&url, &answer, &Redactor::new(&[]), Timestamp::UNIX_EPOCH).fate
        };
        for status in [200, 201, 204] {
            assert_eq!(fate(status), Fate::Sent, "{status}");
        }
        for status in [404, 408, 409, 425, 429, 500, 503] {
            assert_eq!(fate(status), Fate::Again, "{status}");
        }
        for status in [400, 401, 403, 410, 413, 422] {
            assert_eq!(fate(status), Fate::Dead, "{status}");
        }
    }
}
