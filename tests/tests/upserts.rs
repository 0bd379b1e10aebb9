//! An API that returns only what changed: records move between buckets, and go, as a full read would have it.

use std::collections::BTreeMap;

use house_tests::Standalone;
use sample_api::{Config, Order, Server};
use serde_json::Value;

fn definitions(url: &str, resolution: &str) -> String {
    format!(
        r#"
kind: connection
name: shop
base_url: {url}
---
kind: metric
name: paid_orders
connection: shop
request:
  path: /api/orders
  query: {{ updated_from: "{{{{ window.start | utc }}}}", size: 7 }}
  pagination: {{ page: {{ param: page, total_pages: total_pages }} }}
window: {{ last: 30d, lookback: 1h }}
select:
  records: orders
  where: state = "paid"
  value: amount
  date: at
  key: id
  deleted: deleted_at
mode: upsert
resolution: {resolution}
"#
    )
}

fn order(id: u64, day: u8, amount: i64, state: &str) -> Order {
    Order {
        id,
        at: format!("2026-03-{day:02}T12:00:00Z")
            .parse()
            .expect("a date"),
        amount,
        state: state.into(),
    }
}

/// The sums of each day, as the API has them now.
fn truth(api: &Server) -> BTreeMap<String, f64> {
    let mut days = BTreeMap::new();
    for order in api.orders().iter().filter(|order| order.state == "paid") {
        let day = order
            .at
            .to_string()
            .get(..10)
            .unwrap_or_default()
            .to_owned();
        *days.entry(day).or_default() += f64::from(i32::try_from(order.amount).unwrap_or(0));
    }
    days
}

async fn told(house: &Standalone) -> BTreeMap<String, f64> {
    let range = [
        "--from",
        "2026-03-01",
        "--to",
        "2026-04-01",
        "--granularity",
        "day",
    ];
    let answer = house.cli.query("paid_orders", &range).await;
    let series = answer["series"].as_array().cloned().unwrap_or_default();
    let points = series
        .iter()
        .flat_map(|one| one["points"].as_array().cloned().unwrap_or_default());
    points
        .map(|point| {
            let start = point["start"]
                .as_str()
                .unwrap_or_default()
                .get(..10)
                .unwrap_or_default()
                .to_owned();
            (start, point["value"].as_f64().unwrap_or_default())
        })
        .collect()
}

async fn sync(house: &Standalone) -> Value {
    let ended = house.cli.sync("paid_orders").await;
    assert_eq!(ended["state"], "final", "{ended}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_moves_the_right_buckets() {
    let api = Server::start(Config::default())
        .await
        .expect("the sample API starts");
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url(), "day")).await;
    for id in 1..=40 {
        let state = if id % 5 == 0 { "open" } else { "paid" };
        api.put_order(order(
            id,
            u8::try_from(id % 9 + 1).unwrap_or(1),
            1 << (id % 20),
            state,
        ));
    }
    assert_eq!(sync(&house).await["rows"], 32);
    assert_eq!(told(&house).await, truth(&api));

    // Edited amounts and dates, a state that counts no more, one that counts now, deletions, late ones.
    api.put_order(order(1, 20, 3, "paid"));
    api.put_order(order(2, 3, 7, "refunded"));
    api.put_order(order(5, 6, 11, "paid"));
    api.delete_order(3);
    api.put_order(order(41, 1, 13, "paid"));
    let ended = sync(&house).await;
    assert_eq!(told(&house).await, truth(&api));

    // The number leads back to the runs that saw its records, and to the records.
    let asked = [
        "provenance",
        "paid_orders",
        "--start",
        "2026-03-20",
        "-o",
        "json",
    ];
    let from = house.cli.run(&asked).await.json();
    assert_eq!(from["made_by"][0]["run"]["id"], ended["run"], "{from}");
    assert_eq!(from["made_by"][0]["records"][0]["key"], "1", "{from}");
    assert_eq!(from["made_by"][0]["records_total"], 1, "{from}");

    // The same again changes nothing; everything gone leaves nothing.
    sync(&house).await;
    assert_eq!(told(&house).await, truth(&api));
    for id in 1..=41 {
        api.delete_order(id);
    }
    sync(&house).await;
    assert_eq!(told(&house).await, BTreeMap::new());
}
