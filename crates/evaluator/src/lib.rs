#![doc = include_str!("../README.md")]

mod alerts;
mod commit;
mod config;
mod earliest;
mod error;
mod extract;
mod instruments;
mod judge;
mod kept;
mod nudge;
mod preview;
mod provenance;
mod push;
mod read_pages;
mod recompute;
mod relay;
mod renamed;
mod run_handler;
mod samples;
mod subjects;
mod told_points;
mod upsert;
mod workers;

use std::time::Duration;

use bus::Bus;
use service::Context;
use store::Store;
use wire::RunManifest;
use wire::stream::Consumer;

pub use config::{Config, WorkerProgram};
pub use error::Error;
pub use workers::WorkerError;

use alerts::{Alerts, Dispatch};
use instruments::Instruments;
use relay::Relay;
use run_handler::RunHandler;
use workers::Workers;

/// A loop that says nothing for this long is stuck: a recompute of one run is far shorter.
const LOOP_LIMIT: Duration = Duration::from_mins(10);

/// Far below the time after which the broker hands a silent evaluator's manifest to another.
const WORD_EVERY: Duration = Duration::from_secs(1);

/// Starts the evaluator's loops; they run until shutdown.
pub async fn run(config: Config, context: Context, store: Store, bus: Bus) -> Result<(), Error> {
    let ready = context.readiness.part("store");
    store.ping().await?;
    ready.set(true);
    let instruments = Instruments::new(&context.meter);
    let dispatch = Dispatch::new(store.clone(), bus.clone());
    let alerts = Alerts::new(
        store.clone(),
        instruments.clone(),
        config.public_url.clone(),
        dispatch.clone(),
    );
    let relay = Relay::new(
        store.clone(),
        bus.clone(),
        instruments.clone(),
        alerts.clone(),
    );
    let handler = RunHandler {
        workers: Workers::new(config.worker.clone(), config.workers),
        relay: relay.clone(),
        store,
        bus: bus.clone(),
        instruments,
        config: config.clone(),
    };

    let (stop, beat) = (
        context.shutdown.clone(),
        context.liveness.heartbeat("relay", LOOP_LIMIT),
    );
    context.tasks.spawn_essential("relay", async move {
        relay.run(stop, config.relay_every, || beat.beat()).await;
    });

    let (stop, beat) = (
        context.shutdown.clone(),
        context.liveness.heartbeat("alerts", LOOP_LIMIT),
    );
    let every = config.alerts_every;
    context.tasks.spawn_essential("alerts", async move {
        alerts.run(stop, every, || beat.beat()).await;
    });

    let (stop, beat) = (
        context.shutdown.clone(),
        context.liveness.heartbeat("dispatch", LOOP_LIMIT),
    );
    let handing = dispatch.clone();
    context.tasks.spawn_essential("dispatch", async move {
        handing.run(stop, every, || beat.beat()).await;
    });

    let stop = context.shutdown.clone();
    context.tasks.spawn_essential("delivered", async move {
        dispatch.listen(stop).await;
    });

    let (stop, beat) = (
        context.shutdown.clone(),
        context.liveness.heartbeat("recompute", LOOP_LIMIT),
    );
    let again = handler.clone();
    context.tasks.spawn_essential("recompute", async move {
        recompute::run(&again, stop, config.recompute_every, || beat.beat()).await;
    });

    let (stop, asked) = (context.shutdown.clone(), handler.clone());
    context.tasks.spawn_essential("previews", async move {
        preview::serve(&asked, &stop).await;
    });

    let (stop, asked) = (context.shutdown.clone(), handler.clone());
    context.tasks.spawn_essential("provenance", async move {
        provenance::serve(&asked, &stop).await;
    });

    let (stop, asked) = (context.shutdown.clone(), handler.clone());
    context.tasks.spawn_essential("pushes", async move {
        push::serve(&asked, &stop).await;
    });

    let stop = context.shutdown.token();
    context.tasks.spawn_essential("manifests", async move {
        let handle = move |delivery: bus::Delivery<RunManifest>| take(handler.clone(), delivery);
        bus.consume(Consumer::Evaluator, config.workers, stop, handle)
            .await;
    });
    Ok(())
}

/// Handles a manifest and says a word to the broker as long as that takes.
async fn take(handler: RunHandler, delivery: bus::Delivery<RunManifest>) -> bus::Outcome {
    let mut handling = std::pin::pin!(handler.handle(delivery.message, delivery.sequence));
    loop {
        match tokio::time::timeout(WORD_EVERY, &mut handling).await {
            Ok(outcome) => return outcome,
            Err(_) => delivery.in_hand.progress().await,
        }
    }
}
