//! The broker dies, an operator purges, an expression misbehaves: the run ends well, or alone.

use std::time::Duration;

use house_tests::{Hearing, Standalone, eventually, numbered_metric};
use rustix::process::{Pid, Signal, kill_process};
use sample_api::{Config, Server, Wanted};
use serde_json::{Value, json};

const SECRET: &str = "sample-secret";

async fn sample(subscribers: u32, latency: Duration) -> Server {
    let config = Config {
        subscribers,
        secret: SECRET.into(),
        latency,
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

async fn ready(api: &Server, definitions: &str) -> Standalone {
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(definitions).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    house
}

fn total(answer: &Value) -> Option<u64> {
    let series = answer["series"].as_array().into_iter().flatten();
    series
        .flat_map(|one| one["points"].as_array().into_iter().flatten())
        .map(|point| point["value"].as_u64())
        .sum()
}

async fn stored(house: &Standalone, metric: &str) -> Option<u64> {
    total(
        &house
            .cli
            .query(metric, &["--range", "all_time", "--granularity", "day"])
            .await,
    )
}

fn true_total(api: &Server) -> u64 {
    api.subscribers(&Wanted::default())
        .into_values()
        .map(|sums| sums.count)
        .sum()
}

/// Waits until so many requests have reached the API.
async fn asked(api: &Server, requests: usize) {
    eventually("the sync is under way", || async {
        (api.ledger().served.len() >= requests).then_some(())
    })
    .await;
}

async fn begin(house: &Standalone, metric: &str) -> String {
    let accepted = house.cli.run(&["sync", metric, "-o", "json"]).await.json();
    accepted["run"].as_str().expect("a run").to_owned()
}

async fn run(house: &Standalone, run: &str) -> Option<Value> {
    let url = format!("{}/api/v1/runs/{run}", house.cli.url);
    let text = reqwest::Client::new()
        .get(url)
        .bearer_auth(&house.cli.token)
        .send()
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    serde_json::from_str(&text).ok()
}

async fn end_of(house: &Standalone, id: &str) -> Value {
    house_tests::crypto();
    eventually("the run ends", || async {
        run(house, id).await.filter(|run| run["is_ended"] == true)
    })
    .await
}

fn nats_pid(house: &Standalone) -> Option<Pid> {
    let text = std::fs::read_to_string(house.data().join("nats/nats-server.pid")).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_outlives_its_broker() {
    let api = sample(2_000, Duration::from_millis(40)).await;
    let house = ready(&api, &numbered_metric(&api.url())).await;
    for pages in [1, 15] {
        api.clear_ledger();
        let id = begin(&house, "new_subscribers").await;
        asked(&api, pages).await;
        let pid = nats_pid(&house).expect("a nats-server runs");
        kill_process(pid, Signal::KILL).expect("it can be killed");
        let ended = end_of(&house, &id).await;
        assert_eq!(
            ended["state"],
            "final",
            "{ended}\n{}",
            house.process.errors()
        );
        assert_ne!(nats_pid(&house), Some(pid), "another server took its place");
        assert_eq!(
            stored(&house, "new_subscribers").await,
            Some(true_total(&api))
        );
    }
    // Whoever listens from now on hears the next sync.
    let hearing = Hearing::updates(&house.nats).await;
    api.add_subscribers(1, jiff::Timestamp::now());
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    hearing
        .wait_for("the update", |update| update["metric"] == "new_subscribers")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_an_operator_purged_are_fetched_again_or_the_run_says_so() {
    let api = sample(2_000, Duration::from_millis(40)).await;
    let house = ready(&api, &numbered_metric(&api.url())).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    house_tests::crypto();
    let client = async_nats::connect(&house.nats)
        .await
        .expect("NATS can be reached");
    let jetstream = async_nats::jetstream::new(client);
    let mut pages = None;
    let mut names = jetstream.stream_names();
    while let Some(Ok(name)) = futures::StreamExt::next(&mut names).await {
        if name.to_ascii_uppercase().contains("PAGE") {
            pages = Some(jetstream.get_stream(&name).await.expect("a stream"));
        }
    }
    let pages = pages.expect("there is a stream of pages");
    api.clear_ledger();
    let id = begin(&house, "new_subscribers").await;
    asked(&api, 20).await;
    pages.purge().await.expect("an operator may purge");
    let ended = end_of(&house, &id).await;
    assert!(
        ended["state"] == "final" || ended["error"]["message"].is_string(),
        "{ended}"
    );
    // Whatever became of that run, history is whole, and stays so.
    assert_eq!(
        stored(&house, "new_subscribers").await,
        Some(true_total(&api)),
        "{ended}"
    );
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    assert_eq!(
        stored(&house, "new_subscribers").await,
        Some(true_total(&api))
    );
}

/// A second metric on the same requests, with an expression of its own.
fn neighbour(base_url: &str, expression: &str) -> String {
    format!(
        "{}---\nkind: metric\nname: hungry\nconnection: kit\nrequest:\n  path: /v3/subscribers\n  \
         pagination: {{ page: {{ param: page, total_pages: total_pages }} }}\n  max_pages: 1000\n\
         expression: '{expression}'\ntype: levels\n",
        numbered_metric(base_url)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_eats_or_hangs_harms_its_own_metric_alone() {
    let api = sample(200, Duration::ZERO).await;
    let house = ready(&api, &numbered_metric(&api.url())).await;
    let expressions = [
        r#"{ "value": $length($pad("x", 1000000000)) }"#,
        "[1..99999].([1..99999].([1..99999]))",
        r#"{ "value": $count($reduce([1..100000], function($a, $b){ $append($a, [1..1000]) })) }"#,
        r#"($f := function(){ $f() }; { "value": $f() })"#,
        r#"($f := function($x){ $f($x + 1) + 1 }; { "value": $f(1) })"#,
        r#"{ "value": $count($match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", /^(a+)+$/)) }"#,
        r#"{ "value": $length($string($map([1..100000], function($x){ $pad("x", 100000) }))) }"#,
    ];
    for (round, expression) in expressions.into_iter().enumerate() {
        house.cli.apply(&neighbour(&api.url(), expression)).await;
        api.add_subscribers(1, jiff::Timestamp::now());
        let hearing = Hearing::updates(&house.nats).await;
        let id = begin(&house, "hungry").await;
        let ended = end_of(&house, &id).await;
        let metrics = ended["metrics"]
            .as_array()
            .unwrap_or_else(|| panic!("outcomes: {ended}"))
            .clone();
        let outcome = |name: &str| {
            let one = metrics
                .iter()
                .find(|one| one["metric"] == name || one["name"] == name);
            one.cloned()
                .unwrap_or_else(|| panic!("no outcome of {name}: {ended}"))
        };
        assert_eq!(
            outcome("new_subscribers")["outcome"],
            "applied",
            "{expression}: {ended}"
        );
        let hungry = outcome("hungry");
        let may_be_empty = expression.contains("$match");
        assert!(
            may_be_empty || hungry["outcome"] != "applied",
            "{expression}: {ended}"
        );
        assert!(
            may_be_empty || hungry["error"]["message"].is_string(),
            "it says why: {hungry}"
        );
        assert_eq!(
            stored(&house, "new_subscribers").await,
            Some(true_total(&api)),
            "{expression}"
        );
        hearing
            .wait_for("the neighbour's update", |update| {
                update["metric"] == "new_subscribers"
            })
            .await;
        assert!(
            hearing
                .all()
                .iter()
                .all(|update| may_be_empty || update["metric"] != "hungry"),
            "round {round}"
        );
    }
    house
        .cli
        .apply(&neighbour(&api.url(), r#"{ "value": 1 }"#))
        .await;
    let done = house.cli.sync("hungry").await;
    assert_eq!(done["state"], json!("final"), "the next sync works: {done}");
    let answer = house
        .cli
        .query("hungry", &["--range", "today", "--granularity", "all"])
        .await;
    assert!(answer["series"][0]["total"].as_f64().is_some(), "{answer}");
}
