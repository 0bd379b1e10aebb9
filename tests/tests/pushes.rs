//! Values that come from elsewhere: a metric that has no API.

use house_tests::{Hearing, Standalone};
use serde_json::{Value, json};

const METRIC: &str = "kind: metric\nname: shop_visitors\nsource: push\nresolution: day\n";

async fn send(house: &Standalone, token: &str, body: &str) -> (u16, Value) {
    house_tests::crypto();
    let url = format!("{}/api/v1/metrics/shop_visitors/points", house.cli.url);
    let request = reqwest::Client::new().post(url).bearer_auth(token);
    let request = request
        .header("content-type", "application/json")
        .body(body.to_owned());
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

async fn total(house: &Standalone, arguments: &[&str]) -> Option<f64> {
    let range = ["--from", "2026-01-01", "--to", "2026-03-01"];
    let answer = house
        .cli
        .query("shop_visitors", &[&range, arguments].concat())
        .await;
    answer["series"][0]["total"].as_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_told_its_values_once_and_again() {
    let house = Standalone::start(&[]).await;
    let hearing = Hearing::updates(&house.nats).await;
    house.cli.apply(METRIC).await;
    let token = house.cli.token.clone();
    let body = json!([
        { "value": 0.1, "date": "2026-01-31", "dimensions": { "shop": "north" } },
        { "value": 0.2, "date": "2026-01-31", "dimensions": { "shop": "south" } },
        { "value": 7, "date": "2026-02-01T10:00:00Z", "dimensions": { "shop": "north" }, "key": "a" },
    ])
    .to_string();
    let (status, taken) = send(&house, &token, &body).await;
    assert_eq!(status, 200, "{taken}");
    assert_eq!((&taken["rows"], &taken["changed"]), (&3.into(), &3.into()));
    let update = hearing
        .wait_for("the update", |update| update["metric"] == "shop_visitors")
        .await;
    assert_eq!(
        (&update["version"], &update["run"]),
        (&taken["version"], &taken["run"])
    );
    assert_eq!(total(&house, &[]).await, Some(7.3));

    // The same again changes nothing; a key moves its point; a point takes its place, or goes.
    let (_, again) = send(&house, &token, &body).await;
    assert_eq!(
        (&again["changed"], &again["version"]),
        (&0.into(), &taken["version"]),
        "{again}"
    );
    let moved =
        r#"{"value": 9, "date": "2026-02-02", "dimensions": {"shop": "south"}, "key": "a"}"#;
    assert_eq!(send(&house, &token, moved).await.1["changed"], 2);
    let gone =
        r#"{"rows": [{"deleted": true, "date": "2026-01-31", "dimensions": {"shop": "north"}}]}"#;
    assert_eq!(send(&house, &token, gone).await.1["changed"], 1);
    assert_eq!(total(&house, &[]).await, Some(9.2));

    // The number leads back to the push, and the ledger has it.
    let asked = [
        "provenance",
        "shop_visitors",
        "--start",
        "2026-02-02",
        "-o",
        "json",
    ];
    let from = house.cli.run(&asked).await.json();
    assert_eq!(from["made_by"][0]["run"]["kind"], "push", "{from}");
    assert_eq!(from["made_by"][0]["records"][0]["key"], "a", "{from}");
    let runs = house
        .cli
        .run(&["runs", "shop_visitors", "-o", "json"])
        .await
        .json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(4), "{runs}");

    // With a row that cannot be used none is taken, and each such row is told.
    let mixed = r#"[{"value": 1, "key": "b", "date": "2026-02-03"}, {"value": "x", "key": "c"}, {"value": 1}]"#;
    let (status, problem) = send(&house, &token, mixed).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &"rows.rejected".into()),
        "{problem}"
    );
    let told = problem["problems"].as_array().expect("problems");
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|one| {
            let of = |name: &str| one[name].as_str().unwrap_or_default();
            (of("path"), of("code"))
        })
        .collect();
    assert_eq!(
        told,
        [("rows[1]", "value.not_number"), ("rows[2]", "key.missing")]
    );
    assert_eq!(total(&house, &[]).await, Some(9.2));
    for (body, status, code) in [
        (r#"[{"value": "x", "key": "c"}]"#, 422, "rows.rejected"),
        ("[]", 422, "request.invalid"),
        ("7", 422, "request.invalid"),
        ("[", 400, "request.json"),
    ] {
        let (found, problem) = send(&house, &token, body).await;
        assert_eq!(
            (found, problem["code"].as_str()),
            (status, Some(code)),
            "{body}: {problem}"
        );
    }
    let viewer = house
        .cli
        .run(&["token", "create", "--role", "viewer", "-o", "json"])
        .await
        .json();
    let viewer = viewer["value"].as_str().expect("a token");
    assert_eq!(send(&house, viewer, moved).await.0, 403);

    // By the command line, a row a line;
    let lines = "{\"value\": 1, \"key\": \"d\", \"date\": \"2026-02-04\"}\n{\"value\": 2, \"key\": \"e\", \"date\": \"2026-02-05\"}\n";
    let said = house
        .cli
        .run_with(&["push", "shop_visitors", "-o", "json"], lines)
        .await
        .json();
    assert_eq!(said["rows"], 2, "{said}");
    let refused = house.cli.run(&["sync", "shop_visitors"]).await;
    assert!(
        refused.code == Some(1) && refused.errors.contains("metric.pushed"),
        "{refused:?}"
    );
    assert_eq!(total(&house, &[]).await, Some(12.2));

    // Edited, what was told before is placed anew, and nothing is sent again.
    let monthly = METRIC.replace("day", "month");
    house.cli.apply(&monthly).await;
    hearing
        .wait_for("points by the month", |update| {
            update["changes"][0]["granularity"] == "month"
        })
        .await;
    assert_eq!(total(&house, &["--granularity", "month"]).await, Some(12.2));

    // A value of now, said twice under one name, counts once.
    for _ in 0..2 {
        let now = ["push", "shop_visitors", "--batch", "b-1", "-o", "json"];
        let said = house.cli.run_with(&now, "{\"value\": 64}").await.json();
        assert_eq!(said["rows"], 1, "{said}");
    }
    let answer = house
        .cli
        .query("shop_visitors", &["--range", "all_time"])
        .await;
    assert_eq!(answer["series"][0]["total"].as_f64(), Some(76.2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_is_fetched_is_told_nothing() {
    let house = Standalone::start(&[]).await;
    let fetched = "kind: connection\nname: a\nbase_url: https://a.example.com\n---\nkind: metric\nname: shop_visitors\n\
         connection: a\nrequest: { path: /x }\nselect: { value: n }\npaused: true\n";
    house.cli.apply(fetched).await;
    let token = house.cli.token.clone();
    let (status, problem) = send(&house, &token, r#"[{"value": 1}]"#).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (409, Some("metric.not_pushed")),
        "{problem}"
    );
}
