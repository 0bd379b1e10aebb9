//! Updates from any point on, questions and answers, shared budgets, and one trace over all hops.

use crate::support;

use bus::testing::TestServer;
use bus::{Outcome, Swap};
use bytes::Bytes;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use std::time::Duration;
use support::{DEADLINE, manifest, request, until, update};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use wire::stream::Consumer;

async fn next(updates: &mut bus::Updates) -> (u64, i64) {
    let announced = tokio::time::timeout(DEADLINE, updates.next())
        .await
        .expect("an update");
    (announced.sequence, announced.update.version)
}

#[tokio::test]
async fn a_reader_resumes_where_it_stopped() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    for version in 1..=5 {
        bus.publish_update(&update("mrr", version)).await.unwrap();
    }
    let mut from_three = bus.updates(Some(3)).await.unwrap();
    assert_eq!(
        (from_three.first_sequence(), from_three.last_sequence()),
        (1, 5)
    );
    let mut only_new = bus.updates(None).await.unwrap();
    bus.publish_update(&update("mrr", 6)).await.unwrap();
    for version in 3..=6 {
        assert_eq!(next(&mut from_three).await.1, version);
    }
    assert_eq!(next(&mut only_new).await, (6, 6));
}

#[tokio::test]
async fn a_workspace_hears_only_itself() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut own = bus.updates_of("acme", None).await.unwrap();
    bus.publish_update(&update("mrr", 1)).await.unwrap();
    let acme = wire::MetricUpdate {
        workspace: "acme".to_owned(),
        ..update("mrr", 9)
    };
    bus.publish_update(&acme).await.unwrap();
    assert_eq!(next(&mut own).await, (2, 9));
}

#[tokio::test]
async fn a_reader_sits_out_a_killed_server_without_a_gap() {
    let mut server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut updates = bus.updates(None).await.unwrap();
    bus.publish_update(&update("mrr", 1)).await.unwrap();
    assert_eq!(next(&mut updates).await.1, 1);
    server.kill().await;
    until("the outage is noticed", || async { !bus.is_healthy() }).await;
    server.restart().await;
    for version in 2..=4 {
        bus.publish_update(&update("mrr", version)).await.unwrap();
    }
    for version in 2..=4 {
        assert_eq!(next(&mut updates).await.1, version);
    }
}

#[tokio::test]
async fn an_outside_subscriber_hears_cloud_events() {
    use futures::StreamExt;
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let outside = async_nats::connect(server.url()).await.unwrap();
    let mut heard = outside
        .subscribe("tidemark.v1.default.update.*")
        .await
        .unwrap();
    // An echo on the same connection: the server has the subscription once it comes back.
    let mut echo = outside.subscribe("echo").await.unwrap();
    outside.publish("echo", "".into()).await.unwrap();
    echo.next().await.unwrap();
    bus.publish_update(&update("mrr", 42)).await.unwrap();
    let message = tokio::time::timeout(DEADLINE, heard.next())
        .await
        .unwrap()
        .unwrap();
    let headers = message.headers.unwrap();
    assert_eq!(headers.get("ce-id").unwrap().as_str(), "default.mrr.42");
    assert_eq!(
        headers.get("ce-type").unwrap().as_str(),
        "tidemark.metric.updated.v1"
    );
    let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(
        (&body["version"], &body["changes"][0]["value"]),
        (&42.into(), &1.into())
    );
}

#[tokio::test]
async fn a_budget_is_changed_by_one_writer_at_a_time_and_forgotten_in_time() {
    let server = TestServer::start().await;
    let budgets = server.provisioned().await.budgets();
    let minute = Duration::from_mins(1);
    assert_eq!(budgets.get("default", "kit").await.unwrap(), None);
    let set = async |revision, value: &'static str, ttl| {
        let value = Bytes::from_static(value.as_bytes());
        budgets
            .compare_and_set("default", "kit", revision, value, ttl)
            .await
            .unwrap()
    };
    let Swap::Done(first) = set(None, "1", minute).await else {
        panic!("nobody was there")
    };
    assert_eq!(set(None, "2", minute).await, Swap::Conflict);
    let Swap::Done(second) = set(Some(first), "2", minute).await else {
        panic!("it was ours")
    };
    assert_eq!(set(Some(first), "3", minute).await, Swap::Conflict);
    let held = budgets.get("default", "kit").await.unwrap().unwrap();
    assert_eq!((held.value.as_ref(), held.revision), (&b"2"[..], second));
    let third = budgets
        .put("default", "kit", Bytes::from_static(b"x"), minute)
        .await
        .unwrap();

    let Swap::Done(_) = set(Some(third), "4", Duration::from_secs(1)).await else {
        panic!("it was ours")
    };
    until("its time is over", || async {
        budgets.get("default", "kit").await.unwrap().is_none()
    })
    .await;
    assert!(
        matches!(set(None, "5", minute).await, Swap::Done(_)),
        "it can be made again"
    );
    assert!(budgets.get("default", "kit.>").await.is_err());
}

#[tokio::test]
async fn questions_are_answered_until_shutdown() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let subject = wire::subject::preview_fetch("acme").unwrap();
    let question = Bytes::from_static(b"{}");
    let short = Duration::from_secs(1);
    let nobody = bus
        .request(&subject, question.clone(), short)
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), "request.unanswered");

    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (bus, stop) = (bus.clone(), stop.clone());
        async move {
            let filter = wire::subject::filter::preview_fetches();
            let answer = |ask: bus::Ask| async move {
                assert_eq!(
                    ask.payload.as_ref(),
                    b"{}",
                    "anything else breaks the handler"
                );
                Bytes::from(ask.workspace)
            };
            bus.serve(&filter, "fetcher", 4, stop, answer).await;
        }
    });
    until("somebody answers", || async {
        bus.request(&subject, question.clone(), short).await.is_ok()
    })
    .await;
    assert!(
        bus.request(&subject, Bytes::from_static(b"?"), short)
            .await
            .is_err()
    );
    assert_eq!(
        bus.request(&subject, question, short).await.unwrap(),
        "acme"
    );
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn one_sync_is_one_trace() {
    opentelemetry::global::set_text_map_propagator(
        opentelemetry_sdk::propagation::TraceContextPropagator::new(),
    );
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let trace_id = || {
        tracing::Span::current()
            .context()
            .span()
            .span_context()
            .trace_id()
            .to_string()
    };

    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stop = CancellationToken::new();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let (fetching, fetched) = (bus.clone(), sender.clone());
    let fetcher = tokio::spawn({
        let (bus, stop) = (bus.clone(), stop.clone());
        async move {
            bus.consume(
                Consumer::Fetcher,
                1,
                stop,
                move |_: bus::Delivery<wire::SyncRequest>| {
                    let (bus, fetched) = (fetching.clone(), fetched.clone());
                    async move {
                        fetched.send(trace_id()).unwrap();
                        bus.publish_manifest(&manifest("r_1", 1, 1)).await.unwrap();
                        Outcome::Done
                    }
                },
            )
            .await;
        }
    });
    let evaluator = tokio::spawn({
        let (bus, stop) = (bus.clone(), stop.clone());
        async move {
            bus.consume(
                Consumer::Evaluator,
                1,
                stop,
                move |_: bus::Delivery<wire::RunManifest>| {
                    sender.send(trace_id()).unwrap();
                    std::future::ready(Outcome::Done)
                },
            )
            .await;
        }
    });
    let begun = async {
        bus.publish_sync(&request("r_1", 1)).await.unwrap();
        trace_id()
    }
    .instrument(tracing::info_span!("dispatch"))
    .await;
    assert_ne!(begun, "00000000000000000000000000000000");
    for _ in 0..2 {
        let heard = tokio::time::timeout(DEADLINE, receiver.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard, begun);
    }
    stop.cancel();
    fetcher.await.unwrap();
    evaluator.await.unwrap();
}
