use definition::Definition;
use expression::budget::Limits;
use expression::profile::Survey;
use expression::{Evaluator, Page, RunContext, Task};
use rollup::deduplicate;
use serde_json::{Value, json};
use wire::PageEntry;

use super::*;

const NOW: &str = "2026-11-23T12:00:00Z";

/// The codes of what is warned of when `part` of a metric is previewed on these pages.
fn warned(part: &Value, pages: &[Value], manifest: RunManifest) -> Vec<String> {
    let mut document =
        json!({ "kind": "metric", "name": "m", "connection": "api", "request": { "path": "/x" } });
    for (name, value) in part.as_object().unwrap() {
        document[name] = value.clone();
    }
    let Definition::Metric(metric) = Definition::from_document(&document).unwrap() else {
        panic!("a metric")
    };
    let now: Timestamp = NOW.parse().unwrap();
    let mut survey = Survey::new(now);
    let (mut evaluator, problems) = Evaluator::new(
        vec![Task::of(&metric, None, 0)],
        &RunContext::default(),
        Limits::default(),
    );
    assert!(problems.is_empty(), "{problems:?}");
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    for (number, page) in (1..).zip(pages) {
        let body = page.to_string();
        survey.page(body.as_bytes()).unwrap();
        let page = Page {
            bytes: body.as_bytes(),
            number,
            first: number == 1,
            fetched_at: now,
            parent: None,
        };
        for result in evaluator.eval_page(&page) {
            assert_eq!(result.error, None);
            rows.extend(result.rows);
            rejected.extend(result.rejected);
        }
    }
    let manifest = RunManifest {
        pages: (1..)
            .zip(pages)
            .map(|(number, _)| PageEntry {
                number,
                records: Some(50),
                ..PageEntry::default()
            })
            .collect(),
        ..manifest
    };
    let total = rows.len() as u64;
    let (rows, repeated) = deduplicate(rows);
    let found = of(&Seen {
        manifest: &manifest,
        metric: &metric,
        dataset: None,
        profile: Some(&survey.profile()),
        rows: &rows,
        rows_total: total,
        rejected: &rejected,
        rejected_total: rejected.len() as u64,
        repeated,
        outside: 0,
        failed: false,
        now,
    });
    found.into_iter().map(|one| one.code).collect()
}

fn items(of: impl Fn(u64) -> Value) -> Vec<Value> {
    vec![json!({ "total": 412, "items": (1..=25).map(of).collect::<Vec<_>>() })]
}

fn check(part: &Value, pages: &[Value], expected: &[&str]) {
    let found = warned(part, pages, RunManifest::default());
    assert_eq!(found, expected, "{part}");
}

#[test]
fn an_ordinary_metric_is_not_warned_about() {
    let pages = items(|n| {
        json!({ "id": n, "at": format!("2026-01-{n:02}T10:00:00Z"), "state": if n.is_multiple_of(2) { "a" } else { "b" },
            "amount": (n * 7) % 11, "currency": "USD" })
    });
    let select = json!({ "records": "items", "value": "amount", "date": "at", "key": "id",
        "dimensions": { "state": "state" } });
    check(&json!({ "select": select }), &pages, &[]);
}

#[test]
fn each_mistake_is_named() {
    let day = |n: u64| format!("2026-01-{n:02}");
    let record = |n: u64| {
        json!({ "id": n, "at": day(n), "amount": n * 3, "currency": if n.is_multiple_of(2) { "USD" } else { "EUR" },
        "email": format!("p{n}@example.com"), "due": "2031-05-01", "s": 1_767_600_000 + n,
        "ms": 1_767_600_000_000_u64 + n, "price": "1.234,50", "same": 1 })
    };
    let pages = items(record);
    let select = |part: Value| {
        let mut select = json!({ "records": "items", "date": "at" });
        for (name, value) in part.as_object().unwrap() {
            select[name] = value.clone();
        }
        json!({ "select": select })
    };
    for (part, expected) in [
        (
            json!({ "value": "amount", "unit": "currency" }),
            vec!["preview.running_total"],
        ),
        (
            json!({ "value": "(id * 7) % 11" }),
            vec!["preview.mixed_currencies"],
        ),
        (json!({ "date": "due" }), vec!["preview.future_dates"]),
        (
            json!({ "date": { "path": "s", "format": "unix_ms" } }),
            vec!["preview.seconds_as_milliseconds"],
        ),
        (
            json!({ "date": { "path": "ms", "format": "unix" } }),
            vec!["preview.milliseconds_as_seconds"],
        ),
        (
            json!({ "dimensions": { "who": "email" } }),
            vec!["preview.dimension"],
        ),
        (
            json!({ "dimensions": { "who": "id" } }),
            vec!["preview.dimension"],
        ),
        (json!({ "key": "same" }), vec!["preview.repeated_keys"]),
        (
            json!({ "records": "items[id > 99]" }),
            vec!["preview.no_rows"],
        ),
        (json!({ "date": null }), vec!["preview.no_date"]),
        (
            json!({ "value": "price", "dimensions": { "c": "currency" } }),
            vec!["preview.mixed_currencies", "preview.number_in_text"],
        ),
    ] {
        check(&select(part), &pages, &expected);
    }
}

#[test]
fn a_total_that_every_page_repeats_is_counted_too_often() {
    let page = json!({ "total": 412, "items": [{ "id": 1 }] });
    let pages = [page.clone(), page];
    let every = json!({ "select": { "value": "total" }, "type": "levels" });
    check(&every, &pages, &["preview.repeats_on_every_page"]);
    let once =
        json!({ "select": { "value": { "path": "total", "page": "first" } }, "type": "levels" });
    check(&once, &pages, &[]);
}

#[test]
fn days_that_could_be_months_are_doubted() {
    let pages =
        items(|n| json!({ "id": n, "at": format!("{:02}/0{}/2026", n % 9 + 1, n % 3 + 1) }));
    let select = json!({ "records": "items", "date": { "path": "at", "format": "%d/%m/%Y" } });
    check(
        &json!({ "select": select }),
        &pages,
        &["preview.ambiguous_dates"],
    );
}

#[test]
fn more_pages_than_a_sync_reads_are_told_whether_pages_or_records_are_stated() {
    let pages = items(|n| json!({ "id": n }));
    let metric = json!({ "select": { "records": "items" }, "type": "levels" });
    let stated = RunManifest {
        stated_pages: Some(412),
        outcome: "truncated".to_owned(),
        ..RunManifest::default()
    };
    assert_eq!(
        warned(&metric, &pages, stated),
        ["preview.page_cap", "preview.not_whole"]
    );
    let records = RunManifest {
        stated_total: Some(20_000),
        ..RunManifest::default()
    };
    assert_eq!(warned(&metric, &pages, records), ["preview.page_cap"]);
}

#[test]
fn what_a_run_would_note_is_told_and_the_previews_own_end_is_not() {
    let pages = items(|n| json!({ "id": n }));
    let metric = json!({ "select": { "records": "items" }, "type": "levels" });
    let lone = RunManifest {
        ended: "single_page".to_owned(),
        notes: vec!["only the first page was read".to_owned()],
        ..RunManifest::default()
    };
    assert_eq!(warned(&metric, &pages, lone), ["preview.more_pages"]);
    let shifted = RunManifest {
        ended: "page_cap".to_owned(),
        outcome: "truncated".to_owned(),
        notes: vec![
            "stopped after 5 pages".to_owned(),
            "2 records came again".to_owned(),
        ],
        ..RunManifest::default()
    };
    assert_eq!(
        warned(&metric, &pages, shifted),
        ["preview.fetch", "preview.not_whole"]
    );
}
