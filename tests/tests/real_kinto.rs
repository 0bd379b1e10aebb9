//! Kinto, which nobody here wrote: a `Next-Page` header, Basic authentication, ETags.

use house_tests::revenue::{assert_first_sync, assert_one_more};
use house_tests::{Hearing, Orders, RealServer, Standalone};
use serde_json::{Value, json};

const PASSWORD: &str = "p&ss word'1";

async fn put(server: &RealServer, path: &str) {
    send(server, reqwest::Method::PUT, path, &json!({})).await;
}

async fn send(server: &RealServer, method: reqwest::Method, path: &str, body: &Value) {
    let url = format!("http://{}/v1{path}", server.address);
    let request = reqwest::Client::new().request(method, url).json(body);
    let answer = request.basic_auth("reader", Some(PASSWORD)).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {answer:?}");
}

async fn keep(server: &RealServer, orders: &[Value]) {
    for some in orders.chunks(500) {
        let requests: Vec<Value> = some
            .iter()
            .map(|order| {
                json!({ "method": "POST", "path": "/v1/buckets/shop/collections/orders/records",
                    "body": { "data": order } })
            })
            .collect();
        let batch = json!({ "requests": requests });
        send(server, reqwest::Method::POST, "/batch", &batch).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_kinto_come_whole_and_a_new_order_is_heard() {
    let server = RealServer::kinto().await;
    let house = Standalone::start(std::slice::from_ref(&server.address)).await;
    let mut orders = Orders::made(1_234);
    put(&server, "/buckets/shop").await;
    put(&server, "/buckets/shop/collections/orders").await;
    keep(&server, &orders.records()).await;
    let hearing = Hearing::updates(&house.nats).await;

    let definition = include_str!("../../deploy/local/kinto.yaml");
    assert!(definition.lines().count() <= 25);
    house
        .cli
        .apply(&definition.replace("127.0.0.1:8888", &server.address))
        .await;
    // Kinto takes any password for a new name; another one is another person, who may not read.
    house.cli.secret("kinto_password", "wrong").await;
    let refused = house.cli.sync("revenue").await;
    assert_eq!(refused["state"], "failed", "{refused}");
    house.cli.secret("kinto_password", PASSWORD).await;
    assert_first_sync(&house, &hearing, &orders).await;

    // Nothing has changed: no new version, whether the pages or 304s came.
    assert_eq!(house.cli.sync("revenue").await["state"], "final");
    orders.assert_equal(&house.cli).await;
    let order = orders.add();
    keep(&server, &[order]).await;
    assert_one_more(&house, &hearing, &orders).await;
}
