//! The service: takes sync requests from NATS, runs them, and says how each ended.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Delivery, InHand, Outcome, PageBody, Reason};
use bytes::Bytes;
use service::{Context, Shutdown};
use tracing::Instrument as _;
use wire::run_manifest::RunOutcome;
use wire::stream::{Consumer, trail_key};
use wire::{PageEntry, PageHeaders, Progress, Resume, RunManifest, SyncRequest};

use crate::budget::Budgets;
use crate::config::Config;
use crate::egress::AllowList;
use crate::error::Error;
use crate::instruments::Instruments;
use crate::memory::Memory;
use crate::sync_run::{Engine, Found, Outlet, follow};
use crate::{consent, deliver, preview, trial};

/// An operator who has changed the allow-list looks at the effect within seconds.
const LOOK_AT_LIST: Duration = Duration::from_secs(2);

/// A request that met an outage of NATS comes back after this.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// A request whose process is gone comes back within minutes; a trail is kept longer than all its deliveries take.
const TRAIL_LIFE: Duration = Duration::from_hours(1);

/// A trail saves requests; it must not cost a run its time.
const TRAIL_PATIENCE: Duration = Duration::from_secs(2);

/// Starts a fetcher and returns; it works until shutdown and is awaited through the context's tasks.
pub async fn run(config: Config, context: Context, bus: Bus) -> Result<(), Error> {
    let ready = context.readiness.part("fetcher");
    let concurrency = config.concurrency;
    let budgets = Budgets::new(bus.budgets(), context.clock.clone());
    let instruments = Instruments::new(&context.meter);
    if let Some(list) = config.guard.allow_list.clone() {
        let stop = context.shutdown.clone();
        let watching = async move { watch(&list, LOOK_AT_LIST, &stop).await };
        context.tasks.spawn("fetcher.allow_list", watching);
    }
    let engine = Arc::new(
        Engine::new(config, context.clock.clone(), Some(budgets), instruments)?
            .sharing(bus.clone())
            .with_memory(Memory::shared(bus.memory())),
    );
    let (previewing, answering) = (engine.clone(), bus.clone());
    let (trying, asked) = (engine.clone(), bus.clone());
    let (delivering, queue) = (engine.clone(), bus.clone());
    let (redeeming, given) = (engine.clone(), bus.clone());
    let shutdown = context.shutdown.clone();
    let consuming = bus.clone();
    context.tasks.spawn_essential("fetcher.sync", async move {
        let stop = shutdown.clone();
        let tokens = engine.tokens.clone();
        let handler = move |delivery: Delivery<SyncRequest>| {
            let (engine, bus, stop) = (engine.clone(), bus.clone(), stop.clone());
            async move { handle(&engine, &bus, &stop, delivery).await }
        };
        consuming
            .consume(Consumer::Fetcher, concurrency, shutdown.token(), handler)
            .await;
        tokens.settle().await;
    });
    let stop = context.shutdown.clone();
    context
        .tasks
        .spawn_essential("fetcher.preview", async move {
            preview::serve(&previewing, &answering, &stop).await;
        });
    let (sending, queue, stop) = (delivering, queue, context.shutdown.clone());
    context
        .tasks
        .spawn_essential("fetcher.deliver", async move {
            deliver::serve(&sending, &queue, &stop).await;
        });
    let stop = context.shutdown.clone();
    context.tasks.spawn_essential("fetcher.trial", async move {
        trial::serve(&trying, &asked, &stop).await;
    });
    let stop = context.shutdown.clone();
    context
        .tasks
        .spawn_essential("fetcher.consent", async move {
            consent::serve(&redeeming, &given, &stop).await;
        });
    ready.set(true);
    tracing::info!(concurrency, "fetcher is ready");
    Ok(())
}

/// Reads the allow-list again whenever it has changed; one that is wrong is told once, and the old one stays.
pub async fn watch(list: &AllowList, every: Duration, stop: &Shutdown) {
    let mut told = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.requested() => return,
        }
        match list.reload() {
            Ok(true) => {
                told.clear();
                tracing::info!(file = %list.path().display(), "the allow-list was read again");
            }
            Ok(false) => told.clear(),
            Err(error) => {
                let reason = service::report::chain(&error);
                if reason != told {
                    tracing::error!(error = %reason, "the old allow-list stays in force");
                    told = reason;
                }
            }
        }
    }
}

/// Handles one delivery of a sync request.
pub async fn handle(
    engine: &Engine,
    bus: &Bus,
    stop: &Shutdown,
    delivery: Delivery<SyncRequest>,
) -> Outcome {
    let mut request = delivery.message;
    if delivery.deliveries >= engine.config.deliveries {
        let message = format!(
            "the request was delivered {} times and never ended",
            delivery.deliveries
        );
        return Outcome::Reject(Reason::new("run.poison", message));
    }
    if stop.is_requested() {
        return Outcome::HandBack;
    }
    let span = tracing::info_span!(
        "sync",
        workspace = request.workspace,
        dataset = request.dataset,
        run = request.run,
        attempt = request.attempt,
    );
    engine.instruments.begin();
    let mut outlet = ToBus {
        bus,
        delivery: delivery.deliveries,
        in_hand: &delivery.in_hand,
        found: Found::default(),
    };
    let (outcome, counted) = async {
        if let Err(error) = find_pages(bus, &mut request).await {
            tracing::warn!(%error, "the pages of the earlier attempt could not be looked up");
            return (Outcome::RetryAfter(AFTER_TROUBLE), "handed_back");
        }
        outlet.found = follow(&mut request, &outlet).await;
        let manifest = match engine.run(&request, &outlet, stop).await {
            Ok(manifest) => manifest,
            Err(unpublished) => {
                tracing::warn!(
                    page = unpublished.page,
                    reason = unpublished.reason,
                    "a page could not be published"
                );
                return (Outcome::RetryAfter(AFTER_TROUBLE), "handed_back");
            }
        };
        log(&manifest);
        match bus.publish_manifest(&manifest).await {
            Ok(_) => (Outcome::Done, counted(&manifest)),
            Err(error) => {
                tracing::warn!(%error, "a manifest could not be published");
                (Outcome::from(&error), "handed_back")
            }
        }
    }
    .instrument(span)
    .await;
    engine.instruments.end(counted);
    outcome
}

/// Fills in the pages of an earlier attempt that were too many for the request.
///
/// Without them the run begins anew: its pages would have a gap.
async fn find_pages(bus: &Bus, request: &mut SyncRequest) -> Result<(), bus::Error> {
    let Some(sequence) = request.resume.as_ref().and_then(|resume| resume.manifest) else {
        return Ok(());
    };
    request.resume = bus
        .manifest_at(sequence, &request.run)
        .await?
        .map(|earlier| Resume {
            pages: earlier.pages,
            next: earlier.next,
            manifest: None,
        });
    if request.resume.is_none() {
        tracing::warn!(
            sequence,
            "the earlier attempt's manifest is gone; the run begins anew"
        );
    }
    Ok(())
}

fn counted(manifest: &RunManifest) -> &'static str {
    [
        RunOutcome::Complete,
        RunOutcome::Truncated,
        RunOutcome::Failed,
        RunOutcome::Checkpoint,
    ]
    .into_iter()
    .map(RunOutcome::as_str)
    .find(|outcome| *outcome == manifest.outcome)
    .unwrap_or("failed")
}

fn log(manifest: &RunManifest) {
    let pages = manifest.pages.len();
    if let Some(error) = &manifest.error {
        tracing::warn!(
            pages,
            records = manifest.records,
            requests = manifest.requests,
            code = error.code,
            reason = error.message,
            "run failed"
        );
    } else {
        tracing::info!(
            pages,
            records = manifest.records,
            requests = manifest.requests,
            outcome = manifest.outcome,
            ended = manifest.ended,
            "run fetched"
        );
    }
}

/// Pages to the stream, progress to whoever listens, a word to the broker after each page.
struct ToBus<'a> {
    bus: &'a Bus,
    delivery: u64,
    in_hand: &'a InHand,
    found: Found,
}

impl Outlet for ToBus<'_> {
    async fn page(
        &self,
        workspace: &str,
        dataset: &str,
        headers: PageHeaders,
        body: PageBody,
    ) -> Result<bus::PublishedPage, String> {
        self.bus
            .publish_page(workspace, dataset, headers, self.delivery, body)
            .await
            .map_err(|error| error.to_string())
    }

    async fn progress(&self, progress: Progress) {
        if let Err(error) = self.bus.publish_progress(&progress).await {
            tracing::debug!(%error, "progress was not heard");
        }
    }

    async fn in_hand(&self) {
        self.in_hand.progress().await;
    }

    async fn kept(&self, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, String> {
        self.bus
            .pages(pages)
            .await
            .map_err(|error| error.to_string())
    }

    async fn leave(&self, request: &SyncRequest, piece: u32, value: Bytes) -> bool {
        let Ok(key) = trail_key(&request.workspace, &request.run, request.attempt, piece) else {
            return false;
        };
        let memory = self.bus.memory();
        let writing = memory.put(&key, value, TRAIL_LIFE);
        matches!(
            tokio::time::timeout(TRAIL_PATIENCE, writing).await,
            Ok(Ok(()))
        )
    }

    async fn left(&self, request: &SyncRequest, piece: u32) -> Option<Bytes> {
        let key = trail_key(&request.workspace, &request.run, request.attempt, piece).ok()?;
        let memory = self.bus.memory();
        let reading = memory.get(&key);
        let read = tokio::time::timeout(TRAIL_PATIENCE, reading).await;
        read.ok()?.ok()?
    }

    fn found(&self) -> Found {
        self.found
    }

    fn keeps_pages(&self) -> bool {
        true
    }
}
