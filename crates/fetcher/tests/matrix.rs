//! Every way of paging, of placing the place, of signing in and of travelling, against the sample API: each record
//! comes exactly once.

use crate::support;

use std::collections::BTreeSet;
use std::time::Duration;

use sample_api::{By, Server, Wanted};
use serde_json::{Value, json};
use service::Identity;
use support::{Memory, code, config, engine, message, request, sync, with_connection};
use wire::RunManifest;

const SUBSCRIBERS: u32 = 330;

async fn api() -> Server {
    let today = Some("2026-11-22".parse().expect("a date"));
    Server::start(sample_api::Config {
        subscribers: SUBSCRIBERS,
        today,
        page_size: 50,
        ..sample_api::Config::default()
    })
    .await
    .expect("the sample API")
}

/// The sum of weights, the number of distinct ids, and the number of records of all pages.
fn sums(memory: &Memory) -> (u64, usize, usize) {
    let mut ids = BTreeSet::new();
    let (mut weight, mut records) = (0, 0);
    for body in memory.bodies() {
        let list = match &body {
            Value::Array(items) => items.clone(),
            body => body["items"].as_array().cloned().unwrap_or_default(),
        };
        for record in list {
            weight += record["weight"].as_u64().expect("a weight");
            ids.insert(record["id"].as_u64().expect("an id"));
            records += 1;
        }
    }
    (weight, ids.len(), records)
}

fn truth(api: &Server) -> (u64, usize, usize) {
    let wanted = Wanted {
        by: By::All,
        ..Wanted::default()
    };
    let sums = api.subscribers(&wanted);
    let count: u64 = sums.values().map(|sum| sum.count).sum();
    let count = usize::try_from(count).expect("a count");
    (sums.values().map(|sum| sum.sum).sum(), count, count)
}

fn strategies() -> Vec<(&'static str, Value, &'static str)> {
    let page = |extra: Value| {
        let mut page = json!({"param": "page"});
        page.as_object_mut()
            .expect("object")
            .extend(extra.as_object().expect("object").clone());
        json!({ "page": page })
    };
    vec![
        (
            "page, total pages",
            json!({"path": "/api/page", "pagination": page(json!({"total_pages": "total_pages"}))}),
            "total_reached",
        ),
        (
            "page, total",
            json!({"path": "/api/page", "pagination": page(json!({"total": "total"}))}),
            "total_reached",
        ),
        (
            "page from 0",
            json!({"path": "/api/page", "query": {"zero": "true"}, "pagination": page(json!({"start": 0, "total_pages": "total_pages"}))}),
            "total_reached",
        ),
        (
            "page, nothing stated",
            json!({"path": "/api/page", "pagination": page(json!({}))}),
            "short_page",
        ),
        (
            "page, size sent",
            json!({"path": "/api/page", "pagination": page(json!({"size_param": "size", "size": 40}))}),
            "short_page",
        ),
        (
            "page, exact size",
            json!({"path": "/api/page", "pagination": page(json!({"size_param": "size", "size": 33}))}),
            "empty_page",
        ),
        (
            "page in the path",
            json!({"path": "/api/by_path/{page}", "pagination": page(json!({"in": "path", "total_pages": "total_pages"}))}),
            "total_reached",
        ),
        (
            "page in a header",
            json!({"path": "/api/by_header", "pagination": {"page": {"param": "X-Page", "in": "header", "total_pages": "total_pages"}}}),
            "total_reached",
        ),
        (
            "page in a body",
            json!({"method": "POST", "path": "/api/search", "body": {"size": 20}, "pagination": page(json!({"in": "body", "total_pages": "total_pages"}))}),
            "total_reached",
        ),
        (
            "page in a form",
            json!({"method": "POST", "path": "/api/form", "form": {"size": "20"}, "pagination": page(json!({"in": "body", "total_pages": "total_pages"}))}),
            "total_reached",
        ),
        (
            "has_more",
            json!({"path": "/api/has_more", "pagination": page(json!({"has_more": "has_more"}))}),
            "has_more_false",
        ),
        (
            "bare arrays",
            json!({"path": "/api/short", "pagination": page(json!({}))}),
            "short_page",
        ),
        (
            "offset, total",
            json!({"path": "/api/offset", "pagination": {"offset": {"param": "offset", "limit_param": "limit", "limit": 60, "total": "total"}}}),
            "total_reached",
        ),
        (
            "offset, nothing stated",
            json!({"path": "/api/offset", "pagination": {"offset": {"param": "offset"}}}),
            "short_page",
        ),
        (
            "offset in a body",
            json!({"method": "POST", "path": "/api/search", "body": {}, "pagination": {"offset": {"param": "paging.offset", "in": "body", "limit_param": "paging.limit", "limit": 60, "total": "total"}}}),
            "total_reached",
        ),
        (
            "cursor to null",
            json!({"path": "/api/cursor", "pagination": {"cursor": {"from": "next_cursor", "param": "after"}}}),
            "no_next",
        ),
        (
            "cursor to nothing",
            json!({"path": "/api/cursor", "query": {"ends": "absent"}, "pagination": {"cursor": {"from": "next_cursor", "param": "after"}}}),
            "no_next",
        ),
        (
            "cursor to empty",
            json!({"path": "/api/cursor", "query": {"ends": "empty"}, "pagination": {"cursor": {"from": "next_cursor", "param": "after"}}}),
            "no_next",
        ),
        (
            "cursor, has_more",
            json!({"path": "/api/cursor", "pagination": {"cursor": {"from": "next_cursor", "param": "after", "has_more": "has_more", "size_param": "size", "size": 60}}}),
            "has_more_false",
        ),
        (
            "cursor in a body",
            json!({"method": "POST", "path": "/api/search", "body": {"cursor": {}}, "pagination": {"cursor": {"from": "next_cursor", "param": "cursor.after", "in": "body"}}}),
            "no_next",
        ),
        (
            "next url",
            json!({"path": "/api/next", "pagination": {"next_url": {"from": "next"}}}),
            "no_next",
        ),
        (
            "relative next url",
            json!({"path": "/api/next", "query": {"relative": "true"}, "pagination": {"next_url": {"from": "next"}}}),
            "no_next",
        ),
        (
            "link header",
            json!({"path": "/api/link", "pagination": "link_header"}),
            "no_next",
        ),
        (
            "one page",
            json!({"path": "/api/page", "query": {"size": "1000"}}),
            "single_page",
        ),
    ]
}

#[tokio::test]
async fn every_strategy_brings_every_record_exactly_once() {
    let api = api().await;
    let engine = engine(config(&[api.address()]));
    let expected = truth(&api);
    assert_eq!(expected.1, SUBSCRIBERS as usize);
    for (name, document, ended) in strategies() {
        let (manifest, memory) = sync(&engine, &request(&api.url(), document)).await;
        assert_eq!(
            manifest.outcome,
            "complete",
            "{name}: {} {}",
            code(&manifest),
            message(&manifest)
        );
        assert_eq!(sums(&memory), expected, "{name}");
        assert_eq!(manifest.ended, ended, "{name}");
        assert_eq!(manifest.records, i64::from(SUBSCRIBERS), "{name}");
        assert_eq!(manifest.pages.len(), memory.bodies().len(), "{name}");
    }
}

#[tokio::test]
async fn every_way_of_signing_in_is_accepted_and_a_wrong_secret_is_not() {
    let api = api().await;
    let identity = Identity::generate();
    let mut settings = config(&[api.address()]);
    settings.identities = vec![identity.clone()];
    let engine = engine(settings);
    for (kind, auth) in [
        (
            "basic",
            json!({"basic": {"username": "sample", "password": {"secret": "key"}}}),
        ),
        ("bearer", json!({"bearer": {"secret": "key"}})),
        (
            "token",
            json!({"header": {"Authorization": {"secret": "key", "prefix": "Token "}}}),
        ),
        (
            "header",
            json!({"header": {"X-Api-Key": {"secret": "key"}}}),
        ),
        ("query", json!({"query": {"key": {"secret": "key"}}})),
    ] {
        for (path, pagination) in [
            (
                "page",
                json!({"page": {"param": "page", "total_pages": "total_pages"}}),
            ),
            ("next", json!({"next_url": {"from": "next"}})),
            ("link", json!("link_header")),
        ] {
            let connection = json!({"name": "api", "base_url": api.url(), "auth": auth});
            let document =
                json!({"path": format!("/secured/{kind}/api/{path}"), "pagination": pagination});
            let mut request = with_connection(connection, document);
            request.secrets = vec![support::seal(&identity, &api.url(), "sample-secret")];
            let (manifest, memory) = sync(&engine, &request).await;
            assert_eq!(
                manifest.outcome,
                "complete",
                "{kind} {path}: {}",
                message(&manifest)
            );
            assert_eq!(sums(&memory), truth(&api), "{kind} {path}");
            let everything = format!("{manifest:?} {:?}", memory.pages.lock().expect("pages"));
            assert!(
                !everything.contains("sample-secret"),
                "{kind} {path}: a next link echoes the secret"
            );
            request.secrets = vec![support::seal(&identity, &api.url(), "wrong-secret")];
            let (manifest, _) = sync(&engine, &request).await;
            assert_eq!(
                (code(&manifest), manifest.needs_attention),
                ("upstream.unauthorized", true)
            );
        }
    }
}

#[tokio::test]
async fn truncation_is_marked_and_never_silent() {
    let api = api().await;
    let engine = engine(config(&[api.address()]));
    for (name, document, _) in strategies() {
        if name == "one page" {
            continue;
        }
        let mut request = request(&api.url(), document);
        request.max_pages = 3;
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(memory.bodies().len(), 3, "{name}");
        assert_eq!(
            (manifest.outcome.as_str(), manifest.ended.as_str()),
            ("truncated", "page_cap"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn known_pages_are_fetched_in_parallel_within_the_concurrency() {
    let api = api().await;
    api.set_latency(Duration::from_millis(60));
    let engine = engine(config(&[api.address()]));
    let document = json!({"path": "/api/page", "query": {"size": "5"}, "pagination": {"page": {"param": "page", "total_pages": "total_pages"}}});
    let (manifest, memory) = sync(&engine, &request(&api.url(), document)).await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.pages.len()),
        ("complete", 66)
    );
    assert_eq!(sums(&memory), truth(&api));
    assert_eq!(api.ledger().most_at_once, 8);
    assert!(
        manifest
            .pages
            .windows(2)
            .all(|pair| pair[0].number < pair[1].number),
        "pages in order in the manifest"
    );
}

#[tokio::test]
async fn records_are_counted_where_the_hint_says() {
    let api = api().await;
    let engine = engine(config(&[api.address()]));
    for hint in ["items", "$.items", "items[weight > 0]"] {
        let mut request = request(
            &api.url(),
            json!({"path": "/api/page", "pagination": {"page": {"param": "page"}}}),
        );
        request.records_hint = hint.to_owned();
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(
            manifest.outcome,
            "complete",
            "{hint}: {}",
            message(&manifest)
        );
        assert_eq!(
            (manifest.records, sums(&memory)),
            (i64::from(SUBSCRIBERS), truth(&api)),
            "{hint}"
        );
    }
}

#[tokio::test]
async fn windows_are_rendered_into_the_request() {
    let api = api().await;
    let engine = engine(config(&[api.address()]));
    let document = json!({
        "path": "/api/page",
        "query": {"from": "{{ window.start | date }}", "to": "{{ window.last_day | date }}"},
        "pagination": {"page": {"param": "page", "total_pages": "total_pages"}},
    });
    let mut request = request(&api.url(), document);
    request.window = Some(wire::Window {
        start: "2026-11-01T00:00:00Z".into(),
        end: "2026-11-11T00:00:00Z".into(),
    });
    let (manifest, memory) = sync(&engine, &request).await;
    assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
    let wanted = Wanted {
        by: By::All,
        from: Some("2026-11-01".parse().expect("a date")),
        to: Some("2026-11-10".parse().expect("a date")),
        ..Wanted::default()
    };
    let expected: u64 = api.subscribers(&wanted).values().map(|sum| sum.sum).sum();
    assert_eq!(sums(&memory).0, expected);
    assert_eq!(manifest.window, request.window);
}

fn after_resuming(first: &RunManifest, request: &mut wire::SyncRequest) {
    request.attempt += 1;
    request.resume = Some(wire::Resume {
        pages: first.pages.clone(),
        next: first.next.clone(),
        ..wire::Resume::default()
    });
}

#[tokio::test]
async fn a_run_that_was_interrupted_goes_on_behind_its_pages() {
    let api = api().await;
    api.set_latency(Duration::from_millis(20));
    for (name, mut document, _) in strategies() {
        if name == "one page" {
            continue;
        }
        if document["path"] != "/api/form" && document["method"] != "POST" {
            document["query"]["size"] = json!("30");
        }
        if document["body"]["size"].is_number() {
            document["body"]["size"] = json!(30);
        }
        if document["form"].is_object() {
            document["form"]["size"] = json!("30");
        }
        // Sooner than the first answer: each attempt brings only what it had in hand.
        let mut settings = config(&[api.address()]);
        settings.checkpoint_after = Duration::from_millis(5);
        let hasty = engine(settings);
        let mut request = request(&api.url(), document);
        let memory = Memory::default();
        let mut attempts = 0;
        let manifest = loop {
            attempts += 1;
            assert!(attempts < 100, "{name}: no end");
            let manifest = hasty
                .run(&request, &memory, &service::Shutdown::new())
                .await
                .expect("a manifest");
            if manifest.outcome != "checkpoint" {
                break manifest;
            }
            assert_eq!(manifest.ended, "checkpoint");
            after_resuming(&manifest, &mut request);
        };
        assert_eq!(
            manifest.outcome,
            "complete",
            "{name}: {}",
            message(&manifest)
        );
        assert!(attempts > 1, "{name}: one attempt was enough");
        assert_eq!(
            sums(&memory),
            truth(&api),
            "{name} after {attempts} attempts"
        );
        assert_eq!(
            manifest.pages.len(),
            memory.bodies().len(),
            "{name}: the manifest adopts the earlier pages"
        );
    }
}

#[tokio::test]
async fn faults_on_the_way_lose_and_double_nothing() {
    let api = api().await;
    let engine = engine(config(&[api.address()]));
    let document = json!({"path": "/api/page", "pagination": {"page": {"param": "page", "total_pages": "total_pages"}}});
    for fault in [
        "status:500@3x2",
        "reset@2x1",
        "cut@4x1",
        "retry_after:0@5x3",
        "cut_json@2x1",
        "status:502@1x1",
    ] {
        api.clear_faults();
        api.add_faults(fault).expect("a fault");
        let (manifest, memory) = sync(&engine, &request(&api.url(), document.clone())).await;
        assert_eq!(
            manifest.outcome,
            "complete",
            "{fault}: {} {}",
            code(&manifest),
            message(&manifest)
        );
        assert_eq!(sums(&memory), truth(&api), "{fault}");
        assert!(manifest.requests > 7, "{fault} struck");
    }
}
