//! With a `lookback`, a later sync asks for what an earlier one did not bring, whatever the reason.

use house_tests::{Shelf, Standalone};
use serde_json::{Value, json};

/// All of it: 1, 2, 4 … 256, one for each of the last nine days, so that a lost one shows in the sum.
const ALL: i64 = 511;

fn day(ago: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * ago);
    at.to_string()[..10].to_owned()
}

/// Puts what `path` answers for every range of days, but for those left out.
fn put(shelf: &Shelf, path: &str, field: &str, left_out: &[(i64, i64)]) {
    for from in 0..=12 {
        for to in 0..=from {
            if left_out.contains(&(from, to)) {
                continue;
            }
            let items: Vec<Value> = (to..=from.min(8))
                .map(|ago| json!({ "d": day(ago), field: 1 << ago }))
                .collect();
            let target = format!("{path}?from={}&to={}", day(from), day(to));
            shelf.put(&target, &json!({ "items": items }));
        }
    }
}

async fn house(shelf: &Shelf) -> Standalone {
    let house = Standalone::start(&[shelf.host()]).await;
    let connection = format!("kind: connection\nname: api\nbase_url: {}\n", shelf.url());
    house.cli.apply(&connection).await;
    house
}

fn metric(name: &str, path: &str, window: &str) -> String {
    format!(
        "kind: metric\nname: {name}\nconnection: api\nresolution: day\nwindow: {window}\nrequest:\n  path: {path}\n  \
         query: {{ from: \"{{{{ window.start | date }}}}\", to: \"{{{{ window.last_day | date }}}}\" }}\n\
         select: {{ records: items, value: v, date: d }}\n"
    )
}

async fn total(house: &Standalone, metric: &str) -> Value {
    let all = ["--range", "all_time", "--granularity", "day"];
    house.cli.query(metric, &all).await["series"][0]["total"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_failed_is_asked_for_again() {
    let shelf = Shelf::start().await;
    let house = house(&shelf).await;
    put(&shelf, "/steps", "v", &[(5, 3)]);
    let window = "{ last: 8d, step: 3d, lookback: 1d }";
    house.cli.apply(&metric("steps", "/steps", window)).await;
    let first = house.cli.sync("steps").await;
    assert_eq!(first["state"], "failed", "{first}");
    assert_eq!(total(&house, "steps").await, ALL - 8 - 16 - 32);

    put(&shelf, "/steps", "v", &[]);
    let second = house.cli.sync("steps").await;
    assert_eq!(second["state"], "final", "{second}");
    assert_eq!(total(&house, "steps").await, ALL);
    let third = house.cli.sync("steps").await;
    assert_eq!(third["rows"], 2, "and then the lookback again: {third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_whose_part_failed_gets_its_whole_window_later() {
    let shelf = Shelf::start().await;
    let house = house(&shelf).await;
    put(&shelf, "/renamed", "amount", &[]);
    let window = "{ last: 8d, lookback: 1d }";
    house
        .cli
        .apply(&metric("renamed", "/renamed", window))
        .await;
    let first = house.cli.sync("renamed").await;
    assert_eq!(first["state"], "failed", "{first}");

    put(&shelf, "/renamed", "v", &[]);
    let second = house.cli.sync("renamed").await;
    assert_eq!(second["state"], "final", "{second}");
    assert_eq!(total(&house, "renamed").await, ALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_joins_later_gets_its_whole_window() {
    let shelf = Shelf::start().await;
    let house = house(&shelf).await;
    put(&shelf, "/shared", "v", &[]);
    let window = "{ last: 8d, lookback: 1d }";
    house.cli.apply(&metric("first", "/shared", window)).await;
    for _ in 0..5 {
        assert_eq!(house.cli.sync("first").await["state"], "final");
    }
    house.cli.apply(&metric("second", "/shared", window)).await;
    assert_eq!(house.cli.sync("second").await["state"], "final");
    assert_eq!(total(&house, "second").await, ALL);
    assert_eq!(house.cli.sync("first").await["rows"], 2, "the lookback");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_metric_gets_its_whole_window_where_pages_are_gone() {
    let shelf = Shelf::start().await;
    let house = house(&shelf).await;
    put(&shelf, "/edited", "v", &[]);
    let window = "{ last: 8d, lookback: 1d }";
    let definition = metric("edited", "/edited", window);
    house.cli.apply(&definition).await;
    for _ in 0..5 {
        assert_eq!(house.cli.sync("edited").await["state"], "final");
    }
    let scaled = definition.replace("value: v", "value: { path: v, scale: 10 }");
    house.cli.apply(&scaled).await;
    assert_eq!(house.cli.sync("edited").await["state"], "final");
    assert_eq!(total(&house, "edited").await, ALL * 10);
}
