//! The stream of news.

use serde_json::json;

use crate::house::{House, METRIC};

#[tokio::test]
async fn a_listener_hears_its_metrics_and_resumes_where_it_was() {
    let house = House::open().await;
    house.furnish().await;
    house
        .apply(&METRIC.replace("new_subscribers", "other"))
        .await;
    let mut events = house
        .listen("/api/v1/updates?metrics=new_subscribers", None)
        .await;
    events.expect("ready").await;
    house.announce("other", 1).await;
    house.announce("new_subscribers", 7).await;
    let (id, update) = events.expect("update").await;
    assert_eq!(
        (&update["metric"], &update["version"]),
        (&json!("new_subscribers"), &json!(7)),
        "{update}"
    );
    drop(events);

    house.announce("new_subscribers", 8).await;
    house.announce("new_subscribers", 9).await;
    let mut again = house
        .listen("/api/v1/updates?metrics=new_subscribers", Some(&id))
        .await;
    let mut versions = Vec::new();
    while versions.len() < 2 {
        let event = again.next().await.unwrap();
        if event["event"] == "update" {
            let update: serde_json::Value = serde_json::from_str(&event["data"]).unwrap();
            versions.push(update["version"].as_i64().unwrap());
        } else {
            assert_eq!(event["event"], "ready", "{event:?}");
        }
    }
    assert_eq!(versions, [8, 9]);
    house.close().await;
}

#[tokio::test]
async fn news_from_before_the_gateway_started_can_be_resumed() {
    let house = House::open().await;
    house.furnish().await;
    let mut events = house.listen("/api/v1/updates", None).await;
    let (id, _) = events.expect("ready").await;
    drop(events);
    house.announce("new_subscribers", 5).await;
    let house = house.reopen().await;
    let mut again = house.listen("/api/v1/updates", Some(&id)).await;
    again.expect("ready").await;
    let (_, update) = again.expect("update").await;
    assert_eq!(update["version"], 5);
    house.close().await;
}

#[tokio::test]
async fn streams_end_when_the_gateway_does() {
    let house = House::open().await;
    let mut events = house.listen("/api/v1/updates", None).await;
    events.expect("ready").await;
    house.close().await;
    assert!(events.next().await.is_none());
}
