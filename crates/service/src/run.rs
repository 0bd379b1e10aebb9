//! What a service is handed, and its life from start to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::metrics::Meter;

use crate::{Clock, Liveness, Readiness, Shutdown, Tasks, probes};

/// The handful of things that every service is handed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// Tells the time.
    pub clock: Clock,
    /// Says when to stop.
    pub shutdown: Shutdown,
    /// Spawns.
    pub tasks: Tasks,
    /// Waits for the parts that the service needs.
    pub readiness: Readiness,
    /// Watches the loops of the service.
    pub liveness: Liveness,
    /// Makes instruments.
    pub meter: Meter,
    /// The service's name: one of a small closed set, used as a label.
    pub service: &'static str,
}

impl Context {
    /// Returns a context with the machine's clock and everything else new.
    ///
    /// Instruments made from it reach `/metrics` when [`crate::telemetry::init`] was called
    /// before, and go nowhere otherwise, which is what most tests want.
    pub fn new(service: &'static str, shutdown: Shutdown) -> Self {
        Self {
            clock: Clock::system(),
            tasks: Tasks::new(shutdown.clone()),
            readiness: Readiness::new(shutdown.clone()),
            liveness: Liveness::default(),
            meter: opentelemetry::global::meter(service),
            service,
            shutdown,
        }
    }

    /// Returns the same context with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the same context for another service of the same process.
    #[must_use]
    pub fn named(&self, service: &'static str) -> Self {
        Self {
            meter: opentelemetry::global::meter(service),
            service,
            ..self.clone()
        }
    }
}

/// How a process is run around its service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the probes are served, if anywhere.
    pub probes: Option<SocketAddr>,
    /// How long work in hand may take to end.
    pub drain: Duration,
}

/// Why a service did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: std::error::Error + 'static> {
    /// The probes' address cannot be listened on.
    #[error("probes cannot listen on {address}")]
    Probes {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The service itself failed.
    #[error(transparent)]
    Service(E),
}

/// Runs a service: serves the probes, starts it, waits for shutdown, drains its tasks.
///
/// `start` connects, spawns its loops through the context and returns; a service that only has
/// one loop may as well stay in it until shutdown. Its error stops everything.
pub async fn run<F, Fut, E>(
    context: Context,
    settings: Settings,
    start: F,
) -> Result<(), RunError<E>>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let stop_probes = Shutdown::new();
    if let Some(address) = settings.probes {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|cause| RunError::Probes { address, cause })?;
        let router = probes::router(context.readiness.clone(), context.liveness.clone());
        // Not through `Tasks`: the probes answer until the drain is over.
        tokio::spawn(probes::serve(listener, router, stop_probes.clone()));
    }
    let started = start(context.clone()).await;
    if started.is_ok() {
        context.shutdown.requested().await;
    }
    context.shutdown.request();
    context.tasks.drain(settings.drain).await;
    stop_probes.request();
    tracing::info!(service = context.service, "stopped");
    started.map_err(RunError::Service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("store is gone")]
    struct Gone;

    const SETTINGS: Settings = Settings {
        probes: None,
        drain: Duration::from_secs(20),
    };

    #[tokio::test]
    async fn a_service_runs_until_shutdown_and_its_tasks_end_first() {
        let shutdown = Shutdown::new();
        let context = Context::new("test", shutdown.clone());
        let tasks = context.tasks.clone();
        run(context, SETTINGS, |context| async move {
            let stop = context.shutdown.clone();
            context
                .tasks
                .spawn("loop", async move { stop.requested().await });
            context.shutdown.request();
            Ok::<(), Gone>(())
        })
        .await
        .unwrap();
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_service_that_cannot_start_stops_what_it_began() {
        let context = Context::new("test", Shutdown::new());
        let shutdown = context.shutdown.clone();
        let error = run(context, SETTINGS, |_| async { Err(Gone) })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "store is gone");
        assert!(shutdown.is_requested());
    }
}
