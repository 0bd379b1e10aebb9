//! A metric made of others, from its definition to its announcements, and the questions people ask of it.

use house_tests::{Hearing, Standalone, numbered_metric};
use sample_api::{Config, Server};
use serde_json::Value;

const SECRET: &str = "sample-secret";

/// Active subscribers, and their share of all.
const SHARE: &str = r#"
---
kind: metric
name: active_subscribers
connection: kit
request:
  path: /v3/subscribers
  pagination: { page: { param: page, total_pages: total_pages } }
  max_pages: 1000
select:
  records: subscribers
  where: state = "active"
  value: { count: true }
  dimensions: { state: state }
  date: created_at
  key: id
resolution: day
---
kind: metric
name: active_share
title: Share of active subscribers
formula: active_subscribers / new_subscribers * 100
unit: "%"
"#;

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_follows_what_it_is_made_of() {
    let config = Config {
        subscribers: 600,
        secret: SECRET.into(),
        ..Config::default()
    };
    let api = Server::start(config).await.expect("the sample API starts");
    let house = Standalone::start(&[api.address().to_string()]).await;
    let hearing = Hearing::updates(&house.nats).await;
    house
        .cli
        .apply(&format!("{}{SHARE}", numbered_metric(&api.url())))
        .await;
    let made = hearing
        .wait_for("the new share", |update| update["metric"] == "active_share")
        .await;
    assert_eq!(
        (&made["version"], &made["truncated"]),
        (&1.into(), &true.into())
    );
    house.cli.secret("kit_api_secret", SECRET).await;
    // Both inputs read one fetch: they change in one transaction, and so does the share.
    let done = house.cli.sync("new_subscribers").await;
    assert_eq!(done["state"], "final", "{done}");
    hearing
        .wait_for("the share that follows", |update| {
            update["metric"] == "active_share" && update["version"] == 2
        })
        .await;

    let ask = ["--range", "all_time", "--granularity", "month"];
    let all = house.cli.query("new_subscribers", &ask).await;
    let active = house.cli.query("active_subscribers", &ask).await;
    let share = house.cli.query("active_share", &ask).await;
    let ratio = |part: &Value, whole: &Value| number(part) / number(whole) * 100.0;
    let series = &share["series"][0];
    let total = ratio(&active["series"][0]["total"], &all["series"][0]["total"]);
    assert!((number(&series["total"]) - total).abs() < 1e-9, "{share}");
    let months = all["series"][0]["points"].as_array().expect("points");
    assert_eq!(
        series["points"].as_array().map(Vec::len),
        Some(months.len())
    );
    assert_eq!(
        (&series["unit"], &share["version"]),
        (&"%".into(), &2.into())
    );

    // Questions as people type them.
    let said = house
        .cli
        .run(&[
            "query",
            "new_subscribers",
            "--range",
            "all_time",
            "--group-by",
            "state",
            "--top",
            "1",
            "--granularity",
            "all",
            "-o",
            "csv",
        ])
        .await
        .fine();
    let lines: Vec<&str> = said.output.lines().collect();
    assert_eq!(lines[0], "start,state,value,count,partial", "{said:?}");
    assert!(
        lines[1].contains(",active,") && lines[2].contains(" others),"),
        "{said:?}"
    );
    let ask = [
        "--range",
        "all_time",
        "--granularity",
        "all",
        "--where",
        "state!=active",
    ];
    let without = house.cli.query("new_subscribers", &ask).await;
    let active = house
        .cli
        .query(
            "active_subscribers",
            &["--range", "all_time", "--granularity", "all"],
        )
        .await;
    let left = number(&without["series"][0]["total"]) + number(&active["series"][0]["total"]);
    assert!((left - 600.0).abs() < 1e-9, "{without}");
    let ask = ["--range", "all_time", "--cumulative"];
    let running = house.cli.query("new_subscribers", &ask).await;
    let last = running["series"][0]["points"]
        .as_array()
        .and_then(|points| points.last());
    assert_eq!(last.map(|point| &point["value"]), Some(&600.into()));
    let refused = house
        .cli
        .run(&["delete", "metric", "active_subscribers"])
        .await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.errors.contains("active_share"), "{refused:?}");

    // What was committed is announced and there after a kill.
    api.add_subscribers(5, jiff::Timestamp::now());
    house.cli.sync("new_subscribers").await;
    let house = house.kill_and_restart().await;
    let share = house
        .cli
        .query(
            "active_share",
            &["--range", "all_time", "--granularity", "all"],
        )
        .await;
    assert_eq!(share["version"], 3, "{share}");
    let hearing = Hearing::updates(&house.nats).await;
    api.add_subscribers(5, jiff::Timestamp::now());
    house.cli.sync("new_subscribers").await;
    hearing
        .wait_for("the share after the kill", |update| {
            update["metric"] == "active_share" && update["version"] == 4
        })
        .await;
}
