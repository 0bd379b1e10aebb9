//! What a trial asks, in the order in which a run depends on it.

use std::sync::Arc;

use bytes::Bytes;
use definition::template::Scope;
use definition::{Conditions, Connection, LookUp, Pagination, Request, Response, Variable};
use jiff::tz::TimeZone;
use serde_json::Value;
use url::Url;
use wire::ConnectionTest;

use super::{Broken, Steps, advice};
use crate::auth::Access;
use crate::egress::origin;
use crate::error::PageError;
use crate::http::{Answer, Credentials, Failure, Outgoing, user_header};
use crate::pagination::Walk;
use crate::plan::{document, interval};
use crate::render::{RenderError, Template, join};
use crate::sync_run::{Engine, value_at};
use crate::{conditions, decode, formats};

/// What is asked for behind the base address.
pub(super) enum Question {
    /// Nothing: nobody named a path, and no metric has one.
    Base,
    /// This path, as it is written.
    Path(String),
    /// The first page of a request, as a sync would ask for it.
    Request(Box<Asked>),
}

/// A request of a metric.
pub(super) struct Asked {
    /// The metric or dataset.
    pub(super) of: String,
    request: Request,
    window: Option<definition::Interval>,
    zone: TimeZone,
}

impl Question {
    /// Reads what is to be asked.
    pub(super) fn of(asked: &ConnectionTest) -> Result<Self, PageError> {
        if !asked.path.is_empty() {
            return Ok(Question::Path(asked.path.clone()));
        }
        if asked.request.is_none() {
            return Ok(Question::Base);
        }
        let unreadable = || PageError::Request("the metric's request cannot be read".to_owned());
        let request =
            Request::from_document(&document(asked.request.as_ref())).map_err(|_| unreadable())?;
        let zone = match asked.timezone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| unreadable())?,
        };
        Ok(Question::Request(Box::new(Asked {
            of: asked.asks_for.clone(),
            window: asked.window.as_ref().map(interval).transpose()?,
            request,
            zone,
        })))
    }

    fn conditions(&self, connection: &Connection) -> Conditions {
        match self {
            Question::Request(asked) => asked.request.conditions.or(&connection.conditions),
            _ => connection.conditions.clone(),
        }
    }

    fn response(&self) -> Response {
        match self {
            Question::Request(asked) => asked.request.response.clone(),
            _ => Response::default(),
        }
    }
}

/// One trial of a connection.
pub(super) struct Trial<'a> {
    pub(super) engine: &'a Engine,
    pub(super) workspace: &'a str,
    pub(super) connection: &'a Connection,
    pub(super) access: &'a Arc<Access>,
    pub(super) question: &'a Question,
}

impl Trial<'_> {
    /// Takes one step after the other until one fails.
    pub(super) async fn go(&self, mut scope: Scope, steps: &mut Steps) -> Result<(), Broken> {
        let url = self.address(&scope, steps).await?;
        if self.access.needs_token() {
            let proof = self.engine.proof(self.access, &url, None).await;
            proof.map_err(|error| self.no_proof(error))?;
            steps.passed("token", "a token was given");
        }
        self.variables(&mut scope, steps).await?;
        if let Question::Request(asked) = self.question {
            scope.window = asked.window;
            scope.zone = asked.zone.clone();
        }
        let mut outgoing = self.outgoing(url, &scope)?;
        let answer = self.send(&mut outgoing).await?;
        let secured = if outgoing.url.scheme() == "https" {
            "a connection, with a certificate that holds"
        } else {
            "a connection, not encrypted"
        };
        steps.passed("connect", secured);
        self.judge(&outgoing.url, &answer, steps, self.question)?;
        let place = format!("{} {}", outgoing.method, outgoing.url.path());
        let said = format!("the API answered {} to {place}", answer.status);
        steps.passed(
            "answer",
            match self.question {
                Question::Request(asked) => format!("{said}, as `{}` asks", asked.of),
                _ => said,
            },
        );
        if answer.body.is_empty() {
            steps.passed("body", "the answer is empty");
            return Ok(());
        }
        let (bytes, response) = (answer.body.len(), self.question.response());
        let conditions = self.question.conditions(self.connection);
        self.body(answer, &response, &conditions, steps).await?;
        let is_json = response == Response::default();
        let what = if is_json { "is JSON" } else { "can be read" };
        steps.passed("body", format!("the answer {what}, {bytes} bytes"));
        Ok(())
    }

    /// Checks that the base address may be called, and finds it.
    async fn address(&self, scope: &Scope, steps: &mut Steps) -> Result<Url, Broken> {
        let base = definition::template::render(&self.connection.base_url, scope);
        let base = base.map_err(|error| {
            let error = RenderError::Template {
                what: "base_url".to_owned(),
                message: error.message,
            };
            ("address", PageError::Render(error), String::new())
        })?;
        let path = match self.question {
            Question::Path(path) => path.as_str(),
            _ => "",
        };
        let guard = self.engine.http.guard();
        let refused = |refusal: crate::egress::Refusal| {
            let cure = advice::of_address(&refusal);
            let error = PageError::Transport(Failure::Refused(refusal));
            ("address", error, cure)
        };
        let checked = guard.check_text(&join(&base, path)).map_err(refused)?;
        let found = guard.resolve(&checked).await.map_err(refused)?;
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

    /// Looks up what the connection looks up, and puts it in scope.
    async fn variables(&self, scope: &mut Scope, steps: &mut Steps) -> Result<(), Broken> {
        let mut found = Vec::new();
        for (name, variable) in &self.connection.variables {
            let Variable::LookedUp(look_up) = variable else {
                continue;
            };
            let looked = self.variable(look_up, scope, steps).await;
            let value = looked.map_err(|(_, cause, cure)| {
                let cure = match cause.http_status() {
                    _ if matches!(cause, PageError::LookUp { .. }) => format!(
                        "look at what {} answers, and correct `variables.{name}.select`",
                        look_up.path
                    ),
                    Some(404 | 405 | 410) => format!("correct `variables.{name}.path`"),
                    _ => cure,
                };
                let error = PageError::Variable {
                    name: name.to_string(),
                    path: look_up.path.clone(),
                    cause: Box::new(cause),
                };
                ("variables", error, cure)
            })?;
            found.push((name.to_string(), value));
        }
        if !found.is_empty() {
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            steps.passed("variables", format!("found: {}", names.join(", ")));
        }
        scope.connection.extend(found);
        Ok(())
    }

    async fn variable(
        &self,
        look_up: &LookUp,
        scope: &Scope,
        steps: &Steps,
    ) -> Result<Value, Broken> {
        let request = Request {
            path: look_up.path.clone(),
            ..Request::default()
        };
        let mut outgoing = self.rendered(&request, scope)?;
        let answer = self.send(&mut outgoing).await?;
        let asked = Question::Path(look_up.path.clone());
        self.judge(&outgoing.url, &answer, steps, &asked)?;
        let (response, conditions) = (Response::default(), &self.connection.conditions);
        let body = self.body(answer, &response, conditions, steps).await?;
        value_at(look_up, &body, &steps.redactor)
            .map_err(|error| ("variables", error, String::new()))
    }

    /// The request that is made in the end.
    fn outgoing(&self, url: Url, scope: &Scope) -> Result<Outgoing, Broken> {
        if let Question::Request(asked) = self.question {
            return self.rendered(&asked.request, scope);
        }
        let mut headers = http::HeaderMap::new();
        for (name, text) in &self.connection.headers {
            let value = definition::template::render(text, scope).map_err(|error| {
                unfit(RenderError::Template {
                    what: format!("headers.{name}"),
                    message: error.message,
                })
            })?;
            let (name, value) =
                user_header(name, &value).map_err(|reason| unfit(RenderError::Header(reason)))?;
            headers.insert(name, value);
        }
        Ok(Outgoing {
            method: http::Method::GET,
            url,
            headers,
            body: None,
            credentials: Credentials::default(),
        })
    }

    /// The first page of a request, as a run renders it.
    fn rendered(&self, request: &Request, scope: &Scope) -> Result<Outgoing, Broken> {
        // What `auto` means is found out by previews; its first request is the plain one.
        let request = match request.pagination {
            Pagination::Auto => &Request {
                pagination: Pagination::None,
                ..request.clone()
            },
            _ => request,
        };
        let template = Template::new(self.connection, request, scope).map_err(unfit)?;
        let (_, first) = Walk::begin(request.pagination.clone(), 1);
        let Some((_, position)) = first.into_iter().next() else {
            let error = PageError::Request("it has no first page".to_owned());
            return Err(("request", error, String::new()));
        };
        let rendered = template
            .page(&position, self.engine.http.guard())
            .map_err(unfit)?;
        Ok(Outgoing {
            method: rendered.method,
            url: rendered.url,
            headers: rendered.headers,
            body: rendered.body,
            credentials: Credentials::default(),
        })
    }

    /// Sends a request with what proves who asks.
    async fn send(&self, outgoing: &mut Outgoing) -> Result<Answer, Broken> {
        let proof = self.engine.proof(self.access, &outgoing.url, None).await;
        let (credentials, token) = proof.map_err(|error| self.no_proof(error))?;
        outgoing.credentials = credentials;
        let http = &self.engine.http;
        let mut answer = http.send(self.workspace, outgoing).await;
        // A token may have ended before its time.
        if let (Some(token), Ok(refused)) = (&token, &answer)
            && refused.status == http::StatusCode::UNAUTHORIZED
            && let Ok((credentials, _)) = self
                .engine
                .proof(self.access, &outgoing.url, Some(token))
                .await
        {
            outgoing.credentials = credentials;
            answer = http.send(self.workspace, outgoing).await;
        }
        answer.map_err(|failure| {
            let (step, cure) = advice::of_failure(&failure);
            (step, PageError::Transport(failure), cure)
        })
    }

    fn no_proof(&self, error: PageError) -> Broken {
        let needs_token = self.access.needs_token();
        let step = if needs_token { "token" } else { "secrets" };
        let cure = advice::of_token(&error, self.access);
        (step, error, cure)
    }

    fn judge(
        &self,
        url: &Url,
        answer: &Answer,
        steps: &Steps,
        asked: &Question,
    ) -> Result<(), Broken> {
        if origin(&answer.url) != origin(url) {
            let place = origin(&answer.url);
            let error = PageError::Transport(Failure::BadResponse(format!(
                "it is a redirect to {place}, where no credentials are sent"
            )));
            let cure = format!("if that is the API, write it as base_url: {place}");
            return Err(("answer", error, cure));
        }
        if answer.status.is_success() {
            return Ok(());
        }
        let excerpt = steps.redactor.excerpt(&answer.body);
        let error = PageError::status(answer.status, None, excerpt);
        let cure = advice::of_status(answer.status.as_u16(), asked, self.access);
        Err(("answer", error, cure))
    }

    /// Reads the answer as JSON, and asks what it says of itself.
    async fn body(
        &self,
        answer: Answer,
        response: &Response,
        conditions: &Conditions,
        steps: &Steps,
    ) -> Result<Bytes, Broken> {
        let unusable = |unusable: decode::Unusable| {
            let cure = advice::of_body(&unusable);
            ("body", PageError::Body(unusable), cure)
        };
        let cap = self.engine.http.limits().body;
        let answer = formats::read(answer, response, cap)
            .await
            .map_err(unusable)?;
        let content_type = answer.content_type().map(str::to_owned);
        let page = decode::page(answer.body, content_type.as_deref(), &[], None);
        let (body, _) = page.map_err(unusable)?;
        conditions::judge(conditions, &body, None, &steps.redactor).map_err(|error| {
            let cure = advice::of_declared(self.access);
            ("answer", error, cure)
        })?;
        Ok(body)
    }
}

fn unfit(error: RenderError) -> Broken {
    let cure = match &error {
        RenderError::Template { what, .. } => format!("see `{what}`"),
        _ => String::new(),
    };
    ("request", PageError::Render(error), cure)
}
