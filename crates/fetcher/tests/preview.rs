//! Previews over a real NATS: a few pages, what was sent and came back, nothing secret.

use crate::support;

use std::time::Duration;

use bus::testing::TestServer;
use bus::{Bus, Error};
use serde_json::{Value, json};
use service::{Context, Identity, Shutdown};
use support::{Stub, answer, config, ok, seal, with_connection};
use wire::{Message as _, PreviewFetch, PreviewFetched, SyncRequest, message};

/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);
const DRAFT: &str = "r_0000000000000000000d";

async fn fetcher(bus: &Bus, settings: fetcher::Config) -> (Context, Shutdown) {
    let stop = Shutdown::new();
    let context = Context::new("fetcher", stop.clone());
    fetcher::run(settings, context.clone(), bus.clone())
        .await
        .expect("started");
    (context, stop)
}

async fn ask(bus: &Bus, sync: SyncRequest) -> PreviewFetched {
    let asked = PreviewFetch {
        workspace: "default".to_owned(),
        draft: DRAFT.to_owned(),
        sync: Some(sync),
        identity: "same".to_owned(),
        ..PreviewFetch::default()
    };
    let subject = asked.subject().expect("a subject");
    let payload = message::encode(&asked).expect("json");
    // The fetcher listens a moment after it has started.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match bus
            .request(&subject, payload.clone().into(), PATIENCE)
            .await
        {
            Ok(answer) => return message::decode(subject.as_str(), &answer).expect("an answer"),
            Err(Error::Unanswered { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn order(base_url: &str, document: Value, pages: u32) -> SyncRequest {
    SyncRequest {
        max_pages: pages,
        ..with_connection(json!({"name": "api", "base_url": base_url}), document)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_fetched_shown_and_kept_without_a_trace_of_its_secret() {
    let secret = "sk_live_canary_0123456789";
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stub = Stub::start(move |asked| {
        let page = asked.target().contains("page=2");
        let body = format!(
            "{{\"pages\":9,\"next\":\"/x?key={secret}\",\"items\":[{{\"second\":{page}}}]}}"
        );
        answer(
            "200 OK",
            &[
                ("Content-Type", "application/json"),
                ("X-RateLimit-Remaining", "118"),
                ("Set-Cookie", "session=1"),
            ],
            body.as_bytes(),
        )
    })
    .await;
    let identity = Identity::generate();
    let mut settings = config(&[stub.address]);
    settings.identities = vec![identity.clone()];
    let (context, stop) = fetcher(&bus, settings).await;
    let document =
        json!({"path": "/x", "pagination": {"page": {"param": "page", "total_pages": "pages"}}});
    let mut sync = order(&stub.url(), document, 2);
    sync.connection = Some(
        json!({"name": "api", "base_url": stub.url(), "auth": {"query": {"key": {"secret": "key"}}}})
            .into(),
    );
    sync.secrets = vec![seal(&identity, &stub.url(), secret)];

    let fetched = ask(&bus, sync).await;
    let manifest = fetched.manifest.clone().expect("a manifest");
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            manifest.stated_pages
        ),
        ("truncated", "page_cap", Some(9))
    );
    assert_eq!((manifest.pages.len(), stub.asked().len()), (2, 2));
    assert_eq!(fetched.exchanges.len(), 2);
    let first = &fetched.exchanges[0];
    assert_eq!((first.page, first.status), (1, Some(200)));
    assert!(first.url.ends_with("/x?page=1&key=***"), "{}", first.url);
    let headers = serde_json::to_string(&first.answer_headers).expect("json");
    assert!(
        headers.contains("x-ratelimit-remaining") && !headers.contains("cookie"),
        "{headers}"
    );

    let kept = bus.draft("default", DRAFT).await.expect("readable");
    assert_eq!(kept.as_ref(), Some(&fetched));
    let bodies = bus
        .pages(&manifest.pages)
        .await
        .expect("readable")
        .expect("pages");
    let told = format!("{fetched:?}{bodies:?}");
    assert!(!told.contains(secret), "{told}");
    stop.request();
    assert!(context.tasks.drain(PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_with_its_cure_and_nothing_is_sent() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stub = Stub::start(|_| ok("{}")).await;
    let (_context, stop) = fetcher(&bus, config(&[])).await;
    let fetched = ask(&bus, order(&stub.url(), json!({"path": "/x"}), 5)).await;
    let error = fetched
        .manifest
        .and_then(|manifest| manifest.error)
        .expect("an error");
    assert!(
        error
            .message
            .contains(&format!("--allow-host {}", stub.address)),
        "{error:?}"
    );
    assert!(stub.asked().is_empty());
    stop.request();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_is_shown_and_a_long_wait_is_told_instead_of_waited() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stub = Stub::start(|asked| match asked.number {
        0 => answer("503 Service Unavailable", &[], b"{\"error\":\"busy\"}"),
        _ => answer(
            "429 Too Many Requests",
            &[("Retry-After", "600")],
            b"{\"error\":\"slow down\"}",
        ),
    })
    .await;
    let (_context, stop) = fetcher(&bus, config(&[stub.address])).await;
    let fetched = ask(&bus, order(&stub.url(), json!({"path": "/x"}), 50)).await;
    let manifest = fetched.manifest.expect("a manifest");
    let error = manifest.error.expect("an error");
    assert_eq!(
        (manifest.outcome.as_str(), error.code.as_str()),
        ("failed", "upstream.rate_limited")
    );
    assert!(error.message.contains("later"), "{error:?}");
    let tries: Vec<_> = fetched
        .exchanges
        .iter()
        .map(|one| (one.r#try, one.status, one.error.is_some()))
        .collect();
    assert_eq!(tries, [(1, Some(503), true), (2, Some(429), true)]);
    stop.request();
}
