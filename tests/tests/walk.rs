//! From a definition to a live metric, as a person would go: one binary, a real NATS, a real store.

use house_tests::{Hearing, Standalone, cursor_metric, numbered_metric, points, truth};
use sample_api::{Config, Server};
use serde_json::{Value, json};

const SECRET: &str = "sample-secret";

/// Takes every kept page away, as retention does in time.
async fn purge_pages(nats: &str) {
    house_tests::crypto();
    let client = async_nats::connect(nats)
        .await
        .expect("NATS can be reached");
    let jetstream = async_nats::jetstream::new(client);
    let mut names = jetstream.stream_names();
    let mut purged = 0;
    while let Some(Ok(name)) = futures::StreamExt::next(&mut names).await {
        if name.to_ascii_uppercase().contains("PAGE") {
            let stream = jetstream.get_stream(&name).await.expect("a stream");
            purged += stream.purge().await.expect("anybody may purge").purged;
        }
    }
    assert!(purged > 0, "there were pages");
}

async fn sample(subscribers: u32) -> Server {
    let config = Config {
        subscribers,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_becomes_a_live_metric() {
    let api = sample(1_000).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let hearing = Hearing::updates(&house.nats).await;
    // The newest come first, so that one more person shifts every record by one.
    let newest_first = numbered_metric(&api.url()).replace(
        "path: /v3/subscribers",
        "path: /v3/subscribers\n  query: { sort_order: desc }",
    );
    house.cli.apply(&newest_first).await;
    house.cli.secret("kit_api_secret", SECRET).await;

    let done = house.cli.sync("new_subscribers").await;
    assert_eq!(done["state"], "final", "{done}");
    assert_eq!(done["rows"], 1_000);
    assert_eq!(done["pages"], 20);
    assert_eq!(done["rejected"], 0);
    assert_eq!(done["partial"], false);
    assert_eq!(done["ended"], "total_reached");

    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];
    let answer = house.cli.query("new_subscribers", &range).await;
    assert_eq!(points(&answer), truth(&api));

    let update = hearing
        .wait_for("the update", |update| update["metric"] == "new_subscribers")
        .await;
    assert_eq!(update["version"], 1);
    assert_eq!(update["run"], done["run"]);
    assert!(!update["changes"].as_array().expect("changes").is_empty());

    // The same data again changes nothing and announces nothing.
    let again = house.cli.sync("new_subscribers").await;
    assert_eq!(again["state"], "final");
    let answer = house.cli.query("new_subscribers", &range).await;
    assert_eq!(answer["version"], 1);
    assert_eq!(points(&answer), truth(&api));

    // One more person: exactly one point moves, with its old value, wherever the records now lie.
    api.add_subscribers(1, jiff::Timestamp::now());
    house.cli.sync("new_subscribers").await;
    let update = hearing
        .wait_for("the second update", |update| update["version"] == 2)
        .await;
    let changes = update["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{update}");
    let (value, previous) = (
        changes[0]["value"].as_f64(),
        changes[0]["previous"].as_f64().unwrap_or(0.0),
    );
    assert_eq!(value, Some(previous + 1.0));
    assert_eq!(
        points(&house.cli.query("new_subscribers", &range).await),
        truth(&api)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_a_kill() {
    let api = sample(500).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];

    let house = house.kill_and_restart().await;
    assert_eq!(
        points(&house.cli.query("new_subscribers", &range).await),
        truth(&api)
    );
    let mut house = house.restart().await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    assert_eq!(
        points(&house.cli.query("new_subscribers", &range).await),
        truth(&api)
    );
    assert_eq!(house.process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_counts_everybody_at_each_sync() {
    let api = sample(1_200).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&cursor_metric(&api.url())).await;
    house.cli.secret("kit_api_key", SECRET).await;
    let done = house.cli.sync("all_subscribers").await;
    assert_eq!(done["state"], "final", "{done}");
    assert_eq!(done["pages"], 3);
    assert_eq!(done["ended"], "has_more_false");
    let answer = house
        .cli
        .query(
            "all_subscribers",
            &["--range", "today", "--granularity", "all"],
        )
        .await;
    assert_eq!(answer["series"][0]["total"], 1_200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_ask_the_same_share_one_fetch() {
    let api = sample(300).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let second = numbered_metric(&api.url())
        .replace("name: new_subscribers", "name: highest_id")
        .replace("value: { count: true }", "value: id")
        .replace("resolution: day", "resolution: day\naggregation: max");
    let metric_only = second.split("---").nth(1).expect("the metric").to_owned();
    let both = format!("{}---\n{metric_only}", numbered_metric(&api.url()));
    let applied = house.cli.apply(&both).await;
    let datasets: Vec<&Value> = applied["definitions"]
        .as_array()
        .expect("definitions")
        .iter()
        .filter_map(|one| one.get("dataset"))
        .collect();
    assert_eq!(datasets.len(), 2);
    assert_eq!(datasets[0], datasets[1]);

    house.cli.secret("kit_api_secret", SECRET).await;
    api.clear_ledger();
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    assert_eq!(
        api.ledger().served.len(),
        6,
        "300 records are 6 pages, fetched once"
    );
    let answer = house
        .cli
        .query(
            "highest_id",
            &["--range", "all_time", "--granularity", "all"],
        )
        .await;
    assert!(
        answer["series"][0]["total"].as_f64().expect("a total") > 0.0,
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_field_or_a_null_list_erases_nothing() {
    let api = sample(300).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];
    for fault in [
        "rename:people",
        "null_list",
        "wrong_type",
        "html",
        "cut_json",
        "status:404",
    ] {
        api.add_faults(fault).expect("a known fault");
        let failed = house.cli.sync("new_subscribers").await;
        assert_eq!(failed["state"], "failed", "{fault}: {failed}");
        assert!(
            failed["error"]["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{fault}: {failed}"
        );
        api.clear_faults();
        assert_eq!(
            points(&house.cli.query("new_subscribers", &range).await),
            truth(&api),
            "after {fault}"
        );
    }
    let summary = house.cli.sync("new_subscribers").await;
    assert_eq!(summary["state"], "final");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_cap_is_marked_and_never_silent() {
    let api = sample(500).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let capped = numbered_metric(&api.url()).replace("max_pages: 1000", "max_pages: 3");
    house.cli.apply(&capped).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let done = house.cli.sync("new_subscribers").await;
    assert_eq!(
        (&done["state"], &done["ended"], &done["partial"]),
        (&json!("final"), &json!("page_cap"), &json!(true))
    );
    assert_eq!(done["pages"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_expression_is_recomputed_without_calling_the_api() {
    let api = sample(300).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let calls = api.ledger().served.len();
    let hearing = Hearing::updates(&house.nats).await;
    let doubled = numbered_metric(&api.url()).replace("value: { count: true }", "value: \"2\"");
    house.cli.apply(&doubled).await;
    hearing
        .wait_for("the recomputed version", |update| update["version"] == 2)
        .await;
    let answer = house
        .cli
        .query(
            "new_subscribers",
            &["--range", "all_time", "--granularity", "all"],
        )
        .await;
    assert_eq!(answer["series"][0]["total"], 600, "{answer}");
    assert_eq!(api.ledger().served.len(), calls, "the API was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_whose_pages_are_gone_stand_marked_after_an_edit() {
    let api = sample(30).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let metric = numbered_metric(&api.url());
    house.cli.apply(&metric).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let query = ["query", "new_subscribers", "--range", "all_time"];
    let before = house.cli.run(&query).await.fine().output;
    assert!(!before.contains("outdated"), "{before}");

    purge_pages(&house.nats).await;
    let doubled = metric.replace("value: { count: true }", "value: \"2\"");
    house.cli.apply(&doubled).await;
    let recompute = ["recompute", "new_subscribers", "--wait", "-o", "json"];
    house.cli.run(&recompute).await;
    let all = ["--range", "all_time", "--granularity", "all"];
    let answer = house.cli.query("new_subscribers", &all).await;
    let series = &answer["series"][0];
    assert_eq!(series["total"], 30, "the numbers stand: {answer}");
    assert_eq!(series["points"][0]["outdated"], true, "{answer}");
    let shown = house.cli.run(&query).await.fine().output;
    assert!(
        shown.contains("tidemark backfill new_subscribers"),
        "{shown}"
    );

    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    let days = ["--range", "all_time", "--granularity", "day"];
    let answer = house.cli.query("new_subscribers", &days).await;
    let points = answer["series"][0]["points"].as_array().expect("points");
    // Without a window, a rolling API may have cut the earliest bucket: it stays, and says so.
    let (earliest, later) = points.split_first().expect("a point");
    assert_eq!(earliest["outdated"], true, "{answer}");
    assert_eq!(earliest["value"], earliest["count"], "{answer}");
    for point in later {
        assert!(point.get("outdated").is_none(), "{answer}");
        let twice = point["count"].as_u64().map(|count| count * 2);
        assert_eq!(point["value"].as_u64(), twice, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_and_the_cure_is_named() {
    let api = sample(10).await;
    let house = Standalone::start(&[]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let failed = house.cli.sync("new_subscribers").await;
    assert_eq!(failed["state"], "failed");
    let text = failed["error"]["message"].as_str().expect("a message");
    assert!(
        text.contains(&format!("--allow-host {}", api.address())),
        "{text}"
    );
    assert_eq!(api.ledger().served.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_an_address_gives_a_draft_that_apply_accepts() {
    let api = sample(120).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let address = format!("{}/v3/subscribers?api_secret={SECRET}", api.url());
    let refused = house.cli.run(&["try", &address]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .errors
            .contains(&format!("--allow-host {}", api.address())),
        "{refused:?}"
    );

    let host = api.address().to_string();
    let tried = house
        .cli
        .run(&["try", &address, "--allow-host", &host])
        .await
        .fine();
    assert!(!tried.output.contains(SECRET), "{}", tried.output);
    house.cli.apply(&tried.output).await;
    house.cli.secret("api_secret", SECRET).await;
    let done = house.cli.sync("subscribers").await;
    assert_eq!(
        (&done["state"], &done["rows"]),
        (&json!("final"), &json!(120)),
        "{done}"
    );
}
