//! The walks of one run: which pages are asked for, and until when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use service::Shutdown;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::{PageEntry, RunManifest, SyncRequest};

use super::branch::{Branch, Next, place};
use super::fetch::{self, Asking};
use super::parents::Parents;
use super::slots::{self, Slots};
use super::trail::Trail;
use super::unchanged::Validators;
use super::waits::Waits;
use super::{Engine, Outlet, Unpublished};
use crate::error::PageError;
use crate::pagination::{Position, Walk};
use crate::plan::Plan;

/// Pages that may wait for NATS while the next ones are fetched; each may be large.
const PUBLISH_AHEAD: usize = 8;

/// A run under way.
pub(super) struct Run<'a, O> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a SyncRequest,
    pub(super) plan: &'a Plan,
    pub(super) outlet: &'a O,
    pub(super) validators: &'a Validators,
    pub(super) requests: &'a AtomicU32,
    pub(super) waits: &'a Waits,
    pub(super) manifest: RunManifest,
    pub(super) slots: Slots<'a>,
    /// The walks under way: one, or one for each record of the parent that is begun and not through.
    pub(super) branches: BTreeMap<u32, Branch>,
    pub(super) parents: Option<Parents>,
    pub(super) failure: Option<(PageError, u32)>,
    pub(super) handed_back: Option<Duration>,
    pub(super) told: Option<Instant>,
    pub(super) trail: Trail,
}

impl<'a, O: Outlet> Run<'a, O> {
    pub(super) fn new(
        engine: &'a Engine,
        request: &'a SyncRequest,
        plan: &'a Plan,
        outlet: &'a O,
        validators: &'a Validators,
        (requests, waits): (&'a AtomicU32, &'a Waits),
        slots: Slots<'a>,
    ) -> Self {
        Run {
            engine,
            request,
            plan,
            outlet,
            validators,
            requests,
            waits,
            manifest: RunManifest::default(),
            slots,
            branches: BTreeMap::new(),
            parents: None,
            failure: None,
            handed_back: None,
            told: None,
            trail: Trail::behind(outlet.found()),
        }
    }

    /// Goes to where an earlier attempt stopped, or to the beginning.
    pub(super) fn begin(mut self, manifest: RunManifest, parents: Option<Parents>) -> Self {
        self.manifest = manifest;
        self.parents = parents;
        let next = self.request.resume.as_ref().and_then(|resume| {
            let next = resume.next.as_ref()?;
            Some((&resume.pages, &next.0))
        });
        let resumed = next.is_some_and(|(pages, next)| self.resume(pages, next));
        let known = self
            .request
            .resume
            .as_ref()
            .map(|_| self.manifest.pages.len());
        self.trail.begin(known, resumed);
        if !resumed && self.parents.is_none() {
            self.open(0, None);
        }
        self
    }

    /// Takes up the walks of an earlier attempt; false where it is not one of ours.
    fn resume(&mut self, pages: &[PageEntry], next: &serde_json::Value) -> bool {
        let stride = self.plan.max_pages;
        let walk_of = |plan: &Plan, index: u32, state: &serde_json::Value| {
            let own = pages
                .iter()
                .filter(|page| page.number > 0 && (page.number - 1) / stride == index)
                .map(|page| (page.number - index * stride, page.hash.clone()));
            Walk::resume(plan.pagination.clone(), plan.max_pages, state, own)
        };
        let walks: Vec<(u32, serde_json::Value)> = match &mut self.parents {
            None => vec![(0, next.clone())],
            Some(parents) => match parents.resume(next) {
                Some(walks) => walks,
                None => return false,
            },
        };
        for (index, state) in walks {
            let Some(walk) = walk_of(self.plan, index, &state) else {
                if self.parents.is_some() {
                    // It had only just begun.
                    self.open(index, None);
                    continue;
                }
                return false;
            };
            self.open(index, Some(walk));
        }
        self.manifest.pages = pages.to_vec();
        self.manifest.records = pages
            .iter()
            .filter(|page| !page.duplicate)
            .filter_map(|page| page.records)
            .sum();
        true
    }

    /// Begins the walk of a record, or the only one.
    fn open(&mut self, index: u32, resumed: Option<(Walk, Vec<(u32, Position)>)>) {
        let record = self
            .parents
            .as_ref()
            .and_then(|parents| parents.record(index));
        match Branch::new(self.plan, index, record, resumed) {
            Ok(branch) => {
                self.branches.insert(index, branch);
            }
            Err(error) => {
                let number = self.number(index, 1);
                self.failed(index, number, error.into());
            }
        }
    }

    /// The number of a page in the run.
    pub(super) fn number(&self, branch: u32, number: u32) -> u32 {
        place(branch, self.plan.max_pages, number)
    }

    /// The next page to ask for: of the walks under way, else of the next record.
    fn next_page(&mut self) -> Option<Next> {
        loop {
            if let Some(next) = self.branches.values_mut().find_map(Branch::next) {
                return Some(next);
            }
            let parents = self.parents.as_mut()?;
            if self.failure.is_some()
                || parents.are_through()
                || self.branches.len() >= self.slots.at_once()
            {
                return None;
            }
            let index = parents.begun;
            parents.begun += 1;
            self.open(index, None);
        }
    }

    /// Fetches until the end, a failure or a checkpoint, and returns what is to be told of it.
    pub(super) async fn go(mut self, stop: &Shutdown) -> Result<RunManifest, Unpublished> {
        let fetched = self.fetch(stop).await;
        self.slots.release().await;
        fetched.map(|()| self.finish())
    }

    async fn fetch(&mut self, stop: &Shutdown) -> Result<(), Unpublished> {
        let (engine, request, plan, outlet) = (self.engine, self.request, self.plan, self.outlet);
        // Told to requests in hand: no more tries, finish soon.
        let winding_down = CancellationToken::new();
        let _wind_down_on_drop = winding_down.clone().drop_guard();
        let asking = Asking {
            request,
            plan,
            outlet,
            validators: Some(self.validators),
            requests: self.requests,
            waits: self.waits,
            winding_down: &winding_down,
        };
        let checkpoint_at = Instant::now() + engine.config.checkpoint_after;
        let mut look_at = Instant::now() + slots::LOOK_EVERY;
        let mut fetching = FuturesUnordered::new();
        let mut publishing = FuturesUnordered::new();
        loop {
            // A trail tells of kept pages only: for a moment no further answer is judged.
            let is_held = self.failure.is_none() && self.trail.is_due(self.manifest.pages.len());
            if is_held && publishing.is_empty() {
                self.leave_trail().await;
            }
            let is_held = is_held && !publishing.is_empty();
            while !winding_down.is_cancelled()
                && fetching.len() < self.slots.at_once()
                && publishing.len() < PUBLISH_AHEAD
                && let Some(next) = self.next_page()
            {
                fetching.push(async move {
                    let fetched = engine.page(asking, &next).await;
                    (next.branch, next.number, fetched)
                });
            }
            if fetching.is_empty() && publishing.is_empty() {
                break;
            }
            tokio::select! {
                Some((branch, number, fetched)) = fetching.next(), if !is_held => {
                    if let Some(branch) = self.branches.get_mut(&branch) {
                        branch.in_flight = branch.in_flight.saturating_sub(1);
                    }
                    match fetched {
                        Ok(page) => {
                            if let Some((entry, body, wire_bytes, validator)) = self.take(branch, page) {
                                let headers = self.headers(&entry);
                                publishing.push(async move {
                                    let kept = outlet.page(&request.workspace, &request.dataset, headers, body).await;
                                    (entry, kept, wire_bytes, validator)
                                });
                            }
                        }
                        Err(fetch::Stop::Failed(error)) => self.failed(branch, number, error),
                        Err(fetch::Stop::HandBack(wait)) => self.handed_back = self.handed_back.max(Some(wait)),
                        Err(fetch::Stop::Interrupted) => {}
                    }
                    self.close(branch);
                    if self.failure.is_some() {
                        // What is in hand would be thrown away with the run.
                        winding_down.cancel();
                        fetching = FuturesUnordered::new();
                    } else if self.handed_back.is_some() {
                        winding_down.cancel();
                    }
                }
                Some((entry, kept, wire_bytes, validator)) = publishing.next() => {
                    let kept: Result<bus::PublishedPage, String> = kept;
                    let kept = kept.map_err(|reason| Unpublished { page: entry.number, reason })?;
                    self.kept(entry, kept, wire_bytes, validator).await;
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
        self.manifest.requests = self.requests.load(Ordering::Relaxed);
        self.told = None;
        self.tell(match (&self.failure, self.end()) {
            (Some(_), _) => "ended",
            (None, Some(_)) => "evaluating",
            (None, None) => "waiting",
        })
        .await;
        Ok(())
    }
}
