//! One run: a sync request in, pages and one manifest out.
//!
//! Pages are published while the next ones are fetched. Whatever happens ends in a manifest: complete, truncated,
//! failed, or a checkpoint from which a later attempt goes on behind the pages that are already in the stream.

mod branch;
mod fetch;
mod manifest;
mod parents;
mod slots;
mod take;
mod tell;
mod trail;
mod unchanged;
mod variables;
mod waits;
mod walks;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bus::PageBody;
use bytes::Bytes;
use service::{Clock, Identity, Shutdown};
use wire::run_manifest::RunOutcome;
use wire::{PageEntry, PageHeaders, Progress, RunManifest, SyncRequest};

use crate::auth::{Shared, Tokens};
use crate::budget::{Budgets, Denied};
use crate::config::Config;
use crate::error::PageError;
use crate::exchange::Recorder;
use crate::http::{Http, TlsError};
use crate::instruments::Instruments;
use crate::memory::Memory;
use crate::plan::Plan;
use manifest::{blank, fail, hand_back};
use parents::{NoParents, Parents};
use slots::Slots;
pub use trail::{Found, follow};
use unchanged::Validators;
use variables::Source;
pub(crate) use variables::value_at;
use waits::{Waits, Why};
use walks::Run;

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

    /// Reads kept pages back, of this run or others; nothing when one is gone.
    fn kept(
        &self,
        _pages: &[PageEntry],
    ) -> impl Future<Output = Result<Option<Vec<Bytes>>, String>> + Send {
        std::future::ready(Ok(None))
    }

    /// Keeps a piece of the run's trail for whoever gets the request after this process; false when it could not.
    fn leave(
        &self,
        _request: &SyncRequest,
        _piece: u32,
        _value: Bytes,
    ) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// Reads a piece of the run's trail.
    fn left(
        &self,
        _request: &SyncRequest,
        _piece: u32,
    ) -> impl Future<Output = Option<Bytes>> + Send {
        std::future::ready(None)
    }

    /// How much of the trail of an earlier process the request holds already.
    fn found(&self) -> Found {
        Found::default()
    }

    /// Whether pages stay for later runs, so that an unchanged one need not be sent again.
    fn keeps_pages(&self) -> bool {
        false
    }

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
    pub(crate) memory: Arc<Memory>,
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
            memory: Arc::default(),
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

    /// The same engine with a memory of its own.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.memory = Arc::new(memory);
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
        let mut plan = match Plan::of(request, &self.identities, self.clock.now()) {
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
        // Large enough that moving it about costs more than one allocation a run.
        let fetching = self.fetch(request, &mut plan, outlet, manifest, stop);
        let outcome = Box::pin(fetching).await;
        outcome.map(|manifest| self.ended(manifest))
    }

    /// Learns what the request depends on, then walks through its pages.
    async fn fetch<O: Outlet>(
        &self,
        request: &SyncRequest,
        plan: &mut Plan,
        outlet: &O,
        mut manifest: RunManifest,
        stop: &Shutdown,
    ) -> Result<RunManifest, Unpublished> {
        let requests = AtomicU32::new(0);
        let waits = Waits::of(request);
        let mut source = Source::Remembered;
        loop {
            let from_memory = match self
                .look_up(request, plan, outlet, source, stop, (&requests, &waits))
                .await
            {
                Ok(from_memory) => from_memory,
                Err(why) => {
                    Self::stopped(&mut manifest, why, request, plan);
                    manifest.requests = requests.into_inner();
                    return Ok(manifest);
                }
            };
            let known = plan.scope.connection.clone();
            let parents = match &request.parent {
                None => None,
                Some(order) => match Parents::load(order, outlet).await {
                    Ok(parents) => Some(parents),
                    Err(NoParents::Gone) => {
                        // The next attempt gets the records of a newer run.
                        hand_back(&mut manifest, Some(Duration::from_secs(1)));
                        return Ok(manifest);
                    }
                    Err(NoParents::Failed(error)) => {
                        fail(&mut manifest, &error, None, &plan.redactor);
                        return Ok(manifest);
                    }
                },
            };
            let validators = Validators::load(self, request, outlet).await;
            let slots = match Slots::lease(self, request, plan, stop).await {
                Ok(slots) => slots,
                Err(denied) => {
                    if matches!(denied, Denied::Spent(_)) {
                        let why = Why::Slot(&plan.connection).text(Duration::ZERO);
                        waits.say(outlet, why, self.clock.now().to_string()).await;
                    }
                    Self::denied(&mut manifest, denied, request, plan);
                    return Ok(manifest);
                }
            };
            let counts = (&requests, &waits);
            let run = Run::new(self, request, plan, outlet, &validators, counts, slots)
                .begin(manifest, parents);
            let ended = Box::pin(run.go(stop)).await?;
            if ended.outcome != RunOutcome::Failed.as_str() {
                validators.save(self).await;
            }
            let is_stale = from_memory
                && ended.pages.is_empty()
                && ended.error.as_ref().and_then(|error| error.status) == Some(404);
            if !is_stale {
                return Ok(ended);
            }
            // What was looked up long ago may be wrong by now.
            source = Source::Api;
            manifest = blank(request, &self.clock);
            manifest.started_at.clone_from(&ended.started_at);
            let again = self
                .look_up(request, plan, outlet, source, stop, (&requests, &waits))
                .await;
            if again.is_err() || plan.scope.connection == known {
                return Ok(RunManifest {
                    requests: requests.into_inner(),
                    ..ended
                });
            }
            source = Source::Remembered;
            tracing::info!("a looked up variable has changed; the run begins anew");
        }
    }

    /// A run that ended before its first page was asked for.
    fn stopped(manifest: &mut RunManifest, why: fetch::Stop, request: &SyncRequest, plan: &Plan) {
        let wait = match why {
            fetch::Stop::Failed(error) => return fail(manifest, &error, None, &plan.redactor),
            fetch::Stop::HandBack(wait) => Some(wait),
            fetch::Stop::Interrupted => None,
        };
        hand_back(manifest, wait);
        if let Some(resume) = &request.resume {
            manifest.pages.clone_from(&resume.pages);
            manifest.next.clone_from(&resume.next);
        }
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
