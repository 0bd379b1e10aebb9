//! From a number back to the pages, records and expression that made it, through the whole house.

use house_tests::{Standalone, numbered_house, numbered_metric};
use sample_api::{Config, Server};
use serde_json::Value;

const SECRET: &str = "sample-secret";

async fn house() -> (Server, Standalone) {
    let config = Config {
        subscribers: 300,
        days: 10,
        secret: SECRET.into(),
        ..Config::default()
    };
    numbered_house(config).await
}

async fn ask(house: &Standalone, arguments: &[&str]) -> Value {
    let mut all = vec!["provenance", "new_subscribers", "-o", "json"];
    all.extend(arguments);
    house.cli.run(&all).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_leads_back_to_its_records_pages_and_expression() {
    let (api, house) = house().await;
    let ended = house.cli.sync("new_subscribers").await;
    assert_eq!(ended["state"], "final", "{ended}");
    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];
    let answer = house.cli.query("new_subscribers", &range).await;
    let series = answer["series"].as_array().expect("series");
    let state = series[0]["dimensions"]["state"]
        .as_str()
        .expect("a state")
        .to_owned();
    let points = series[0]["points"].as_array().expect("points");
    let point = &points[points.len() / 2];
    let start = point["start"].as_str().expect("a start");

    let member = format!("state={state}");
    let told = ask(
        &house,
        &["--start", start, "--where", &member, "--limit", "200"],
    )
    .await;
    assert_eq!(
        (&told["value"], &told["count"]),
        (&point["value"], &point["count"]),
        "{told}"
    );
    assert_eq!(
        (&told["current"], &told["stale"]),
        (&true.into(), &false.into()),
        "{told}"
    );
    let maker = &told["made_by"][0];
    assert_eq!(maker["run"]["id"], ended["run"], "{told}");
    assert_eq!(maker["records_total"], point["count"], "{told}");
    let records = maker["records"].as_array().expect("records");
    assert_eq!(Some(records.len() as u64), point["count"].as_u64());
    for record in records {
        assert_eq!(record["dimensions"]["state"], state.as_str(), "{record}");
        assert!(
            record["date"]
                .as_str()
                .is_some_and(|date| date.starts_with(&start[..10])),
            "{record}"
        );
    }
    let on_pages: u64 = maker["pages"]
        .as_array()
        .expect("pages")
        .iter()
        .filter_map(|page| page["rows"].as_u64())
        .sum();
    assert_eq!(Some(on_pages), point["count"].as_u64(), "{maker}");
    assert!(
        maker["definition"]["expression"]
            .as_str()
            .is_some_and(|text| text.contains("subscribers"))
    );
    let request = maker["request"].as_str().expect("a request");
    assert!(
        request.contains("/v3/subscribers") && !told.to_string().contains(SECRET),
        "{request}"
    );

    // An edit that changes nothing but the expression is told by its revision.
    let edited = numbered_metric(&api.url()).replace(
        "value: { count: true }",
        "value: { count: true }\n  where: id > 0",
    );
    house.cli.apply(&edited).await;
    let deadline = std::time::Instant::now() + house_tests::PATIENCE;
    loop {
        let told = ask(&house, &["--start", start]).await;
        if told["made_by"][0]["revision"] == 2 && told["current"] == true {
            assert!(
                told["made_by"][0]["definition"]["expression"]
                    .as_str()
                    .is_some_and(|text| text.contains("id > 0"))
            );
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_log_tells_what_was_spent_and_what_changed() {
    let (api, house) = house().await;
    house.cli.sync("new_subscribers").await;
    api.add_subscribers(3, jiff::Timestamp::now());
    let ended = house.cli.sync("new_subscribers").await;
    let said = house
        .cli
        .run(&["runs", "new_subscribers", "-o", "json"])
        .await
        .json();
    let newest = &said["items"][0];
    assert_eq!(newest["id"], ended["run"]);
    assert_eq!(newest["requests"], newest["pages"], "{newest}");
    assert!(
        newest["duration_ms"].as_i64().is_some_and(|took| took >= 0),
        "{newest}"
    );
    assert!(
        newest["changed"]
            .as_i64()
            .is_some_and(|changed| changed > 0),
        "{newest}"
    );

    let client = house.cli.url.clone();
    let url = format!(
        "{client}/api/v1/runs/{}",
        ended["run"].as_str().expect("a run")
    );
    house_tests::crypto();
    let answer = reqwest::Client::new()
        .get(url)
        .bearer_auth(&house.cli.token)
        .send()
        .await;
    let detail: Value = answer.expect("an answer").json().await.expect("JSON");
    let changes = detail["metrics"][0]["changes"].as_array().expect("changes");
    let grown: f64 = changes
        .iter()
        .map(|change| {
            change["value"].as_f64().unwrap_or(0.0) - change["previous"].as_f64().unwrap_or(0.0)
        })
        .sum();
    assert!((grown - 3.0).abs() < 1e-9, "{detail}");
}
