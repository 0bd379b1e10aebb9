//! Tries a connection as a run would use it, and says in plain words what works and what does not.
//!
//! The same guard, secrets, tokens and limits as a run; one request, no second try.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Ask, Bus};
use bytes::Bytes;
use definition::Connection;
use definition::template::Scope;
use http::header::HeaderMap;
use jiff::tz::TimeZone;
use service::Shutdown;
use url::Url;
use wire::message;
use wire::{ConnectionTest, ConnectionTested, RunError, TestStep};

use crate::auth::Access;
use crate::decode::{self, Unusable};
use crate::egress::{Code, origin};
use crate::error::PageError;
use crate::http::{Answer, Credentials, Failure, Outgoing, user_header};
use crate::plan::document;
use crate::redact::Redactor;
use crate::render::{RenderError, join};
use crate::sync_run::Engine;

/// Fetchers that try connections are one group: each question goes to one of them.
const GROUP: &str = "fetcher";
/// Questions at the same time; a person asks each of them.
const AT_ONCE: usize = 4;
/// A person has waited long enough, and the gateway's own limit is a little above.
const PATIENCE: Duration = Duration::from_secs(25);

/// Answers until shutdown.
pub(crate) async fn serve(engine: &Arc<Engine>, bus: &Bus, stop: &Shutdown) {
    let engine = engine.clone();
    let handler = move |ask: Ask| {
        let engine = engine.clone();
        async move {
            let tested = match message::decode::<ConnectionTest>(&ask.subject, &ask.payload) {
                Ok(asked) => Box::pin(engine.try_connection(&asked)).await,
                Err(malformed) => {
                    let asked = ConnectionTest {
                        workspace: ask.workspace.clone(),
                        ..ConnectionTest::default()
                    };
                    let error = PageError::Request(malformed.message);
                    Steps::new(&asked, Redactor::default()).failed("request", &error, "")
                }
            };
            message::encode(&tested)
                .map(Bytes::from)
                .unwrap_or_default()
        }
    };
    let filter = wire::subject::filter::connection_tests();
    bus.serve(&filter, GROUP, AT_ONCE, stop.token(), handler)
        .await;
}

impl Engine {
    /// Tries the connection: its secrets, its address, a token where one is needed, one request, and the answer.
    pub async fn try_connection(&self, asked: &ConnectionTest) -> ConnectionTested {
        let mut steps = Steps::new(asked, Redactor::default());
        let read = Connection::from_document(&document(asked.connection.as_ref()));
        let Ok(connection) = read else {
            let error = PageError::Request("its connection cannot be read".to_owned());
            return steps.failed("request", &error, "");
        };
        let scope = Scope {
            window: None,
            now: self.clock.now(),
            zone: TimeZone::UTC,
            connection: connection.constants(),
            parent: None,
        };
        let opened = Access::open(
            &asked.workspace,
            &connection,
            &asked.secrets,
            self.identities(),
            &scope,
        );
        let access = match opened {
            Ok(access) => Arc::new(access),
            Err(fault) => {
                let cure = "store it with `tidemark secret set NAME`";
                return steps.failed("secrets", &fault.into(), cure);
            }
        };
        steps.redactor = access.redactor();
        match connection.secrets().len() {
            0 => {}
            1 => steps.passed("secrets", "the secret is there"),
            many => steps.passed("secrets", format!("all {many} secrets are there")),
        }
        let trying = Box::pin(self.try_steps(asked, &connection, &scope, &access, &mut steps));
        match tokio::time::timeout(PATIENCE, trying).await {
            Ok(Ok(())) => steps.tested,
            Ok(Err((step, error, cure))) => steps.failed(step, &error, &cure),
            Err(_) => {
                let error = PageError::Transport(Failure::Timeout {
                    what: "answer",
                    limit: PATIENCE,
                });
                steps.failed("answer", &error, "try again, or ask for less with a path")
            }
        }
    }

    async fn try_steps(
        &self,
        asked: &ConnectionTest,
        connection: &Connection,
        scope: &Scope,
        access: &Arc<Access>,
        steps: &mut Steps,
    ) -> Result<(), Broken> {
        let url = self.try_address(asked, connection, scope, steps).await?;
        let mut outgoing = Outgoing {
            method: http::Method::GET,
            url,
            headers: headers(connection, scope).map_err(|error| {
                let cure = "see the connection's `headers`".to_owned();
                ("request", PageError::Render(error), cure)
            })?,
            body: None,
            credentials: Credentials::default(),
        };
        let (credentials, token) =
            self.proof(access, &outgoing.url, None)
                .await
                .map_err(|error| {
                    let step = if access.needs_token() {
                        "token"
                    } else {
                        "secrets"
                    };
                    let cure = cure_of_token(&error);
                    (step, error, cure)
                })?;
        if token.is_some() {
            steps.passed("token", "a token was given");
        }
        outgoing.credentials = credentials;
        let mut answer = self.http.send(&asked.workspace, &outgoing).await;
        // A token may have ended before its time.
        if let (Some(token), Ok(refused)) = (&token, &answer)
            && refused.status == http::StatusCode::UNAUTHORIZED
            && let Ok((credentials, _)) = self.proof(access, &outgoing.url, Some(token)).await
        {
            outgoing.credentials = credentials;
            answer = self.http.send(&asked.workspace, &outgoing).await;
        }
        let answer = answer.map_err(|failure| {
            let (step, cure) = cure_of_failure(&failure);
            (step, PageError::Transport(failure), cure)
        })?;
        let scheme = outgoing.url.scheme();
        let secured = if scheme == "https" {
            "a connection, with a certificate that holds"
        } else {
            "a connection, not encrypted"
        };
        steps.passed("connect", secured);
        judge(&outgoing.url, &answer, access, steps)?;
        read_body(answer, steps)
    }

    async fn try_address(
        &self,
        asked: &ConnectionTest,
        connection: &Connection,
        scope: &Scope,
        steps: &mut Steps,
    ) -> Result<Url, Broken> {
        let base = definition::template::render(&connection.base_url, scope).map_err(|error| {
            let error = RenderError::Template {
                what: "base_url".to_owned(),
                message: error.message,
            };
            ("address", PageError::Render(error), String::new())
        })?;
        let address = join(&base, &asked.path);
        let checked = self.http.guard().check_text(&address);
        let refused = |refusal: crate::egress::Refusal| {
            let cure = match refusal.code {
                Code::DnsFailed => "check how the host is spelled in base_url".to_owned(),
                Code::DnsTimeout => "try again; the resolver did not answer".to_owned(),
                _ => refusal.cure.clone().unwrap_or_default(),
            };
            (
                "address",
                PageError::Transport(Failure::Refused(refusal)),
                cure,
            )
        };
        let checked = checked.map_err(refused)?;
        let found = self.http.guard().resolve(&checked).await.map_err(refused)?;
        let host = checked.url().host_str().unwrap_or_default().to_owned();
        let first = found.first().map(|address| address.ip().to_string());
        steps.passed(
            "address",
            match first {
                Some(first) if first != host => format!("{host} is {first}"),
                _ => format!("{host} may be called"),
            },
        );
        let mut url = checked.url().clone();
        url.set_fragment(None);
        Ok(url)
    }
}

/// The step that failed, why, and what to do about it.
type Broken = (&'static str, PageError, String);

fn headers(connection: &Connection, scope: &Scope) -> Result<HeaderMap, RenderError> {
    let mut headers = HeaderMap::new();
    for (name, text) in &connection.headers {
        let value =
            definition::template::render(text, scope).map_err(|error| RenderError::Template {
                what: format!("headers.{name}"),
                message: error.message,
            })?;
        let (name, value) = user_header(name, &value).map_err(RenderError::Header)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn judge(url: &Url, answer: &Answer, access: &Access, steps: &mut Steps) -> Result<(), Broken> {
    if origin(&answer.url) != origin(url) {
        let place = origin(&answer.url);
        let error = PageError::Transport(Failure::BadResponse(format!(
            "it is a redirect to {place}, where no credentials are sent"
        )));
        let cure = format!("if that is the API, write it as base_url: {place}");
        return Err(("answer", error, cure));
    }
    let status = answer.status;
    if status.is_success() {
        steps.passed("answer", format!("the API answered {status}"));
        return Ok(());
    }
    let error = PageError::status(status, None, steps.redactor.excerpt(&answer.body));
    let secrets: Vec<String> = match access.auth() {
        definition::Auth::None => Vec::new(),
        _ => access.secret_names(),
    };
    let cure = match status.as_u16() {
        401 if secrets.is_empty() => {
            "the API wants credentials: write the connection's `auth`".to_owned()
        }
        401 => format!(
            "the API does not know the credentials: check `auth`, and store them again with `tidemark secret set {}`",
            secrets.join("` and `tidemark secret set ")
        ),
        403 => "the API knows the credentials and does not let them read this: check their rights, or try another path".to_owned(),
        404 | 410 => "the path is wrong: check base_url, or name one that exists with --path".to_owned(),
        405 => "this path takes no GET; name one that does with --path".to_owned(),
        429 => "the API is asked too often just now; try again later, and write its `rate_limit`".to_owned(),
        500..=599 => "the API is not well; try again later".to_owned(),
        _ => String::new(),
    };
    Err(("answer", error, cure))
}

fn read_body(answer: Answer, steps: &mut Steps) -> Result<(), Broken> {
    if answer.body.is_empty() {
        steps.passed("body", "the answer is empty");
        return Ok(());
    }
    let bytes = answer.body.len();
    let content_type = answer.content_type().map(str::to_owned);
    match decode::page(answer.body, content_type.as_deref(), &[], None) {
        Ok(_) => {
            steps.passed("body", format!("the answer is JSON, {bytes} bytes"));
            Ok(())
        }
        Err(unusable) => {
            let reason = match &unusable {
                Unusable::NotJson { .. } => {
                    "base_url or the path names something else than an API that answers JSON: look for its address in the API's documentation"
                }
                _ => "",
            };
            Err(("body", PageError::Body(unusable), reason.to_owned()))
        }
    }
}

fn cure_of_token(error: &PageError) -> String {
    match error.code() {
        "token.refused" => {
            "check client_id, scopes and the secrets, and store them again with `tidemark secret set`"
        }
        "secret.origin_refused" => "store the secret again, for the new address",
        "egress.dns_failed" => "check how the host of the token server is spelled",
        _ => "",
    }
    .to_owned()
}

fn cure_of_failure(failure: &Failure) -> (&'static str, String) {
    match failure {
        Failure::Connect(_) => (
            "connect",
            "nothing listens there: check host and port of base_url, or whether the server runs"
                .to_owned(),
        ),
        Failure::Tls(reason) => {
            let cure = if reason.contains("xpired") {
                "the server's certificate has expired; its operator must renew it"
            } else if reason.contains("UnknownIssuer") {
                "its authority is not known: an operator starts the fetcher with --extra-ca FILE"
            } else if reason.contains("NotValidForName") || reason.contains("not valid for name") {
                "the certificate is for another name: write that one in base_url"
            } else {
                "there may be no TLS at this port: check scheme and port of base_url"
            };
            ("connect", cure.to_owned())
        }
        Failure::Timeout {
            what: "connection", ..
        } => (
            "connect",
            "nothing answers there: check host and port, or a firewall in between".to_owned(),
        ),
        Failure::Timeout { .. } | Failure::TooSlow { .. } => (
            "answer",
            "the API is slow: try again, or name a smaller path with --path".to_owned(),
        ),
        Failure::TooLarge(_) => (
            "body",
            "name a path that answers less with --path, or ask for smaller pages".to_owned(),
        ),
        Failure::Refused(refusal) => ("answer", refusal.cure.clone().unwrap_or_default()),
        _ => ("answer", String::new()),
    }
}

/// The steps so far.
struct Steps {
    tested: ConnectionTested,
    redactor: Redactor,
    since: Instant,
}

impl Steps {
    fn new(asked: &ConnectionTest, redactor: Redactor) -> Self {
        Steps {
            tested: ConnectionTested {
                workspace: asked.workspace.clone(),
                ok: true,
                ..ConnectionTested::default()
            },
            redactor,
            since: Instant::now(),
        }
    }

    fn passed(&mut self, step: &str, message: impl AsRef<str>) {
        self.push(step, "passed", message.as_ref());
    }

    fn push(&mut self, step: &str, outcome: &str, message: &str) {
        let took = self.since.elapsed().as_millis();
        self.since = Instant::now();
        self.tested.steps.push(TestStep {
            step: step.to_owned(),
            outcome: outcome.to_owned(),
            message: self.redactor.text(message).into_owned(),
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
        });
    }

    fn failed(mut self, step: &str, error: &PageError, cure: &str) -> ConnectionTested {
        let message = error.to_string();
        self.push(step, "failed", &message);
        let message = self.redactor.text(&message).into_owned();
        self.tested.ok = false;
        self.tested.error = Some(RunError {
            code: error.code().to_owned(),
            message,
            status: error.http_status().map(u32::from),
            page: None,
            excerpt: self.redactor.text(error.excerpt()).into_owned(),
        });
        cure.clone_into(&mut self.tested.cure);
        self.tested
    }
}
