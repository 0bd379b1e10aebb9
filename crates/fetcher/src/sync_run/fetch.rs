//! One page: permit, request, answer, judgement; again where that may help.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use definition::Pagination;
use http::{StatusCode, header};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use url::Url;
use wire::SyncRequest;

use super::branch::Next;
use super::unchanged::{self, Validator, Validators};
use super::waits::{self, Waits, Why};
use super::{Engine, Outlet};
use crate::auth::{Access, Token};
use crate::budget::Denied;
use crate::conditions;
use crate::decode::{self, Unusable};
use crate::error::PageError;
use crate::exchange::{describe, error_of};
use crate::formats;
use crate::http::{Answer, Credentials, Failure, Outgoing};
use crate::pagination::Facts;
use crate::plan::Plan;
use crate::reader::Reader;
use crate::redact::Redactor;
use crate::retry::{self, retry_after};
use crate::stated_limit;

/// A page that was fetched and judged usable.
pub(super) struct Fetched {
    pub(super) number: u32,
    /// Where it came from in the end, without credentials.
    pub(super) url: Url,
    pub(super) status: u16,
    /// The masked body; nothing for an answer without content.
    pub(super) body: Option<Bytes>,
    pub(super) facts: Facts,
    pub(super) at: Timestamp,
    pub(super) wire_bytes: u64,
    /// By what it may be asked for next time.
    pub(super) validator: Option<Validator>,
}

/// Why there is no page.
pub(super) enum Stop {
    /// It cannot be had.
    Failed(PageError),
    /// It must wait longer than is waited in hand.
    HandBack(Duration),
    /// The run winds down; the page is asked for again later.
    Interrupted,
}

/// What all pages of a walk, or of a run, are asked for with.
pub(super) struct Asking<'a, O> {
    pub(super) request: &'a SyncRequest,
    pub(super) plan: &'a Plan,
    pub(super) outlet: &'a O,
    /// Nothing where pages are asked for without conditions.
    pub(super) validators: Option<&'a Validators>,
    /// Counts what is sent.
    pub(super) requests: &'a AtomicU32,
    pub(super) waits: &'a Waits,
    /// Told to requests in hand: no more tries, finish soon.
    pub(super) winding_down: &'a CancellationToken,
}

impl<O> Clone for Asking<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for Asking<'_, O> {}

impl Engine {
    /// Fetches a page, trying again as the policy says until the run winds down.
    pub(super) async fn page<O: Outlet>(
        &self,
        asking: Asking<'_, O>,
        next: &Next,
    ) -> Result<Fetched, Stop> {
        let span = tracing::info_span!("page", page = next.place, status = tracing::field::Empty);
        self.tries(asking, next).instrument(span).await
    }

    async fn tries<O: Outlet>(&self, asking: Asking<'_, O>, next: &Next) -> Result<Fetched, Stop> {
        let Asking {
            request,
            plan,
            outlet,
            validators,
            requests,
            winding_down,
            ..
        } = asking;
        let (template, position, number) = (&*next.template, &next.position, next.number);
        let failed = |error: PageError| Stop::Failed(error);
        let mut reader = Cow::Borrowed(&plan.reader);
        if plan.pagination == Pagination::None {
            reader = Cow::Owned(plan.reader.clone().watching(template.asked()));
        }
        let rendered = template
            .page(position, self.http.guard())
            .map_err(|error| failed(error.into()))?;
        let mut outgoing = Outgoing {
            method: rendered.method,
            url: rendered.url,
            headers: rendered.headers,
            body: rendered.body,
            credentials: Credentials::default(),
        };
        let validators = validators.filter(|validators| validators.are_kept());
        let mark = validators.and_then(|_| unchanged::mark(request, &outgoing));
        let bare = outgoing.headers.clone();
        let mut known = None;
        if let (Some(validators), Some(mark)) = (validators, &mark) {
            known = validators.known(mark);
        }
        if let Some(known) = &known {
            known.ask(&mut outgoing.headers);
        }
        let mut tried = 0;
        let mut refused: Option<Token> = None;
        loop {
            let is_new = requests.load(Ordering::Relaxed) == 0;
            self.unpaused(asking, is_new).await?;
            self.permit(asking).await?;
            tried += 1;
            let began = Instant::now();
            let proof = self.proof(&plan.access, &outgoing.url, refused.as_ref());
            let proof = tokio::select! {
                proof = proof => proof,
                () = self.out_of_grace(winding_down) => return Err(Stop::Interrupted),
            };
            let judged = match proof {
                Err(error) => Err(error),
                Ok((credentials, token)) => {
                    outgoing.credentials = credentials;
                    requests.fetch_add(1, Ordering::Relaxed);
                    let answered = tokio::select! {
                        answered = self.http.send(&request.workspace, &outgoing) => answered,
                        () = self.out_of_grace(winding_down) => return Err(Stop::Interrupted),
                    };
                    let told = plan.recorder.as_ref().map(|recorder| {
                        let told = describe(
                            &plan.redactor,
                            &outgoing,
                            answered.as_ref(),
                            began.elapsed(),
                        );
                        (recorder, told)
                    });
                    // A token may end before its time: one other is tried, then the credentials are refused.
                    let is_ended = token.is_some()
                        && refused.is_none()
                        && answered
                            .as_ref()
                            .is_ok_and(|answer| answer.status == http::StatusCode::UNAUTHORIZED);
                    if let Ok(answer) = &answered {
                        self.heed(request, plan, answer).await;
                    }
                    let judged = match answered {
                        Ok(answer)
                            if answer.status == StatusCode::NOT_MODIFIED && known.is_some() =>
                        {
                            let earlier = match &known {
                                Some(known) => known
                                    .body(outlet)
                                    .await
                                    .map(|body| (body, known.facts().clone())),
                                None => None,
                            };
                            let Some(earlier) = earlier else {
                                // The body is gone: the page is asked for without conditions.
                                if let (Some(validators), Some(mark)) = (validators, &mark) {
                                    validators.forget(mark);
                                }
                                known = None;
                                outgoing.headers = bare.clone();
                                continue;
                            };
                            self.judge_again(plan, &reader, number, answer, earlier, mark.clone())
                        }
                        Ok(answer) => {
                            formats::read(answer, &plan.response, self.http.limits().body)
                                .await
                                .map_err(|unusable| masked(unusable, &plan.redactor).into())
                                .and_then(|answer| {
                                    self.judge(plan, &reader, number, answer, mark.clone())
                                })
                        }
                        Err(failure) => Err(failure.into()),
                    };
                    if let Some((recorder, mut told)) = told {
                        (told.page, told.r#try) = (next.place, tried);
                        told.error = judged
                            .as_ref()
                            .err()
                            .map(|error| error_of(&plan.redactor, error, number));
                        recorder.take_in(told);
                    }
                    if is_ended {
                        tracing::debug!(page = number, "a token was refused, another is asked for");
                        refused = token;
                        continue;
                    }
                    judged
                }
            };
            let error = match judged {
                Ok(page) => {
                    self.instruments.request("ok", began.elapsed());
                    tracing::Span::current().record("status", page.status);
                    return Ok(page);
                }
                Err(error) => error,
            };
            self.instruments.request(error.class(), began.elapsed());
            tracing::Span::current().record("status", error.http_status());
            tracing::debug!(
                page = number,
                tried,
                code = error.code(),
                "a request failed"
            );
            let wait = match self.config.retry.next(tried, error.fate(), rand::random()) {
                retry::Next::GiveUp => return Err(failed(error)),
                retry::Next::HandBack(wait) | retry::Next::Wait(wait) => wait,
            };
            let longest = self.config.longest_wait.min(self.config.retry.longest);
            if wait <= longest {
                self.instruments.retry(error.class());
            }
            self.wait(asking, &Why::Retry(tried + 1, &error), wait, longest)
                .await?;
        }
    }

    /// Returns what proves who we are to `url`, with the token where one is needed that is not `refused`.
    pub(crate) async fn proof(
        &self,
        access: &Arc<Access>,
        url: &Url,
        refused: Option<&Token>,
    ) -> Result<(Credentials, Option<Token>), PageError> {
        if !access.needs_token() {
            return Ok((access.credentials(url)?, None));
        }
        let token = self.tokens.token(access, refused).await?;
        Ok((access.token_credentials(url, &token)?, Some(token)))
    }

    /// Tells all fetchers when an answer asks to be left alone.
    async fn heed(&self, request: &SyncRequest, plan: &Plan, answer: &Answer) {
        let Some(budgets) = &self.budgets else { return };
        let Some(pause) = stated_limit::pause(answer.status, &answer.headers, self.clock.now())
        else {
            return;
        };
        let limit = plan.rate_limit.as_ref();
        budgets
            .pause(&request.workspace, &plan.connection, limit, &pause)
            .await;
    }

    /// Waits until the connection is not paused any more. A run that has not begun waits in the ledger instead,
    /// so that it holds nobody up here.
    async fn unpaused<O: Outlet>(&self, asking: Asking<'_, O>, is_new: bool) -> Result<(), Stop> {
        let Asking {
            request,
            plan,
            winding_down,
            ..
        } = asking;
        let Some(budgets) = &self.budgets else {
            return Ok(());
        };
        let longest = if is_new {
            self.config.longest_budget_wait
        } else {
            self.config.longest_wait
        };
        while let Some(wait) = budgets
            .paused_for(&request.workspace, &plan.connection)
            .await
        {
            if winding_down.is_cancelled() {
                return Err(Stop::Interrupted);
            }
            let jitter = Duration::from_millis(rand::random_range(0..=100));
            let why = Why::Pause(&plan.connection);
            self.wait(asking, &why, wait + jitter, longest).await?;
        }
        Ok(())
    }

    /// Waits for a permit of the connection's budget; without a rate limit there is none to wait for.
    async fn permit<O: Outlet>(&self, asking: Asking<'_, O>) -> Result<(), Stop> {
        let Asking {
            request,
            plan,
            winding_down,
            ..
        } = asking;
        if winding_down.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        let Some(limit) = &plan.rate_limit else {
            return Ok(());
        };
        let unreachable = |reason: String| Stop::Failed(PageError::Budget(reason));
        let Some(budgets) = &self.budgets else {
            return Err(unreachable(
                "this fetcher has no connection to NATS KV".to_owned(),
            ));
        };
        let mut trouble = 0;
        loop {
            match budgets
                .permit(&request.workspace, &plan.connection, limit)
                .await
            {
                Ok(()) => return Ok(()),
                Err(Denied::Spent(wait)) => {
                    let jitter = Duration::from_millis(rand::random_range(0..=50));
                    let longest = self.config.longest_budget_wait;
                    let why = Why::Rate(&plan.connection);
                    self.wait(asking, &why, wait + jitter, longest).await?;
                }
                Err(Denied::Unreachable(reason)) => {
                    trouble += 1;
                    if trouble >= 5 {
                        tracing::warn!(
                            reason,
                            "the rate budget cannot be reached, so nothing is sent"
                        );
                        return Err(Stop::HandBack(Duration::from_secs(10)));
                    }
                    let pause = Duration::from_secs(1);
                    let why = Why::Budget(&plan.connection);
                    self.wait(asking, &why, pause, self.config.longest_wait)
                        .await?;
                }
            }
        }
    }

    /// Waits, and says why to whoever watches; what is longer than `longest` waits in the ledger.
    async fn wait<O: Outlet>(
        &self,
        asking: Asking<'_, O>,
        why: &Why<'_>,
        wait: Duration,
        longest: Duration,
    ) -> Result<(), Stop> {
        let say = async |left: Duration| {
            let at = self.clock.now().to_string();
            asking.waits.say(asking.outlet, why.text(left), at).await;
        };
        if wait > longest {
            say(wait).await;
            return Err(Stop::HandBack(wait));
        }
        self.instruments.wait(why.class(), wait);
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            say(left).await;
            tokio::select! {
                () = tokio::time::sleep(left.min(waits::AGAIN_EVERY)) => {}
                () = asking.winding_down.cancelled() => return Err(Stop::Interrupted),
            }
        }
    }

    /// Ends when a request in hand has had its grace after the run began to wind down.
    async fn out_of_grace(&self, winding_down: &CancellationToken) {
        winding_down.cancelled().await;
        tokio::time::sleep(self.config.grace).await;
    }

    /// Decides whether an answer is a page, and reads from it what paging needs.
    fn judge(
        &self,
        plan: &Plan,
        reader: &Reader,
        number: u32,
        answer: Answer,
        mark: Option<String>,
    ) -> Result<Fetched, PageError> {
        let fetched_at = self.clock.now();
        let status = answer.status;
        let url = answer.url.clone();
        if matches!(status.as_u16(), 204 | 205) {
            let facts = reader.facts_of_headers(&answer.headers)?;
            return Ok(Fetched {
                number,
                url,
                status: status.as_u16(),
                body: None,
                facts,
                at: fetched_at,
                wire_bytes: answer.wire_bytes,
                validator: None,
            });
        }
        let named = answer
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let after = named.and_then(|value| retry_after(value, fetched_at));
        if !status.is_success() {
            if status.is_client_error() && conditions::asks_again(&plan.conditions, &answer.body) {
                return conditions::judge(&plan.conditions, &answer.body, after, &plan.redactor)
                    .and_then(|()| Err(PageError::status(status, after, String::new())));
            }
            return Err(PageError::status(
                status,
                after,
                plan.redactor.excerpt(&answer.body),
            ));
        }
        let content_type = answer.content_type().map(str::to_owned);
        let overruled = decode::overruled(&answer.body, content_type.as_deref());
        let read = decode::page(
            answer.body,
            content_type.as_deref(),
            &reader.plain,
            reader.compared,
        );
        let (body, scan) = read.map_err(|unusable| masked(unusable, &plan.redactor))?;
        conditions::judge(&plan.conditions, &body, after, &plan.redactor)?;
        let facts = Facts {
            overruled,
            ..reader.facts(&body, &scan, &answer.headers)?
        };
        let shown = plan.redactor.body(body.clone());
        // What was masked says less than what came, and a cursor that holds a secret is not kept. What was not read to
        // its end says so anew each time.
        let validator = mark
            .filter(|_| {
                let next = facts.next.to_string();
                shown == body && facts.unread.is_none() && !plan.redactor.finds_in(next.as_bytes())
            })
            .and_then(|mark| unchanged::validator(mark, &answer.headers, &facts, fetched_at));
        Ok(Fetched {
            number,
            url,
            status: status.as_u16(),
            validator,
            body: Some(shown),
            facts,
            at: fetched_at,
            wire_bytes: answer.wire_bytes,
        })
    }

    /// Judges a page that did not change by the body it had.
    fn judge_again(
        &self,
        plan: &Plan,
        reader: &Reader,
        number: u32,
        answer: Answer,
        (body, mut facts): (Bytes, Facts),
        mark: Option<String>,
    ) -> Result<Fetched, PageError> {
        let fetched_at = self.clock.now();
        conditions::judge(&plan.conditions, &body, None, &plan.redactor)?;
        // What tells its records from those of other pages is too long to be remembered.
        let read = decode::page(body.clone(), None, &reader.plain, reader.compared);
        if let Ok((_, scan)) = read
            && let Ok(read) = reader.facts(&body, &scan, &answer.headers)
        {
            facts.prints = read.prints;
        }
        let validator =
            mark.and_then(|mark| unchanged::validator(mark, &answer.headers, &facts, fetched_at));
        Ok(Fetched {
            number,
            url: answer.url,
            status: answer.status.as_u16(),
            body: Some(body),
            facts,
            at: fetched_at,
            wire_bytes: answer.wire_bytes,
            validator,
        })
    }
}

/// What is wrong with a body, without the secrets that may stand in it.
fn masked(mut unusable: Unusable, redactor: &Redactor) -> Unusable {
    if let Unusable::NotJson { reason, .. } | Unusable::Malformed { reason, .. } = &mut unusable {
        *reason = redactor.text(reason).into_owned();
    }
    unusable
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure.into())
    }
}
