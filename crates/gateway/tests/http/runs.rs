//! Asking for runs, and following them.

use serde_json::json;

use crate::house::{CONNECTION, House, METRIC};

const WINDOWED: &str = "window: { last: 90d, step: 30d }\n";

fn windowed() -> String {
    let request =
        "request: { path: /v3/subscribers, query: { from: \"{{ window.start | date }}\" } }";
    format!(
        "{CONNECTION}---\n{}{WINDOWED}",
        METRIC.replace("request: { path: /v3/subscribers }", request)
    )
}

#[tokio::test]
async fn a_sync_opens_one_run_a_window_and_joins_those_that_are_open() {
    let house = House::open().await;
    let (status, body) = house.apply(&windowed()).await;
    assert_eq!(status, 200, "{body}");
    let (status, first) = house
        .post("/api/v1/metrics/new_subscribers/sync", json!(null))
        .await;
    assert_eq!(status, 202, "{first}");
    let runs = first["runs"].as_array().unwrap();
    assert!((3..=5).contains(&runs.len()), "{first}");
    assert_eq!(first["run"], runs[0]["run"]);
    assert!(
        runs[0]["window"]["start"].as_str() > runs[1]["window"]["start"].as_str(),
        "newest first: {first}"
    );
    let (_, second) = house
        .post("/api/v1/metrics/new_subscribers/sync", json!(null))
        .await;
    assert!(
        second["runs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|run| run["joined"] == true),
        "{second}"
    );
    assert_eq!(second["run"], first["run"]);
    let (_, list) = house
        .get("/api/v1/metrics/new_subscribers/runs?limit=2")
        .await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let next = format!(
        "/api/v1/metrics/new_subscribers/runs?cursor={}",
        list["next_cursor"].as_str().unwrap()
    );
    let (_, rest) = house.get(&next).await;
    assert_eq!(
        rest["items"].as_array().unwrap().len(),
        runs.len() - 2,
        "{rest}"
    );
    assert_eq!(rest["items"][0]["state"], "waiting");
    house.close().await;
}

#[tokio::test]
async fn a_sync_is_accepted_while_nats_is_away() {
    let mut house = House::open().await;
    house.furnish().await;
    house.nats.kill().await;
    let (status, body) = house
        .post("/api/v1/metrics/new_subscribers/sync", json!(null))
        .await;
    assert_eq!(status, 202, "the ledger has it: {body}");
    house.close().await;
}

#[tokio::test]
async fn a_backfill_covers_what_was_asked_and_needs_a_window() {
    let house = House::open().await;
    let (_, body) = house.apply(&windowed()).await;
    assert_eq!(body["definitions"][1]["outcome"], "created", "{body}");
    let path = "/api/v1/metrics/new_subscribers/backfill";
    let (status, body) = house
        .post(path, json!({ "from": "2025-01-01", "until": "2025-03-02" }))
        .await;
    assert_eq!(status, 202, "{body}");
    let runs = body["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{body}");
    assert_eq!(runs[1]["window"]["start"], "2025-01-01T00:00:00Z");
    assert_eq!(runs[0]["window"]["end"], "2025-03-02T00:00:00Z");
    for wrong in [
        json!({ "from": "2025-03-01", "until": "2025-01-01" }),
        json!({ "from": "soon" }),
        json!({}),
    ] {
        assert_eq!(house.post(path, wrong.clone()).await.0, 422, "{wrong}");
    }
    let plain = METRIC
        .replace("new_subscribers", "plain")
        .replace("/v3/subscribers", "/v3/other");
    house.apply(&plain).await;
    let (status, body) = house
        .post(
            "/api/v1/metrics/plain/backfill",
            json!({ "from": "2025-01-01" }),
        )
        .await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (409, Some("run.no_window")),
        "{body}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_run_tells_what_it_did() {
    let house = House::open().await;
    house.furnish().await;
    let (run, version) = house
        .commit("new_subscribers", &[("2026-01-01", "active", 3)])
        .await;
    let (status, body) = house.get(&format!("/api/v1/runs/{run}")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["state"], "final", "{body}");
    assert_eq!(body["ended"], "single_page");
    assert_eq!(
        (&body["rows"], &body["rejected"], &body["pages"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(body["metrics"][0]["outcome"], "applied");
    assert_eq!(body["metrics"][0]["version"], version);
    let (_, pages) = house.get(&format!("/api/v1/runs/{run}/pages")).await;
    assert_eq!(pages["items"][0]["number"], 1, "{pages}");
    let (_, rejected) = house.get(&format!("/api/v1/runs/{run}/rejected")).await;
    assert_eq!(
        rejected["items"][0]["code"], "row.date_missing",
        "{rejected}"
    );
    let (_, none) = house
        .get(&format!("/api/v1/runs/{run}/rejected?metric=other"))
        .await;
    assert_eq!(none["items"], json!([]));
    let (_, metric) = house.get("/api/v1/metrics/new_subscribers").await;
    assert_eq!(metric["state"]["last_run"]["id"], run, "{metric}");
    assert_eq!(metric["version"], version);
    assert_eq!(
        house.get("/api/v1/runs/r_00000000000000000000").await.0,
        404
    );
    house.close().await;
}

#[tokio::test]
async fn the_events_of_a_run_end_with_it() {
    let house = House::open().await;
    house.furnish().await;
    let (_, opened) = house
        .post("/api/v1/metrics/new_subscribers/sync", json!(null))
        .await;
    let run = opened["run"].as_str().unwrap().to_owned();
    let mut events = house
        .listen(&format!("/api/v1/runs/{run}/events"), None)
        .await;
    let (_, state) = events.expect("state").await;
    assert_eq!(state["state"], "waiting");
    let progress = wire::Progress {
        workspace: "default".into(),
        dataset: state["dataset"].as_str().unwrap().into(),
        run: run.clone(),
        pages: 3,
        stated_pages: Some(10),
        waiting_for: "retrying 503, 3rd try, in 4 s".into(),
        ..wire::Progress::default()
    };
    house.bus.publish_progress(&progress).await.unwrap();
    let (_, heard) = events.expect("progress").await;
    assert_eq!(
        (&heard["pages"], &heard["stated_pages"]),
        (&json!(3), &json!(10))
    );
    assert_eq!(heard["waiting_for"], "retrying 503, 3rd try, in 4 s");
    house
        .store
        .cancel_run("default", &run, "enough")
        .await
        .unwrap();
    let (_, ended) = events.expect("ended").await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert!(
        events.next().await.is_none(),
        "the stream ends with the run"
    );
    house.close().await;
}

#[tokio::test]
async fn a_recompute_is_asked_for_once() {
    let house = House::open().await;
    house.furnish().await;
    let (status, first) = house
        .post("/api/v1/metrics/new_subscribers/recompute", json!(null))
        .await;
    assert_eq!(status, 202, "{first}");
    let (_, second) = house
        .post("/api/v1/metrics/new_subscribers/recompute", json!(null))
        .await;
    assert_eq!(first, second);
    assert_eq!(
        house
            .post("/api/v1/metrics/nope/recompute", json!(null))
            .await
            .0,
        404
    );
    house.close().await;
}

#[tokio::test]
async fn provenance_names_runs_and_pages_even_where_nobody_reads_the_pages_again() {
    let house = House::open().await;
    house.furnish().await;
    let (run, version) = house
        .commit(
            "new_subscribers",
            &[("2026-01-01", "active", 3), ("2026-01-01", "gone", 2)],
        )
        .await;
    let path = "/api/v1/metrics/new_subscribers/provenance";
    let (status, told) = house
        .get(&format!(
            "{path}?start=2026-01-01T15:00:00Z&dimensions=state=active"
        ))
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        (told["value"].as_f64(), &told["count"]),
        (Some(3.0), &json!(3)),
        "{told}"
    );
    assert_eq!(told["version"], version);
    assert_eq!(told["start"], "2026-01-01T00:00:00+00:00");
    let maker = &told["made_by"][0];
    assert_eq!(maker["run"]["id"], run, "{told}");
    assert_eq!(
        (&maker["complete"], &maker["revision"]),
        (&json!(true), &json!(1))
    );
    assert!(
        maker["definition"]["expression"]
            .as_str()
            .unwrap()
            .contains("created_at")
    );
    assert!(
        maker["request"]
            .as_str()
            .unwrap()
            .ends_with("api_secret=***"),
        "{told}"
    );
    assert_eq!(maker["pages"][0]["number"], 1);
    assert!(
        maker["note"].as_str().unwrap().contains("evaluator"),
        "{told}"
    );
    let (_, joined) = house.get(&format!("{path}?start=2026-01-01")).await;
    assert_eq!(joined["value"].as_f64(), Some(5.0), "{joined}");
    let (_, empty) = house.get(&format!("{path}?start=1999-01-01")).await;
    assert_eq!(
        (&empty["value"], &empty["made_by"]),
        (&json!(null), &json!([])),
        "{empty}"
    );
    for wrong in [
        "",
        "?start=",
        "?start=soon",
        "?start=2026-01-01&granularity=hour",
    ] {
        assert_eq!(house.get(&format!("{path}{wrong}")).await.0, 422, "{wrong}");
    }
    assert_eq!(
        house
            .get("/api/v1/metrics/none/provenance?start=2026-01-01")
            .await
            .0,
        404
    );
    house.close().await;
}
