//! Numbers as they are read.

use reqwest::Method;
use serde_json::json;

use crate::house::{House, read};

const DAYS: &[(&str, &str, u32)] = &[
    ("2026-01-01", "active", 1),
    ("2026-01-01", "cancelled", 2),
    ("2026-01-02", "active", 4),
    ("2026-01-04", "active", 8),
];

#[tokio::test]
async fn a_series_has_the_shape_that_was_promised() {
    let house = House::open().await;
    house.furnish().await;
    let (_, version) = house.commit("new_subscribers", DAYS).await;
    let (status, body) = house
        .get("/api/v1/metrics/new_subscribers/series?from=2026-01-01&to=2026-02-01")
        .await;
    assert_eq!(status, 200, "{body}");
    let expected = json!({
        "metric": "new_subscribers", "title": "New subscribers", "granularity": "day", "timezone": "UTC",
        "from": "2026-01-01T00:00:00+00:00", "to": "2026-02-01T00:00:00+00:00",
        "aggregation": "sum", "version": version, "favourable_trend": "up",
        "series": [{
            "dimensions": {}, "unit": null,
            "points": [
                { "start": "2026-01-01T00:00:00+00:00", "value": 3, "count": 3, "partial": false },
                { "start": "2026-01-02T00:00:00+00:00", "value": 4, "count": 4, "partial": false },
                { "start": "2026-01-04T00:00:00+00:00", "value": 8, "count": 8, "partial": false },
            ],
            "total": 15,
        }],
        "comparison": null,
    });
    assert_eq!(body, expected);
    house.close().await;
}

#[tokio::test]
async fn a_series_is_split_filtered_coarsened_and_compared() {
    let house = House::open().await;
    house.furnish().await;
    house.commit("new_subscribers", DAYS).await;
    let path = "/api/v1/metrics/new_subscribers/series?from=2026-01-01&to=2026-02-01";
    let (_, split) = house
        .get(&format!("{path}&granularity=month&group_by=state"))
        .await;
    let totals: Vec<_> = split["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["dimensions"]["state"].as_str().unwrap(),
                one["total"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(totals, [("active", 13), ("cancelled", 2)]);
    let (_, kept) = house.get(&format!("{path}&where.state=cancelled")).await;
    assert_eq!(kept["series"][0]["total"], 2, "{kept}");
    let (_, filled) = house.get(&format!("{path}&fill=zero")).await;
    assert_eq!(
        filled["series"][0]["points"].as_array().unwrap().len(),
        31,
        "{filled}"
    );
    let (_, value) = house
        .get("/api/v1/metrics/new_subscribers/value?from=2026-01-03&to=2026-01-05&compare=previous_period")
        .await;
    assert_eq!(
        (&value["value"], &value["count"]),
        (&json!(8), &json!(8)),
        "{value}"
    );
    let compared = &value["comparison"]["series"][0];
    assert_eq!(
        (&compared["base"], &compared["change"]),
        (&json!(7), &json!(1)),
        "{value}"
    );
    assert_eq!(compared["direction"], "better");
    let (status, unknown) = house.get(&format!("{path}&group_by=planet")).await;
    assert_eq!(
        (status.as_u16(), unknown["code"].as_str()),
        (422, Some("query.dimension_unknown")),
        "{unknown}"
    );
    let (status, fine) = house.get(&format!("{path}&granularity=hour")).await;
    assert_eq!(
        (status.as_u16(), fine["code"].as_str()),
        (422, Some("query.granularity")),
        "{fine}"
    );
    house.close().await;
}

#[tokio::test]
async fn members_are_left_out_ranked_and_run_on() {
    let house = House::open().await;
    house.furnish().await;
    house.commit("new_subscribers", DAYS).await;
    let path = "/api/v1/metrics/new_subscribers/series?from=2026-01-01&to=2026-01-05";
    let (_, without) = house.get(&format!("{path}&where.state!=cancelled")).await;
    assert_eq!(without["series"][0]["total"], 13, "{without}");
    let (_, none) = house
        .get(&format!("{path}&where_not.state=cancelled,active"))
        .await;
    assert_eq!(none["series"], json!([]), "{none}");
    let (_, top) = house
        .get(&format!("{path}&group_by=state&top=1&granularity=all"))
        .await;
    let named = json!([{ "state": "active" }, {}]);
    let dimensions: Vec<_> = top["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["dimensions"].clone())
        .collect();
    assert_eq!(json!(dimensions), named, "{top}");
    assert_eq!(
        (&top["series"][1]["rest"], &top["series"][1]["total"]),
        (&json!(1), &json!(2)),
        "{top}"
    );
    assert!(top["series"][0].get("rest").is_none(), "{top}");
    let values = |answer: &serde_json::Value| -> Vec<serde_json::Value> {
        let points = answer["series"][0]["points"].as_array().unwrap();
        points.iter().map(|one| one["value"].clone()).collect()
    };
    let (_, cumulative) = house
        .get(&format!("{path}&cumulative=true&fill=zero"))
        .await;
    assert_eq!(
        json!(values(&cumulative)),
        json!([3, 7, 7, 15]),
        "{cumulative}"
    );
    let (_, moving) = house
        .get(&format!("{path}&moving_average=2&where.state=active"))
        .await;
    // The third of January is known to be empty: 0.
    assert_eq!(json!(values(&moving)), json!([1, 2.5, 2, 4]), "{moving}");
    let (_, value) = house
        .get("/api/v1/metrics/new_subscribers/value?from=2026-01-01&to=2026-01-05&where.state!=active")
        .await;
    assert_eq!(value["value"], 2, "{value}");
    house.close().await;
}

#[tokio::test]
async fn an_answer_is_never_older_than_its_question() {
    let house = House::open().await;
    house.furnish().await;
    let path = "/api/v1/metrics/new_subscribers/series?range=all_time&granularity=all";
    let (_, before) = house.get(path).await;
    assert_eq!(before["series"], json!([]), "{before}");
    for round in 1..=3_u32 {
        let (_, version) = house
            .commit("new_subscribers", &[("2026-01-01", "active", round)])
            .await;
        for _ in 0..2 {
            let (_, after) = house.get(path).await;
            assert_eq!(
                (&after["version"], &after["series"][0]["total"]),
                (&json!(version), &json!(round)),
                "{after}"
            );
        }
    }
    let titled = crate::house::METRIC.replace("title: New subscribers", "title: Joined");
    house.apply(&titled).await;
    assert_eq!(house.get(path).await.1["title"], "Joined");
    house.close().await;
}

#[tokio::test]
async fn points_of_an_earlier_revision_are_marked_until_a_recompute_reaches_them() {
    let house = House::open().await;
    house.furnish().await;
    let (run, version) = house.commit("new_subscribers", DAYS).await;
    let rate = "kind: metric\nname: twice\nformula: new_subscribers * 2\n";
    let (status, body) = house.apply(rate).await;
    assert_eq!(status, 200, "{body}");
    let marks = async |metric: &str| {
        let range = "from=2026-01-01&to=2026-01-05";
        let (_, series) = house
            .get(&format!("/api/v1/metrics/{metric}/series?{range}"))
            .await;
        let points = series["series"][0]["points"].as_array().unwrap();
        let marks: Vec<bool> = points.iter().map(|one| one["outdated"] == true).collect();
        let (_, value) = house
            .get(&format!("/api/v1/metrics/{metric}/value?{range}"))
            .await;
        let any = value["outdated"] == true;
        assert_eq!(any, marks.contains(&true), "{value}");
        (marks, series["version"].as_i64())
    };
    let none = vec![false; 3];
    assert_eq!(
        marks("new_subscribers").await,
        (none.clone(), Some(version))
    );
    assert_eq!(marks("twice").await.0, none);

    let edited = crate::house::METRIC.replace("value: { count: true }", "value: \"1\"");
    house.apply(&edited).await;
    assert_eq!(marks("new_subscribers").await.0, [true, true, true]);
    assert_eq!(marks("twice").await.0, [true, true, true]);

    // The same numbers come out, so that nothing but the marks changes.
    let day = |number| {
        let at: jiff::Timestamp = format!("2026-01-0{number}T00:00:00Z").parse().unwrap();
        at.as_millisecond()
    };
    for (reached, expected) in [(2, [true, false, false]), (1, [false; 3])] {
        let stored = house
            .store
            .definition("default", store::Kind::Metric, "new_subscribers");
        let dataset = stored.await.unwrap().unwrap().dataset.unwrap();
        let begun = house.store.begin_recompute("default", &dataset, &run).await;
        let mut commit = begun.unwrap().unwrap();
        let revision = commit.metrics()[0].revision;
        let known = commit.coverage("new_subscribers").await.unwrap();
        let (first, last) = (known[0].clone(), known[known.len() - 1].clone());
        let mut pieces = vec![store::Coverage {
            start: day(reached),
            revision,
            ..last
        }];
        if first.start < day(reached) {
            let end = day(reached);
            pieces.insert(0, store::Coverage { end, ..first });
        }
        commit
            .set_coverage("new_subscribers", &pieces)
            .await
            .unwrap();
        commit.commit().await.unwrap();
        let expected = (expected.to_vec(), Some(version));
        assert_eq!(marks("new_subscribers").await, expected);
        assert_eq!(marks("twice").await.0, expected.0);
    }
    house.close().await;
}

#[tokio::test]
async fn prometheus_gets_the_newest_values() {
    let house = House::open().await;
    house.furnish().await;
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
        .to_string();
    house
        .commit(
            "new_subscribers",
            &[(&today, "active", 5), (&today, "cancelled", 2)],
        )
        .await;
    let answer = house
        .request(Method::GET, "/api/v1/export/openmetrics")
        .send()
        .await
        .unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text().await.unwrap();
    assert_eq!(
        text,
        "# TYPE tidemark_metric_new_subscribers gauge\n# HELP tidemark_metric_new_subscribers New subscribers\n\
         tidemark_metric_new_subscribers{state=\"active\"} 5\n\
         tidemark_metric_new_subscribers{state=\"cancelled\"} 2\n# EOF\n"
    );
    house.close().await;
}

#[tokio::test]
async fn latest_values_are_given_however_old_they_are() {
    let house = House::open().await;
    house.furnish().await;
    house
        .commit(
            "new_subscribers",
            &[
                ("2012-01-03", "bounced", 9),
                ("2015-12-30", "active", 4),
                ("2015-12-31", "cancelled", 7),
            ],
        )
        .await;
    let answer = house.request(Method::GET, "/api/v1/export/openmetrics");
    let text = answer.send().await.unwrap().text().await.unwrap();
    let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        values,
        [
            "tidemark_metric_new_subscribers{state=\"active\"} 4",
            "tidemark_metric_new_subscribers{state=\"cancelled\"} 7",
        ],
        "{text}"
    );
    house.close().await;
}

#[tokio::test]
async fn another_workspace_sees_nothing_of_this_one() {
    let house = House::open().await;
    house.furnish().await;
    let (run, _) = house.commit("new_subscribers", DAYS).await;
    house.store.create_workspace("test", "other").await.unwrap();
    let token = gateway::generate_token();
    let other = store::NewToken {
        hash: gateway::hash_token(&token),
        workspace: Some("other".into()),
        role: "admin".into(),
        name: "other".into(),
        expires_at: None,
    };
    house.store.insert_token("test", &other).await.unwrap();
    let get = |path: &str| {
        read(
            house
                .client
                .get(format!("{}{path}", house.base))
                .bearer_auth(&token),
        )
    };
    for path in [
        "/api/v1/metrics/new_subscribers",
        "/api/v1/metrics/new_subscribers/series",
        "/api/v1/metrics/new_subscribers/value",
    ] {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
    for path in [
        format!("/api/v1/runs/{run}"),
        format!("/api/v1/runs/{run}/pages"),
        format!("/api/v1/runs/{run}/events"),
    ] {
        assert_eq!(get(&path).await.0, 404, "{path}");
    }
    assert_eq!(get("/api/v1/metrics").await.1["items"], json!([]));
    assert_eq!(
        get("/api/v1/tokens").await.1["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    house.close().await;
}
