//! A connection's budget over several fetchers and a real NATS: what an API asks for, and who gets how many slots.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::testing::TestServer;
use bus::{Bus, Outcome};
use fetcher::budget::Budgets;
use fetcher::stated_limit::Pause;
use futures::StreamExt as _;
use serde_json::{Value, json};
use service::{Clock, Context, Shutdown};
use support::{Stub, answer, config, ok, with_connection};
use wire::stream::Consumer;
use wire::{RunManifest, SyncRequest};

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Several fetchers on one NATS, and what they say.
struct Fetchers {
    bus: Bus,
    stop: Shutdown,
    contexts: Vec<Context>,
    ends: tokio::sync::mpsc::UnboundedReceiver<(RunManifest, Instant)>,
}

impl Fetchers {
    async fn start(server: &TestServer, stub: &Stub, count: usize) -> Self {
        let bus = server.provisioned().await;
        let stop = Shutdown::new();
        let (send, ends) = tokio::sync::mpsc::unbounded_channel();
        let (listening, token) = (bus.clone(), stop.token());
        tokio::spawn(async move {
            let handle = move |delivery: bus::Delivery<RunManifest>| {
                let send = send.clone();
                async move {
                    let _ = send.send((delivery.message, Instant::now()));
                    Outcome::Done
                }
            };
            listening
                .consume(Consumer::Evaluator, 1, token, handle)
                .await;
        });
        let mut contexts = Vec::new();
        for _ in 0..count {
            let context = Context::new("fetcher", stop.clone());
            let mut settings = config(&[stub.address]);
            // One run each: so two runs are on two fetchers.
            settings.concurrency = 1;
            fetcher::run(settings, context.clone(), bus.clone())
                .await
                .expect("started");
            contexts.push(context);
        }
        Fetchers {
            bus,
            stop,
            contexts,
            ends,
        }
    }

    async fn order(&self, request: &SyncRequest) {
        self.bus.publish_sync(request).await.expect("published");
    }

    async fn end(&mut self) -> (RunManifest, Instant) {
        tokio::time::timeout(PATIENCE, self.ends.recv())
            .await
            .expect("a manifest in time")
            .expect("a manifest")
    }

    async fn stop(self) {
        self.stop.request();
        for context in self.contexts {
            assert!(context.tasks.drain(PATIENCE).await.is_empty());
        }
    }
}

fn request(number: u8, connection: Value, document: Value) -> SyncRequest {
    let mut request = with_connection(connection, document);
    request.run = format!("r_budget_{number}");
    request.dataset = format!("d_000000000000000{number}");
    request
}

#[tokio::test]
async fn a_pause_is_known_to_every_fetcher_until_it_is_over() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let [told, other] = [(); 2].map(|()| Budgets::new(bus.budgets(), Clock::system()));
    assert_eq!(other.paused_for("default", "api").await, None);
    let pause = Pause {
        wait: Duration::from_secs(3),
        reason: "the API answered 429 and asked for a pause".into(),
    };
    told.pause("default", "api", None, &pause).await;
    assert!(told.paused_for("default", "api").await.is_some());
    let began = Instant::now();
    while other.paused_for("default", "api").await.is_none() {
        assert!(
            began.elapsed() < Duration::from_millis(2_500),
            "it is heard of within a second"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(other.paused_for("default", "elsewhere").await, None);
    while let Some(wait) = other.paused_for("default", "api").await {
        assert!(began.elapsed() < PATIENCE, "it is over some time");
        tokio::time::sleep(wait.min(Duration::from_millis(100))).await;
    }
    assert!(
        began.elapsed() >= Duration::from_millis(2_900),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_holds_back_the_other_fetcher_too() {
    let server = TestServer::start().await;
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = times.clone();
    let stub = Stub::start(move |asked| {
        noted.lock().expect("the times").push(Instant::now());
        if asked.number == 0 {
            return answer("429 Too Many Requests", &[("Retry-After", "3")], b"");
        }
        ok("[1]")
    })
    .await;
    let mut fetchers = Fetchers::start(&server, &stub, 2).await;
    let connection = json!({"name": "api", "base_url": stub.url()});
    fetchers
        .order(&request(1, connection.clone(), json!({"path": "/first"})))
        .await;
    let deadline = Instant::now() + PATIENCE;
    while stub.asked().is_empty() {
        assert!(Instant::now() < deadline, "the first request");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Told once the refusal is written where the other looks.
    let budgets = Budgets::new(fetchers.bus.budgets(), Clock::system());
    while budgets.paused_for("default", "api").await.is_none() {
        assert!(Instant::now() < deadline, "the pause is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fetchers
        .order(&request(2, connection, json!({"path": "/second"})))
        .await;
    for _ in 0..2 {
        let (end, _) = fetchers.end().await;
        assert_eq!(end.outcome, "complete", "{end:?}");
    }
    let times = times.lock().expect("the times").clone();
    assert_eq!(times.len(), 3);
    for later in &times[1..] {
        let waited = *later - times[0];
        assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    }
    fetchers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_used_up_is_waited_for_before_anybody_is_refused() {
    let server = TestServer::start().await;
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = times.clone();
    let stub = Stub::start(move |asked| {
        noted.lock().expect("the times").push(Instant::now());
        let more = asked.number < 2;
        let left = if asked.number == 0 {
            "\"default\";r=0;t=2"
        } else {
            "\"default\";r=9;t=2"
        };
        let body = format!("{{\"items\":[{}],\"more\":{more}}}", asked.number);
        answer("200 OK", &[("RateLimit", left)], body.as_bytes())
    })
    .await;
    let mut fetchers = Fetchers::start(&server, &stub, 1).await;
    let connection = json!({"name": "api", "base_url": stub.url()});
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "has_more": "more"}}});
    fetchers.order(&request(1, connection, document)).await;
    let (end, _) = fetchers.end().await;
    assert_eq!((end.outcome.as_str(), end.pages.len()), ("complete", 3));
    let times = times.lock().expect("the times").clone();
    assert!(times[1] - times[0] >= Duration::from_millis(1_900));
    assert!(times[2] - times[1] < Duration::from_millis(1_500));
    fetchers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_rate_limit_is_told_with_the_connection() {
    let server = TestServer::start().await;
    let stub = Stub::start(|asked| {
        let (number, more) = (asked.number, asked.number < 2);
        ok(&format!("{{\"items\":[{number}],\"more\":{more}}}"))
    })
    .await;
    let mut fetchers = Fetchers::start(&server, &stub, 1).await;
    let connection = json!({"name": "kit", "base_url": stub.url(),
        "rate_limit": {"requests": 1, "per": "1s"}});
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "has_more": "more"}}});
    let request = request(1, connection, document);
    let mut progress = fetchers
        .bus
        .progress("default", &request.run)
        .await
        .expect("progress");
    fetchers.order(&request).await;
    let told = async {
        loop {
            let heard = progress.next().await.expect("progress");
            if !heard.waiting_for.is_empty() {
                break heard;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.expect("in time");
    assert_eq!(
        (told.state.as_str(), told.waiting_for.as_str()),
        ("waiting", "waiting for the rate limit of connection kit")
    );
    let (end, _) = fetchers.end().await;
    assert_eq!(end.outcome, "complete");
    fetchers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn a_greedy_run_shares_its_slots_and_the_limit_holds() {
    const LIMIT: usize = 4;
    let server = TestServer::start().await;
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, seen) = (under_way.clone(), most.clone());
    let stub = Stub::start(move |asked| {
        let together = now.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(together, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        now.fetch_sub(1, Ordering::SeqCst);
        let pages = if asked.target().starts_with("/greedy") {
            200
        } else {
            12
        };
        ok(&format!(
            "{{\"items\":[\"{}\"],\"pages\":{pages}}}",
            asked.target()
        ))
    })
    .await;
    let mut fetchers = Fetchers::start(&server, &stub, 2).await;
    let connection = json!({"name": "api", "base_url": stub.url(),
        "rate_limit": {"requests": 100_000, "per": "60s", "concurrency": LIMIT}});
    let document = |path: &str| json!({"path": path, "max_pages": 500, "pagination": {"page": {"param": "page", "total_pages": "pages"}}});
    let mut greedy = request(1, connection.clone(), document("/greedy"));
    let mut modest = request(2, connection, document("/modest"));
    (greedy.max_pages, modest.max_pages) = (500, 500);
    fetchers.order(&greedy).await;
    let deadline = Instant::now() + PATIENCE;
    while under_way.load(Ordering::SeqCst) < LIMIT {
        assert!(Instant::now() < deadline, "the greedy one has all slots");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fetchers.order(&modest).await;
    let (first, at) = fetchers.end().await;
    assert_eq!(
        (
            first.run.as_str(),
            first.outcome.as_str(),
            first.pages.len()
        ),
        ("r_budget_2", "complete", 12),
        "the modest one is not held up"
    );
    let (second, later) = fetchers.end().await;
    assert_eq!(
        (second.outcome.as_str(), second.pages.len()),
        ("complete", 200)
    );
    assert!(later > at);
    assert_eq!(most.load(Ordering::SeqCst), LIMIT);
    fetchers.stop().await;
}
