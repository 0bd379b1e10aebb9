//! Calculated metrics over HTTP: applied, read, refused.

use serde_json::json;

use crate::house::{CONNECTION, House, METRIC};

const RATE: &str = "kind: metric\nname: rate\nformula: active / everybody * 100\nunit: \"%\"\n";

/// Two metrics of states by day, and a rate over them.
async fn furnished() -> House {
    let house = House::open().await;
    let named = |name: &str| METRIC.replace("name: new_subscribers", &format!("name: {name}"));
    let bundle = format!(
        "{CONNECTION}---\n{RATE}---\n{}---\n{}",
        named("active"),
        named("everybody")
    );
    let (status, body) = house.apply(&bundle).await;
    assert_eq!(status, 200, "{body}");
    house
        .commit("active", &[("2026-01-01", "a", 1), ("2026-01-03", "b", 3)])
        .await;
    house
        .commit(
            "everybody",
            &[
                ("2026-01-01", "a", 4),
                ("2026-01-02", "a", 4),
                ("2026-01-03", "b", 4),
            ],
        )
        .await;
    house
}

#[tokio::test]
async fn a_calculated_metric_answers_like_any_other() {
    let house = furnished().await;
    let path = "/api/v1/metrics/rate/series?from=2026-01-01&to=2026-01-05";
    let (status, series) = house.get(path).await;
    assert_eq!(status, 200, "{series}");
    let points = json!([
        { "start": "2026-01-01T00:00:00+00:00", "value": 25, "count": 5, "partial": false },
        { "start": "2026-01-02T00:00:00+00:00", "value": 0, "count": 4, "partial": false },
        { "start": "2026-01-03T00:00:00+00:00", "value": 75, "count": 7, "partial": false },
    ]);
    assert_eq!(series["series"][0]["points"], points, "{series}");
    assert_eq!(series["series"][0]["unit"], "%");
    assert_eq!(series["aggregation"], "calculated");
    let (_, month) = house
        .get(&format!("{path}&granularity=month&group_by=state"))
        .await;
    let totals: Vec<_> = month["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["total"].clone())
        .collect();
    assert_eq!(json!(totals), json!([12.5, 75]), "{month}");
    let (_, value) = house
        .get("/api/v1/metrics/rate/value?from=2026-01-03&to=2026-01-04&compare=previous_period&where.state!=c")
        .await;
    assert_eq!(value["value"], 75, "{value}");
    assert_eq!(value["comparison"]["series"][0]["base"], 0, "{value}");
    let (_, all) = house.get("/api/v1/metrics/rate/value?range=all_time").await;
    assert_eq!(
        all["value"].as_f64().map(|value| (value * 100.0).round()),
        Some(3333.0),
        "{all}"
    );
    let (_, wrong) = house.get(&format!("{path}&group_by=planet")).await;
    assert_eq!(wrong["code"], "query.dimension_unknown", "{wrong}");
    assert!(
        wrong["detail"].as_str().unwrap().contains("`active`"),
        "{wrong}"
    );
    house.close().await;
}

#[tokio::test]
async fn its_version_rises_with_its_inputs_and_its_answer_with_it() {
    let house = furnished().await;
    let path = "/api/v1/metrics/rate/value?from=2026-01-01&to=2026-01-02";
    for (round, value) in [(1, 25.0), (2, 50.0), (4, 100.0)] {
        let (_, before) = house.get(path).await;
        house.commit("active", &[("2026-01-01", "a", round)]).await;
        for _ in 0..2 {
            let (_, after) = house.get(path).await;
            assert_eq!(after["value"].as_f64(), Some(value), "{after}");
            assert_eq!(
                after["version"].as_i64(),
                before["version"].as_i64().map(|one| one + 1)
            );
        }
    }
    // A new formula counts at once.
    let (status, body) = house.apply(&RATE.replace("* 100", "* 10")).await;
    assert_eq!(status, 200, "{body}");
    let (_, after) = house.get(path).await;
    assert_eq!(after["value"], 10, "{after}");
    house.close().await;
}

#[tokio::test]
async fn what_makes_no_sense_of_a_calculated_metric_is_refused() {
    let house = furnished().await;
    let (status, refused) = house.post("/api/v1/metrics/rate/sync", json!({})).await;
    assert_eq!(
        (status.as_u16(), refused["code"].as_str()),
        (409, Some("metric.calculated")),
        "{refused}"
    );
    let (status, _) = house
        .post("/api/v1/metrics/rate/recompute", json!({}))
        .await;
    assert_eq!(status, 409);
    let (status, refused) =
        crate::house::read(house.request(reqwest::Method::DELETE, "/api/v1/metrics/active")).await;
    assert_eq!(
        (status.as_u16(), refused["code"].as_str()),
        (409, Some("in_use")),
        "{refused}"
    );
    for (yaml, code) in [
        (
            "kind: metric\nname: twice\nformula: nowhere * 2\n",
            "definition.metric_unknown",
        ),
        (
            "kind: metric\nname: rate\nformula: half * 2\n---\nkind: metric\nname: half\nformula: rate / 2\n",
            "definition.formula_cycle",
        ),
        (
            "kind: metric\nname: sum\nformula: rate + active\n",
            "definition.formula_unit",
        ),
        (
            "kind: metric\nname: bad\nformula: rate +\n",
            "definition.formula",
        ),
    ] {
        let (status, refused) = house.apply(yaml).await;
        assert_eq!(status, 422, "{refused}");
        assert!(refused.to_string().contains(code), "{yaml}: {refused}");
    }
    let (_, shown) = house.get("/api/v1/metrics/rate").await;
    assert_eq!(
        shown["definition"]["formula"], "active / everybody * 100",
        "{shown}"
    );
    assert!(
        shown.get("expression").is_none() && shown["state"].get("stale").is_none(),
        "{shown}"
    );
    let (_, runs) = house.get("/api/v1/metrics/rate/runs").await;
    assert_eq!(runs["items"], json!([]), "{runs}");
    let (status, exported) = house.get("/api/v1/export/openmetrics").await;
    assert_eq!(status, 200, "{exported}");
    house.close().await;
}
