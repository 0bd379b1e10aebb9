//! What a metric's runs tell over its life: edits, neighbours on the same request, an address that is gone.

use house_tests::{Standalone, numbered_house, numbered_metric};
use sample_api::Server;
use serde_json::Value;

/// A house with a metric of subscribers, and the sample API that it reads.
async fn house() -> (Server, Standalone) {
    let config = sample_api::Config {
        subscribers: 120,
        page_size: 50,
        secret: "sample-secret".into(),
        ..sample_api::Config::default()
    };
    numbered_house(config).await
}

async fn runs(house: &Standalone, metric: &str) -> Vec<Value> {
    let said = house.cli.run(&["runs", metric, "-o", "json"]).await.json();
    said["items"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metrics_runs_are_its_own_and_outlive_an_edit() {
    let (api, house) = house().await;
    let neighbour = "kind: metric\nname: active_subscribers\nconnection: kit\nrequest:\n  path: /v3/subscribers\n\
         \x20 pagination: { page: { param: page, total_pages: total_pages } }\n  max_pages: 1000\n\
         select: { records: subscribers, where: \"id % 2 = 0\", value: { count: true }, date: created_at, key: id }\n";
    house.cli.apply(neighbour).await;
    let ended = house.cli.sync("new_subscribers").await;
    assert_eq!(
        (&ended["state"], &ended["rows"]),
        (&"final".into(), &120.into()),
        "{ended}"
    );
    let own = runs(&house, "active_subscribers").await;
    let rows = own[0]["rows"].as_i64().expect("a number of rows");
    assert!(rows > 0 && rows < 120, "{own:?}");
    assert_eq!(own[0]["outcome"], "applied");

    let edited = numbered_metric(&api.url()).replace("max_pages: 1000", "max_pages: 900");
    house.cli.apply(&edited).await;
    house.cli.sync("new_subscribers").await;
    let all = runs(&house, "new_subscribers").await;
    let first = ended["run"].as_str().expect("a run");
    assert!(all.len() >= 2, "{all:?}");
    assert!(
        all.iter()
            .any(|run| run["id"] == first && run["rows"] == 120),
        "{all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_answers_gone_pause_a_dataset_and_a_success_ends_that() {
    let (api, house) = house().await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    api.add_faults("status:410").expect("a fault");
    for _ in 0..3 {
        let ended = house.cli.sync("new_subscribers").await;
        assert_eq!(ended["state"], "failed", "{ended}");
        assert_eq!(ended["error"]["code"], "upstream.gone", "{ended}");
    }
    let metric = house
        .cli
        .run(&["get", "metric", "new_subscribers", "-o", "json"]);
    let state = metric.await.json()["state"].clone();
    let reason = state["needs_attention"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        reason.contains("paused") && reason.contains("410"),
        "{state}"
    );
    let value = house.cli.run(&[
        "query",
        "new_subscribers",
        "--range",
        "all_time",
        "-o",
        "json",
    ]);
    assert_ne!(
        value.await.json()["series"],
        Value::Array(Vec::new()),
        "earlier data stays"
    );

    api.clear_faults();
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let metric = house
        .cli
        .run(&["get", "metric", "new_subscribers", "-o", "json"]);
    assert_eq!(metric.await.json()["state"]["needs_attention"], Value::Null);
}
