#![doc = include_str!("../README.md")]

mod agenda;
mod config;
mod dispatch;
mod due;
mod error;
mod instruments;
mod keeper;
mod reconcile;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use futures::StreamExt as _;
use jiff::Timestamp;
use service::{Context, Shutdown};
use store::Store;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};

pub use config::Config;
pub use error::Error;

use instruments::Instruments;

/// A turn that takes longer than this is stuck: no call in it may wait that long.
const TURN_LIMIT: Duration = Duration::from_mins(5);
/// The pause between turns while runs go out: a claim costs a few milliseconds of the store.
const BUSY_TURN: Duration = Duration::from_millis(100);
/// An announcement that waits longer than this is an alarm: evaluators publish within a second.
const STALE_OUTBOX: f64 = 300.0;

/// Starts the scheduler's loops; they run until shutdown.
pub async fn run(config: Config, context: Context, store: Store, bus: Bus) -> Result<(), Error> {
    let ready = context.readiness.part("store");
    store.ping().await?;
    ready.set(true);
    keeper::start(&context, &store, &bus);
    let part = Turns {
        instruments: Instruments::new(&context.meter),
        config,
        context: context.clone(),
        store,
        bus,
        dispatch_now: Arc::default(),
    };
    let (due, dispatch, reconcile, sweep) = (part.clone(), part.clone(), part.clone(), part);
    context
        .tasks
        .spawn_essential("due", async move { due.due_loop().await });
    context
        .tasks
        .spawn_essential("dispatch", async move { dispatch.dispatch_loop().await });
    context
        .tasks
        .spawn_essential("reconcile", async move { reconcile.reconcile_loop().await });
    context
        .tasks
        .spawn_essential("sweep", async move { sweep.sweep_loop().await });
    Ok(())
}

/// What every loop needs.
#[derive(Clone)]
struct Turns {
    config: Config,
    context: Context,
    store: Store,
    bus: Bus,
    instruments: Instruments,
    /// Runs were opened: they need not wait for the next turn.
    dispatch_now: Arc<Notify>,
}

impl Turns {
    async fn due_loop(&self) {
        self.every("due", self.config.due_every, || async {
            let mut more = true;
            while more && !self.context.shutdown.is_requested() {
                let opened;
                (opened, more) = due::open_due(&self.store, self.now().await?).await?;
                self.instruments.opened.add(opened as u64, &[]);
                if opened > 0 {
                    self.dispatch_now.notify_one();
                }
            }
            Ok(())
        })
        .await;
    }

    async fn dispatch_loop(&self) {
        let shutdown = self.context.shutdown.clone();
        let heartbeat = self.context.liveness.heartbeat("dispatch", TURN_LIMIT);
        let mut wakes = self.bus.wakes().await.ok();
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = sleep(pause) => {}
                () = self.dispatch_now.notified() => {}
                woken = next(&mut wakes) => if !woken { wakes = None; },
            }
            heartbeat.beat();
            if wakes.is_none() {
                wakes = self.bus.wakes().await.ok();
            }
            let sent = self.dispatch_all().await;
            // Where runs went, others may wait for their places: fetchers are quicker than our pauses.
            pause = match sent {
                Ok(1..) => self.config.dispatch_every.min(BUSY_TURN),
                _ => self.config.dispatch_every,
            };
            self.report("dispatch", sent.map(drop));
        }
    }

    async fn reconcile_loop(&self) {
        self.every("reconcile", self.config.reconcile_every, || async {
            let now = self.now().await?;
            let lost = reconcile::reconcile(&self.store, &self.bus, &self.config, now).await?;
            self.instruments.brought_back.add(lost as u64, &[]);
            let oldest = self.store.outbox_oldest().await?;
            let age = oldest.map_or(0.0, |ms| (now.as_millisecond() - ms) as f64 / 1000.0);
            self.instruments.outbox_age.record(age, &[]);
            if age > STALE_OUTBOX {
                tracing::error!(
                    age_seconds = age,
                    "announcements wait: is an evaluator running?"
                );
            }
            Ok(())
        })
        .await;
    }

    async fn sweep_loop(&self) {
        self.every("sweep", self.config.sweep_every, || async {
            let mut more = true;
            while more && !self.context.shutdown.is_requested() {
                let now = self.now().await?;
                let swept = self.store.sweep(now.as_millisecond()).await?;
                tracing::debug!(?swept, "swept what was past its time");
                more = swept.more;
            }
            Ok(())
        })
        .await;
    }

    /// Hands out what may go now; returns how many runs went.
    async fn dispatch_all(&self) -> Result<usize, Error> {
        let mut sent = 0;
        while !self.context.shutdown.is_requested() {
            let now = self.now().await?;
            let turn = dispatch::dispatch(&self.store, &self.bus, &self.config, now).await?;
            self.instruments.dispatched.add(turn.published as u64, &[]);
            sent += turn.published;
            if !turn.more {
                break;
            }
        }
        Ok(sent)
    }

    /// The store's clock, so that replicas on machines with different clocks agree.
    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(store::instant(self.store.now().await?))
    }

    /// Takes a turn now and then until shutdown; a failed turn is reported and tried again.
    async fn every<F, Fut>(&self, name: &'static str, pause: Duration, turn: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(), Error>>,
    {
        let shutdown: Shutdown = self.context.shutdown.clone();
        let heartbeat = self.context.liveness.heartbeat(name, TURN_LIMIT + pause);
        let mut clock = interval(pause);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = clock.tick() => {}
            }
            heartbeat.beat();
            self.report(name, turn().await);
        }
    }

    fn report(&self, turn: &'static str, outcome: Result<(), Error>) {
        if let Err(error) = outcome {
            self.instruments.failed_turns.add(1, &[]);
            tracing::warn!(turn, error = %service::report::chain(&error), "a turn failed; it is tried again");
        }
    }
}

/// Waits for the next wake-up; false when the subscription ended. Waits for ever without one.
async fn next<S: futures::Stream + Unpin>(wakes: &mut Option<S>) -> bool {
    match wakes {
        Some(wakes) => wakes.next().await.is_some(),
        None => std::future::pending().await,
    }
}
