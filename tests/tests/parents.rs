//! A dataset that asks once for each record of another, from definition to numbers.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot set up its house must end there"
)]

use house_tests::Standalone;
use sample_api::{Config, Server};
use serde_json::{Value, json};

const SECRET: &str = "sample-secret";

async fn sample() -> Server {
    let config = Config {
        subscribers: 500,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

fn definitions(base_url: &str) -> String {
    format!(
        r#"
kind: connection
name: kit
base_url: {base_url}
auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}
variables: {{ version: v3 }}
---
kind: dataset
name: broadcasts
connection: kit
request:
  path: /{{{{ connection.version }}}}/broadcasts
  pagination: {{ page: {{ param: page }} }}
records: broadcasts
key: id
---
kind: dataset
name: broadcast_stats
connection: kit
parent: {{ dataset: broadcasts, where: "id % 2 = 0" }}
request:
  path: /v3/broadcasts/{{{{ parent.id }}}}/stats
records: broadcast
key: id
---
kind: metric
name: broadcast_recipients
dataset: broadcast_stats
select:
  value: stats.recipients
  date: $parent.created_at
resolution: month
"#
    )
}

/// What the API itself says: recipients of every other broadcast, by month.
async fn truth(api: &Server) -> (f64, usize) {
    house_tests::crypto();
    let client = reqwest::Client::new();
    let get = |path: String| {
        let (url, client) = (format!("{}{path}", api.url()), client.clone());
        async move {
            let answer = client.get(&url).send().await.expect("an answer");
            let body = answer.bytes().await.expect("a body");
            serde_json::from_slice::<Value>(&body).expect("json")
        }
    };
    let (mut sum, mut count) = (0.0, 0);
    for page in 1.. {
        let list = get(format!("/v3/broadcasts?page={page}&api_secret={SECRET}")).await;
        let list = list["broadcasts"].as_array().expect("a list").clone();
        if list.is_empty() {
            break;
        }
        for one in list {
            let id = one["id"].as_u64().expect("an id");
            if id % 2 == 0 {
                let stats = get(format!("/v3/broadcasts/{id}/stats?api_secret={SECRET}")).await;
                sum += stats["broadcast"]["stats"]["recipients"]
                    .as_f64()
                    .expect("a number");
                count += 1;
            }
        }
    }
    (sum, count)
}

fn total(answer: &Value) -> f64 {
    let points = answer["series"][0]["points"].as_array().expect("points");
    points
        .iter()
        .filter_map(|point| point["value"].as_f64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_parent_is_asked_for_and_counted_by_its_date() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let (sum, count) = truth(&api).await;
    assert!(count > 20, "there is something to count");

    // Nobody has fetched the parent yet: it is fetched for the child.
    let done = house.cli.sync("broadcast_recipients").await;
    assert_eq!(
        (
            &done["state"],
            &done["ended"],
            &done["rows"],
            &done["pages"]
        ),
        (
            &json!("final"),
            &json!("all_parents"),
            &json!(count),
            &json!(count)
        ),
        "{done}"
    );
    let range = ["--range", "all_time", "--granularity", "month"];
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert!((total(&answer) - sum).abs() < 1e-6, "{answer}");
    assert!(
        answer["series"][0]["points"]
            .as_array()
            .expect("points")
            .len()
            > 1,
        "the date is the parent's: {answer}"
    );

    // A second sync finds the parent young enough and changes nothing.
    api.clear_ledger();
    let again = house.cli.sync("broadcast_recipients").await;
    assert_eq!(again["state"], "final");
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert_eq!(answer["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_a_parent_survives_a_kill() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let (sum, count) = truth(&api).await;
    api.set_latency(std::time::Duration::from_millis(100));
    let said = house
        .cli
        .run(&["sync", "broadcast_recipients", "-o", "json"])
        .await;
    said.fine();
    house_tests::eventually("the statistics are being asked for", || {
        let ledger = api.ledger();
        let served = ledger.served.iter().any(|one| one.path.ends_with("stats"));
        async move { served.then_some(()) }
    })
    .await;
    let house = house.kill_and_restart().await;
    api.set_latency(std::time::Duration::ZERO);
    let done = house.cli.sync("broadcast_recipients").await;
    assert_eq!(
        (&done["state"], &done["rows"]),
        (&json!("final"), &json!(count)),
        "{done}"
    );
    let range = ["--range", "all_time", "--granularity", "month"];
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert!((total(&answer) - sum).abs() < 1e-6, "{answer}");
}
