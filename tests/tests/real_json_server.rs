//! json-server, which nobody here wrote: numbered pages, the next one in a `Link` header.

use house_tests::revenue::{assert_first_sync, assert_one_more};
use house_tests::{Hearing, Orders, RealServer, Standalone};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_json_server_come_whole_and_a_new_order_is_heard() {
    let orders = Orders::made(1_234);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("db.json");
    let text = json!({ "orders": orders.records() }).to_string();
    std::fs::write(&file, text).expect("written");
    let server = RealServer::json_server(&file).await;
    let house = Standalone::start(std::slice::from_ref(&server.address)).await;
    let hearing = Hearing::updates(&house.nats).await;

    let definition = include_str!("../../deploy/local/json_server.yaml");
    assert!(definition.lines().count() <= 25);
    house
        .cli
        .apply(&definition.replace("127.0.0.1:3000", &server.address))
        .await;
    assert_first_sync(&house, &hearing, &orders).await;

    let mut more = orders.clone();
    let order = more.add();
    let url = format!("http://{}/orders", server.address);
    let posted = reqwest::Client::new().post(url).json(&order).send().await;
    assert!(posted.expect("an answer").status().is_success());
    assert_one_more(&house, &hearing, &more).await;
}
