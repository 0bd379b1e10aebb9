//! `/livez`, `/readyz` and `/metrics`, and the states behind them.
//!
//! Ready means able, live means not stuck. Readiness waits for what the service needs, once;
//! liveness looks at our own loops alone, so that a broker outage never restarts us.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::{Shutdown, telemetry};

/// Opens once every part has said that it is ready, and then stays open until shutdown.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    parts: Mutex<BTreeMap<&'static str, bool>>,
    latched: AtomicBool,
    shutdown: Shutdown,
}

/// Says for one part whether it is ready.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    gate: Arc<Gate>,
}

impl Readiness {
    /// Returns a closed gate; it closes for good when `shutdown` is requested.
    pub fn new(shutdown: Shutdown) -> Self {
        Self(Arc::new(Gate {
            parts: Mutex::default(),
            latched: AtomicBool::new(false),
            shutdown,
        }))
    }

    /// Adds a part that the gate waits for.
    ///
    /// Add all parts before the first says that it is ready: the gate opens when those it knows
    /// are, and nothing but shutdown closes it again. Asking for the same name twice gives the
    /// same part.
    pub fn part(&self, name: &'static str) -> Part {
        self.0.parts().entry(name).or_insert(false);
        Part {
            name,
            gate: Arc::clone(&self.0),
        }
    }

    /// Whether the gate is open.
    pub fn is_ready(&self) -> bool {
        self.0.latched.load(Ordering::Acquire) && !self.0.shutdown.is_requested()
    }

    /// Returns the parts that the gate still waits for; none once it has been open.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        if self.0.latched.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.0
            .parts()
            .iter()
            .filter(|(_, ready)| !**ready)
            .map(|(name, _)| *name)
            .collect()
    }
}

impl Part {
    /// Says whether this part is ready; `false` after the gate has opened changes nothing.
    pub fn set(&self, ready: bool) {
        let mut parts = self.gate.parts();
        parts.insert(self.name, ready);
        if parts.values().all(|ready| *ready) && !self.gate.latched.swap(true, Ordering::AcqRel) {
            tracing::info!(parts = ?parts.keys().collect::<Vec<_>>(), "ready");
        }
    }
}

impl Gate {
    fn parts(&self) -> MutexGuard<'_, BTreeMap<&'static str, bool>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Knows every loop of the process and when it last turned.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Loops>);

#[derive(Debug, Default)]
struct Loops {
    next: AtomicU64,
    loops: Mutex<BTreeMap<u64, Loop>>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    limit: Duration,
    last: Arc<Mutex<Instant>>,
}

/// Says for one loop that it still turns; dropping it says that the loop has ended in order.
#[derive(Debug)]
pub struct Heartbeat {
    id: u64,
    last: Arc<Mutex<Instant>>,
    loops: Arc<Loops>,
}

impl Liveness {
    /// Adds a loop that counts as stuck when it has not turned for `limit`.
    ///
    /// The limit has to be longer than the loop's longest legitimate wait.
    pub fn heartbeat(&self, name: &'static str, limit: Duration) -> Heartbeat {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let last = Arc::new(Mutex::new(Instant::now()));
        self.0.loops().insert(
            id,
            Loop {
                name,
                limit,
                last: Arc::clone(&last),
            },
        );
        Heartbeat {
            id,
            last,
            loops: Arc::clone(&self.0),
        }
    }

    /// Returns the loops that have not turned within their limit; none means live.
    pub fn stuck(&self) -> Vec<&'static str> {
        let now = Instant::now();
        self.0
            .loops()
            .values()
            .filter(|entry| {
                let last = *entry.last.lock().unwrap_or_else(PoisonError::into_inner);
                now.saturating_duration_since(last) > entry.limit
            })
            .map(|entry| entry.name)
            .collect()
    }
}

impl Loops {
    fn loops(&self) -> MutexGuard<'_, BTreeMap<u64, Loop>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Says that the loop has turned just now.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // A loop that panicked has not ended in order: it stays, and goes stale.
        if !std::thread::panicking() {
            self.loops.loops().remove(&self.id);
        }
    }
}

/// Returns the routes `/livez`, `/readyz` and `/metrics`.
pub fn router(readiness: Readiness, liveness: Liveness) -> Router {
    Router::new()
        .route("/livez", get(move || async move { live(&liveness) }))
        .route("/readyz", get(move || async move { ready(&readiness) }))
        .route("/metrics", get(|| async { metrics() }))
}

/// Serves `router` on `listener` until shutdown, then lets the open requests end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await
}

fn live(liveness: &Liveness) -> Response {
    verdict("stuck", &liveness.stuck())
}

fn ready(readiness: &Readiness) -> Response {
    if readiness.is_ready() {
        return verdict("", &[]);
    }
    let waiting = readiness.waiting_for();
    if waiting.is_empty() {
        verdict("not ready", &["stopping or not started"])
    } else {
        verdict("waiting for", &waiting)
    }
}

fn verdict(reason: &str, names: &[&str]) -> Response {
    if names.is_empty() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{reason}: {}\n", names.join(", ")),
        )
            .into_response()
    }
}

fn metrics() -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        telemetry::render(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_waits_for_every_part_and_only_shutdown_takes_it_back() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        let router = router(readiness.clone(), Liveness::default());
        assert_eq!(
            ask(&router, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );

        let (nats, store) = (readiness.part("nats"), readiness.part("store"));
        nats.set(true);
        assert_eq!(
            ask(&router, "/readyz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for: store\n".into()
            )
        );
        store.set(true);
        assert_eq!(
            ask(&router, "/readyz").await,
            (StatusCode::OK, "ok\n".into())
        );

        nats.set(false);
        assert!(
            readiness.is_ready(),
            "an outage behind us is a 503 of requests, not unreadiness"
        );

        shutdown.request();
        assert_eq!(
            ask(&router, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[tokio::test]
    async fn a_loop_that_stands_still_is_not_live_and_one_that_ended_is_no_fault() {
        let liveness = Liveness::default();
        let router = router(Readiness::new(Shutdown::new()), liveness.clone());
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);

        let patient = liveness.heartbeat("patient", Duration::from_hours(1));
        let stuck = liveness.heartbeat("relay", Duration::ZERO);
        assert_eq!(
            ask(&router, "/livez").await,
            (StatusCode::SERVICE_UNAVAILABLE, "stuck: relay\n".into())
        );

        drop(stuck);
        patient.beat();
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_loop_that_panicked_goes_stale() {
        let liveness = Liveness::default();
        let heart = liveness.heartbeat("relay", Duration::ZERO);
        let ended = tokio::spawn(async move {
            heart.beat();
            panic!("gone");
        });
        assert!(ended.await.is_err());
        assert_eq!(liveness.stuck(), ["relay"]);
    }

    #[tokio::test]
    async fn the_probes_answer_on_a_listener_of_their_own_until_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = Shutdown::new();
        let router = router(Readiness::new(shutdown.clone()), Liveness::default());
        let served = tokio::spawn(serve(listener, router, shutdown.clone()));
        shutdown.request();
        tokio::time::timeout(Duration::from_secs(20), served)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}
