//! Sends one request under the guard and hands back the whole answer, or says exactly what went wrong.
//!
//! Clients are kept per workspace and origin, so that a connection opened under one policy is never used under
//! another. They follow no redirects (our own loop checks each hop), know no proxy of the environment, send no referer, and dial only
//! addresses that the guard checked. No text of an error holds a query string.

mod body;
mod failure;
mod inflate;
mod proxy;
mod query;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::egress::{Carry, CheckedUrl, Guard, bare};
use failure::{explain, innermost};
use query::put_query;

pub use failure::Failure;
pub(crate) use inflate::drain;
pub use inflate::{InflateError, inflate};
pub use proxy::{Proxy, ProxyError};
pub use query::{without, without_names};
pub use tls::{TlsError, client_config};

/// Clients beyond this count are dropped, least recently used first; a client is a few idle sockets.
const CLIENT_LIMIT: usize = 256;

/// Idle connections are closed before most servers close them under us.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Headers that frame the message or steer the connection: never a user's to set.
const FORBIDDEN_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
    "http2-settings",
];

/// Tells whether a header may not be set by users. `Proxy-*` and HTTP/2 pseudo headers are among them.
pub fn is_forbidden_header(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    FORBIDDEN_HEADERS.contains(&name.as_str())
        || name.starts_with("proxy-")
        || name.starts_with(':')
}

/// How long and how much an answer may take. Every wait has its reason at its default.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the call to an open (and for https, authenticated) connection. Networks answer in milliseconds.
    pub connect: Duration,
    /// From the sent request to the head of the answer. Slow exports take most of this.
    pub first_byte: Duration,
    /// From the call to the last byte. Past it a retry is cheaper than a held slot.
    pub total: Duration,
    /// A body that brings less than `rate_bytes` in this time is a dripping tap.
    pub rate_window: Duration,
    /// See `rate_window`: 1 KiB a second.
    pub rate_bytes: u64,
    /// The largest body, before and after decompression.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            total: Duration::from_mins(2),
            rate_window: Duration::from_secs(30),
            rate_bytes: 30 * 1024,
            body: 32 * 1024 * 1024,
        }
    }
}

/// One request, rendered: what is the user's apart from what proves who they are.
#[derive(Clone)]
pub struct Outgoing {
    /// GET or POST.
    pub method: Method,
    /// The address without credentials.
    pub url: Url,
    /// The user's headers.
    pub headers: HeaderMap,
    /// The body with its content type.
    pub body: Option<(Bytes, &'static str)>,
    /// Headers and query parameters that hold secrets; they never leave the origin.
    pub credentials: Credentials,
}

/// What proves who we are, ready to be put on a request. Never printed.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Headers, marked sensitive.
    pub headers: HeaderMap,
    /// Query parameters.
    pub query: Vec<(String, service::Secret)>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({} {})", self.method, bare(&self.url))
    }
}

impl Credentials {
    /// Whether a credential stands anywhere in an address, however it is written there.
    fn stand_in(&self, url: &Url) -> bool {
        let in_headers = self.headers.values().filter_map(|value| {
            let text = value.to_str().ok()?;
            let own = text.rsplit(' ').next()?;
            Some(service::Secret::new(own.to_owned()))
        });
        let in_query = self.query.iter().map(|(_, secret)| secret.clone());
        let secrets: Vec<service::Secret> = in_headers.chain(in_query).collect();
        crate::redact::Redactor::new(&secrets).finds_in(url.as_str().as_bytes())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// A whole answer, decompressed.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Where it came from in the end, without credential parameters.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Bytes,
    /// Bytes of the body on the wire.
    pub wire_bytes: u64,
}

impl Answer {
    /// The content type, where there is a readable one.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }
}

/// Sends requests. One for a process.
pub struct Http {
    guard: Guard,
    limits: Limits,
    tls: Arc<rustls::ClientConfig>,
    proxy: Option<Proxy>,
    clients: Mutex<HashMap<ClientKey, (reqwest::Client, Instant)>>,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct ClientKey {
    workspace: Box<str>,
    origin: Box<str>,
    /// The policy under which its connections were opened.
    generation: u64,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Makes a sender with the given guard, limits, and further trusted authorities (PEM).
    pub fn new(
        guard: Guard,
        limits: Limits,
        extra_authorities: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let tls = Arc::new(client_config(extra_authorities)?);
        Ok(Http {
            guard,
            limits,
            tls,
            proxy: None,
            clients: Mutex::default(),
        })
    }

    /// Sends everything through `proxy`. Destinations are resolved and judged by the guard all the same, before each
    /// request; but it is the proxy that resolves the name again and connects, so it must refuse what it may not reach.
    #[must_use]
    pub fn through(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The guard in force.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends `request` for `workspace` and reads the whole answer, following up to five redirects.
    pub async fn send(&self, workspace: &str, request: &Outgoing) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.limits.total;
        let mut visited: Vec<Url> = Vec::new();
        let mut checked = self.guard.check_text(request.url.as_str())?;
        let mut carry = Carry::Everything;
        let mut method = request.method.clone();
        loop {
            let response = self
                .hop(workspace, request, &checked, &method, carry, deadline)
                .await?;
            let status = response.status();
            let location = response.headers().get(header::LOCATION);
            let Some(location) = location.filter(|_| is_redirect(status)) else {
                let read = body::read(response, &self.limits, deadline).await?;
                let url = without(checked.url(), &request.credentials);
                return Ok(Answer {
                    status,
                    url,
                    headers: read.headers,
                    body: read.body,
                    wire_bytes: read.wire_bytes,
                });
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            visited.push(without(checked.url(), &request.credentials));
            let redirect = self.guard.check_redirect(&visited, &location)?;
            // The circle is looked for without credentials too: an API that echoes them is not a new place.
            let target = without(redirect.to.url(), &request.credentials);
            if visited.contains(&target) {
                return Err(self
                    .guard
                    .check_redirect(&visited, target.as_str())
                    .err()
                    .map_or_else(
                        || Failure::BadResponse("a circle of redirects".to_owned()),
                        Failure::Refused,
                    ));
            }
            if method == Method::POST && !matches!(status.as_u16(), 307 | 308) {
                method = Method::GET;
            }
            if redirect.carry == Carry::Nothing {
                if method == Method::POST {
                    return Err(Failure::BadResponse(
                        "a redirect would send the body to another origin".to_owned(),
                    ));
                }
                carry = Carry::Nothing;
                // An API that keeps the query in its redirect would hand the credential on by itself.
                if request.credentials.stand_in(&target) {
                    return Err(Failure::BadResponse(
                        "a redirect would carry a credential to another origin".to_owned(),
                    ));
                }
                checked = self.guard.check_text(target.as_str())?;
                continue;
            }
            checked = redirect.to;
        }
    }

    async fn hop(
        &self,
        workspace: &str,
        request: &Outgoing,
        checked: &CheckedUrl,
        method: &Method,
        carry: Carry,
        deadline: Instant,
    ) -> Result<reqwest::Response, Failure> {
        if self.proxy.is_some() {
            // Nobody else asks the guard about addresses then: the client resolves the proxy's name alone.
            self.guard.resolve(checked).await?;
        }
        let client = self.client(workspace, checked)?;
        let mut url = checked.url().clone();
        url.set_fragment(None);
        let mut headers = match carry {
            Carry::Everything => sent_headers(request),
            Carry::Nothing => own_headers(),
        };
        if carry == Carry::Everything {
            put_query(&mut url, &request.credentials.query);
        }
        let mut builder = client.request(method.clone(), url);
        if *method != Method::POST && request.body.is_some() {
            // A redirect turned it into a GET: its body's type means nothing there.
            headers.remove(header::CONTENT_TYPE);
        }
        if let Some((bytes, content_type)) =
            request.body.as_ref().filter(|_| *method == Method::POST)
        {
            if !headers.contains_key(header::CONTENT_TYPE) {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            builder = builder.body(bytes.clone());
        }
        let first_byte =
            deadline.min(Instant::now() + self.limits.connect + self.limits.first_byte);
        match tokio::time::timeout_at(first_byte, builder.headers(headers).send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(explain(&error, checked, &self.limits)),
            Err(_) => Err(Failure::Timeout {
                what: "answer",
                limit: self.limits.first_byte,
            }),
        }
    }

    fn client(&self, workspace: &str, checked: &CheckedUrl) -> Result<reqwest::Client, Failure> {
        let key = ClientKey {
            workspace: workspace.into(),
            origin: crate::egress::origin(checked.url()).into(),
            generation: self.guard.generation(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((client, used)) = clients.get_mut(&key) {
            *used = now;
            return Ok(client.clone());
        }
        clients.retain(|known, _| known.generation == key.generation);
        if clients.len() >= CLIENT_LIMIT {
            let oldest = clients
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| key.clone());
            oldest.map(|oldest| clients.remove(&oldest));
        }
        let builder = reqwest::Client::builder();
        let builder = match &self.proxy {
            None => builder.no_proxy(),
            Some(proxy) => {
                let rule = proxy
                    .rule()
                    .map_err(|error| Failure::Client(innermost(&error)))?;
                builder.no_proxy().proxy(rule)
            }
        };
        let client = builder
            .tls_backend_preconfigured((*self.tls).clone())
            .dns_resolver(Arc::new(CheckedResolver {
                guard: self.guard.clone(),
                checked: checked.clone(),
                proxy: self.proxy.clone(),
            }))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(self.limits.connect)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .map_err(|error| Failure::Client(innermost(&error)))?;
        clients.insert(key, (client.clone(), now));
        Ok(client)
    }
}

/// Hands the client only addresses that the guard checked, at the moment they are dialled.
struct CheckedResolver {
    guard: Guard,
    checked: CheckedUrl,
    proxy: Option<Proxy>,
}

impl reqwest::dns::Resolve for CheckedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (guard, checked) = (self.guard.clone(), self.checked.clone());
        if let Some(proxy) = &self.proxy {
            // The operator named it, so it may be anywhere; what is asked of it was judged before.
            let name = name.as_str().to_owned();
            let is_proxy = proxy.is_host(&name);
            return Box::pin(async move {
                if !is_proxy {
                    return Err("a name that is not the proxy's".into());
                }
                let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
                Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
            });
        }
        Box::pin(async move {
            if checked
                .url()
                .host_str()
                .is_none_or(|host| !host.eq_ignore_ascii_case(name.as_str()))
            {
                return Err("a name that was not checked".into());
            }
            let addresses = guard.resolve(&checked).await?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// Returns the headers of a request to its own origin, credentials included.
pub(crate) fn sent_headers(request: &Outgoing) -> HeaderMap {
    let mut headers = own_headers();
    for (name, value) in &request.headers {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &request.credentials.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some((_, content_type)) = &request.body
        && !headers.contains_key(header::CONTENT_TYPE)
    {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers
}

fn own_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (
            header::ACCEPT,
            HeaderValue::from_static("application/json, */*;q=0.5"),
        ),
        (
            header::USER_AGENT,
            HeaderValue::from_static(concat!("Tidemark/", env!("CARGO_PKG_VERSION"))),
        ),
        (
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip, br, zstd, deflate"),
        ),
    ])
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads a header name and value that a user wrote, refusing those that are not theirs to set.
pub fn user_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    if is_forbidden_header(name) {
        return Err(format!("header `{name}` may not be set"));
    }
    let parsed = HeaderName::try_from(name).map_err(|_| "a header name is invalid".to_owned())?;
    let value = HeaderValue::try_from(value)
        .map_err(|_| format!("the value of header `{name}` is invalid"))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_headers_are_not_the_users() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "CONNECTION",
            "Proxy-Authorization",
            "TE",
            ":path",
            "Expect",
        ] {
            assert!(user_header(name, "x").is_err(), "{name}");
        }
        assert!(user_header("X-Kit-Version", "3").is_ok());
        assert!(user_header("X-A", "a\r\nX-Evil: 1").is_err());
        assert!(user_header("a b", "x").is_err());
    }
}
