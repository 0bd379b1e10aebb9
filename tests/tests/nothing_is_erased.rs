//! What an API answers differently one day erases nothing that was there, and says what is different.

use house_tests::{Shelf, Standalone};
use serde_json::{Value, json};

async fn house(metrics: &str) -> (Shelf, Standalone) {
    let shelf = Shelf::start().await;
    let house = Standalone::start(&[shelf.host()]).await;
    let connection = format!("kind: connection\nname: api\nbase_url: {}\n", shelf.url());
    house
        .cli
        .apply(&format!("{connection}---\n{metrics}"))
        .await;
    (shelf, house)
}

/// `start=value` of every point there is.
async fn points(house: &Standalone, metric: &str) -> Vec<String> {
    let all = ["--range", "all_time", "--granularity", "day"];
    let answer = house.cli.query(metric, &all).await;
    let series = answer["series"].as_array().cloned().unwrap_or_default();
    let points = series
        .iter()
        .flat_map(|one| one["points"].as_array().cloned().unwrap_or_default());
    points
        .map(|point| {
            format!(
                "{}={}",
                &point["start"].as_str().unwrap_or_default()[..10],
                point["value"]
            )
        })
        .collect()
}

fn today(days_ago: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days_ago);
    at.to_string()[..10].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_outside_of_the_window_are_counted_and_do_not_empty_it() {
    let metric = "kind: metric\nname: sales\nconnection: api\nrequest: { path: /sales }\nwindow: { last: 7d }\n\
        resolution: day\nselect: { records: items, value: v, date: at }\n";
    let (shelf, house) = house(metric).await;
    shelf.put(
        "/sales",
        &json!({"items": [{"at": today(1), "v": 5}, {"at": "2020-05-01", "v": 7}]}),
    );
    let first = house.cli.sync("sales").await;
    assert_eq!(
        (
            &first["state"],
            &first["rows"],
            &first["outside"],
            &first["rejected"]
        ),
        (&json!("final"), &json!(1), &json!(1), &json!(0)),
        "{first}"
    );
    assert!(
        first["notes"]
            .to_string()
            .contains("1 row lies outside of the window from"),
        "{first}"
    );
    let before = points(&house, "sales").await;
    assert_eq!(before, [format!("{}=5", today(1))]);

    shelf.put(
        "/sales",
        &json!({"items": [{"at": "2020-05-01", "v": 7}, {"at": "2020-05-02", "v": 8}]}),
    );
    let second = house.cli.sync("sales").await;
    assert_eq!(second["state"], "failed", "{second}");
    assert_eq!(second["error"]["code"], "rows.outside_window", "{second}");
    assert_eq!(
        (&second["rows"], &second["outside"]),
        (&json!(0), &json!(2)),
        "{second}"
    );
    assert_eq!(points(&house, "sales").await, before);
    let listed = house.cli.run(&["runs", "sales", "-o", "json"]).await.json();
    assert_eq!(listed["items"][0]["outside"], 2, "{listed}");
    let table = house.cli.run(&["runs", "sales"]).await.fine().output;
    assert!(table.contains("outside"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_bucket_that_stays_are_rows_and_the_run_says_why_it_stays() {
    let metric = "kind: metric\nname: sales\nconnection: api\nrequest: { path: /sales }\nresolution: day\n\
        select: { records: items, value: v, date: at }\n";
    let (shelf, house) = house(metric).await;
    let day = |v: i64| json!({"at": "2026-05-01", "v": v});
    shelf.put(
        "/sales",
        &json!({"items": [day(1), day(2), day(3), day(4)]}),
    );
    assert_eq!(house.cli.sync("sales").await["rows"], 4);
    shelf.put("/sales", &json!({"items": [day(1), day(2), day(3)]}));
    let second = house.cli.sync("sales").await;
    assert_eq!(
        (&second["rows"], &second["state"]),
        (&json!(3), &json!("final")),
        "{second}"
    );
    let notes = second["notes"].to_string();
    assert!(
        notes.contains("this run has 3 rows of it and 4 are kept"),
        "{second}"
    );
    assert_eq!(points(&house, "sales").await, ["2026-05-01=10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_of_a_zip_or_a_list_that_is_gone_leaves_what_was_there() {
    let metrics = "kind: metric\nname: rain\nconnection: api\nrequest: { path: /weather }\nresolution: day\n\
        select: { records: { zip: [daily.time, daily.rain] }, value: rain, date: time }\n---\n\
        kind: metric\nname: groups\nconnection: api\nrequest: { path: /groups }\nresolution: day\n\
        select: { records: data.items, value: v, date: at }\n";
    let (shelf, house) = house(metrics).await;
    shelf.put(
        "/weather",
        &json!({"daily": {"time": ["2026-05-01"], "rain": [3]}}),
    );
    shelf.put(
        "/groups",
        &json!({"data": {"items": [{"at": "2026-05-01", "v": 4}]}}),
    );
    for name in ["rain", "groups"] {
        assert_eq!(house.cli.sync(name).await["state"], "final");
    }
    shelf.put(
        "/weather",
        &json!({"daily": {"time": ["2026-05-01"], "precip": [3]}}),
    );
    shelf.put("/groups", &json!({"data": []}));
    for (name, said) in [
        ("rain", "`rain` is not in `daily`"),
        ("groups", "`data` is an empty list"),
    ] {
        let ended = house.cli.sync(name).await;
        assert_eq!(ended["error"]["code"], "records.missing", "{ended}");
        assert!(
            ended["error"]["message"].to_string().contains(said),
            "{ended}"
        );
    }
    assert_eq!(points(&house, "rain").await, ["2026-05-01=3"]);
    assert_eq!(points(&house, "groups").await, ["2026-05-01=4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_in_the_middle_does_not_freeze_a_metric() {
    let metric = "kind: metric\nname: sales\nconnection: api\nresolution: day\n\
        request: { path: /sales, pagination: { page: { param: page, has_more: more } } }\n\
        select: { records: items, value: v, date: at }\n";
    let (shelf, house) = house(metric).await;
    let page = |values: &[i64], more: bool| {
        let items: Vec<Value> = values
            .iter()
            .map(|v| json!({"at": "2026-05-01", "v": v}))
            .collect();
        json!({ "items": items, "more": more })
    };
    shelf.put("/sales?page=1", &page(&[1], true));
    shelf.put("/sales?page=2", &page(&[2], false));
    assert_eq!(house.cli.sync("sales").await["rows"], 2);
    shelf.put("/sales?page=1", &page(&[100], true));
    shelf.put("/sales?page=2", &page(&[], true));
    shelf.put("/sales?page=3", &page(&[2], false));
    let ended = house.cli.sync("sales").await;
    assert_eq!(
        (&ended["partial"], &ended["rows"]),
        (&json!(false), &json!(2)),
        "{ended}"
    );
    assert_eq!(points(&house, "sales").await, ["2026-05-01=102"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_field_of_a_filter_or_key_leaves_what_was_there() {
    let metric = |name: &str, select: &str| {
        format!(
            "kind: metric\nname: {name}\nconnection: api\nrequest: {{ path: /sales }}\nresolution: day\n\
             covers: all\nselect: {{ records: items, value: v, date: at, {select} }}\n---\n"
        )
    };
    let metrics = [
        metric("paid", "where: status = \"paid\""),
        metric("kept", "where: status != \"void\""),
        metric("once", "key: nr"),
        metric("maybe", "where: $not($exists(status)) or status = \"paid\""),
    ];
    let (shelf, house) = house(&metrics.concat()).await;
    let item =
        |status: &str, nr: u32| json!({"at": "2026-05-01", "v": 5, status: "paid", "nr": nr});
    shelf.put(
        "/sales",
        &json!({"items": [item("status", 1), item("status", 1), item("status", 2)]}),
    );
    for name in ["paid", "kept", "once", "maybe"] {
        let ended = house.cli.sync(name).await;
        assert_eq!(ended["state"], "final", "{ended}");
    }
    let before = points(&house, "paid").await;
    assert_eq!(before, ["2026-05-01=15"]);
    shelf.put(
        "/sales",
        &json!({"items": [item("state", 1), item("state", 2)]}),
    );
    for name in ["paid", "kept"] {
        let ended = house.cli.sync(name).await;
        assert_eq!(ended["error"]["code"], "field.missing", "{ended}");
        let said = ended["error"]["message"].as_str().unwrap_or_default();
        assert!(
            said.contains("`status`, which `where` names,") && said.contains("`state`"),
            "{said}"
        );
        assert_eq!(points(&house, name).await, before);
    }
    assert_eq!(points(&house, "maybe").await, ["2026-05-01=10"]);

    let renamed = json!({"at": "2026-05-01", "v": 5, "status": "paid", "number": 1});
    shelf.put("/sales", &json!({"items": [renamed, renamed]}));
    let ended = house.cli.sync("once").await;
    assert_eq!(ended["error"]["code"], "rows.rejected", "{ended}");
    let said = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(
        said.contains("no key: `nr` gives none") && said.contains("`number`"),
        "{said}"
    );
    assert_eq!(points(&house, "once").await, ["2026-05-01=10"]);
    // An answer without records says nothing about their fields.
    shelf.put("/sales", &json!({"items": []}));
    let ended = house.cli.sync("paid").await;
    assert_eq!(ended["state"], "final", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_name_the_field_and_those_that_are_there() {
    let metric = "kind: metric\nname: sales\nconnection: api\nrequest: { path: /sales }\nresolution: day\n\
        select: { records: items, value: v, date: at }\n";
    let (shelf, house) = house(metric).await;
    shelf.put(
        "/sales",
        &json!({"items": [{"at": "2026-05-01", "val": 5}]}),
    );
    let ended = house.cli.sync("sales").await;
    assert_eq!(ended["error"]["code"], "rows.rejected", "{ended}");
    let said = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(
        said.contains("`v` gives none; records here have `at`, `val`"),
        "{said}"
    );
    shelf.put("/sales", &json!({"items": [{"day": "2026-05-01", "v": 5}]}));
    let said = house.cli.sync("sales").await["error"]["message"].to_string();
    assert!(
        said.contains("no date: `at` gives none; records here have `day`, `v`"),
        "{said}"
    );
}
