//! Definitions, secrets, tokens and the audit trail.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{CONNECTION, House, LONG, METRIC, read};

#[tokio::test]
async fn a_bundle_is_created_then_unchanged_then_updated() {
    let house = House::open().await;
    let bundle = format!("{CONNECTION}---\n{METRIC}");
    let outcomes = |body: &serde_json::Value| -> Vec<String> {
        body["definitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                format!(
                    "{} {} {}",
                    one["kind"].as_str().unwrap(),
                    one["name"].as_str().unwrap(),
                    one["outcome"].as_str().unwrap()
                )
            })
            .collect()
    };
    let (status, dry) = read(
        house
            .request(Method::POST, "/api/v1/apply?dry_run=true")
            .body(bundle.clone()),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &dry["dry_run"]),
        (200, &json!(true)),
        "{dry}"
    );
    assert_eq!(
        house.get("/api/v1/metrics/new_subscribers").await.0,
        404,
        "a dry run changes nothing"
    );

    let (status, made) = house.apply(&bundle).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        outcomes(&made),
        ["connection kit created", "metric new_subscribers created"]
    );
    assert_eq!(made["definitions"][1]["revision"], 1);
    assert!(
        made["definitions"][1]["dataset"]
            .as_str()
            .unwrap()
            .starts_with("d_"),
        "{made}"
    );
    assert!(
        made["warnings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("tidemark secret set kit_secret"),
        "{made}"
    );

    let (_, again) = house.apply(&bundle).await;
    assert_eq!(
        outcomes(&again),
        [
            "connection kit unchanged",
            "metric new_subscribers unchanged"
        ]
    );
    let (_, changed) = house
        .apply(&bundle.replace("title: New subscribers", "title: Joined"))
        .await;
    assert_eq!(outcomes(&changed)[1], "metric new_subscribers updated");
    assert_eq!(
        changed["definitions"][1]["revision"], 1,
        "a title is no evaluation"
    );
    let (_, changed) = house
        .apply(&bundle.replace("records: subscribers", "records: people"))
        .await;
    assert_eq!(changed["definitions"][1]["revision"], 2, "{changed}");
    house.close().await;
}

#[tokio::test]
async fn every_problem_of_a_bundle_is_told_at_once_with_its_place() {
    let house = House::open().await;
    let wrong = "kind: connection\nname: Kit\nbase_url: https://api.example.com\n---\n\
                 kind: metric\nname: a\nconnection: nowhere\nrequest: { path: /a, method: DELETE }\n";
    let request = house
        .request(Method::POST, "/api/v1/apply?source=kit.yaml")
        .body(wrong);
    let (status, body) = read(request).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (422, Some("definition.invalid")),
        "{body}"
    );
    let problems = body["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{body}");
    for problem in problems {
        assert_eq!(problem["source"], "kit.yaml", "{problem}");
        assert!(problem["line"].as_u64().unwrap() > 0, "{problem}");
        assert!(
            problem["code"].is_string() && problem["message"].is_string(),
            "{problem}"
        );
    }
    assert_eq!(
        house.get("/api/v1/connections").await.1["items"],
        json!([]),
        "nothing was applied"
    );
    house.close().await;
}

#[tokio::test]
async fn a_wrong_expression_is_a_problem_of_the_bundle() {
    let house = House::open().await;
    let wrong = METRIC.replace("records: subscribers", "records: \"subscribers[\"");
    let (status, body) = house.apply(&format!("{CONNECTION}---\n{wrong}")).await;
    assert_eq!(status, 422, "{body}");
    assert!(
        body["problems"][0]["path"]
            .as_str()
            .unwrap()
            .contains("select.records"),
        "{body}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_change_meets_the_etag_that_was_read_or_nothing_happens() {
    let house = House::open().await;
    house.furnish().await;
    let answer = house
        .request(Method::GET, "/api/v1/metrics/new_subscribers")
        .send()
        .await
        .unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["etag"], json!(etag));
    assert!(
        body["expression"].as_str().unwrap().contains("subscribers"),
        "{body}"
    );
    assert_eq!(body["state"]["stale"], json!(false));

    let path = "/api/v1/metrics/new_subscribers";
    let change = METRIC.replace("title: New subscribers", "title: Joined");
    let put = |tag: &str, body: &str| {
        read(
            house
                .request(Method::PUT, path)
                .header("If-Match", tag)
                .body(body.to_owned()),
        )
    };
    let (status, body) = put(&etag, &change).await;
    assert_eq!(
        (status.as_u16(), body["title"].as_str()),
        (200, Some("Joined")),
        "{body}"
    );
    let (status, body) = put(&etag, METRIC).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (412, Some("precondition.failed")),
        "{body}"
    );
    assert_eq!(
        house.get(path).await.1["title"],
        "Joined",
        "nothing was changed"
    );
    let (status, _) = put("\"zzz\"", METRIC).await;
    assert_eq!(status, 412);
    let create = house
        .request(Method::PUT, path)
        .header("If-None-Match", "*")
        .body(METRIC);
    assert_eq!(read(create).await.0, 412);
    let elsewhere = house
        .request(Method::PUT, "/api/v1/metrics/other")
        .body(METRIC);
    assert_eq!(read(elsewhere).await.0, 422);

    let (status, body) = read(house.request(Method::DELETE, "/api/v1/connections/kit")).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (409, Some("in_use")),
        "{body}"
    );
    assert!(
        body["detail"].as_str().unwrap().contains("new_subscribers"),
        "{body}"
    );
    assert_eq!(
        read(
            house
                .request(Method::DELETE, path)
                .header("If-Match", &etag)
        )
        .await
        .0,
        412
    );
    let now = house.get(path).await.1["etag"].as_str().unwrap().to_owned();
    for (tag, expected) in [
        (now.clone(), 304),
        (format!("\"other\", W/{now}"), 304),
        ("*".to_owned(), 304),
        (etag.clone(), 200),
    ] {
        let answer = house
            .request(Method::GET, path)
            .header("If-None-Match", &tag)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), expected, "{tag}");
        assert_eq!(answer.headers()["etag"].to_str().unwrap(), now);
    }
    for method in [Method::PUT, Method::DELETE] {
        let weak = house
            .request(method.clone(), path)
            .header("If-Match", format!("W/{now}"))
            .body(change.clone());
        let (status, body) = read(weak).await;
        assert_eq!(status, 412, "{method}: {body}");
        assert!(
            body["detail"].as_str().unwrap().contains("without `W/`"),
            "{body}"
        );
    }
    let several = house
        .request(Method::DELETE, path)
        .header("If-Match", format!("\"other\", {now}"));
    assert_eq!(read(several).await.0, 204, "one of several is enough");
    assert_eq!(house.get(path).await.0, 404);
    assert_eq!(put("*", METRIC).await.0, 412, "there is none to match");

    // What is made again under the name is another thing, though its versions begin anew.
    assert_eq!(
        read(house.request(Method::PUT, path).body(METRIC)).await.0,
        201
    );
    let (status, body) = put(&etag, &change).await;
    assert_eq!(status, 412, "{body}");
    assert!(
        body["detail"].as_str().unwrap().contains("read it again"),
        "{body}"
    );
    house.close().await;
}

#[tokio::test]
async fn lists_go_page_by_page_and_are_filtered() {
    let house = House::open().await;
    let mut bundle = CONNECTION.to_owned();
    for number in 0..5 {
        bundle.push_str("---\n");
        bundle
            .push_str(&METRIC.replace("name: new_subscribers", &format!("name: metric_{number}")));
    }
    let (status, body) = house.apply(&bundle).await;
    assert_eq!(status, 200, "{body}");
    let mut names = Vec::new();
    let mut path = "/api/v1/metrics?limit=2".to_owned();
    loop {
        let (_, page) = house.get(&path).await;
        names.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/metrics?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        names,
        ["metric_0", "metric_1", "metric_2", "metric_3", "metric_4"]
    );
    let (_, found) = house.get("/api/v1/metrics?q=TRIC_3").await;
    assert_eq!(found["items"][0]["name"], "metric_3");
    house.close().await;
}

#[tokio::test]
async fn a_secret_is_sealed_for_where_it_is_used_and_never_told() {
    const CANARY: &str = "canary-5f1c-value";
    let house = House::open().await;
    house.furnish().await;
    let put = house
        .request(Method::PUT, "/api/v1/secrets/kit_secret")
        .json(&json!({ "value": CANARY }));
    let (status, body) = read(put).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["origins"], json!(["https://api.example.com:443"]));
    assert!(!body.to_string().contains(CANARY));
    let (_, list) = house.get("/api/v1/secrets").await;
    assert!(
        !list.to_string().contains(CANARY) && list["items"][0]["name"] == "kit_secret",
        "{list}"
    );

    let sealed = house
        .store
        .sealed_secrets("default", &["kit_secret".into()])
        .await
        .unwrap();
    assert!(!sealed[0].sealed.contains(CANARY));
    let opened = service::open(std::slice::from_ref(&house.identity), &sealed[0].sealed).unwrap();
    assert_eq!(
        (opened.workspace.as_str(), opened.version),
        ("default", sealed[0].version)
    );
    assert!(
        opened.allows("https://api.example.com:443") && !opened.allows("https://evil.example:443")
    );

    let (_, connection) = house.get("/api/v1/connections/kit").await;
    assert_eq!(
        connection["state"]["needs_attention"],
        json!(null),
        "{connection}"
    );
    let moved = CONNECTION.replace("api.example.com", "evil.example");
    let (status, body) = house.apply(&moved).await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body["warnings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("not sent there"),
        "{body}"
    );
    let (_, connection) = house.get("/api/v1/connections/kit").await;
    assert!(
        connection["state"]["needs_attention"]
            .as_str()
            .unwrap()
            .contains("kit_secret"),
        "{connection}"
    );

    let again = house
        .request(Method::PUT, "/api/v1/secrets/kit_secret")
        .header("Content-Type", "text/plain")
        .body(format!("{CANARY}\n"));
    let (status, body) = read(again).await;
    assert_eq!(
        (status.as_u16(), &body["version"]),
        (200, &json!(2)),
        "{body}"
    );
    let (_, connection) = house.get("/api/v1/connections/kit").await;
    assert_eq!(
        connection["state"]["needs_attention"],
        json!(null),
        "{connection}"
    );
    let (status, body) = read(house.request(Method::DELETE, "/api/v1/secrets/kit_secret")).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (409, Some("in_use")),
        "{body}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_connection_says_only_what_its_connector_does_not_know() {
    let house = House::open().await;
    let (status, body) = house
        .apply("kind: connection\nname: kit\nconnector: convertkit\n---\nkind: metric\nname: joined\nconnection: kit\nrequest: { path: /v3/subscribers }\nselect: { records: subscribers, date: created_at }\n")
        .await;
    assert_eq!(status, 200, "{body}");
    let (_, connection) = house.get("/api/v1/connections/kit").await;
    let definition = &connection["definition"];
    assert_eq!(definition["rate_limit"]["requests"], 120, "{connection}");
    assert_eq!(
        definition["auth"]["query"]["api_secret"]["secret"],
        "convertkit_api_secret"
    );
    assert_eq!(definition["base_url"], "https://api.convertkit.com");
    let (_, metric) = house.get("/api/v1/metrics/joined").await;
    let pagination = &metric["definition"]["request"]["pagination"];
    assert_eq!(pagination["page"]["total_pages"], "total_pages", "{metric}");
    house.close().await;
}

#[tokio::test]
async fn a_connector_is_found_by_words_and_shown_with_all_that_is_known() {
    let house = House::open().await;
    let (_, list) = house
        .get("/api/v1/connectors?q=convertkit%20subscribers")
        .await;
    assert_eq!(list["items"][0]["name"], "convertkit", "{list}");
    let (status, card) = house.get("/api/v1/connectors/convertkit").await;
    assert_eq!(status, 200, "{card}");
    assert_eq!(card["connection"]["kind"], "connection");
    assert_eq!(
        card["auth"][0]["use"]["query"]["api_secret"]["secret"],
        "convertkit_api_secret"
    );
    assert!(card["auth"][0]["warning"].is_string(), "{card}");
    assert!(
        card["metrics"].as_array().is_some_and(|all| all.len() > 5),
        "{card}"
    );
    assert_eq!(house.get("/api/v1/connectors/nope").await.0, 404);
    house.close().await;
}

#[tokio::test]
async fn a_connector_gives_address_and_pages_and_what_was_said_stays() {
    let house = House::open().await;
    let text = "kind: connection\nname: kit\nconnector: convertkit\n---\n\
        kind: dataset\nname: people\nconnection: kit\nrequest: { path: /v3/subscribers }\n---\n\
        kind: dataset\nname: account\nconnection: kit\nrequest: { path: /v3/account, pagination: none }\n";
    let (status, made) = house.apply(text).await;
    assert_eq!(status, 200, "{made}");
    let (_, kit) = house.get("/api/v1/connections/kit").await;
    assert_eq!(kit["definition"]["base_url"], "https://api.convertkit.com");
    let (_, people) = house.get("/api/v1/datasets/people").await;
    let page = &people["definition"]["request"]["pagination"]["page"];
    assert_eq!(page["total_pages"], "total_pages", "{people}");
    let (_, account) = house.get("/api/v1/datasets/account").await;
    assert_eq!(account["definition"]["request"]["pagination"], "none");
    // What is read can be put back, and a dataset on the applied connection gets its pages too.
    let (status, _) = read(
        house
            .request(Method::PUT, "/api/v1/datasets/account")
            .json(&account["definition"]),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        house.get("/api/v1/datasets/account").await.1["etag"],
        account["etag"],
        "nothing has changed"
    );
    let (status, made) = house
        .apply("kind: dataset\nname: sales\nconnection: kit\nrequest: { path: /v3/purchases }\n")
        .await;
    assert_eq!(status, 200, "{made}");
    let (_, sales) = house.get("/api/v1/datasets/sales").await;
    assert!(sales["definition"]["request"]["pagination"]["page"].is_object());
}

#[tokio::test]
async fn a_token_is_shown_once_and_dead_once_revoked() {
    let house = House::open().await;
    let (status, made) = house
        .post(
            "/api/v1/tokens",
            json!({ "name": "grafana", "role": "viewer" }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    let value = made["value"].as_str().unwrap();
    let (_, list) = house.get("/api/v1/tokens").await;
    assert!(!list.to_string().contains(value), "{list}");
    let me = |token: &str| {
        read(
            house
                .client
                .get(format!("{}/api/v1/me", house.base))
                .bearer_auth(token),
        )
    };
    let (status, body) = me(value).await;
    assert_eq!(
        (status.as_u16(), body["role"].as_str()),
        (200, Some("viewer")),
        "{body}"
    );
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(read(house.request(Method::DELETE, &path)).await.0, 204);
    assert_eq!(me(value).await.0, 401);
    assert_eq!(read(house.request(Method::DELETE, &path)).await.0, 404);
    let (_, trail) = house.get("/api/v1/audit").await;
    assert!(
        trail["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["kind"] == "token"),
        "{trail}"
    );
    house.close().await;
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() {
    let house = House::open().await;
    let (status, body) = house
        .post(
            "/api/v1/tokens",
            json!({ "name": "root", "role": "operator" }),
        )
        .await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (403, Some("auth.scope")),
        "{body}"
    );
    let past = json!({ "name": "old", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" });
    assert_eq!(house.post("/api/v1/tokens", past).await.0, 422);
    house.close().await;
}

#[tokio::test]
async fn a_connection_tells_its_budget() {
    let house = House::open().await;
    let plain = CONNECTION.to_owned();
    house.apply(&plain).await;
    let budget = async || house.get("/api/v1/connections/kit").await.1["state"]["budget"].clone();
    assert_eq!(
        budget().await,
        Value::Null,
        "nothing is declared or asked for"
    );

    house
        .apply(&format!(
            "{plain}rate_limit: {{ requests: 120, per: 60s, concurrency: 8 }}\n"
        ))
        .await;
    let told = budget().await;
    assert_eq!(
        (&told["limit"], &told["used"]),
        (&json!(120), &json!(0)),
        "{told}"
    );

    let now = jiff::Timestamp::now().as_millisecond();
    let document = json!({
        "grants": [[now - 90_000, 50], [now - 1_000, 12]],
        "leases": { "r_1.1": [3, now + 60_000], "r_2.1": [5, now - 1] },
        "waiting": { "r_3.1": now + 10_000 },
        "pause": { "until": now + 30_000, "reason": "the API answered 429 and asked for a pause" },
    });
    let value = document.to_string().into_bytes();
    house
        .bus
        .budgets()
        .put("default", "kit", value.into(), LONG)
        .await
        .unwrap();
    let told = budget().await;
    assert_eq!(
        (&told["used"], &told["slots_in_use"]),
        (&json!(12), &json!(3)),
        "{told}"
    );
    assert_eq!(
        (&told["slots"], &told["waiting"]),
        (&json!(8), &json!(1)),
        "{told}"
    );
    assert!(
        told["paused_until"].is_string() && told["pause_reason"].is_string(),
        "{told}"
    );
    house.close().await;
}

/// A goal, an alert, a board and a scorecard over the metric of the other tests.
const USES: &str = "kind: goal\nname: many\nmetric: new_subscribers\nreach: 100\nper: month\n---\n\
    kind: alert\nname: few\ntitle: Few\nmetric: new_subscribers\nwhen: { value: { below: 5 } }\n\
    deliver: [{ webhook: { url: \"https://ops.example.com/hook\", sign: { secret: ops_hook } } }]\n---\n\
    kind: board\nname: growth\nblocks: [{ type: number, metric: new_subscribers }, { type: progress, goal: many }]\n---\n\
    kind: scorecard\nname: monday\nmetrics: [new_subscribers]\nschedule: { cron: \"0 7 * * MON\" }\ndeliver: [{ email: { to: a@b.c } }]\n";

#[tokio::test]
async fn goals_alerts_boards_and_scorecards_are_definitions_like_others() {
    let house = House::open().await;
    let (status, made) = house
        .apply(&format!("{CONNECTION}---\n{METRIC}---\n{USES}"))
        .await;
    assert_eq!(status, 200, "{made}");
    let warnings = made["warnings"].to_string();
    assert!(warnings.contains("tidemark secret set ops_hook"), "{made}");
    for (kinds, name) in [
        ("goals", "many"),
        ("alerts", "few"),
        ("boards", "growth"),
        ("scorecards", "monday"),
    ] {
        let (status, list) = house.get(&format!("/api/v1/{kinds}")).await;
        assert_eq!(
            (status.as_u16(), &list["items"][0]["name"]),
            (200, &json!(name))
        );
        let path = format!("/api/v1/{kinds}/{name}");
        let (status, one) = house.get(&path).await;
        assert_eq!(status, 200, "{one}");
        let put = house.request(Method::PUT, &path).json(&one["definition"]);
        let (status, again) = read(put.header("If-Match", "\"7\"")).await;
        assert_eq!(status, 412, "{again}");
        let mut edited = one["definition"].clone();
        edited["title"] = json!("Another");
        let put = house.request(Method::PUT, &path).json(&edited);
        let (status, edited) = read(put.header("If-Match", one["etag"].as_str().unwrap())).await;
        assert_eq!(status, 200, "{edited}");
        assert!(
            edited["etag"].as_str().unwrap().starts_with("\"2-"),
            "{edited}"
        );
    }
    let (_, alert) = house.get("/api/v1/alerts/few").await;
    assert_eq!(alert["state"]["phase"], "", "it was not judged yet");
    // What is named stays, what names it goes first.
    let (status, refused) =
        read(house.request(Method::DELETE, "/api/v1/metrics/new_subscribers")).await;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (409, &json!("in_use")),
        "{refused}"
    );
    assert!(
        refused["detail"].as_str().unwrap().contains("alert `few`"),
        "{refused}"
    );
    let (status, refused) = read(house.request(Method::DELETE, "/api/v1/goals/many")).await;
    assert_eq!(status, 409, "{refused}");
    for path in [
        "scorecards/monday",
        "boards/growth",
        "goals/many",
        "alerts/few",
        "metrics/new_subscribers",
    ] {
        let gone = house.request(Method::DELETE, &format!("/api/v1/{path}"));
        assert_eq!(read(gone).await.0, 204, "{path}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_goal_of_a_metric_that_is_not_there_is_refused_with_its_place() {
    let house = House::open().await;
    let (status, body) = house
        .apply("kind: goal\nname: g\nmetric: nowhere\nreach: 5\n")
        .await;
    assert_eq!(status, 422, "{body}");
    let problem = &body["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["path"], &problem["line"]),
        (
            &json!("definition.metric_unknown"),
            &json!("metric"),
            &json!(3)
        ),
        "{body}"
    );
    house.close().await;
}
