//! What every real server's `revenue` must show: all orders at first, then one more.

use serde_json::json;

use crate::{Hearing, Orders, Standalone};

/// Syncs `revenue` for the first time: all 1,234 orders come, in 13 pages, and are announced.
pub async fn assert_first_sync(house: &Standalone, hearing: &Hearing, orders: &Orders) {
    let done = house.cli.sync("revenue").await;
    assert_eq!(done["state"], "final", "{done}");
    assert_eq!(
        (&done["rows"], &done["rejected"], &done["pages"]),
        (&json!(1_234), &json!(0), &json!(13)),
        "{done}"
    );
    orders.assert_equal(&house.cli).await;
    let update = hearing
        .wait_for("the first update", |update| update["metric"] == "revenue")
        .await;
    assert_eq!(update["version"], 1, "{update}");
}

/// Syncs it again after one order was added: only its bucket is announced.
pub async fn assert_one_more(house: &Standalone, hearing: &Hearing, orders: &Orders) {
    assert_eq!(house.cli.sync("revenue").await["rows"], 1_235);
    orders.assert_equal(&house.cli).await;
    let update = hearing
        .wait_for("the second update", |update| update["version"] == 2)
        .await;
    assert_eq!(
        update["changes"].as_array().map(Vec::len),
        Some(1),
        "{update}"
    );
}
