//! Care for numbers: notes, what marks itself, purging, and points that are kept for a while only.

use house_tests::{Hearing, Standalone, numbered_house, numbered_metric};
use sample_api::{Config, Server};
use serde_json::Value;

const SECRET: &str = "sample-secret";

async fn house() -> (Server, Standalone) {
    let config = Config {
        subscribers: 120,
        days: 60,
        secret: SECRET.into(),
        ..Config::default()
    };
    numbered_house(config).await
}

async fn notes(house: &Standalone) -> Vec<Value> {
    let said = house
        .cli
        .run(&["notes", "new_subscribers", "-o", "json"])
        .await
        .json();
    said["items"].as_array().cloned().unwrap_or_default()
}

async fn points(house: &Standalone) -> usize {
    let answer = house
        .cli
        .query("new_subscribers", &["--range", "all_time"])
        .await;
    answer["series"][0]["points"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_stand_beside_edits_and_outages() {
    let (api, house) = house().await;
    house.cli.sync("new_subscribers").await;
    let add = [
        "note",
        "new_subscribers",
        "the campaign",
        "--start",
        "2026-03-01",
        "--end",
        "2026-03-08",
        "-o",
        "json",
    ];
    let kept = house.cli.run(&add).await.json();
    assert_eq!(
        (&kept["start"], &kept["end"]),
        (
            &"2026-03-01T00:00:00Z".into(),
            &"2026-03-08T00:00:00Z".into()
        )
    );
    let point = [
        "note",
        "new_subscribers",
        "odd",
        "--start",
        "2026-04-01T15:00:00Z",
        "-o",
        "json",
    ];
    let point = house.cli.run(&point).await.json();
    assert_eq!(
        (&point["start"], &point["end"]),
        (
            &"2026-04-01T00:00:00Z".into(),
            &"2026-04-02T00:00:00Z".into()
        )
    );

    house
        .cli
        .apply(&numbered_metric(&api.url()).replace("key: id", "key: id\n  where: id > 0"))
        .await;
    api.add_faults("status:403").expect("a fault");
    house.cli.sync("new_subscribers").await;
    house.cli.sync("new_subscribers").await;
    api.clear_faults();
    house.cli.sync("new_subscribers").await;
    let all = notes(&house).await;
    let of = |kind: &str| all.iter().filter(|note| note["kind"] == kind).count();
    assert_eq!(
        (of("note"), of("definition"), of("outage")),
        (2, 1, 1),
        "{all:?}"
    );
    let outage = all
        .iter()
        .find(|note| note["kind"] == "outage")
        .expect("an outage");
    assert!(
        outage["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("2 runs failed")),
        "{outage}"
    );

    let id = kept["id"].to_string();
    house
        .cli
        .run(&["notes", "new_subscribers", "--delete", &id])
        .await
        .fine();
    assert_eq!(
        notes(&house)
            .await
            .iter()
            .filter(|note| note["kind"] == "note")
            .count(),
        1
    );
    assert_eq!(
        house
            .cli
            .run(&["notes", "new_subscribers", "--delete", &id])
            .await
            .code,
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_metric_is_empty_says_so_and_begins_anew() {
    let (_api, house) = house().await;
    let hearing = Hearing::updates(&house.nats).await;
    house.cli.sync("new_subscribers").await;
    let before = points(&house).await;
    assert!(before > 0);
    assert_eq!(
        house.cli.run(&["purge", "new_subscribers"]).await.code,
        Some(2),
        "it asks to be told twice"
    );
    let purged = house
        .cli
        .run(&["purge", "new_subscribers", "--yes", "-o", "json"])
        .await
        .json();
    hearing
        .wait_for("the news", |update| {
            update["version"] == purged["version"] && update["truncated"] == true
        })
        .await;
    assert_eq!(points(&house).await, 0);
    house.cli.sync("new_subscribers").await;
    assert_eq!(points(&house).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_takes_in_nothing_older_than_it_keeps() {
    let (api, house) = house().await;
    house.cli.sync("new_subscribers").await;
    let before = points(&house).await;
    let kept = numbered_metric(&api.url()).replace("resolution: day", "resolution: day\nkeep: 10d");
    house.cli.apply(&kept).await;
    house
        .cli
        .run(&["purge", "new_subscribers", "--yes"])
        .await
        .fine();
    house.cli.sync("new_subscribers").await;
    let after = points(&house).await;
    assert!(
        after > 0 && after <= 11 && after < before,
        "{after} of {before}"
    );
}
