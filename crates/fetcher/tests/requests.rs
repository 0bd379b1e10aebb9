//! What a request depends on besides its definition: variables that are looked up, records of a parent, and what
//! did not change since the last time.

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use service::Shutdown;
use support::{Asked, Memory, Reply, Stub, answer, code, engine, message, ok, with_connection};
use wire::{ParentRecords, Resume, RunManifest, SyncRequest};

fn connection(stub: &Stub, variables: &Value) -> Value {
    json!({"name": "api", "base_url": stub.url(), "variables": variables})
}

async fn sync(
    engine: &fetcher::sync_run::Engine,
    memory: &Memory,
    request: &SyncRequest,
) -> RunManifest {
    engine
        .run(request, memory, &Shutdown::new())
        .await
        .expect("a manifest")
}

fn targets(stub: &Stub) -> Vec<String> {
    let asked = stub.asked();
    asked
        .iter()
        .map(|asked| asked.target().to_owned())
        .collect()
}

#[tokio::test]
async fn a_variable_is_looked_up_once_and_again_when_the_api_does_not_know_it() {
    let org = Arc::new(AtomicUsize::new(7));
    let now = org.clone();
    let stub = Stub::start(move |asked: &Asked| {
        let org = now.load(Ordering::SeqCst);
        match asked.target() {
            "/users/me" => ok(&json!({"resource": {"organization": org}}).to_string()),
            target if target == format!("/orgs/{org}/events?region=eu") => ok("{\"items\":[1]}"),
            _ => answer("404 Not Found", &[], b"{}"),
        }
    })
    .await;
    let engine = engine(support::config(&[stub.address]));
    let memory = Memory::default();
    let variables = json!({
        "org": {"path": "/users/me", "select": "resource.organization"},
        "region": "eu",
        "unused": {"path": "/never", "select": "x"},
    });
    let request = with_connection(
        connection(&stub, &variables),
        json!({"path": "/orgs/{{ connection.org }}/events", "query": {"region": "{{ connection.region }}"}}),
    );
    for _ in 0..2 {
        let manifest = sync(&engine, &memory, &request).await;
        assert_eq!(
            (manifest.outcome.as_str(), manifest.records, code(&manifest)),
            ("complete", 1, "")
        );
    }
    let events = "/orgs/7/events?region=eu";
    assert_eq!(targets(&stub), ["/users/me", events, events]);

    org.store(8, Ordering::SeqCst);
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(
        (manifest.outcome.as_str(), manifest.requests),
        ("complete", 3),
        "404, the look-up, and the request again"
    );
    assert_eq!(
        targets(&stub)[3..],
        [events, "/users/me", "/orgs/8/events?region=eu"]
    );
}

#[tokio::test]
async fn a_look_up_that_fails_says_which_and_why() {
    for (reply, expected, says) in [
        (
            answer("401 Unauthorized", &[], b"no"),
            "variable.look_up",
            "`org` could not be looked up at /me: the API answered 401 Unauthorized",
        ),
        (
            ok("{\"other\":1}"),
            "variable.look_up",
            "`id` gives no value there: nothing stands there",
        ),
        (
            ok("{\"id\":[1]}"),
            "variable.look_up",
            "a list or an object",
        ),
    ] {
        let reply = match reply {
            Reply::Send(bytes) => bytes,
            _ => Vec::new(),
        };
        let stub = Stub::start(move |_| Reply::Send(reply.clone())).await;
        let engine = engine(support::config(&[stub.address]));
        let request = with_connection(
            connection(&stub, &json!({"org": {"path": "/me", "select": "id"}})),
            json!({"path": "/o/{{ connection.org }}"}),
        );
        let manifest = sync(&engine, &Memory::default(), &request).await;
        assert_eq!(
            (manifest.outcome.as_str(), code(&manifest)),
            ("failed", expected)
        );
        assert!(message(&manifest).contains(says), "{}", message(&manifest));
        assert_eq!(manifest.needs_attention, says.contains("401"));
        assert_eq!(stub.asked().len(), 1, "the request itself is never sent");
    }
}

/// A memory that holds the pages of a parent, and the order that names them.
async fn parent(stub: &Stub, pages: &[Value], select: Value, most: u32) -> (Memory, ParentRecords) {
    use fetcher::sync_run::Outlet as _;
    let (memory, mut entries) = (Memory::default(), Vec::new());
    for (number, page) in (1..).zip(pages) {
        let headers = wire::PageHeaders {
            run: "r_parent".to_owned(),
            attempt: 1,
            page: number,
            status: 200,
            fetched_at: String::new(),
            url: stub.url(),
        };
        let body = bytes::Bytes::from(page.to_string());
        let kept = memory
            .page("default", "d_parent", headers, bus::PageBody::of(body))
            .await;
        let kept = kept.expect("kept");
        entries.push(wire::PageEntry {
            number,
            sequences: kept.sequences,
            hash: kept.hash,
            bytes: kept.bytes,
            ..wire::PageEntry::default()
        });
    }
    let order = ParentRecords {
        run: "r_parent".to_owned(),
        pages: entries,
        select: Some(select.into()),
        max_parents: most,
        skip_missing: false,
    };
    (memory, order)
}

fn broadcasts(from: u32, to: u32) -> Value {
    let records: Vec<Value> = (from..to)
        .map(|id| json!({"id": id, "sent": id % 10 != 0}))
        .collect();
    json!({"broadcasts": records})
}

fn stats(asked: &Asked) -> Reply {
    let target = asked.target();
    let id: u32 = target
        .split(['/', '?'])
        .nth(2)
        .and_then(|id| id.parse().ok())
        .unwrap_or_default();
    if target.ends_with("page=2") {
        return ok(&json!({"id": id, "pages": 2, "items": [id * 2 + 1]}).to_string());
    }
    ok(&json!({"id": id, "pages": 2, "items": [id * 2]}).to_string())
}

#[tokio::test]
async fn every_record_of_a_parent_is_asked_for_with_pages_of_its_own() {
    let stub = Stub::start(stats).await;
    let engine = engine(support::config(&[stub.address]));
    let select = json!({"records": "broadcasts", "where": "sent"});
    // The pages overlap, as pages of a list that shifts do.
    let pages = [broadcasts(1, 60), broadcasts(50, 101)];
    let (memory, order) = parent(&stub, &pages, select, 1_000).await;
    let asked = json!({
        "path": "/b/{{ parent.id }}",
        "pagination": {"page": {"param": "page", "total_pages": "pages"}},
    });
    let mut request = with_connection(connection(&stub, &json!({})), asked);
    request.parent = Some(order);
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            code(&manifest)
        ),
        ("complete", "all_parents", "")
    );
    assert_eq!((manifest.parents, manifest.records), (90, 180));
    let mut told: Vec<(u32, i64)> = manifest
        .pages
        .iter()
        .map(|page| {
            let parent = page.parent.as_ref().expect("its record");
            (page.parent_number, parent.0["id"].as_i64().expect("an id"))
        })
        .collect();
    told.dedup();
    let expected: Vec<(u32, i64)> = (1..).zip((1..101).filter(|id| id % 10 != 0)).collect();
    assert_eq!(told, expected, "in order, each with its record");
    let numbers: Vec<u32> = manifest.pages.iter().map(|page| page.number).collect();
    assert!(numbers.is_sorted() && numbers.len() == 180);
}

#[tokio::test]
async fn more_records_than_are_asked_for_are_a_truncated_run() {
    let stub = Stub::start(stats).await;
    let engine = engine(support::config(&[stub.address]));
    let select = json!({"records": "broadcasts"});
    let (memory, order) = parent(&stub, &[broadcasts(0, 30)], select, 10).await;
    let mut request = with_connection(
        connection(&stub, &json!({})),
        json!({"path": "/b/{{ parent.id }}"}),
    );
    request.parent = Some(order);
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.ended.as_str(),
            manifest.parents
        ),
        ("truncated", "parent_cap", 10)
    );
    assert_eq!(manifest.stated_pages, Some(10));
}

#[tokio::test]
async fn a_record_that_the_api_does_not_know_fails_the_run_or_is_passed_over_and_counted() {
    let stub = Stub::start(|asked: &Asked| match asked.target() {
        "/b/3" => answer("404 Not Found", &[], b"{}"),
        _ => stats(asked),
    })
    .await;
    let engine = engine(support::config(&[stub.address]));
    let select = json!({"records": "broadcasts"});
    let (memory, mut order) = parent(&stub, &[broadcasts(1, 6)], select, 10).await;
    let mut request = with_connection(
        connection(&stub, &json!({})),
        json!({"path": "/b/{{ parent.id }}"}),
    );
    request.parent = Some(order.clone());
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(
        (manifest.outcome.as_str(), code(&manifest)),
        ("failed", "upstream.not_found")
    );
    let told = message(&manifest);
    assert!(
        told.starts_with("for record 3 of the parent dataset (`id`: 3), request 1: ")
            && told.ends_with(
                "`skip_missing: true` in `parent` passes over records that the API does not know"
            ),
        "{told}"
    );
    let error = manifest.error.as_ref().expect("an error");
    assert_eq!(error.page, None, "the record's request is named instead");
    order.skip_missing = true;
    request.parent = Some(order);
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(
        (
            manifest.outcome.as_str(),
            manifest.parents,
            manifest.skipped_parents,
            manifest.records
        ),
        ("complete", 5, 1, 4)
    );
}

#[tokio::test]
async fn a_run_over_a_parent_goes_on_where_it_was_stopped() {
    let stop = Shutdown::new();
    let (stopping, calls) = (stop.clone(), Arc::new(AtomicUsize::new(0)));
    let stub = Stub::start(move |asked: &Asked| {
        if calls.fetch_add(1, Ordering::SeqCst) == 40 {
            stopping.request();
        }
        stats(asked)
    })
    .await;
    let engine = engine(support::config(&[stub.address]));
    let select = json!({"records": "broadcasts"});
    let (memory, order) = parent(&stub, &[broadcasts(1, 61)], select, 1_000).await;
    let asked = json!({
        "path": "/b/{{ parent.id }}",
        "pagination": {"page": {"param": "page", "total_pages": "pages"}},
    });
    let mut request = with_connection(connection(&stub, &json!({})), asked);
    request.parent = Some(order);
    let first = engine
        .run(&request, &memory, &stop)
        .await
        .expect("a manifest");
    assert_eq!(first.outcome, "checkpoint");
    assert!(!first.pages.is_empty() && first.pages.len() < 120);

    request.attempt = 2;
    request.resume = Some(Resume {
        pages: first.pages.clone(),
        next: first.next.clone(),
        manifest: None,
    });
    let second = sync(&engine, &memory, &request).await;
    assert_eq!(
        (
            second.outcome.as_str(),
            second.ended.as_str(),
            code(&second)
        ),
        ("complete", "all_parents", "")
    );
    let numbers: Vec<u32> = second.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers.len(), 120, "each page once: {numbers:?}");
    assert_eq!((second.records, second.parents), (120, 60));
    let kept = first.pages.len();
    assert!(
        second.requests as usize <= 120 - kept + 8,
        "nothing but what was in hand is asked for twice"
    );
}

#[tokio::test]
async fn a_hostile_condition_costs_its_own_run_an_error() {
    let stub = Stub::start(stats).await;
    let engine = engine(support::config(&[stub.address]));
    let hostile = "($f := function($x) { $f($x + 1) + 1 }; $f(1)) > 0";
    let select = json!({"records": "broadcasts", "where": hostile});
    let (memory, order) = parent(&stub, &[broadcasts(0, 30)], select, 10).await;
    let mut request = with_connection(
        connection(&stub, &json!({})),
        json!({"path": "/b/{{ parent.id }}"}),
    );
    request.parent = Some(order);
    let manifest = sync(&engine, &memory, &request).await;
    assert_eq!(code(&manifest), "parent.unreadable");
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn an_unchanged_answer_costs_one_304_and_is_a_whole_run() {
    let version = Arc::new(AtomicUsize::new(1));
    let now = version.clone();
    let stub = Stub::start(move |asked: &Asked| {
        let tag = format!("\"v{}\"", now.load(Ordering::SeqCst));
        let headers = [
            ("ETag", tag.as_str()),
            ("Link", "</x?page=2>; rel=\"next\""),
        ];
        if asked.header("if-none-match") == Some(tag.as_str()) {
            // As many servers do: no link on a 304.
            return answer("304 Not Modified", &headers[..1], b"");
        }
        let headers = if asked.target() == "/x" {
            &headers[..]
        } else {
            &headers[..1]
        };
        let body = format!(
            "{{\"items\":[{},{}]}}",
            now.load(Ordering::SeqCst),
            asked.target().len()
        );
        answer("200 OK", headers, body.as_bytes())
    })
    .await;
    let engine = engine(support::config(&[stub.address]));
    let memory = Memory::default();
    let request = with_connection(
        connection(&stub, &json!({})),
        json!({"path": "/x", "pagination": "link_header"}),
    );
    let first = sync(&engine, &memory, &request).await;
    let again = sync(&engine, &memory, &request).await;
    let third = sync(&engine, &memory, &request).await;
    for manifest in [&first, &again, &third] {
        assert_eq!(
            (
                manifest.outcome.as_str(),
                manifest.records,
                manifest.pages.len(),
                manifest.requests
            ),
            ("complete", 4, 2, 2)
        );
    }
    let of = |manifest: &RunManifest| {
        manifest
            .pages
            .iter()
            .map(|page| (page.status, page.hash.clone()))
            .unzip::<u32, String, Vec<_>, Vec<_>>()
    };
    assert_eq!(
        (of(&first).0, of(&again).0, of(&third).0),
        (vec![200, 200], vec![304, 304], vec![304, 304])
    );
    assert_eq!(
        of(&first).1,
        of(&third).1,
        "the same bodies, published again"
    );

    version.store(2, Ordering::SeqCst);
    let changed = sync(&engine, &memory, &request).await;
    assert_eq!(of(&changed).0, [200, 200]);
    assert_ne!(of(&changed).1, of(&first).1);
    // Another request never meets the validators of this one.
    let other = with_connection(
        connection(&stub, &json!({})),
        json!({"path": "/x", "headers": {"X-Account": "2"}}),
    );
    let other = sync(&engine, &memory, &other).await;
    assert_eq!(of(&other).0, [200]);
}

#[tokio::test]
async fn when_the_earlier_body_is_gone_the_page_is_asked_for_in_full() {
    let stub = Stub::start(|asked: &Asked| match asked.header("if-none-match") {
        Some(_) => answer("304 Not Modified", &[("ETag", "\"a\"")], b""),
        None => answer("200 OK", &[("ETag", "\"a\"")], b"{\"items\":[1]}"),
    })
    .await;
    let engine = engine(support::config(&[stub.address]));
    let request = with_connection(connection(&stub, &json!({})), json!({"path": "/x"}));
    sync(&engine, &Memory::default(), &request).await;
    let second = sync(&engine, &Memory::default(), &request).await;
    assert_eq!(
        (second.outcome.as_str(), second.records, second.requests),
        ("complete", 1, 2)
    );
    assert_eq!(stub.asked().len(), 3, "200, then 304 and 200");
}

#[tokio::test]
async fn validators_that_cannot_be_trusted_are_not_used() {
    let just_now = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).expect("a date");
    for headers in [
        vec![("Last-Modified", just_now.as_str())],
        vec![("ETag", "\"a\""), ("Cache-Control", "no-store")],
        vec![],
    ] {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let stub = Stub::start(move |_| {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            answer("200 OK", &headers, b"{\"items\":[1]}")
        })
        .await;
        let engine = engine(support::config(&[stub.address]));
        let memory = Memory::default();
        let request = with_connection(connection(&stub, &json!({})), json!({"path": "/x"}));
        sync(&engine, &memory, &request).await;
        sync(&engine, &memory, &request).await;
        for asked in stub.asked() {
            assert!(asked.header("if-none-match").is_none());
            assert!(asked.header("if-modified-since").is_none());
        }
    }
}
