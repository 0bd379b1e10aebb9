//! The sample API as a caller sees it.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Response};
use sample_api::{By, Config, Fault, Server, Sums, Wanted};
use serde_json::Value;

async fn server() -> Server {
    let today = Some(jiff::civil::date(2026, 3, 1));
    Server::start(Config {
        today,
        subscribers: 333,
        ..Config::default()
    })
    .await
    .unwrap()
}

/// Begins a client; plain HTTP still wants a TLS provider to be there.
fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

async fn get(server: &Server, path: &str) -> Response {
    // The header is only looked at by version 4.
    let request = client()
        .build()
        .unwrap()
        .get(format!("{}{path}", server.url()));
    request
        .header("x-kit-api-key", "sample-secret")
        .send()
        .await
        .unwrap()
}

async fn json(server: &Server, path: &str) -> Value {
    serde_json::from_slice(&get(server, path).await.bytes().await.unwrap()).unwrap()
}

async fn post(server: &Server, path: &str, body: &str) -> Value {
    let request = client()
        .build()
        .unwrap()
        .post(format!("{}{path}", server.url()))
        .body(body.to_owned());
    serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
}

fn ids(page: &Value, key: &str) -> Vec<u64> {
    page[key]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect()
}

/// Whether every key of `sample` is in `answer`, with the same kind of value, all the way down.
fn has_shape(answer: &Value, sample: &Value) -> bool {
    match (answer, sample) {
        (Value::Object(answer), Value::Object(sample)) => sample
            .iter()
            .all(|(key, part)| answer.get(key).is_some_and(|found| has_shape(found, part))),
        (Value::Array(answer), Value::Array(sample)) => answer
            .iter()
            .all(|found| sample.first().is_none_or(|part| has_shape(found, part))),
        (Value::Null, _) | (_, Value::Null) => true,
        (answer, sample) => std::mem::discriminant(answer) == std::mem::discriminant(sample),
    }
}

#[tokio::test]
async fn version_3_has_the_documented_shapes() {
    let server = server().await;
    for (path, sample) in [
        ("/v3/account", r#"{"name":"","primary_email_address":""}"#),
        (
            "/v3/subscribers",
            r#"{"total_subscribers":1,"page":1,"total_pages":1,"subscribers":[{"id":1,"first_name":"","email_address":"","state":"","created_at":"","fields":{"last_name":""}}]}"#,
        ),
        (
            "/v3/purchases",
            r#"{"total_purchases":1,"page":1,"total_pages":1,"purchases":[{"id":1,"transaction_id":"","status":"","email_address":"","currency":"","transaction_time":"","subtotal":1,"shipping":1,"discount":1,"tax":1,"total":1,"products":[{"unit_price":1,"quantity":1,"sku":"","name":""}]}]}"#,
        ),
        (
            "/v3/tags",
            r#"{"tags":[{"id":1,"name":"","created_at":""}]}"#,
        ),
        (
            "/v3/forms",
            r#"{"forms":[{"id":1,"name":"","created_at":"","type":"","title":""}]}"#,
        ),
        (
            "/v3/sequences",
            r#"{"courses":[{"id":1,"name":"","created_at":""}]}"#,
        ),
        (
            "/v3/broadcasts",
            r#"{"broadcasts":[{"id":1,"created_at":"","subject":""}]}"#,
        ),
        (
            "/v3/broadcasts/1/stats",
            r#"{"broadcast":{"id":1,"stats":{"recipients":1,"open_rate":1,"click_rate":1,"unsubscribes":1,"total_clicks":1,"show_total_clicks":false,"status":"","progress":1}}}"#,
        ),
        (
            "/v3/forms/1/subscriptions",
            r#"{"total_subscriptions":1,"page":1,"total_pages":1,"subscriptions":[{"id":1,"state":"","subscribable_id":1,"subscribable_type":"","subscriber":{"id":1}}]}"#,
        ),
    ] {
        let answer = json(&server, &format!("{path}?api_secret=sample-secret")).await;
        let sample: Value = serde_json::from_str(sample).unwrap();
        assert!(has_shape(&answer, &sample), "{path}: {answer}");
    }
}

#[tokio::test]
async fn version_3_pages_hold_every_subscriber_once_and_filters_are_inclusive() {
    let server = server().await;
    let mut all = Vec::new();
    for page in 1..=7 {
        let answer = json(
            &server,
            &format!("/v3/subscribers?api_secret=sample-secret&page={page}"),
        )
        .await;
        assert_eq!(
            (
                &answer["total_subscribers"],
                &answer["total_pages"],
                &answer["page"]
            ),
            (&333.into(), &7.into(), &page.into())
        );
        all.extend(ids(&answer, "subscribers"));
    }
    assert_eq!(all, (1..=333).collect::<Vec<u64>>());

    let truth = server.subscribers(&Wanted::default());
    let ((day, _), sums) = truth.iter().max_by_key(|(_, sums)| sums.count).unwrap();
    let one_day = json(
        &server,
        &format!("/v3/subscribers?api_secret=sample-secret&from={day}&to={day}"),
    )
    .await;
    assert_eq!(one_day["total_subscribers"], sums.count);

    let newest = json(
        &server,
        "/v3/subscribers?api_secret=sample-secret&sort_order=desc",
    )
    .await;
    assert_eq!(ids(&newest, "subscribers")[0], 333);
    let gone = json(
        &server,
        "/v3/subscribers?api_secret=sample-secret&sort_field=cancelled_at",
    )
    .await;
    assert!(
        gone["subscribers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["state"] == "cancelled" && one["cancelled_at"].is_string())
    );
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_each_version_s_own_way() {
    let server = server().await;
    let answer = get(&server, "/v3/subscribers").await;
    assert_eq!(answer.status(), 401);
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"error":"Authorization Failed","message":"API Key not present"})
    );

    // A page kept for one caller is not given to another without the key.
    assert_eq!(get(&server, "/v4/subscribers").await.status(), 200);
    let stranger = client()
        .build()
        .unwrap()
        .get(format!("{}/v4/subscribers", server.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 401);
    let body: Value = serde_json::from_slice(&stranger.bytes().await.unwrap()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"errors":["The access token is invalid"]})
    );
}

#[tokio::test]
async fn version_4_cursors_go_through_all_and_back() {
    let server = server().await;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = json(
            &server,
            &format!(
                "/v4/subscribers?status=all&per_page=100&include_total_count=true&after={after}"
            ),
        )
        .await;
        all.extend(ids(&page, "subscribers"));
        assert_eq!(page["pagination"]["total_count"], 333);
        page["pagination"]["end_cursor"]
            .as_str()
            .unwrap()
            .clone_into(&mut after);
        if page["pagination"]["has_next_page"] == false {
            break;
        }
    }
    assert_eq!(all, (1..=333).rev().collect::<Vec<u64>>());
    let before = json(
        &server,
        &format!("/v4/subscribers?status=all&per_page=2&before={after}"),
    )
    .await;
    assert_eq!(ids(&before, "subscribers"), [3, 2]);
    assert_eq!(before["pagination"]["has_previous_page"], true);
    assert_eq!(
        get(&server, "/v4/subscribers?per_page=1001").await.status(),
        422
    );
    assert_eq!(
        get(&server, "/v4/subscribers?after=nonsense")
            .await
            .status(),
        422
    );

    let active = json(&server, "/v4/subscribers?per_page=1000").await;
    let truth = server.subscribers(&Wanted {
        by: By::All,
        split: true,
        ..Wanted::default()
    });
    let count = truth
        .iter()
        .find(|((_, state), _)| state == "active")
        .unwrap()
        .1
        .count;
    assert_eq!(ids(&active, "subscribers").len() as u64, count);
}

#[tokio::test]
async fn every_other_way_of_paging_holds_the_same_records() {
    let server = server().await;
    let whole: Vec<u64> = (1..=333).collect();

    for path in [
        "/api/page?size=100&page=",
        "/api/has_more?size=100&page=",
        "/api/by_path/",
    ] {
        let mut all = Vec::new();
        for page in 1..=4 {
            let rest = if path.ends_with('/') { "?size=100" } else { "" };
            all.extend(ids(
                &json(&server, &format!("{path}{page}{rest}")).await,
                "items",
            ));
        }
        assert_eq!(all, whole, "{path}");
    }
    let last = json(&server, "/api/has_more?size=100&page=4").await;
    assert_eq!(last["has_more"], false);
    assert_eq!(
        json(&server, "/api/page?zero=true&page=0&size=1").await["items"][0]["id"],
        1
    );
    assert_eq!(
        json(&server, "/api/short?page=9").await,
        serde_json::json!([])
    );

    let offset = json(&server, "/api/offset?offset=330&limit=10").await;
    assert_eq!(
        (ids(&offset, "items"), &offset["total"]),
        (vec![331, 332, 333], &333.into())
    );

    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = json(&server, &format!("/api/cursor?limit=100&after={cursor}")).await;
        all.extend(ids(&page, "items"));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(all, whole);
    assert_eq!(
        json(&server, "/api/cursor?limit=1000&ends=empty").await["next_cursor"],
        ""
    );
    assert!(
        json(&server, "/api/cursor?limit=1000&ends=absent")
            .await
            .get("next_cursor")
            .is_none()
    );

    let (mut all, mut url) = (Vec::new(), "/api/next?size=100&relative=true".to_owned());
    loop {
        let page = json(&server, &url).await;
        all.extend(ids(&page, "items"));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut url),
            None => break,
        }
    }
    assert_eq!(all, whole);
    let absolute = json(&server, "/api/next?size=100").await;
    assert_eq!(
        absolute["next"],
        format!("{}/api/next?size=100&page=2", server.url())
    );

    let linked = get(&server, "/api/link?size=100").await;
    let link = linked.headers()["link"].to_str().unwrap().to_owned();
    assert!(
        link.ends_with(&format!(
            "<{}/api/link?size=100&page=2>; rel=\"next\"",
            server.url()
        )),
        "{link}"
    );
    assert!(
        get(&server, "/api/link?size=100&page=4")
            .await
            .headers()
            .get("link")
            .is_none()
    );

    let found = post(&server, "/api/search", r#"{"page":4,"size":100}"#).await;
    assert_eq!(ids(&found, "items").len(), 33);
    let found = post(
        &server,
        "/api/search",
        r#"{"paging":{"offset":332,"limit":5}}"#,
    )
    .await;
    assert_eq!(ids(&found, "items"), [333]);
    let first = post(&server, "/api/search", r#"{"cursor":{}}"#).await;
    let next = post(
        &server,
        "/api/search",
        &format!(r#"{{"cursor":{{"after":{}}}}}"#, first["next_cursor"]),
    )
    .await;
    assert_eq!(ids(&next, "items")[0], 51);
    assert_eq!(
        ids(&post(&server, "/api/form", "page=7").await, "items").len(),
        33
    );
    let header = client()
        .build()
        .unwrap()
        .get(format!("{}/api/by_header?size=100", server.url()))
        .header("x-page", "2");
    let header = header.send().await.unwrap();
    assert_eq!(header.headers()["x-total-pages"], "4");
    let header: Value = serde_json::from_slice(&header.bytes().await.unwrap()).unwrap();
    assert_eq!(ids(&header, "items")[0], 101);
}

#[tokio::test]
async fn credentials_are_checked_in_every_place() {
    let server = server().await;
    let ask = |kind: &str, name: &'static str, value: &'static str| {
        let request = client()
            .build()
            .unwrap()
            .get(format!("{}/secured/{kind}/api/page?size=1", server.url()))
            .header(name, value);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(
        ask(
            "basic",
            "authorization",
            "Basic c2FtcGxlOnNhbXBsZS1zZWNyZXQ="
        )
        .await,
        200
    );
    assert_eq!(
        ask("bearer", "authorization", "Bearer sample-secret").await,
        200
    );
    assert_eq!(
        ask("token", "authorization", "Token sample-secret").await,
        200
    );
    assert_eq!(ask("header", "x-api-key", "sample-secret").await, 200);
    assert_eq!(ask("header", "x-api-key", "wrong").await, 401);
    assert_eq!(ask("bearer", "x", "y").await, 401);
    assert_eq!(
        get(&server, "/secured/query/api/page?key=sample-secret")
            .await
            .status(),
        200
    );
    assert_eq!(
        get(&server, "/secured/query/api/page?key=wrong")
            .await
            .status(),
        401
    );
}

#[tokio::test]
async fn the_truth_is_what_the_pages_hold() {
    let server = server().await;
    let page = json(&server, "/v3/subscribers?api_secret=sample-secret&page=1").await;
    let mut by_day: BTreeMap<String, Sums> = BTreeMap::new();
    for number in 1..=7 {
        let page = json(
            &server,
            &format!("/v3/subscribers?api_secret=sample-secret&page={number}"),
        )
        .await;
        for one in page["subscribers"].as_array().unwrap() {
            let sums = by_day
                .entry(one["created_at"].as_str().unwrap()[..10].to_owned())
                .or_default();
            sums.count += 1;
            sums.sum += one["fields"]["weight"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap();
        }
    }
    let truth = server.subscribers(&Wanted::default());
    assert_eq!(truth.len(), by_day.len());
    assert!(
        truth
            .iter()
            .all(|((day, _), sums)| by_day[&day.to_string()] == *sums)
    );
    assert!(page["subscribers"].as_array().unwrap().len() == 50);

    let over_http = json(&server, "/truth/subscribers?by=month&split=true").await;
    assert_eq!(over_http["count"], 333);
    let purchases = json(&server, "/truth/purchases?by=all&split=true").await;
    let cents: u64 = server
        .purchases(&Wanted::default())
        .values()
        .map(|sums| sums.sum)
        .sum();
    assert!((purchases["total"].as_f64().unwrap() * 100.0 - cents as f64).abs() < 0.01);

    server.add_subscribers(2, "2026-03-02T10:00:00Z".parse().unwrap());
    let after = json(&server, "/v3/subscribers?api_secret=sample-secret&page=7").await;
    assert_eq!(
        (
            after["total_subscribers"].as_u64(),
            ids(&after, "subscribers").len()
        ),
        (Some(335), 35)
    );
}

#[tokio::test]
async fn faults_strike_where_and_as_often_as_they_say() {
    let server = server().await;
    server
        .add_faults(
            "status:500@2x2, retry_after:7@3x1, retry_date:60@3x1, reset@4x1, cut@5x1, html@6x1",
        )
        .unwrap();
    let status = |page: u32| {
        let server = &server;
        async move {
            get(server, &format!("/api/page?page={page}"))
                .await
                .status()
                .as_u16()
        }
    };
    assert_eq!(
        [
            status(1).await,
            status(2).await,
            status(2).await,
            status(2).await
        ],
        [200, 500, 500, 200]
    );

    let limited = get(&server, "/api/page?page=3").await;
    assert_eq!(
        (
            limited.status().as_u16(),
            limited.headers()["retry-after"].to_str().unwrap().len()
        ),
        (429, 29)
    );
    assert_eq!(status(3).await, 200);

    let url = |page: u32| format!("{}/api/page?page={page}", server.url());
    let no_retry = client().retry(reqwest::retry::never()).build().unwrap();
    assert!(no_retry.get(url(4)).send().await.is_err());
    assert_eq!(status(4).await, 200);
    assert!(
        get(&server, "/api/page?page=5")
            .await
            .bytes()
            .await
            .is_err()
    );
    assert!(
        get(&server, "/api/page?page=6").await.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );

    server.clear_faults();
    server.add_fault("hang".parse::<Fault>().unwrap().on("/api/short"));
    let impatient = client().timeout(Duration::from_millis(50)).build().unwrap();
    assert!(
        impatient
            .get(format!("{}/api/short", server.url()))
            .send()
            .await
            .is_err()
    );

    let ledger = server.ledger();
    assert_eq!(
        (
            ledger.by_status[&500],
            ledger.by_status[&429],
            ledger.by_status[&0]
        ),
        (2, 1, 1)
    );
    assert_eq!(ledger.by_path["/api/page"], ledger.requests);
}

#[tokio::test]
async fn lists_are_twisted_and_bodies_encoded_as_the_request_asks() {
    let server = server().await;
    assert_eq!(
        json(&server, "/api/page?fault=null_list").await["items"],
        Value::Null
    );
    assert!(json(&server, "/api/page?fault=rename:people").await["people"].is_array());
    assert!(json(&server, "/api/page?fault=wrong_type").await["items"].is_string());
    assert_eq!(
        ids(
            &json(&server, "/api/page?size=10&page=2&fault=duplicate").await,
            "items"
        )[0],
        1
    );
    assert_eq!(
        ids(
            &json(&server, "/api/page?size=10&page=2&fault=shifted:3").await,
            "items"
        )[0],
        8
    );
    let first = json(&server, "/api/cursor?limit=10&fault=loop&after=WzEwXQ==").await;
    assert_eq!(first["next_cursor"], "WzEwXQ==");
    for (fault, word) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("double_gzip", "gzip, gzip"),
        ("bomb:1", "gzip"),
    ] {
        let answer = get(&server, &format!("/api/page?fault={fault}")).await;
        assert_eq!(answer.headers()["content-encoding"], word);
        assert!(answer.bytes().await.unwrap().len() < 20_000);
    }
    assert_eq!(
        get(&server, "/api/page?fault=status:403").await.status(),
        403
    );
    let redirect = client()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let redirect = redirect.get(format!(
        "{}/api/page?fault=redirect:http%3A%2F%2F10.0.0.1%2F",
        server.url()
    ));
    assert_eq!(
        redirect.send().await.unwrap().headers()["location"],
        "http://10.0.0.1/"
    );
    // And nothing of it was kept for others.
    assert!(json(&server, "/api/page").await["items"].is_array());
}

#[tokio::test]
async fn the_rate_limit_and_the_control_routes_work() {
    let config = Config {
        rate_limit: Some((2, Duration::from_hours(1))),
        subscribers: 10,
        ..Config::default()
    };
    let server = Server::start(config).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(get(&server, "/api/page").await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(json(&server, "/control/ledger").await["refused"], 1);
    assert_eq!(
        post(&server, "/control/faults?path=/v3/tags", "status:500x1").await["done"],
        true
    );
    assert_eq!(
        post(&server, "/control/faults", "melt").await["errors"][0],
        "`melt` is not a fault: kind[:argument][@page][xtimes]"
    );
    assert_eq!(
        post(&server, "/control/latency?ms=1", "").await["done"],
        true
    );
    server.shutdown().await;
}
