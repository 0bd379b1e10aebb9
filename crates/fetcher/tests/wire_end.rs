//! The fetcher against a real NATS: requests in, pages and manifests out, shutdown, dead letters, budgets.

use crate::support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::testing::TestServer;
use bus::{Bus, Outcome, Published};
use fetcher::budget::{Budgets, Denied};
use serde_json::{Value, json};
use service::{Clock, Context, Identity, Shutdown};
use support::{Stub, answer, config, ok, with_connection};
use wire::stream::Consumer;
use wire::{RunManifest, SyncRequest};

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Collects manifests as an evaluator would take them.
fn manifests(bus: &Bus, stop: &Shutdown) -> tokio::sync::mpsc::UnboundedReceiver<RunManifest> {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let (bus, token) = (bus.clone(), stop.token());
    tokio::spawn(async move {
        bus.consume(
            Consumer::Evaluator,
            1,
            token,
            move |delivery: bus::Delivery<RunManifest>| {
                let send = send.clone();
                async move {
                    let _ = send.send(delivery.message);
                    Outcome::Done
                }
            },
        )
        .await;
    });
    receive
}

async fn next(receive: &mut tokio::sync::mpsc::UnboundedReceiver<RunManifest>) -> RunManifest {
    tokio::time::timeout(PATIENCE, receive.recv())
        .await
        .expect("a manifest in time")
        .expect("a manifest")
}

/// Publishes once the request before it is let go of, which may be a moment after its manifest.
async fn publish(bus: &Bus, request: &SyncRequest) {
    let deadline = Instant::now() + PATIENCE;
    while bus.publish_sync(request).await.expect("published") == Published::AlreadyRunning {
        assert!(
            Instant::now() < deadline,
            "the request before is never let go of"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn order(stub: &Stub, run: &str, document: Value) -> SyncRequest {
    let mut request = with_connection(json!({"name": "api", "base_url": stub.url()}), document);
    run.clone_into(&mut request.run);
    request
}

async fn bodies(bus: &Bus, manifest: &wire::RunManifest) -> Vec<bytes::Bytes> {
    let (workspace, dataset) = (&manifest.workspace, &manifest.dataset);
    let mut reading = bus.run_pages(workspace, dataset, &manifest.run, &manifest.pages);
    let bodies = reading.bodies(&manifest.pages).await.expect("pages");
    bodies.expect("all pages")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_pages_and_one_manifest() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stop = Shutdown::new();
    let mut ends = manifests(&bus, &stop);
    let large = format!("{{\"pages\":3,\"items\":[\"{}\"]}}", "x".repeat(2_500_000));
    let stub = Stub::start(move |asked| match asked.target() {
        "/x?page=2" => ok(&large),
        other => ok(&format!("{{\"pages\":3,\"items\":[\"{other}\"]}}")),
    })
    .await;
    let context = Context::new("fetcher", stop.clone());
    fetcher::run(config(&[stub.address]), context.clone(), bus.clone())
        .await
        .expect("started");
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "total_pages": "pages"}}});
    let request = order(&stub, "r_wire_1", document);
    assert_eq!(
        bus.publish_sync(&request).await.expect("published"),
        Published::Accepted
    );
    let manifest = next(&mut ends).await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            manifest.run.as_str()
        ),
        ("complete", "total_reached", "r_wire_1")
    );
    assert_eq!(
        (manifest.pages.len(), manifest.records, manifest.requests),
        (3, 3, 3)
    );
    assert!(
        manifest.pages[1].sequences.len() > 1,
        "a large page travels in chunks"
    );
    let bodies = bodies(&bus, &manifest).await;
    assert_eq!(&bodies[0][..], b"{\"pages\":3,\"items\":[\"/x?page=1\"]}");
    assert!(bodies[1].len() > 2_500_000);
    stop.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_end_in_a_manifest_too() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stop = Shutdown::new();
    let mut ends = manifests(&bus, &stop);
    let stub = Stub::start(|_| answer("401 Unauthorized", &[], b"{\"error\":\"no\"}")).await;
    let context = Context::new("fetcher", stop.clone());
    fetcher::run(config(&[stub.address]), context.clone(), bus.clone())
        .await
        .expect("started");
    publish(&bus, &order(&stub, "r_wire_2", json!({"path": "/x"}))).await;
    let manifest = next(&mut ends).await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.needs_attention),
        ("failed", true)
    );
    let mut broken = order(&stub, "r_wire_3", json!({"path": "/x"}));
    broken.request = Some(json!({"nonsense": true}).into());
    publish(&bus, &broken).await;
    let manifest = next(&mut ends).await;
    assert_eq!(support::code(&manifest), "fetcher.request");
    stop.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_checkpoints_and_another_fetcher_goes_on() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let listening = Shutdown::new();
    let mut ends = manifests(&bus, &listening);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let stub = Stub::start(move |asked| {
        let page: u32 = asked
            .target()
            .rsplit('=')
            .next()
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        if page == 3 {
            opened.add_permits(1);
        }
        std::thread::sleep(Duration::from_millis(10));
        ok(&format!("{{\"items\":[{page}],\"more\":{}}}", page < 40))
    })
    .await;
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "has_more": "more"}}});
    let mut request = order(&stub, "r_wire_4", document);
    let first = Shutdown::new();
    let context = Context::new("fetcher", first.clone());
    fetcher::run(config(&[stub.address]), context.clone(), bus.clone())
        .await
        .expect("started");
    bus.publish_sync(&request).await.expect("published");
    let _third_page = tokio::time::timeout(PATIENCE, gate.acquire())
        .await
        .expect("in time")
        .expect("a permit");
    first.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
    let checkpoint = next(&mut ends).await;
    assert_eq!(checkpoint.outcome, "checkpoint");
    assert!(
        checkpoint.pages.len() >= 3 && checkpoint.pages.len() < 40,
        "{}",
        checkpoint.pages.len()
    );

    let second = Shutdown::new();
    let context = Context::new("fetcher", second.clone());
    fetcher::run(config(&[stub.address]), context.clone(), bus.clone())
        .await
        .expect("started");
    request.attempt = 2;
    request.resume = Some(wire::Resume {
        pages: checkpoint.pages.clone(),
        next: checkpoint.next.clone(),
        manifest: None,
    });
    assert_eq!(
        bus.publish_sync(&request).await.expect("published"),
        Published::Accepted,
        "the first was let go of"
    );
    let end = next(&mut ends).await;
    assert_eq!(
        (end.outcome.as_str(), end.pages.len(), end.records),
        ("complete", 40, 40)
    );
    let bodies = bodies(&bus, &end).await;
    let items: i64 = bodies
        .iter()
        .map(|body| {
            serde_json::from_slice::<Value>(body).expect("json")["items"][0]
                .as_i64()
                .expect("a number")
        })
        .sum();
    assert_eq!(items, (1..=40).sum::<i64>());
    second.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
    listening.request();
}

#[tokio::test]
async fn a_run_of_thousands_of_pages_goes_on_by_its_manifest() {
    const EARLIER: u32 = 5_000;
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let listening = Shutdown::new();
    let stub = Stub::start(|asked| {
        let last = asked.target().ends_with(&format!("page={}", EARLIER + 2));
        let records = asked
            .target()
            .rsplit('=')
            .next()
            .unwrap_or_default()
            .to_owned();
        ok(&format!("{{\"items\":[{records}],\"more\":{}}}", !last))
    })
    .await;
    let document = json!({"path": "/x", "max_pages": 9000, "pagination": {"page": {"param": "page", "has_more": "more"}}});
    let mut request = order(&stub, "r_wire_6", document.clone());
    request.max_pages = 9_000;

    // What an earlier attempt left: more pages than one message can name.
    let (mut walk, mut todo) = fetcher::pagination::Walk::begin(
        definition::Request::from_document(&document)
            .expect("a request")
            .pagination,
        9_000,
    );
    let mut earlier = RunManifest {
        workspace: request.workspace.clone(),
        dataset: request.dataset.clone(),
        run: request.run.clone(),
        attempt: 1,
        outcome: "checkpoint".into(),
        ended: "checkpoint".into(),
        ..RunManifest::default()
    };
    while let Some((number, _)) = todo.pop() {
        if number > EARLIER {
            break;
        }
        let hash = wire::page::hash(&number.to_be_bytes());
        let facts = fetcher::pagination::Facts {
            records: Some(1),
            has_more: Some(true),
            hash: hash.clone(),
            ..fetcher::pagination::Facts::default()
        };
        match walk.after(number, &facts).expect("no fault") {
            fetcher::pagination::Step::Fetch(pages) => todo.extend(pages),
            other => panic!("{other:?}"),
        }
        earlier.pages.push(wire::PageEntry {
            number,
            hash,
            sequences: vec![u64::from(number)],
            bytes: 30_000,
            records: Some(1),
            status: 200,
            fetched_at: "2026-01-31T03:00:01.5Z".into(),
            url: format!("{}x?page={number}", stub.url()),
            ..wire::PageEntry::default()
        });
    }
    earlier.next = Some(walk.checkpoint().into());
    let sequence = bus.publish_manifest(&earlier).await.expect("published");
    let mut ends = manifests(&bus, &listening);
    let inline = serde_json::to_vec(&earlier.pages).expect("json").len();
    assert!(inline > 1_048_576, "{inline} bytes would fit one message");

    request.attempt = 2;
    request.requires = vec![wire::sync_request::RESUME_BY_MANIFEST.to_owned()];
    request.resume = Some(wire::Resume {
        manifest: Some(sequence),
        ..wire::Resume::default()
    });
    let stop = Shutdown::new();
    let context = Context::new("fetcher", stop.clone());
    fetcher::run(config(&[stub.address]), context.clone(), bus.clone())
        .await
        .expect("started");
    publish(&bus, &request).await;
    let checkpoint = next(&mut ends).await;
    assert_eq!(checkpoint.outcome, "checkpoint", "the one from before");
    let end = next(&mut ends).await;
    assert_eq!(
        (end.outcome.as_str(), end.pages.len(), stub.asked().len()),
        ("complete", EARLIER as usize + 2, 2)
    );
    assert_eq!(end.pages[17].hash, earlier.pages[17].hash, "adopted");
    stop.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
    listening.request();
}

#[tokio::test]
async fn the_fifth_delivery_is_a_dead_letter() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stub = Stub::start(|_| ok("[1]")).await;
    let engine = support::engine(config(&[stub.address]));
    for (deliveries, is_dead) in [(1, false), (4, false), (5, true), (9, true)] {
        let delivery = bus::Delivery {
            message: order(&stub, "r_wire_5", json!({"path": "/x"})),
            subject: "tidemark.v1.default.sync.d_0123456789abcdef.all".to_owned(),
            sequence: 1,
            deliveries,
            in_hand: bus::InHand::nobody(),
        };
        let outcome = fetcher::serve::handle(&engine, &bus, &Shutdown::new(), delivery).await;
        assert_eq!(
            matches!(outcome, Outcome::Reject(_)),
            is_dead,
            "{deliveries}: {outcome:?}"
        );
    }
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_fetchers_together_keep_one_rate() {
    const REQUESTS: u32 = 40;
    const PER: Duration = Duration::from_secs(2);
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let connection = definition::Connection::from_document(&json!({
        "name": "api", "base_url": "https://api.test", "rate_limit": {"requests": REQUESTS, "per": "2s", "concurrency": 6},
    }))
    .expect("a connection");
    let limit = connection.rate_limit.expect("a limit");
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let budgets = Budgets::new(bus.budgets(), Clock::system());
        let limit = limit.clone();
        clients.push(tokio::spawn(async move {
            let mut sent = Vec::new();
            while begun.elapsed() < Duration::from_secs(8) {
                match budgets.permit("default", "api", &limit).await {
                    Ok(()) => sent.push(begun.elapsed()),
                    Err(Denied::Spent(wait)) => {
                        tokio::time::sleep(wait.min(Duration::from_millis(300))).await;
                    }
                    Err(Denied::Unreachable(reason)) => panic!("{reason}"),
                }
            }
            sent
        }));
    }
    let mut sent = Vec::new();
    for client in clients {
        sent.extend(client.await.expect("a client"));
    }
    sent.sort_unstable();
    for (index, at) in sent.iter().enumerate() {
        let within = sent[index..]
            .iter()
            .take_while(|later| **later < *at + PER)
            .count();
        assert!(
            within <= REQUESTS as usize,
            "{within} requests within {PER:?}"
        );
    }
    assert!(
        sent.len() >= 2 * REQUESTS as usize,
        "the rate is used: {} requests in 8 s",
        sent.len()
    );

    let budgets = Budgets::new(bus.budgets(), Clock::system());
    assert_eq!(
        budgets.lease("default", "api", &limit, "r_1.1", 4).await,
        Ok(4)
    );
    assert_eq!(
        budgets.lease("default", "api", &limit, "r_2.1", 4).await,
        Ok(2)
    );
    assert_eq!(
        budgets.lease("default", "api", &limit, "r_3.1", 4).await,
        Ok(0)
    );
    budgets.release("default", "api", &limit, "r_1.1").await;
    assert_eq!(
        budgets.lease("default", "api", &limit, "r_3.1", 4).await,
        Ok(4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_cannot_be_reached_lets_nothing_out() {
    let mut server = TestServer::start().await;
    let bus = server.provisioned().await;
    let limit = definition::RateLimit {
        requests: 10,
        per: definition::Span::parse("60s").expect("a span"),
        concurrency: None,
    };
    let budgets = Budgets::new(bus.budgets(), Clock::system());
    assert_eq!(budgets.permit("default", "api", &limit).await, Ok(()));
    server.kill().await;
    // The slice in hand is one permit here, so the next one has to be asked for.
    assert!(matches!(
        budgets.permit("default", "api", &limit).await,
        Err(Denied::Unreachable(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_in_nats() {
    const CANARY: &str = "canary-7f3a/91+x";
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stop = Shutdown::new();
    let mut ends = manifests(&bus, &stop);
    let stub = Stub::start(|asked| {
        let next = (asked.number < 3).then(|| {
            format!(
                "\"{}&page={}\"",
                asked.target().replace("&page", "&was"),
                asked.number
            )
        });
        ok(&format!(
            "{{\"items\":[{}],\"next\":{}}}",
            asked.number,
            next.unwrap_or("null".into())
        ))
    })
    .await;
    let identity = Identity::generate();
    let mut settings = config(&[stub.address]);
    settings.identities = vec![identity.clone()];
    let context = Context::new("fetcher", stop.clone());
    fetcher::run(settings, context.clone(), bus.clone())
        .await
        .expect("started");
    let connection = json!({
        "name": "api", "base_url": stub.url(), "auth": {"query": {"api_secret": {"secret": "key"}}},
        "rate_limit": {"requests": 100, "per": "60s", "concurrency": 2},
    });
    let mut request = with_connection(
        connection,
        json!({"path": "/x", "pagination": {"next_url": {"from": "next"}}}),
    );
    request.secrets = vec![support::seal(&identity, &stub.url(), CANARY)];
    bus.publish_sync(&request).await.expect("published");
    let manifest = next(&mut ends).await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.pages.len()),
        ("complete", 4),
        "{}",
        support::message(&manifest)
    );
    assert!(
        stub.asked()
            .iter()
            .all(|asked| asked.target().matches("api_secret=").count() == 1)
    );
    stop.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
    bus.flush().await.expect("flushed");
    for entry in walk(server.folder()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        for spelling in [
            CANARY.to_owned(),
            "canary-7f3a%2F91%2Bx".to_owned(),
            "canary-7f3a\\/91+x".to_owned(),
        ] {
            let found = bytes
                .windows(spelling.len())
                .any(|window| window == spelling.as_bytes());
            assert!(!found, "the secret is in {}", entry.display());
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
