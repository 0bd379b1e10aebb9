//! The command line as a client of a gateway.

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::cli::{Output, Remote};
use crate::failure::Failure;
use crate::local;

/// What a gateway listens on unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// Every answer of the gateway comes within its own limit, the longest of which is 90 s for previews.
const TIMEOUT: Duration = Duration::from_secs(100);
/// One line of an event stream; updates are far smaller.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// A gateway, with the token to use there.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    /// How the caller wants answers printed.
    pub(crate) output: Output,
}

/// One event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Client {
    /// Finds the gateway and its token: what was said, else what runs on this computer.
    pub(crate) fn new(remote: &Remote) -> anyhow::Result<Self> {
        let named = remote.url.clone().filter(|url| !url.is_empty());
        let instance = match &named {
            Some(url) => local::find(url),
            None => local::find(DEFAULT_URL).or_else(local::only_one),
        };
        let url = named
            .or_else(|| instance.as_ref().map(|found| found.url.clone()))
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let token = remote
            .token
            .clone()
            .filter(|token| !token.is_empty())
            .or_else(|| instance.as_ref().and_then(local::Instance::token));
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .context("cannot prepare an HTTP client")?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            token,
            output: remote.output,
        })
    }

    /// Where the gateway is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads `path` below `/api/v1`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        self.send(self.request(Method::GET, path).query(query))
            .await
    }

    /// Reads `path` below `/api/v1` as it is: a page of an API, not an answer of the gateway.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let request = self.request(Method::GET, path).timeout(TIMEOUT);
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| {
            Failure::failed(format!("the answer broke off: {}", error.without_url()))
        })?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(refusal(status, &text))
        }
    }

    /// Sends JSON to `path` below `/api/v1`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Sends text as it is, with its media type.
    pub(crate) async fn post_text(
        &self,
        path: &str,
        query: &[(&str, String)],
        media_type: &str,
        text: String,
    ) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).query(query);
        self.send(request.header("content-type", media_type).body(text))
            .await
    }

    /// Sends JSON text as it is; with a name, sending it again does nothing.
    pub(crate) async fn post_once(
        &self,
        path: &str,
        batch: Option<&str>,
        text: String,
    ) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path);
        if let Some(batch) = batch {
            request = request.header("idempotency-key", batch);
        }
        let request = request.header("content-type", "application/json");
        self.send(request.body(text)).await
    }

    /// Replaces what is at `path`.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Deletes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn events(
        &self,
        path: &str,
        query: &[(&str, String)],
        last_event_id: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Event, Failure>>, Failure> {
        let mut request = self.request(Method::GET, path).query(query);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            let status = response.status();
            let text = response.text().await.unwrap_or_default();
            return Err(refusal(status, &text));
        }
        let bytes = response.bytes_stream();
        let events = futures::stream::unfold(
            (bytes, String::new(), false),
            |(mut bytes, mut buffer, failed)| async move {
                if failed {
                    return None;
                }
                loop {
                    if let Some(end) = buffer.find("\n\n") {
                        let block: String = buffer.drain(..end + 2).collect();
                        if let Some(event) = parse_event(&block) {
                            return Some((Ok(event), (bytes, buffer, false)));
                        }
                        continue;
                    }
                    if buffer.len() > MAX_EVENT_BYTES {
                        let failure = Failure::failed("the gateway sent an endless event");
                        return Some((Err(failure), (bytes, buffer, true)));
                    }
                    match bytes.next().await? {
                        Ok(part) => {
                            buffer.push_str(&String::from_utf8_lossy(&part).replace('\r', ""));
                        }
                        Err(error) => {
                            let failure = Failure::failed(format!(
                                "the stream from the gateway broke: {}",
                                error.without_url()
                            ));
                            return Some((Err(failure), (bytes, buffer, true)));
                        }
                    }
                }
            },
        );
        Ok(events.boxed())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = request
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| {
            Failure::failed(format!("the answer broke off: {}", error.without_url()))
        })?;
        if !status.is_success() {
            if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
                return Err(Failure::failed(format!(
                    "{} wants a token: set TIDEMARK_TOKEN, or run this as the user who runs \
                     `tidemark standalone`",
                    self.url
                )));
            }
            return Err(refusal(status, &text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|_| Failure::failed(format!("{} did not answer in JSON", self.url)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::failed(format!("{} did not answer in time", self.url));
        }
        Failure::failed(format!(
            "no gateway answers at {}: start one with `tidemark standalone`, or set TIDEMARK_URL",
            self.url
        ))
    }
}

fn parse_event(block: &str) -> Option<Event> {
    let mut event = Event {
        id: None,
        name: "message".into(),
        data: String::new(),
    };
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.name),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    (!event.data.is_empty()).then_some(event)
}

/// Reads a refusal as RFC 9457 shapes it. Problems with definitions are wrong input (exit code 2).
fn refusal(status: StatusCode, text: &str) -> Failure {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return Failure::failed(format!("the gateway answered {status}"));
    };
    let field = |name: &str| problem.get(name).and_then(Value::as_str);
    let mut lines = Vec::new();
    let problems = problem.get("problems").and_then(Value::as_array);
    for entry in problems.into_iter().flatten() {
        lines.push(crate::output::problem_line(entry));
    }
    if lines.is_empty() {
        let detail = field("detail")
            .or(field("title"))
            .unwrap_or("the gateway refused");
        let code = field("code")
            .map(|code| format!(" [{code}]"))
            .unwrap_or_default();
        lines.push(format!("{detail}{code}"));
        if let Some(hint) = field("hint") {
            lines.push(format!("  {hint}"));
        }
    }
    let text = lines.join("\n");
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::PAYLOAD_TOO_LARGE => Failure::invalid(text),
        _ => Failure::failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_from_its_lines() {
        let event = parse_event("id: 0-1\nevent: update\ndata: {\"a\":1}\n\n").unwrap();
        assert_eq!(
            (event.name.as_str(), event.data.as_str()),
            ("update", "{\"a\":1}")
        );
        assert!(parse_event(": keep alive\n\n").is_none());
    }

    #[test]
    fn a_refused_definition_is_wrong_input() {
        let body = r#"{"detail":"no","code":"definition.invalid","problems":[]}"#;
        assert_eq!(
            refusal(StatusCode::UNPROCESSABLE_ENTITY, body).exit_code(),
            2
        );
        assert_eq!(
            refusal(StatusCode::SERVICE_UNAVAILABLE, body).exit_code(),
            1
        );
    }
}
