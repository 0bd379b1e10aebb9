//! A level whose records are gone is nothing, and that is told.

use house_tests::{Hearing, Shelf, Standalone};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_level_without_records_is_announced_and_is_not_answered_from_memory() {
    let shelf = Shelf::start().await;
    let house = Standalone::start(&[shelf.host()]).await;
    let hearing = Hearing::updates(&house.nats).await;
    let definitions = format!(
        "kind: connection\nname: api\nbase_url: {}\n---\nkind: metric\nname: open\nconnection: api\n\
         request: {{ path: /open }}\nselect: {{ records: items, value: {{ count: true }}, dimensions: {{ team: team }} }}\n",
        shelf.url()
    );
    house.cli.apply(&definitions).await;
    let items = json!({ "items": [{ "team": "a" }, { "team": "b" }, { "team": "a" }] });
    shelf.put("/open", &items);
    assert_eq!(house.cli.sync("open").await["state"], "final");
    let today = ["--range", "today", "--granularity", "all"];
    let answer = house.cli.query("open", &today).await;
    assert_eq!(answer["series"][0]["total"], 3, "{answer}");

    shelf.put("/open", &json!({ "items": [] }));
    assert_eq!(house.cli.sync("open").await["state"], "final");
    let update = hearing
        .wait_for("the second update", |update| update["version"] == 2)
        .await;
    let values: Vec<(&Value, &Value)> = update["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| (&change["value"], &change["previous"]))
        .collect();
    assert_eq!(values.len(), 2, "{update}");
    assert!(values.contains(&(&Value::Null, &json!(2))), "{update}");
    let answer = house.cli.query("open", &today).await;
    assert_eq!(answer["version"], 2, "{answer}");
    assert_eq!(answer["series"], json!([]), "{answer}");
}
