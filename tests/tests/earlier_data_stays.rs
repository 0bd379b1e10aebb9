//! What an API says wrongly erases nothing: after each fault, a metric shows what it showed, or says that it is not whole.

use crate::tables;

use futures::future::join_all;
use house_tests::{CommandLine, Standalone};
use sample_api::{By, Server, Wanted};
use serde_json::{Value, json};
use tables::{Paging, pagings, sign_ins};

/// One of each way to go from page to page; the matrix of any API has them all.
const PAGINGS: &[&str] = &[
    "page in the query, total pages",
    "page, nothing stated",
    "offset in the query, total",
    "cursor in the query, to null",
    "cursor, has_more",
    "next link in the body",
    "Link header",
    "one page",
];

/// What is wrong, and whether an API that says so must leave everything as it was.
const FAULTS: &[(&str, bool)] = &[
    ("null_list", true),
    ("rename:people", true),
    ("wrong_type", true),
    ("field:weight:gewicht", true),
    ("texts:weight", true),
    ("html", true),
    ("trailing", true),
    ("nan", true),
    ("rename:people@2", false),
    ("texts:weight@2", false),
    ("duplicate@3", false),
    ("shifted:5@3", false),
];

fn names() -> Vec<(String, Paging)> {
    let chosen: Vec<(String, Paging)> = (0..)
        .zip(pagings())
        .filter(|(_, paging)| PAGINGS.contains(&paging.0))
        .map(|(at, paging)| (format!("m{at}"), paging))
        .collect();
    assert_eq!(chosen.len(), PAGINGS.len());
    chosen
}

async fn total(cli: &CommandLine, name: &str) -> f64 {
    let all = ["--range", "all_time", "--granularity", "all"];
    let answer = cli.query(name, &all).await;
    answer["series"][0]["total"].as_f64().expect("a total")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_says_wrongly_erases_nothing() {
    let api = Server::start(sample_api::Config {
        subscribers: 120,
        page_size: 30,
        today: Some("2026-11-22".parse().expect("a date")),
        ..sample_api::Config::default()
    })
    .await
    .expect("the sample API");
    let house = Standalone::start(&[api.address().to_string()]).await;
    let (_, prefix, auth) = &sign_ins(&api.url())[0];
    let connection = json!({ "kind": "connection", "name": "api", "auth": auth,
        "base_url": format!("{}{prefix}", api.url()) });
    let metrics = names();
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|(name, (_, request, records))| {
            json!({ "kind": "metric", "name": name, "connection": "api", "request": request,
                "select": { "records": records, "value": "weight", "date": "at", "key": "id" } })
        })
        .chain([connection])
        .collect();
    house.cli.apply(&Value::from(definitions).to_string()).await;
    let sync_all = || join_all(metrics.iter().map(|(name, _)| house.cli.sync(name)));
    for summary in sync_all().await {
        assert_eq!(summary["state"], "final", "{summary}");
    }
    let everything = Wanted {
        by: By::All,
        ..Wanted::default()
    };
    let truth: u64 = api
        .subscribers(&everything)
        .values()
        .map(|sum| sum.sum)
        .sum();
    let truth = truth as f64;

    for (fault, must_stay) in FAULTS {
        api.add_faults(fault).expect("a known fault");
        let summaries = sync_all().await;
        api.clear_faults();
        for ((name, paging), summary) in metrics.iter().zip(summaries) {
            let about = format!("{} · {fault}: {summary}", paging.0);
            let stayed = (total(&house.cli, name).await - truth).abs() < 0.5;
            let failed = summary["state"] == "failed";
            assert!(!must_stay || failed, "{about}");
            assert!(stayed || !failed && summary["partial"] == false, "{about}");
            let said = summary["rejected"].as_u64() > Some(0)
                || summary["notes"]
                    .as_array()
                    .is_some_and(|notes| !notes.is_empty());
            assert!(stayed || said, "{about}");
        }
        // The next good sync makes everything right again.
        for ((name, paging), summary) in metrics.iter().zip(sync_all().await) {
            assert_eq!(
                summary["state"], "final",
                "{} after {fault}: {summary}",
                paging.0
            );
            let total = total(&house.cli, name).await;
            assert!(
                (total - truth).abs() < 0.5,
                "{} after {fault}: {total}",
                paging.0
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_twice_count_once_by_their_key_and_are_partial_without() {
    let api = Server::start(sample_api::Config {
        subscribers: 120,
        page_size: 30,
        today: Some("2026-11-22".parse().expect("a date")),
        ..sample_api::Config::default()
    })
    .await
    .expect("the sample API");
    let house = Standalone::start(&[api.address().to_string()]).await;
    let paging = json!({ "page": { "param": "page", "total_pages": "total_pages" } });
    let request = |path: &str| json!({ "path": path, "pagination": paging });
    let definitions = json!([
        { "kind": "connection", "name": "api", "base_url": api.url() },
        { "kind": "metric", "name": "keyed", "connection": "api", "request": request("/api/page"),
          "select": { "records": "items", "date": "at", "key": "id" } },
        { "kind": "metric", "name": "keyless", "connection": "api", "request": request("/api/page"),
          "select": { "records": "items", "date": "at" } },
    ]);
    house.cli.apply(&definitions.to_string()).await;
    // The list shifts by five records between the second and the third page.
    api.add_faults("shifted:5@3,shifted:5@4")
        .expect("known faults");
    let summary = house.cli.sync("keyless").await;
    api.clear_faults();
    assert_eq!(summary["state"], "final", "{summary}");
    assert!(
        summary["notes"].to_string().contains("came again"),
        "{summary}"
    );
    let all = ["--range", "all_time", "--granularity", "all"];
    let point = async |name: &str| {
        let answer = house.cli.query(name, &all).await;
        let point = &answer["series"][0]["points"][0];
        (
            point["value"].as_f64().expect("a value"),
            point["partial"] == true,
        )
    };
    // 115 records came, five of them twice.
    assert_eq!(point("keyed").await, (115.0, false));
    assert_eq!(point("keyless").await, (120.0, true));
    let summary = house.cli.sync("keyless").await;
    assert_eq!(summary["notes"], json!([]), "{summary}");
    for name in ["keyed", "keyless"] {
        assert_eq!(point(name).await, (120.0, false), "{name}");
    }
}
