//! A level whose records are gone is zero, its members are gone, and that is told.

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
    let changes = update["changes"].as_array().expect("changes");
    let told: Vec<(&Value, &Value, &Value)> = changes
        .iter()
        .map(|change| (&change["dimensions"], &change["value"], &change["previous"]))
        .collect();
    assert_eq!(told.len(), 3, "{update}");
    let (a, b, none) = (json!({"team": "a"}), json!({"team": "b"}), json!({}));
    assert!(told.contains(&(&a, &Value::Null, &json!(2))), "{update}");
    assert!(told.contains(&(&b, &Value::Null, &json!(1))), "{update}");
    assert!(told.contains(&(&none, &json!(0), &Value::Null)), "{update}");
    let answer = house.cli.query("open", &today).await;
    assert_eq!(answer["version"], 2, "{answer}");
    assert_eq!(answer["series"][0]["total"], 0, "{answer}");
    assert_eq!(answer["series"][0]["points"][0]["value"], 0, "{answer}");
    let by_team = house
        .cli
        .query("open", &[&today[..], &["--group-by", "team"]].concat())
        .await;
    assert_eq!(by_team["series"], json!([]), "{by_team}");
}

/// The update of a version, and the value now and before of each of its changes.
async fn announced(hearing: &Hearing, version: usize) -> (Value, Vec<Value>) {
    let update = hearing
        .wait_for("an update", |update| update["version"] == version)
        .await;
    let changes = update["changes"].as_array().into_iter().flatten();
    let told = changes
        .map(|change| json!([change["value"], change["previous"]]))
        .collect();
    (update, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_empty_sync_is_a_zero_in_time_and_an_unreadable_one_is_none() {
    let shelf = Shelf::start().await;
    let house = Standalone::start(&[shelf.host()]).await;
    let hearing = Hearing::updates(&house.nats).await;
    let definitions = format!(
        "kind: connection\nname: api\nbase_url: {}\n---\nkind: metric\nname: owed\nconnection: api\n\
         request: {{ path: /owed }}\nselect: {{ records: items, value: amount, unit: currency }}\n\
         over_time: average\nreject_limit: 1.0\n",
        shelf.url()
    );
    house.cli.apply(&definitions).await;
    let today = ["--range", "today", "--granularity", "all"];
    let steps = [
        (json!({"items": []}), "final", json!([[0, Value::Null]])),
        (
            json!({"items": [{"amount": 12, "currency": "EUR"}]}),
            "final",
            json!([[12, Value::Null]]),
        ),
        (json!({"items": []}), "final", json!([[6, 12]])),
        (json!({"items": []}), "final", json!([[4, 6]])),
    ];
    for (place, (answer, state, changes)) in steps.into_iter().enumerate() {
        shelf.put("/owed", &answer);
        assert_eq!(house.cli.sync("owed").await["state"], state);
        let (update, told) = announced(&hearing, place + 1).await;
        assert_eq!(json!(told), changes, "{update}");
        let start = update["changes"][0]["start"].as_str().expect("a start");
        assert!(start.ends_with(":00:00Z"), "the hour's own start: {start}");
    }
    // What is told is the point that is asked for.
    let euros = |answer: &Value| {
        let series = answer["series"].as_array().into_iter().flatten();
        let mut series = series.filter(|one| one["unit"] == "EUR");
        series.next().map(|one| one["total"].clone())
    };
    let answer = house.cli.query("owed", &today).await;
    // Of the sync before the first amount nobody knows the currency.
    assert_eq!(euros(&answer), Some(json!(4)), "{answer}");

    // A sync whose list is not there fails, one of which nothing can be read says nothing: neither is a zero.
    for (unreadable, state) in [
        (json!({"things": []}), "failed"),
        (
            json!({"items": [{"amount": "?", "currency": "EUR"}]}),
            "final",
        ),
    ] {
        shelf.put("/owed", &unreadable);
        let ended = house.cli.sync("owed").await;
        assert_eq!(ended["state"], state, "{ended}");
        let answer = house.cli.query("owed", &today).await;
        assert_eq!(euros(&answer), Some(json!(4)), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_total_tells_its_increase() {
    let shelf = Shelf::start().await;
    let house = Standalone::start(&[shelf.host()]).await;
    let hearing = Hearing::updates(&house.nats).await;
    let definitions = format!(
        "kind: connection\nname: api\nbase_url: {}\n---\nkind: metric\nname: served\nconnection: api\ntype: running_total\n\
         resolution: year\nrequest: {{ path: /served }}\n\
         select: {{ records: items, value: total, dimensions: {{ host: host }} }}\n",
        shelf.url()
    );
    house.cli.apply(&definitions).await;
    let steps = [
        (100, Vec::new()),
        (130, vec![json!([30, Value::Null])]),
        // The counter began again.
        (5, vec![json!([35, 30])]),
        (6, vec![json!([36, 35])]),
    ];
    for (place, (total, changes)) in steps.into_iter().enumerate() {
        shelf.put(
            "/served",
            &json!({"items": [{"host": "a", "total": total}]}),
        );
        assert_eq!(house.cli.sync("served").await["state"], "final");
        let (update, told) = announced(&hearing, place + 1).await;
        assert_eq!(told, changes, "{update}");
        let answer = house
            .cli
            .query("served", &["--range", "this_year", "--granularity", "year"])
            .await;
        let point = answer["series"][0]["points"][0]["value"].clone();
        let last = changes.first().map_or(Value::Null, |told| told[0].clone());
        assert_eq!(point, last, "{answer}");
    }
}
