//! Previews: a few pages of a draft, fetched as a sync would fetch them, with everything that was sent and came back.
//!
//! The same engine does it, under the same guard, budget and secrets; only its patience is that of a person.

mod above;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{Ask, Bus, PageBody};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};
use service::Shutdown;
use url::Url;
use wire::message;
use wire::preview::{DATASET, KIND, MOST_PAGES, PreviewExchange};
use wire::run_manifest::{RunEnd, RunOutcome};
use wire::{
    PageEntry, PageHeaders, ParentRecords, PreviewFetch, PreviewFetched, Progress, RunError,
    RunManifest, SyncRequest,
};

use crate::config::Config;
use crate::detect::{Candidate, Certainty, FirstAnswer, detect};
use crate::exchange::Recorder;
use crate::retry::Policy;
use crate::sync_run::{Engine, Outlet, Unpublished};
use above::Kept;

/// Fetchers that answer previews are one group: each question goes to one of them.
const GROUP: &str = "fetcher";

/// A person has waited long enough; requests in hand then have the grace below.
const PATIENCE: Duration = Duration::from_secs(50);

/// With the patience, a minute in all.
const GRACE: Duration = Duration::from_secs(8);

/// A wait that is longer is told instead of waited.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Bytes of all pages of one draft: a look, not a copy.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is told of exchanges must fit one message beside the manifest.
const MOST_TOLD: usize = 384 * 1024;

/// Answers previews until shutdown.
pub(crate) async fn serve(engine: &Arc<Engine>, bus: &Bus, stop: &Shutdown) {
    let hasty = Arc::new(hasty(engine));
    let (answering, stopping) = (bus.clone(), stop.clone());
    let handler = move |ask: Ask| {
        let (engine, bus, stop) = (hasty.clone(), answering.clone(), stopping.clone());
        async move { Box::pin(answer(&engine, &bus, &stop, &ask)).await }
    };
    let filter = wire::subject::filter::preview_fetches();
    let at_once = engine.config.previews;
    bus.serve(&filter, GROUP, at_once, stop.token(), handler)
        .await;
}

/// The same engine with the patience of a person.
fn hasty(engine: &Engine) -> Engine {
    let mut hasty = engine.clone();
    hasty.config = Config {
        retry: Policy {
            tries: 3,
            base: Duration::from_millis(300),
            ceiling: Duration::from_secs(2),
            longest: LONGEST_WAIT,
        },
        longest_wait: LONGEST_WAIT,
        checkpoint_after: PATIENCE,
        grace: GRACE,
        ..engine.config.clone()
    };
    hasty
}

async fn answer(engine: &Engine, bus: &Bus, stop: &Shutdown, ask: &Ask) -> Bytes {
    let fetched = match message::decode::<PreviewFetch>(&ask.subject, &ask.payload) {
        Ok(asked) if !message::missing_abilities(&asked).is_empty() => refused(
            &asked,
            "preview.too_new",
            "this fetcher is too old for this preview",
        ),
        Ok(asked) if message::is_over(&asked.deadline, engine.clock.now()) => refused(
            &asked,
            "preview.late",
            "nobody waits for this preview any more",
        ),
        Ok(asked) => Box::pin(fetch(engine, bus, stop, asked)).await,
        Err(malformed) => {
            let asked = PreviewFetch {
                workspace: ask.workspace.clone(),
                ..PreviewFetch::default()
            };
            refused(&asked, malformed.code, &malformed.message)
        }
    };
    message::encode(&fetched)
        .map(Bytes::from)
        .unwrap_or_default()
}

async fn fetch(engine: &Engine, bus: &Bus, stop: &Shutdown, asked: PreviewFetch) -> PreviewFetched {
    let Some(sync) = asked.sync.clone() else {
        return refused(
            &asked,
            message::MALFORMED,
            "a preview without a request means nothing",
        );
    };
    // Whatever the message says: a draft's pages go under a draft's name.
    let sync = SyncRequest {
        workspace: asked.workspace.clone(),
        dataset: DATASET.to_owned(),
        run: asked.draft.clone(),
        kind: KIND.to_owned(),
        max_pages: sync.max_pages.clamp(1, MOST_PAGES),
        resume: None,
        ..sync
    };
    let life = engine.config.draft_life;
    let kept = Kept::default();
    let outlet = ToDraft {
        bus,
        life,
        kept: &kept,
        first: Mutex::default(),
        recorder: Arc::default(),
    };
    let began = Instant::now();
    let fetched = async {
        let recorder = &*outlet.recorder;
        let mut above = above::fetch(engine, &kept, stop, &asked, recorder, began).await?;
        let mut run = if let Some(manifest) = above.failed.take() {
            Fetched {
                manifest,
                detected: None,
            }
        } else {
            let sync = for_records(sync, above.records.take());
            run(engine, &outlet, stop, sync, began).await?
        };
        above.asked(&run.manifest);
        if !above.told.is_empty() && is_paged(&asked) {
            // That of each record only the first page is read is how previews are, and not told of each.
            run.manifest.notes.clear();
        }
        Ok::<_, Unpublished>((run, above.told))
    };
    let (run, parents) = match Box::pin(fetched).await {
        Ok(fetched) => fetched,
        Err(unpublished) => {
            tracing::warn!(
                page = unpublished.page,
                reason = unpublished.reason,
                "a draft's page was not kept"
            );
            return refused(&asked, "preview.not_kept", &unpublished.reason);
        }
    };
    let exchanges = bounded(outlet.recorder.exchanges());
    let manifest = run.manifest;
    let mut fetched = PreviewFetched {
        manifest: Some(settled(manifest, &exchanges)),
        exchanges,
        expires_at: later(engine.clock.now(), life).to_string(),
        identity: asked.identity,
        workspace: asked.workspace,
        draft: asked.draft,
        detected: run.detected.map(Into::into),
        parents,
    };
    if let Err(error) = bus.keep_draft(&fetched, life).await {
        tracing::warn!(%error, "a draft was not kept; it cannot be evaluated again");
        fetched.expires_at.clear();
    }
    fetched
}

/// The draft's request, made for the first page of each of these records.
fn for_records(sync: SyncRequest, records: Option<ParentRecords>) -> SyncRequest {
    match records {
        None => sync,
        Some(records) => SyncRequest {
            max_pages: 1,
            parent: Some(records),
            ..sync
        },
    }
}

/// Whether the draft's request says how pages follow one another.
fn is_paged(asked: &PreviewFetch) -> bool {
    let request = asked.sync.as_ref().and_then(|sync| sync.request.as_ref());
    let pagination = request.and_then(|request| request.0.get("pagination"));
    pagination.is_some_and(|pagination| !pagination.is_null() && pagination != "none")
}

/// The same engine with what is left of a person's patience.
fn hurried(engine: &Engine, began: Instant) -> Engine {
    let mut hurried = engine.clone();
    hurried.config.checkpoint_after = PATIENCE.saturating_sub(began.elapsed());
    hurried
}

fn too_large() -> String {
    format!(
        "the pages are more than {} MiB together; preview fewer pages",
        MOST_BYTES / 1024 / 1024
    )
}

/// The end of a draft's fetch, and how its pages seem to follow one another.
struct Fetched {
    manifest: RunManifest,
    detected: Option<Value>,
}

/// Fetches the pages. With `pagination: auto` the first answer decides how the others are asked for.
async fn run(
    engine: &Engine,
    outlet: &ToDraft<'_>,
    stop: &Shutdown,
    sync: SyncRequest,
    began: Instant,
) -> Result<Fetched, Unpublished> {
    let manifest = hurried(engine, began).run(&sync, outlet, stop).await?;
    let candidates = outlet.detect(&sync);
    let asked = sync
        .request
        .as_ref()
        .and_then(|request| request.0.get("pagination"));
    let is_open = asked.is_some_and(|pagination| pagination == "auto");
    let best = candidates
        .first()
        .filter(|best| is_open && best.certainty > Certainty::Possible)
        .and_then(|best| serde_json::to_value(&best.pagination).ok());
    let detected = told(&candidates, best.is_some());
    // Of each record of a parent only the first page is asked for.
    let Some(best) = best.filter(|_| sync.max_pages > 1) else {
        return Ok(Fetched { manifest, detected });
    };
    let mut sync = sync;
    if let Some(request) = &mut sync.request {
        request.0["pagination"] = best;
    }
    // Another attempt, so that its pages are not taken for those of the first.
    sync.attempt += 1;
    let manifest = hurried(engine, began).run(&sync, outlet, stop).await?;
    Ok(Fetched { manifest, detected })
}

/// The likeliest way of paging, and the others; nothing when nothing speaks of pages.
fn told(candidates: &[Candidate], used: bool) -> Option<Value> {
    let one = |candidate: &Candidate| {
        json!({
            "pagination": candidate.pagination,
            "certainty": candidate.certainty.as_str(),
            "reasons": candidate.reasons,
            "doubts": candidate.doubts,
        })
    };
    let (best, others) = candidates.split_first()?;
    let mut told = one(best);
    told["used"] = used.into();
    told["others"] = others.iter().map(one).collect();
    Some(told)
}

fn later(now: Timestamp, life: Duration) -> Timestamp {
    SignedDuration::try_from(life)
        .ok()
        .and_then(|life| now.checked_add(life).ok())
        .and_then(|at| {
            at.round(
                TimestampRound::new()
                    .smallest(Unit::Second)
                    .mode(RoundMode::Trunc),
            )
            .ok()
        })
        .unwrap_or(now)
}

/// A draft has no later attempt: what a run would hand back is told as an error.
fn settled(mut manifest: RunManifest, exchanges: &[PreviewExchange]) -> RunManifest {
    manifest.next = None;
    if manifest.outcome != RunOutcome::Checkpoint.as_str() {
        return manifest;
    }
    let last = exchanges.iter().rev().find_map(|one| one.error.as_ref());
    let waits = manifest.retry_after_ms.map(|wait| wait.div_ceil(1000));
    let why = match (waits, last) {
        (Some(seconds), Some(error)) => {
            format!("{}; the next try would be {seconds} s later", error.message)
        }
        (Some(seconds), None) => {
            format!("the connection's rate is spent; the next request may go in {seconds} s")
        }
        (None, Some(error)) => format!("{}; there was no time for another try", error.message),
        (None, None) => format!(
            "the API did not send these pages within {} s",
            PATIENCE.as_secs()
        ),
    };
    manifest.error = Some(RunError {
        message: why,
        ..last.cloned().unwrap_or_else(|| RunError {
            code: "preview.unfinished".to_owned(),
            ..RunError::default()
        })
    });
    RunOutcome::Failed
        .as_str()
        .clone_into(&mut manifest.outcome);
    RunEnd::Failed.as_str().clone_into(&mut manifest.ended);
    manifest
}

/// Lets go of bodies and then of later exchanges until what is left fits a message.
fn bounded(mut exchanges: Vec<PreviewExchange>) -> Vec<PreviewExchange> {
    let size = |all: &[PreviewExchange]| serde_json::to_vec(all).map_or(0, |bytes| bytes.len());
    while size(&exchanges) > MOST_TOLD && exchanges.len() > 1 {
        exchanges.truncate(exchanges.len() / 2);
    }
    exchanges
}

fn refused(asked: &PreviewFetch, code: &str, reason: &str) -> PreviewFetched {
    PreviewFetched {
        workspace: asked.workspace.clone(),
        draft: asked.draft.clone(),
        manifest: Some(RunManifest {
            workspace: asked.workspace.clone(),
            dataset: DATASET.to_owned(),
            run: asked.draft.clone(),
            kind: KIND.to_owned(),
            outcome: RunOutcome::Failed.into(),
            ended: RunEnd::Failed.into(),
            error: Some(RunError {
                code: code.to_owned(),
                message: reason.to_owned(),
                ..RunError::default()
            }),
            part: 1,
            parts: 1,
            ..RunManifest::default()
        }),
        identity: asked.identity.clone(),
        ..PreviewFetched::default()
    }
}

/// Pages to the stream for a while; nobody else is told.
struct ToDraft<'a> {
    bus: &'a Bus,
    life: Duration,
    /// What lies above the draft, and the bytes of all.
    kept: &'a Kept,
    /// The first page that came.
    first: Mutex<Option<Bytes>>,
    recorder: Arc<Recorder>,
}

impl ToDraft<'_> {
    /// How the pages seem to follow one another, from the first answer.
    fn detect(&self, sync: &SyncRequest) -> Vec<Candidate> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let exchanges = self.recorder.exchanges();
        let answered = exchanges
            .iter()
            .find(|one| one.page == 1 && one.asks.is_empty() && one.error.is_none());
        let (Some(first), Some(answered)) = (first, answered) else {
            return Vec::new();
        };
        let (Ok(body), Ok(url)) = (
            serde_json::from_slice::<Value>(&first),
            Url::parse(&answered.url),
        ) else {
            return Vec::new();
        };
        let headers = answered.answer_headers.iter().filter_map(|header| {
            let name = HeaderName::try_from(header.name.as_str()).ok()?;
            Some((name, HeaderValue::try_from(header.value.as_str()).ok()?))
        });
        let sent = sync
            .request
            .as_ref()
            .and_then(|request| request.0.get("body"));
        detect(&FirstAnswer {
            url: &url,
            sent: sent.filter(|sent| !sent.is_null()),
            headers: &headers.collect::<HeaderMap>(),
            body: &body,
            records: None,
        })
    }
}

impl Outlet for ToDraft<'_> {
    async fn page(
        &self,
        workspace: &str,
        _dataset: &str,
        headers: PageHeaders,
        body: PageBody,
    ) -> Result<bus::PublishedPage, String> {
        let length = body.bytes().len() as u64;
        if headers.page == 1 {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| body.bytes().clone());
        }
        if !self.kept.has_room(length) {
            return Err(too_large());
        }
        self.bus
            .publish_draft_page(workspace, headers, body, self.life)
            .await
            .map_err(|error| error.to_string())
    }

    async fn progress(&self, _: Progress) {}

    async fn in_hand(&self) {}

    async fn kept(&self, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, String> {
        Ok(self.kept.bodies(pages))
    }

    fn recorder(&self) -> Option<Arc<Recorder>> {
        Some(self.recorder.clone())
    }
}
