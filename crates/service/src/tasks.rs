//! The only way to spawn: every task has a name, an owner, and is awaited at shutdown.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::task::{AbortHandle, JoinError};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::Shutdown;

/// Spawns named tasks and waits for them at the end.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracker: TaskTracker,
    running: Mutex<BTreeMap<u64, (&'static str, AbortHandle)>>,
    next: AtomicU64,
    panics: AtomicU64,
    panic_counter: Counter<u64>,
    shutdown: Shutdown,
}

/// Ends one task early; dropping it leaves the task running.
#[derive(Clone, Debug)]
pub struct TaskHandle(AbortHandle);

impl TaskHandle {
    /// Drops the task at its next wait; nothing of it runs afterwards.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Tasks {
    /// Returns an empty set; a panic in an essential task gives the `shutdown` signal.
    pub fn new(shutdown: Shutdown) -> Self {
        let panic_counter = opentelemetry::global::meter("service")
            .u64_counter("tidemark.task.panics")
            .with_description("tasks that ended by a panic, by the task's name")
            .build();
        Self(Arc::new(Inner {
            tracker: TaskTracker::new(),
            running: Mutex::default(),
            next: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            panic_counter,
            shutdown,
        }))
    }

    /// Runs `future` beside its caller, under `name`.
    ///
    /// A panic in it is logged and counted, and ends nothing else. The future is expected to end
    /// by itself after the shutdown signal; [`Tasks::drain`] waits for that. The current span goes
    /// with it.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, future, Importance::Ordinary)
    }

    /// Runs `future` beside its caller; if it panics, the process is asked to stop.
    ///
    /// For the loops without which a service is only a shell that looks alive.
    pub fn spawn_essential<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, future, Importance::Essential)
    }

    /// Returns how many tasks have ended by a panic so far.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// Returns the names of the tasks that run now, oldest first.
    pub fn running(&self) -> Vec<&'static str> {
        self.0.running().values().map(|(name, _)| *name).collect()
    }

    /// Waits until every task has ended, at most for `deadline`; those still running then are
    /// aborted and their names returned.
    pub async fn drain(&self, deadline: Duration) -> Vec<&'static str> {
        self.0.tracker.close();
        if tokio::time::timeout(deadline, self.0.tracker.wait())
            .await
            .is_ok()
        {
            return Vec::new();
        }
        let late: Vec<_> = {
            let running = self.0.running();
            running
                .values()
                .map(|(_, handle)| handle.abort())
                .for_each(drop);
            running.values().map(|(name, _)| *name).collect()
        };
        tracing::warn!(tasks = ?late, deadline_ms = deadline.as_millis(), "tasks did not end in time and were dropped");
        late
    }

    fn start<F>(&self, name: &'static str, future: F, importance: Importance) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let task = tokio::spawn(future.in_current_span());
        let abort = task.abort_handle();
        self.0.running().insert(id, (name, abort.clone()));
        let inner = Arc::clone(&self.0);
        // A second task, because only a join handle says that the first one panicked.
        tokio::spawn(self.0.tracker.track_future(async move {
            let ended = task.await;
            inner.running().remove(&id);
            if let Err(error) = ended {
                inner.note(name, error, importance);
            }
        }));
        TaskHandle(abort)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Importance {
    Ordinary,
    Essential,
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, (&'static str, AbortHandle)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, name: &'static str, error: JoinError, importance: Importance) {
        if !error.is_panic() {
            return;
        }
        self.panics.fetch_add(1, Ordering::Relaxed);
        self.panic_counter.add(1, &[KeyValue::new("task", name)]);
        let panic = error.into_panic();
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(not a text)");
        tracing::error!(task = name, panic = message, "a task panicked");
        if importance == Importance::Essential && !self.shutdown.is_requested() {
            tracing::error!(
                task = name,
                "stopping, because the service is nothing without this task"
            );
            self.shutdown.request();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn drain_waits_for_what_is_in_hand() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        let done = Arc::new(AtomicU64::new(0));
        for _ in 0..10 {
            let (done, shutdown) = (Arc::clone(&done), shutdown.clone());
            tasks.spawn("worker", async move {
                shutdown.requested().await;
                tokio::task::yield_now().await;
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        assert_eq!(tasks.running().len(), 10);
        shutdown.request();
        assert!(tasks.drain(LONG).await.is_empty());
        assert_eq!(done.load(Ordering::SeqCst), 10);
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_task_that_never_ends_is_named_and_dropped_at_the_deadline() {
        let tasks = Tasks::new(Shutdown::new());
        let handle = tasks.spawn("stubborn", std::future::pending());
        assert_eq!(tasks.drain(Duration::from_millis(5)).await, ["stubborn"]);
        assert!(tasks.drain(LONG).await.is_empty());
        assert!(handle.is_finished());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_ends_nothing_else() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("clumsy", async { panic!("dropped a plate") });
        tasks.spawn("careful", async {});
        assert!(tasks.drain(LONG).await.is_empty());
        assert_eq!(tasks.panics(), 1);
        assert!(!shutdown.is_requested());
    }

    #[tokio::test]
    async fn a_panic_in_an_essential_task_asks_the_process_to_stop() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_essential("relay", async { panic!("{}", String::from("gone")) });
        tokio::time::timeout(LONG, shutdown.requested())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_aborted_task_is_no_panic() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("idle", std::future::pending()).abort();
        assert!(tasks.drain(LONG).await.is_empty());
        assert_eq!(tasks.panics(), 0);
    }
}
