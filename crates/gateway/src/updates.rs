//! The news that metrics changed, as server-sent events that a listener can resume.
//!
//! One subscription to NATS serves all listeners. The newest events are held in memory, so that a
//! listener that was away for a moment gets what it missed; one that was away for longer, or names
//! an event that is not ours, gets `resync` with the versions to read again from.

mod hear;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use definition::Name;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use store::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use wire::MetricUpdate;

use crate::auth::Caller;
use crate::config::Limits;
use crate::definitions::name_of;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, shown};
use crate::router::Gateway;
use crate::time;

pub(crate) use hear::listen;

/// Events held for those who come back; at a busy minute of thousands of metrics this is a moment.
const HELD_EVENTS: usize = 10_000;
/// Memory for them.
const HELD_BYTES: usize = 8 * 1024 * 1024;
/// Events that a slow listener may be behind before it is told to read again.
const BEHIND: usize = 1024;
/// Metrics one listener may name; more is all of them.
const NAMED: usize = 500;
/// Metrics a snapshot holds.
const SNAPSHOT: u32 = 1000;
/// A silent line now and then keeps proxies from closing the stream, and shows whether the token lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A listener that takes nothing for this long is gone.
const SEND_PATIENCE: Duration = Duration::from_mins(1);

/// The newest events, and those who listen.
#[derive(Debug)]
pub(crate) struct Updates {
    held: Mutex<Held>,
    sender: broadcast::Sender<Arc<News>>,
    /// The epoch of event ids, once the past was read.
    epoch: watch::Sender<Option<String>>,
    streams: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Arc<News>>,
    bytes: usize,
    /// Everything after this sequence is held.
    complete_after: u64,
    last: u64,
}

/// What one who comes back has missed.
type Missed = Vec<Arc<News>>;

/// One event.
#[derive(Debug)]
struct News {
    sequence: u64,
    workspace: String,
    metric: String,
    json: String,
}

impl Updates {
    /// Returns a hub without listeners.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            held: Mutex::default(),
            sender: broadcast::channel(BEHIND).0,
            epoch: watch::channel(None).0,
            streams: Arc::new(Semaphore::new(limits.streams)),
        }
    }

    /// Takes one of the places for streams.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "server.busy",
                "too many streams are open",
            )
            .detail("close some, or try again shortly")
            .retry_after(crate::problem::OUTAGE_RETRY_SECONDS)
        })
    }

    fn begin(&self, complete_after: u64) {
        let mut held = self.held();
        *held = Held {
            complete_after,
            last: complete_after,
            ..Held::default()
        };
    }

    /// Returns from where to hear on: behind what is held, or from the newest events of the past.
    fn resume(&self, epoch: &str, first: u64, last: u64) -> u64 {
        let is_same = self.epoch.borrow().as_deref() == Some(epoch);
        let held_last = self.last();
        if is_same && held_last <= last && held_last + 1 >= first {
            return held_last + 1;
        }
        let from = first
            .max(last.saturating_sub(HELD_EVENTS as u64) + 1)
            .max(1);
        self.begin(from - 1);
        from
    }

    fn last(&self) -> u64 {
        self.held().last
    }

    fn take(&self, sequence: u64, update: &MetricUpdate) {
        let Some(json) = written(update) else {
            return;
        };
        let news = Arc::new(News {
            sequence,
            workspace: update.workspace.clone(),
            metric: update.metric.clone(),
            json,
        });
        let mut held = self.held();
        if sequence <= held.last {
            return;
        }
        held.last = sequence;
        held.bytes += news.json.len();
        held.events.push_back(Arc::clone(&news));
        while held.events.len() > HELD_EVENTS || held.bytes > HELD_BYTES {
            let Some(oldest) = held.events.pop_front() else {
                break;
            };
            held.bytes -= oldest.json.len();
            held.complete_after = oldest.sequence;
        }
        // Under the lock, so that a listener misses nothing between what is held and what comes.
        let _ = self.sender.send(news);
    }

    /// Returns what was missed since `sequence` (nothing when that is not held), where the stream
    /// stands, and what comes.
    fn join(&self, sequence: Option<u64>) -> (Option<Missed>, u64, broadcast::Receiver<Arc<News>>) {
        let held = self.held();
        let receiver = self.sender.subscribe();
        let missed = match sequence {
            None => Some(Vec::new()),
            Some(sequence) if sequence < held.complete_after || sequence > held.last => None,
            Some(sequence) => Some(
                held.events
                    .iter()
                    .filter(|news| news.sequence > sequence)
                    .cloned()
                    .collect(),
            ),
        };
        (missed, held.last, receiver)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns an update as listeners read it: a value without a unit has `null` for it, as in every answer about
/// series. The message on NATS has an empty text there.
fn written(update: &MetricUpdate) -> Option<String> {
    let mut update = serde_json::to_value(update).ok()?;
    let changes = update.get_mut("changes").and_then(Value::as_array_mut);
    for change in changes.into_iter().flatten() {
        if let Some(unit) = change.get_mut("unit")
            && unit.as_str() == Some("")
        {
            *unit = Value::Null;
        }
    }
    Some(update.to_string())
}

/// What a listener asked for.
struct Listener {
    caller: Caller,
    metrics: Vec<String>,
}

impl Listener {
    fn wants(&self, news: &News) -> bool {
        news.workspace == self.caller.workspace
            && (self.metrics.is_empty() || self.metrics.contains(&news.metric))
    }
}

/// Streams the news that metrics changed, as server-sent events.
///
/// Events are `ready` (where the stream stands), `update` (a MetricUpdate; the `unit` of a change is null where
/// there is none) and `resync` (read again:
/// `Last-Event-ID` was too old or not ours, or the listener was too slow). Their ids are
/// `<epoch>-<sequence>`; sent back as `Last-Event-ID`, they resume the stream.
#[utoipa::path(get, path = "/api/v1/updates", tag = "updates",
    params(("metrics" = Option<String>, Query, description = "Only these metrics, joined by commas"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn updates(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let metrics = parameters.list("metrics");
    if metrics.len() > NAMED {
        parameters.refuse(
            "metrics",
            format!("names more than {NAMED}; leave it out to hear all"),
        );
    }
    for name in &metrics {
        if Name::parse(name).is_err() {
            parameters.refuse(
                "metrics",
                format!("holds `{}`, which is no metric's name", shown(name)),
            );
        }
    }
    parameters.finish()?;
    for name in &metrics {
        let name = name_of("metric", name)?;
        if gateway
            .store()
            .metric_version(&caller.workspace, &name)
            .await?
            .is_none()
        {
            return Err(Problem::not_found("metric", &name));
        }
    }
    if gateway.updates().epoch.borrow().is_none() && !gateway.bus().is_healthy() {
        return Err(Problem::bus_unavailable());
    }
    let place = gateway.updates().place()?;
    let last = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap_or_default().trim().to_owned());
    let (sender, receiver) = mpsc::channel(64);
    let listener = Listener { caller, metrics };
    let telling = gateway.clone();
    gateway.context().tasks.spawn("updates_stream", async move {
        telling.instruments().stream(1);
        tell(&telling, &listener, last.as_deref(), &sender).await;
        telling.instruments().stream(-1);
        drop(place);
    });
    Ok(Sse::new(ReceiverStream::new(receiver).map(Ok)))
}

async fn tell(
    gateway: &Gateway,
    listener: &Listener,
    last: Option<&str>,
    sender: &mpsc::Sender<Event>,
) {
    let hub = gateway.updates();
    let Some(epoch) = epoch(gateway).await else {
        return;
    };
    let named = last.map(|id| position(id, &epoch));
    let (missed, at, mut news) = hub.join(named.flatten());
    let missed = if named == Some(None) { None } else { missed };
    let opened = match missed {
        Some(missed) => {
            let ready = Event::default().event("ready").data("{}");
            let ready = if missed.is_empty() {
                ready.id(format!("{epoch}-{at}"))
            } else {
                ready
            };
            let mut open = send(sender, ready.retry(Duration::from_secs(2))).await;
            for one in missed.iter().filter(|one| listener.wants(one)) {
                open = open && send(sender, event(one, &epoch)).await;
            }
            open
        }
        None => {
            resync(
                gateway,
                listener,
                "Last-Event-ID is too old or not ours",
                &format!("{epoch}-{at}"),
                sender,
            )
            .await
        }
    };
    if !opened {
        return;
    }
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.tick().await;
    loop {
        let open = tokio::select! {
            () = gateway.closing().cancelled() => return,
            () = sender.closed() => return,
            _ = heartbeat.tick() => {
                gateway.tokens().is_alive(gateway, &listener.caller).await
                    && send(sender, Event::default().comment("still here")).await
            }
            heard = news.recv() => match heard {
                Ok(one) => !listener.wants(&one) || send(sender, event(&one, &epoch)).await,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let (_, at, again) = hub.join(None);
                    news = again;
                    resync(gateway, listener, "the listener was too slow", &format!("{epoch}-{at}"), sender).await
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
        if !open {
            return;
        }
    }
}

/// Returns the epoch of event ids once the past was read.
async fn epoch(gateway: &Gateway) -> Option<String> {
    let mut epoch = gateway.updates().epoch.subscribe();
    tokio::select! {
        known = epoch.wait_for(Option::is_some) => known.ok().and_then(|known| known.clone()),
        () = gateway.closing().cancelled() => None,
    }
}

/// Reads `<epoch>-<sequence>` of this epoch.
fn position(id: &str, epoch: &str) -> Option<u64> {
    id.strip_prefix(epoch)?.strip_prefix('-')?.parse().ok()
}

fn event(news: &News, epoch: &str) -> Event {
    Event::default()
        .event("update")
        .id(format!("{epoch}-{}", news.sequence))
        .data(&news.json)
}

/// Sends an event; false when the listener is gone.
pub(crate) async fn send(sender: &mpsc::Sender<Event>, event: Event) -> bool {
    sender.send_timeout(event, SEND_PATIENCE).await.is_ok()
}

async fn resync(
    gateway: &Gateway,
    listener: &Listener,
    reason: &str,
    id: &str,
    sender: &mpsc::Sender<Event>,
) -> bool {
    match snapshot(gateway, listener).await {
        Ok(metrics) => {
            let data = json!({ "reason": reason, "metrics": metrics });
            send(
                sender,
                Event::default()
                    .event("resync")
                    .id(id)
                    .data(data.to_string()),
            )
            .await
        }
        // Without the store there is nothing to read again; the listener will come back.
        Err(_) => false,
    }
}

async fn snapshot(gateway: &Gateway, listener: &Listener) -> Result<Vec<Value>, Problem> {
    let workspace = &listener.caller.workspace;
    let names = if listener.metrics.is_empty() {
        let stored = gateway
            .store()
            .definitions(workspace, Kind::Metric, None, SNAPSHOT, None)
            .await?;
        stored.into_iter().map(|stored| stored.name).collect()
    } else {
        listener.metrics.clone()
    };
    let mut metrics = Vec::with_capacity(names.len());
    for name in names {
        if let Some(state) = gateway.store().metric_state(workspace, &name).await? {
            metrics.push(json!({
                "metric": name,
                "version": state.version,
                "last_run": state.last_run,
                "last_success_at": state.last_success_at.map(time::text),
            }));
        }
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(metric: &str) -> MetricUpdate {
        MetricUpdate {
            workspace: "default".into(),
            metric: metric.into(),
            version: 1,
            ..MetricUpdate::default()
        }
    }

    fn sequences(missed: Option<Vec<Arc<News>>>) -> Option<Vec<u64>> {
        missed.map(|missed| missed.iter().map(|news| news.sequence).collect())
    }

    #[test]
    fn one_who_comes_back_gets_what_was_missed_and_nothing_twice() {
        let hub = Updates::new(&Limits::default());
        hub.begin(10);
        for sequence in [11, 12, 12, 14] {
            hub.take(sequence, &update("a"));
        }
        assert_eq!(sequences(hub.join(Some(11)).0), Some(vec![12, 14]));
        assert_eq!(sequences(hub.join(Some(10)).0), Some(vec![11, 12, 14]));
        assert_eq!(sequences(hub.join(Some(14)).0), Some(vec![]));
        assert_eq!(sequences(hub.join(None).0), Some(vec![]));
    }

    #[test]
    fn a_change_without_a_unit_says_null_and_one_with_a_unit_says_it() {
        let change = |unit: &str| wire::Change {
            unit: unit.into(),
            value: Some(0.1),
            ..wire::Change::default()
        };
        let update = MetricUpdate {
            changes: vec![change(""), change("EUR")],
            ..update("a")
        };
        let read: Value = serde_json::from_str(&written(&update).unwrap()).unwrap();
        assert_eq!(read["changes"][0]["unit"], Value::Null);
        assert_eq!(read["changes"][1]["unit"], "EUR");
        assert_eq!(read["changes"][1]["value"], 0.1);
        assert_eq!(
            (&read["metric"], &read["version"]),
            (&json!("a"), &json!(1))
        );
    }

    #[test]
    fn too_old_and_too_new_positions_are_not_guessed_about() {
        let hub = Updates::new(&Limits::default());
        hub.begin(10);
        hub.take(11, &update("a"));
        assert_eq!(sequences(hub.join(Some(9)).0), None);
        assert_eq!(sequences(hub.join(Some(12)).0), None);
    }

    #[test]
    fn what_is_held_is_bounded_and_knows_what_it_let_go() {
        let hub = Updates::new(&Limits::default());
        hub.begin(0);
        for sequence in 1..=(HELD_EVENTS as u64 + 5) {
            hub.take(sequence, &update("a"));
        }
        assert_eq!(sequences(hub.join(Some(4)).0), None);
        assert_eq!(
            sequences(hub.join(Some(5)).0).map(|all| all.len()),
            Some(HELD_EVENTS)
        );
    }

    #[test]
    fn positions_of_other_epochs_and_garbage_are_none() {
        assert_eq!(position("7-12", "7"), Some(12));
        for wrong in [
            "zzz",
            "8-12",
            "7-",
            "7",
            "12",
            "",
            "7-99999999999999999999999",
        ] {
            assert_eq!(position(wrong, "7"), None, "{wrong}");
        }
    }
}
