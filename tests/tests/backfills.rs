//! Years fetched again as windows, newest first, through a kill.

use house_tests::{Standalone, points, truth};
use sample_api::{Config, Server};
use serde_json::json;

const SECRET: &str = "sample-secret";

fn metric(base_url: &str) -> String {
    format!(
        r#"
kind: connection
name: kit
base_url: {base_url}
auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}
---
kind: metric
name: new_subscribers
connection: kit
request:
  path: /v3/subscribers
  query: {{ from: "{{{{ window.start | date }}}}", to: "{{{{ window.last_day | date }}}}" }}
  pagination: {{ page: {{ param: page, total_pages: total_pages }} }}
window: {{ last: 30d, lookback: 2d }}
select:
  records: subscribers
  dimensions: {{ state: state }}
  date: created_at
  key: id
resolution: day
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_years_goes_newest_first_and_survives_a_kill() {
    let config = Config {
        subscribers: 2_000,
        secret: SECRET.into(),
        ..Config::default()
    };
    let api = Server::start(config).await.expect("the sample API starts");
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");

    api.clear_ledger();
    api.set_latency(std::time::Duration::from_millis(200));
    let first = truth(&api).first().expect("a day").0.clone();
    let arguments = ["backfill", "new_subscribers", "--from", &first, "--until"];
    let until = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let accepted = house
        .cli
        .run(&[&arguments[..], &[&until, "-o", "json"]].concat())
        .await
        .json();
    let windows = accepted["runs"].as_array().expect("runs").len();
    assert!(windows > 10, "{windows} windows of 30 days");
    house_tests::eventually("a few windows were asked for", || {
        let served = api.ledger().served.len();
        async move { (served >= 4).then_some(()) }
    })
    .await;
    let house = house.kill_and_restart().await;
    api.set_latency(std::time::Duration::ZERO);
    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];
    house_tests::eventually("every window is there", || async {
        let answer = house.cli.query("new_subscribers", &range).await;
        (points(&answer) == truth(&api)).then_some(())
    })
    .await;

    let ledger = api.ledger();
    let mut asked: Vec<String> = Vec::new();
    for served in &ledger.served {
        let from = served
            .query
            .split('&')
            .find_map(|part| part.strip_prefix("from="));
        let from = from.expect("a first day").to_owned();
        if !asked.contains(&from) {
            asked.push(from);
        }
    }
    // The first few go at once; behind them the past is asked for in order.
    let places: Vec<usize> = {
        let mut sorted = asked.clone();
        sorted.sort_by(|a, b| b.cmp(a));
        asked
            .iter()
            .map(|one| sorted.iter().position(|other| other == one).expect("there"))
            .collect()
    };
    for (at, place) in places.iter().enumerate() {
        assert!(at.abs_diff(*place) <= 16, "newest first: {asked:?}");
    }
    let runs = house
        .cli
        .run(&["runs", "new_subscribers", "--limit", "100", "-o", "json"])
        .await
        .json();
    let runs = runs["items"].as_array().expect("runs").clone();
    let backfilled = runs.iter().filter(|run| run["kind"] == json!("backfill"));
    assert_eq!(backfilled.clone().count(), windows);
    for run in backfilled {
        assert_eq!(run["state"], "final", "{run}");
    }
}
