//! Previews that nobody answers: the problem says who is missing, and when to ask again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wire::{PageEntry, PreviewFetched, RunManifest};

use crate::house::House;

const DRAFT: &str = "r_0000000000000000000d";

fn definitions() -> Value {
    json!([
        { "kind": "connection", "name": "api", "base_url": "https://api.example.com" },
        { "kind": "metric", "name": "orders", "connection": "api", "request": { "path": "/orders" },
          "select": { "records": "orders", "date": "created_at" } },
    ])
}

/// The status, when to ask again, the code, and what it says.
async fn asked(house: &House, question: &Value) -> (u16, Option<String>, String, String) {
    let answer = house
        .request(Method::POST, "/api/v1/preview")
        .json(question)
        .send()
        .await
        .expect("the gateway answers");
    let status = answer.status().as_u16();
    let again = answer.headers().get("retry-after");
    let again = again.map(|value| value.to_str().expect("text").to_owned());
    let body: Value = answer.json().await.expect("a problem");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, again, text("code"), body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_who_is_missing() {
    let mut house = House::open().await;
    let (status, again, code, said) = asked(&house, &json!({ "definitions": definitions() })).await;
    assert_eq!(
        (status, code.as_str()),
        (503, "preview.unanswered"),
        "{said}"
    );
    assert!(
        again.is_some() && said.contains("no fetcher answers"),
        "{said}"
    );

    // Pages are there already, so that only their evaluation is asked for.
    let fetched = PreviewFetched {
        workspace: "default".to_owned(),
        draft: DRAFT.to_owned(),
        manifest: Some(RunManifest {
            workspace: "default".to_owned(),
            run: DRAFT.to_owned(),
            outcome: "complete".to_owned(),
            ended: "single_page".to_owned(),
            pages: vec![PageEntry {
                number: 1,
                sequences: vec![1],
                ..PageEntry::default()
            }],
            ..RunManifest::default()
        }),
        ..PreviewFetched::default()
    };
    let life = Duration::from_mins(10);
    house.bus.keep_draft(&fetched, life).await.expect("kept");
    let again_with = json!({ "definitions": definitions(), "draft": DRAFT });
    let (status, again, code, said) = asked(&house, &again_with).await;
    assert_eq!(
        (status, code.as_str()),
        (503, "preview.unanswered"),
        "{said}"
    );
    assert!(
        again.is_some() && said.contains("no evaluator answers"),
        "{said}"
    );

    house.nats.kill().await;
    for question in [json!({ "definitions": definitions() }), again_with] {
        let (status, again, code, said) = asked(&house, &question).await;
        assert_eq!(status, 503, "{said}");
        assert!(again.is_some() && code.starts_with("bus."), "{said}");
    }
}
