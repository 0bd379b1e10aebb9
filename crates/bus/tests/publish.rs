//! Publishing: kept when it says so, harmless twice, whole again after chunks.

use crate::support;

use bus::testing::TestServer;
use bus::{Bus, Error, PageBody, Published};
use bytes::Bytes;
use futures::StreamExt;
use std::time::Duration;
use support::{manifest, page_headers, request, update};
use wire::PageEntry;
use wire::message::id;

fn entry(number: u32, published: bus::PublishedPage) -> PageEntry {
    PageEntry {
        number,
        sequences: published.sequences,
        hash: published.hash,
        bytes: published.bytes,
        ..PageEntry::default()
    }
}

async fn bodies(bus: &Bus, run: &str, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, Error> {
    let mut reading = bus.run_pages("default", "d_1", run, pages);
    reading.bodies(pages).await
}

#[tokio::test]
async fn a_second_request_of_the_same_window_is_already_running() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    assert!(!bus.sync_waits("default", "d_1", None).await.unwrap());
    assert_eq!(
        bus.publish_sync(&request("r_1", 1)).await.unwrap(),
        Published::Accepted
    );
    assert!(bus.sync_waits("default", "d_1", None).await.unwrap());
    assert_eq!(
        bus.publish_sync(&request("r_2", 1)).await.unwrap(),
        Published::AlreadyRunning
    );
    let window = wire::Window {
        start: "2026-01-01T00:00:00Z".to_owned(),
        end: "2026-02-01T00:00:00Z".to_owned(),
    };
    let other = wire::SyncRequest {
        window: Some(window),
        ..request("r_3", 1)
    };
    assert_eq!(bus.publish_sync(&other).await.unwrap(), Published::Accepted);
}

#[tokio::test]
async fn the_same_identity_is_kept_once() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    // The same request again is not "already running": it is this very one.
    assert_eq!(
        bus.publish_sync(&request("r_1", 1)).await.unwrap(),
        Published::Accepted
    );
    assert_eq!(
        bus.publish_sync(&request("r_1", 1)).await.unwrap(),
        Published::Accepted
    );
    let first = bus.publish_update(&update("mrr", 1)).await.unwrap();
    assert_eq!(bus.publish_update(&update("mrr", 1)).await.unwrap(), first);
    assert_eq!(
        bus.publish_update(&update("mrr", 2)).await.unwrap(),
        first + 1
    );
    let manifest = manifest("r_1", 1, 3);
    let kept = bus.publish_manifest(&manifest).await.unwrap();
    assert_eq!(bus.publish_manifest(&manifest).await.unwrap(), kept);
}

#[tokio::test]
async fn a_second_delivery_may_bring_another_body_under_the_same_number() {
    assert_ne!(id::page("r_1", 1, 1, 4, 1), id::page("r_1", 1, 2, 4, 1));
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let publish = async |delivery, body: &'static [u8]| {
        let body = PageBody::of(Bytes::from_static(body));
        bus.publish_page("default", "d_1", page_headers("r_1", 4), delivery, body)
            .await
            .unwrap()
    };
    let first = publish(1, b"[1]").await;
    let again = publish(1, b"[1]").await;
    let second = publish(2, b"[2]").await;
    assert_eq!(first, again);
    assert_ne!(first.sequences, second.sequences);
    let pages = [entry(4, first), entry(4, second)];
    assert_eq!(
        bodies(&bus, "r_1", &pages).await.unwrap().unwrap(),
        ["[1]", "[2]"]
    );
}

#[tokio::test]
async fn a_page_of_three_megabytes_comes_back_whole_from_its_chunks() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let body: Bytes = (0..3_000_000_u32)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect();
    let one_too_many = body.slice(..=(1 << 20));
    let mut pages = Vec::new();
    for (number, body) in [
        (1, body.clone()),
        (2, one_too_many.clone()),
        (3, Bytes::new()),
    ] {
        let headers = page_headers("r_1", number);
        let published = bus
            .publish_page("default", "d_1", headers, 1, PageBody::of(body))
            .await
            .unwrap();
        pages.push(entry(number, published));
    }
    assert_eq!(
        pages
            .iter()
            .map(|page| page.sequences.len())
            .collect::<Vec<_>>(),
        [3, 2, 1]
    );
    assert_eq!(pages[0].bytes, 3_000_000);
    let bodies = bodies(&bus, "r_1", &pages).await.unwrap().unwrap();
    assert!(bodies[0] == body && bodies[1] == one_too_many && bodies[2].is_empty());

    let chunk = bus.page(pages[0].sequences[1]).await.unwrap().unwrap();
    assert_eq!((chunk.chunk, chunk.chunks), (2, 3));
    assert_eq!(chunk.headers, page_headers("r_1", 1));
    assert_eq!(chunk.hash, pages[0].hash);
}

#[tokio::test]
async fn a_hundred_pages_published_at_once_come_back_in_order() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let publishing = (1..=100_u32).map(|number| {
        let bus = bus.clone();
        async move {
            let body = PageBody::of(Bytes::from(format!("[{number}]")));
            let headers = page_headers("r_1", number);
            entry(
                number,
                bus.publish_page("default", "d_1", headers, 1, body)
                    .await
                    .unwrap(),
            )
        }
    });
    let pages: Vec<PageEntry> = futures::future::join_all(publishing).await;
    let bodies = bodies(&bus, "r_1", &pages).await.unwrap().unwrap();
    for (page, body) in pages.iter().zip(bodies) {
        assert_eq!(body, format!("[{}]", page.number));
    }
}

#[tokio::test]
async fn pages_that_lie_out_of_order_or_under_another_run_come_in_the_order_asked_for() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut pages = Vec::new();
    // Each page lies where its neighbour should be, every seventh is of an earlier run, and others lie between.
    for number in (1..=60_u32).map(|number| ((number - 1) ^ 1) + 1) {
        let run = if number % 7 == 0 { "r_0" } else { "r_1" };
        for (run, wanted) in [(run, true), ("r_1", false)] {
            let text = format!("[{number}, {wanted}]");
            let body = PageBody::of(Bytes::from(text));
            let headers = page_headers(run, if wanted { number } else { number + 1000 });
            let published = bus.publish_page("default", "d_1", headers, 1, body).await;
            if wanted {
                pages.push(entry(number, published.unwrap()));
            }
        }
    }
    pages.sort_by_key(|page| page.number);
    let mut reading = bus.run_pages("default", "d_1", "r_1", &pages);
    for some in pages.chunks(7) {
        let bodies = reading.bodies(some).await.unwrap().unwrap();
        for (page, body) in some.iter().zip(bodies) {
            assert_eq!(body, format!("[{}, true]", page.number));
        }
    }
}

#[tokio::test]
async fn pages_go_from_hand_to_hand_once_where_that_is_wanted() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    bus.hand_over_pages();
    let mut pages = Vec::new();
    for number in 1..=3 {
        let body = PageBody::of(Bytes::from(format!("[{number}]")));
        let headers = page_headers("r_1", number);
        let published = bus.publish_page("default", "d_1", headers, 1, body).await;
        pages.push(entry(number, published.unwrap()));
    }
    let elsewhere = server.bus().await;
    for reader in [&elsewhere, &bus, &elsewhere] {
        let bodies = bodies(reader, "r_1", &pages).await.unwrap().unwrap();
        assert_eq!(bodies, ["[1]", "[2]", "[3]"]);
    }
    bus.purge_run_pages("default", "d_1", "r_1").await.unwrap();
    assert_eq!(bodies(&bus, "r_1", &pages).await.unwrap(), None);
}

#[tokio::test]
async fn purged_or_exchanged_pages_are_gone_and_other_runs_stay() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let publish = async |run: &str, body: &'static [u8]| {
        let body = PageBody::of(Bytes::from_static(body));
        let published = bus
            .publish_page("default", "d_1", page_headers(run, 1), 1, body)
            .await;
        entry(1, published.unwrap())
    };
    let (old, new) = (publish("r_1", b"[1]").await, publish("r_2", b"[2]").await);
    assert_eq!(
        bus.purge_run_pages("default", "d_1", "r_1").await.unwrap(),
        1
    );
    assert_eq!(
        bodies(&bus, "r_1", std::slice::from_ref(&old))
            .await
            .unwrap(),
        None
    );
    assert_eq!(bus.page(old.sequences[0]).await.unwrap(), None);
    assert_eq!(
        bodies(&bus, "r_2", std::slice::from_ref(&new))
            .await
            .unwrap()
            .unwrap(),
        ["[2]"]
    );
    let exchanged = PageEntry {
        hash: old.hash,
        ..new
    };
    assert_eq!(bodies(&bus, "r_2", &[exchanged]).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let error = bus.publish_update(&update("mrr", 1)).await.unwrap_err();
    assert_eq!(error.code(), "publish.no_stream");
    assert!(
        error.is_transient() && error.to_string().contains("tidemark provision"),
        "{error}"
    );

    let mut large = update("mrr", 1);
    large.changes = vec![
        wire::Change {
            unit: "x".repeat(1 << 20),
            ..wire::Change::default()
        };
        2
    ];
    assert_eq!(
        bus.publish_update(&large).await.unwrap_err().code(),
        "publish.too_large"
    );
    for bad in ["*", ">", "a.b", "\0"] {
        let error = bus.publish_update(&update(bad, 1)).await.unwrap_err();
        assert!(matches!(error, Error::Subject(_)), "{bad:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_acknowledgement_lost_to_a_stopped_server_is_asked_for_again() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    server.pause().await;
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish_update(&update("mrr", 1)).await }
    });
    // Longer than one wait for an acknowledgement, so that the message is handed over twice.
    tokio::time::sleep(Duration::from_millis(5500)).await;
    server.resume().await;
    assert_eq!(publishing.await.unwrap().unwrap(), 1);
    assert_eq!(bus.update_range().await.unwrap(), (1, 1), "it is kept once");
}

#[tokio::test]
async fn a_publish_sits_out_a_restart_of_the_server() {
    let mut server = TestServer::start().await;
    let bus = server.provisioned().await;
    server.kill().await;
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish_update(&update("mrr", 1)).await }
    });
    support::until("the outage is noticed", || async { !bus.is_healthy() }).await;
    server.restart().await;
    assert_eq!(publishing.await.unwrap().unwrap(), 1);
    support::until("the bus is well again", || async { bus.is_healthy() }).await;
}

#[tokio::test]
async fn a_manifest_of_thousands_of_pages_goes_in_parts_and_is_found_whole() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let long = manifest("r_1", 1, 9_000);
    assert!(wire::message::encode(&long).unwrap().len() > 2 << 20);
    let last = bus.publish_manifest(&long).await.unwrap();
    assert!(last > 1);
    bus.publish_manifest(&manifest("r_2", 1, 1)).await.unwrap();
    let found = bus
        .manifest_of("default", "d_1", "r_1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, long);
    let newest = bus.manifest_of("default", "d_1", "r_2").await.unwrap();
    assert_eq!(newest, Some(manifest("r_2", 1, 1)));
    assert_eq!(
        bus.manifest_of("default", "d_1", "r_3").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn progress_and_wakes_are_heard_by_whoever_listens() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let mut progress = bus.progress("default", "r_1").await.unwrap();
    let mut wakes = bus.wakes().await.unwrap();
    bus.flush().await.unwrap();
    let told = wire::Progress {
        workspace: "default".to_owned(),
        run: "r_1".to_owned(),
        pages: 3,
        ..wire::Progress::default()
    };
    bus.publish_progress(&told).await.unwrap();
    bus.wake("acme", "d_1").await.unwrap();
    assert_eq!(progress.next().await, Some(told));
    assert_eq!(wakes.next().await.unwrap().workspace, "acme");
}
