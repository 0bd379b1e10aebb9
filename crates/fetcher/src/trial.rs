//! Tries a connection as a run would use it, and says in plain words what works and what does not.
//!
//! The same guard, secrets, tokens and limits as a run; each thing is asked for once, with no second try.

mod advice;
mod asking;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Ask, Bus};
use bytes::Bytes;
use definition::Connection;
use definition::template::Scope;
use jiff::tz::TimeZone;
use service::Shutdown;
use wire::message;
use wire::{ConnectionTest, ConnectionTested, RunError, TestStep};

use crate::auth::Access;
use crate::error::PageError;
use crate::http::Failure;
use crate::plan::document;
use crate::redact::Redactor;
use crate::sync_run::Engine;
use asking::{Question, Trial};

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
    /// Tries the connection: its secrets, its address, a token where one is needed, the variables that it looks up, one
    /// request, and the answer.
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
        let question = match Question::of(asked) {
            Ok(question) => question,
            Err(error) => return steps.failed("request", &error, ""),
        };
        let trial = Trial {
            engine: self,
            workspace: &asked.workspace,
            connection: &connection,
            access: &access,
            question: &question,
        };
        let trying = Box::pin(trial.go(scope, &mut steps));
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
}

/// The step that failed, why, and what to do about it.
type Broken = (&'static str, PageError, String);

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
