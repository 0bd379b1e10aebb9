//! One run: a sync request in, pages and one manifest out.
//!
//! Pages are published while the next ones are fetched. Whatever happens ends in a manifest: complete, truncated,
//! failed, or a checkpoint from which a later attempt goes on behind the pages that are already in the stream.

mod fetch;
mod manifest;
mod slots;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bus::PageBody;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use service::{Clock, Identity, Shutdown};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::run_manifest::{RunEnd, RunOutcome};
use wire::{Json, PageEntry, PageHeaders, Progress, RunManifest, SyncRequest};

use crate::auth::{Shared, Tokens};
use crate::budget::{Budgets, Denied};
use crate::config::Config;
use crate::error::PageError;
use crate::exchange::Recorder;
use crate::http::{Http, TlsError};
use crate::instruments::Instruments;
use crate::pagination::{Facts, PaginationFault, Position, Step, Walk};
use crate::plan::Plan;
use manifest::{blank, fail, hand_back, stated};
use slots::Slots;

/// Pages that may wait for NATS while the next ones are fetched; each may be large.
const PUBLISH_AHEAD: usize = 8;

/// Progress is for people: more often than this nobody reads it.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Where pages and progress go: NATS, or memory in tests.
pub trait Outlet: Send + Sync {
    /// Keeps a page's body and returns where.
    fn page(
        &self,
        workspace: &str,
        dataset: &str,
        headers: PageHeaders,
        body: PageBody,
    ) -> impl Future<Output = Result<bus::PublishedPage, String>> + Send;

    /// Tells how far the run is; may be lost.
    fn progress(&self, progress: Progress) -> impl Future<Output = ()> + Send;

    /// Tells the broker that the request is still worked on. Called after a page was kept, and only then.
    fn in_hand(&self) -> impl Future<Output = ()> + Send;

    /// Who is told of every request and answer: previews.
    fn recorder(&self) -> Option<Arc<Recorder>> {
        None
    }
}

/// What fetches runs. One for a process.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) http: Arc<Http>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) budgets: Option<Arc<Budgets>>,
    pub(crate) instruments: Instruments,
    identities: Arc<[Identity]>,
}

/// A page could not be kept: NATS is away, so there is no manifest either, and the request must come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("page {page} could not be published: {reason}")]
pub struct Unpublished {
    /// The page.
    pub page: u32,
    /// Why not.
    pub reason: String,
}

impl Engine {
    /// Makes an engine; `budgets` are needed by connections with a rate limit.
    pub fn new(
        config: Config,
        clock: Clock,
        budgets: Option<Budgets>,
        instruments: Instruments,
    ) -> Result<Self, TlsError> {
        let guard = crate::egress::Guard::new(config.guard.clone());
        let http = Http::new(
            guard,
            config.limits.clone(),
            config.extra_authorities.as_deref(),
        )?
        .through(config.proxy.clone());
        let http = Arc::new(http);
        let identities: Arc<[Identity]> = config.identities.clone().into();
        let tokens = Tokens::new(
            http.clone(),
            clock.clone(),
            identities.clone(),
            None,
            config.patience.clone(),
        );
        Ok(Engine {
            http,
            tokens,
            config,
            clock,
            budgets: budgets.map(Arc::new),
            instruments,
            identities,
        })
    }

    /// What opens secrets.
    pub(crate) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Shares tokens with the other fetchers on `bus`, and keeps rotated refresh tokens on the store's side.
    #[must_use]
    pub fn sharing(mut self, bus: bus::Bus) -> Self {
        let shared = Shared::new(bus, self.identities.clone());
        self.tokens = Tokens::new(
            self.http.clone(),
            self.clock.clone(),
            self.identities.clone(),
            Some(shared),
            self.config.patience.clone(),
        );
        self
    }

    /// Fetches what `request` asks for and returns how it ended. Never longer than the checkpoint allows, and soon
    /// after `stop`.
    pub async fn run<O: Outlet>(
        &self,
        request: &SyncRequest,
        outlet: &O,
        stop: &Shutdown,
    ) -> Result<RunManifest, Unpublished> {
        let mut manifest = blank(request, &self.clock);
        let plan = match Plan::of(request, &self.identities, self.clock.now()) {
            Ok(plan) => Plan {
                recorder: outlet.recorder(),
                ..plan
            },
            Err(error) => {
                fail(
                    &mut manifest,
                    &error,
                    None,
                    &crate::redact::Redactor::default(),
                );
                return Ok(self.ended(manifest));
            }
        };
        let slots = match Slots::lease(self, request, &plan, stop).await {
            Ok(slots) => slots,
            Err(denied) => {
                Self::denied(&mut manifest, denied, request, &plan);
                return Ok(self.ended(manifest));
            }
        };
        // Large enough that moving it about costs more than one allocation a run.
        let run = Run::new(self, request, &plan, outlet, manifest, slots);
        let outcome = Box::pin(run.go(stop)).await;
        outcome.map(|manifest| self.ended(manifest))
    }

    fn ended(&self, mut manifest: RunManifest) -> RunManifest {
        manifest.ended_at = self.clock.now().to_string();
        manifest
    }

    /// A run that may not send anything: it goes on later, from where it is.
    fn denied(manifest: &mut RunManifest, denied: Denied, request: &SyncRequest, plan: &Plan) {
        match denied {
            Denied::Spent(wait) => {
                hand_back(manifest, Some(wait));
                if let Some(resume) = &request.resume {
                    manifest.pages.clone_from(&resume.pages);
                    manifest.next = Some(resume.next.clone().unwrap_or_default());
                }
            }
            Denied::Unreachable(reason) => {
                fail(manifest, &PageError::Budget(reason), None, &plan.redactor);
                manifest.retry_after_ms = Some(10_000);
            }
        }
    }
}

/// A run under way.
struct Run<'a, O> {
    engine: &'a Engine,
    request: &'a SyncRequest,
    plan: &'a Plan,
    outlet: &'a O,
    manifest: RunManifest,
    slots: Slots<'a>,
    walk: Walk,
    todo: VecDeque<(u32, Position)>,
    end: Option<RunEnd>,
    failure: Option<(PageError, u32)>,
    handed_back: Option<Duration>,
    told: Option<Instant>,
}

impl<'a, O: Outlet> Run<'a, O> {
    fn new(
        engine: &'a Engine,
        request: &'a SyncRequest,
        plan: &'a Plan,
        outlet: &'a O,
        mut manifest: RunManifest,
        slots: Slots<'a>,
    ) -> Self {
        let resumed = request.resume.as_ref().and_then(|resume| {
            let next = &resume.next.as_ref()?.0;
            let pages = resume
                .pages
                .iter()
                .map(|page| (page.number, page.hash.clone()));
            let walk = Walk::resume(plan.pagination.clone(), plan.max_pages, next, pages)?;
            manifest.pages.clone_from(&resume.pages);
            manifest.records = resume.pages.iter().filter_map(|page| page.records).sum();
            Some(walk)
        });
        let (walk, todo) =
            resumed.unwrap_or_else(|| Walk::begin(plan.pagination.clone(), plan.max_pages));
        Run {
            engine,
            request,
            plan,
            outlet,
            manifest,
            slots,
            walk,
            todo: todo.into(),
            end: None,
            failure: None,
            handed_back: None,
            told: None,
        }
    }

    async fn go(mut self, stop: &Shutdown) -> Result<RunManifest, Unpublished> {
        let fetched = self.fetch(stop).await;
        self.slots.release().await;
        fetched.map(|()| self.finish())
    }

    async fn fetch(&mut self, stop: &Shutdown) -> Result<(), Unpublished> {
        let (engine, request, plan, outlet) = (self.engine, self.request, self.plan, self.outlet);
        // Told to requests in hand: no more tries, finish soon.
        let winding_down = CancellationToken::new();
        let _wind_down_on_drop = winding_down.clone().drop_guard();
        let checkpoint_at = Instant::now() + engine.config.checkpoint_after;
        let mut look_at = Instant::now() + slots::LOOK_EVERY;
        let requests = std::sync::atomic::AtomicU32::new(0);
        let mut fetching = FuturesUnordered::new();
        let mut publishing = FuturesUnordered::new();
        loop {
            let mut starting = !winding_down.is_cancelled() && self.end.is_none();
            while starting
                && fetching.len() < self.slots.at_once()
                && publishing.len() < PUBLISH_AHEAD
            {
                match self.todo.pop_front() {
                    Some((number, position)) => {
                        fetching.push(engine.page(
                            request,
                            plan,
                            number,
                            position,
                            &winding_down,
                            &requests,
                        ));
                    }
                    None => starting = false,
                }
            }
            if fetching.is_empty() && publishing.is_empty() {
                break;
            }
            tokio::select! {
                Some((number, fetched)) = fetching.next() => {
                    match fetched {
                        Ok(page) => {
                            if let Some((entry, body, wire_bytes)) = self.take(page) {
                                let headers = self.headers(&entry);
                                publishing.push(async move {
                                    let kept = outlet.page(&request.workspace, &request.dataset, headers, body).await;
                                    (entry, kept, wire_bytes)
                                });
                            }
                        }
                        Err(fetch::Stop::Failed(error)) => self.failed(number, error),
                        Err(fetch::Stop::HandBack(wait)) => self.handed_back = self.handed_back.max(Some(wait)),
                        Err(fetch::Stop::Interrupted) => {}
                    }
                    if self.failure.is_some() {
                        // What is in hand would be thrown away with the run.
                        winding_down.cancel();
                        fetching = FuturesUnordered::new();
                    } else if self.handed_back.is_some() {
                        winding_down.cancel();
                    }
                }
                Some((entry, kept, wire_bytes)) = publishing.next() => {
                    let kept: Result<bus::PublishedPage, String> = kept;
                    let kept = kept.map_err(|reason| Unpublished { page: entry.number, reason })?;
                    self.kept(entry, kept, wire_bytes).await;
                }
                () = stop.requested(), if !winding_down.is_cancelled() => winding_down.cancel(),
                () = tokio::time::sleep_until(look_at), if self.slots.are_shared() => {
                    if !self.slots.look_after(fetching.len()).await {
                        self.handed_back = self.handed_back.max(Some(slots::LOOK_EVERY));
                        winding_down.cancel();
                    }
                    look_at = Instant::now() + slots::LOOK_EVERY;
                }
                () = tokio::time::sleep_until(checkpoint_at), if !winding_down.is_cancelled() => winding_down.cancel(),
            }
        }
        drop(fetching);
        drop(publishing);
        self.manifest.requests = requests.into_inner();
        self.told = None;
        self.tell(match (&self.failure, self.end) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "evaluating",
            (None, None) => "waiting",
        })
        .await;
        Ok(())
    }

    /// Decides what follows a page and returns what is to be published of it.
    fn take(&mut self, page: fetch::Fetched) -> Option<(PageEntry, PageBody, u64)> {
        let number = page.number;
        let body = page.body.map(PageBody::of);
        let hash = body.as_ref().map_or("", PageBody::hash).to_owned();
        let facts = Facts { hash, ..page.facts };
        // A page asked for only to see whether it exists, and which repeats an earlier one, must not count.
        let duplicate = facts.records != Some(0) && self.walk.repeats(number, &facts.hash);
        match self.walk.after(number, &facts) {
            Ok(step) => self.apply(step, &page.url, number),
            Err(fault) => self.failed(number, fault.into()),
        }
        let body = body?;
        let entry = PageEntry {
            number,
            bytes: body.bytes().len() as u64,
            records: facts
                .records
                .and_then(|records| i64::try_from(records).ok()),
            status: u32::from(page.status),
            fetched_at: page.at.to_string(),
            url: self.plan.redactor.text(page.url.as_str()).into_owned(),
            duplicate,
            ..PageEntry::default()
        };
        Some((entry, body, page.wire_bytes))
    }

    fn apply(&mut self, step: Step, from: &url::Url, number: u32) {
        match step {
            Step::Fetch(pages) => self.todo.extend(pages),
            Step::Pending => {}
            Step::End(end) => self.end = Some(end),
            Step::Follow(link) => {
                let checked = self
                    .engine
                    .http
                    .guard()
                    .check_next_link(from, &link, &|url| self.walk.has_seen(url));
                match checked {
                    Ok(url) => {
                        let bare = self.plan.access.strip(&url);
                        if self.walk.has_seen(&bare) || bare == *from {
                            let again =
                                "the next link leads to a page that was already fetched".to_owned();
                            return self.failed(number, PaginationFault::Loop(again).into());
                        }
                        let step = self.walk.follow(from, &bare);
                        self.apply(step, from, number);
                    }
                    Err(refusal) => self.failed(number, refusal.into()),
                }
            }
        }
    }

    fn failed(&mut self, number: u32, error: PageError) {
        let is_plain_refusal = matches!(&error, PageError::Status { status, .. }
            if (400..500).contains(status) && !matches!(status, 401 | 403 | 408 | 425 | 429));
        if is_plain_refusal && let Some(Step::End(end)) = self.walk.refused(number) {
            self.end = Some(end);
            return;
        }
        if self.failure.is_none() {
            self.failure = Some((error, number));
        }
    }

    fn headers(&self, entry: &PageEntry) -> PageHeaders {
        PageHeaders {
            run: self.request.run.clone(),
            attempt: self.request.attempt,
            page: entry.number,
            status: entry.status,
            fetched_at: entry.fetched_at.clone(),
            url: entry.url.clone(),
        }
    }

    async fn kept(&mut self, mut entry: PageEntry, kept: bus::PublishedPage, wire_bytes: u64) {
        tracing::debug!(
            page = entry.number,
            bytes = kept.bytes,
            records = entry.records,
            "page published"
        );
        entry.sequences = kept.sequences;
        entry.hash = kept.hash;
        entry.bytes = kept.bytes;
        if !entry.duplicate {
            self.manifest.records += entry.records.unwrap_or(0);
        }
        self.manifest.pages.push(entry);
        self.engine.instruments.page(wire_bytes);
        self.outlet.in_hand().await;
        self.tell("fetching").await;
    }

    async fn tell(&mut self, state: &str) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now < told + PROGRESS_EVERY) {
            return;
        }
        self.told = Some(now);
        let manifest = &self.manifest;
        self.outlet
            .progress(Progress {
                workspace: manifest.workspace.clone(),
                dataset: manifest.dataset.clone(),
                run: manifest.run.clone(),
                pages: u32::try_from(manifest.pages.len()).unwrap_or(u32::MAX),
                stated_pages: stated(self.walk.stated_pages()),
                records: manifest.records,
                bytes: manifest.pages.iter().map(|page| page.bytes).sum(),
                state: state.to_owned(),
                at: self.engine.clock.now().to_string(),
            })
            .await;
    }

    fn finish(mut self) -> RunManifest {
        let mut manifest = std::mem::take(&mut self.manifest);
        manifest.pages.sort_by_key(|page| page.number);
        manifest.stated_total = stated(self.walk.stated_total());
        manifest.stated_pages = stated(self.walk.stated_pages());
        match (&self.failure, self.end) {
            (Some((error, page)), _) => {
                fail(&mut manifest, error, Some(*page), &self.plan.redactor);
            }
            (None, Some(end)) => {
                let verdict = self.walk.verdict(end);
                let outcome = if end == RunEnd::PageCap || verdict.has_gaps {
                    RunOutcome::Truncated
                } else {
                    RunOutcome::Complete
                };
                for note in &verdict.notes {
                    tracing::warn!(run = manifest.run, note);
                }
                manifest.gaps = verdict.has_gaps;
                manifest.overlap = i64::try_from(verdict.overlap).unwrap_or(i64::MAX);
                manifest.notes.extend(verdict.notes);
                outcome.as_str().clone_into(&mut manifest.outcome);
                end.as_str().clone_into(&mut manifest.ended);
            }
            (None, None) => {
                hand_back(&mut manifest, self.handed_back);
                let next = self.walk.checkpoint();
                // A cursor that holds a secret must not travel: the next attempt begins anew.
                if self.plan.redactor.finds_in(next.to_string().as_bytes()) {
                    tracing::warn!(
                        run = manifest.run,
                        "the checkpoint would hold a secret; the run will begin anew"
                    );
                } else {
                    manifest.next = Some(Json::from(next));
                }
            }
        }
        manifest
    }
}
