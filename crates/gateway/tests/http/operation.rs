//! Probes, pages for people, outages and shutdown.

use std::time::{Duration, Instant};

use gateway::Limits;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, LONG, eventually, read};

#[tokio::test]
async fn what_is_open_is_open_and_needs_nothing_from_elsewhere() {
    let house = House::open().await;
    let get = async |path: &str| {
        house
            .client
            .get(format!("{}{path}", house.base))
            .send()
            .await
            .unwrap()
    };
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
        "/",
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        let text = answer.text().await.unwrap();
        let foreign = text.matches("//").count()
            - text.matches("// ").count()
            - text.matches("https://developers").count();
        assert!(
            path == "/openapi.json" || foreign == 0 || !text.contains("src=\"http"),
            "{path}"
        );
    }
    let page = get("/docs").await.text().await.unwrap();
    assert!(
        !page.contains("http:") && !page.contains("https:") && !page.contains("style="),
        "{page}"
    );
    house.close().await;
}

#[tokio::test]
async fn while_the_store_is_away_requests_are_503_and_the_gateway_stays_ready() {
    let house = House::open().await;
    house.furnish().await;
    house.store.close().await;
    let answer = house
        .request(Method::GET, "/api/v1/metrics")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "store.unavailable", "{body}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(
            house
                .client
                .get(format!("{}{path}", house.base))
                .send()
                .await
                .unwrap()
                .status(),
            200,
            "{path}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn at_shutdown_requests_in_hand_finish_and_new_ones_are_not_taken() {
    let house = House::open().await;
    let body = format!("{}---\n{}", crate::house::CONNECTION, crate::house::METRIC);
    let address = house.base.trim_start_matches("http://").to_owned();
    let mut in_hand = Vec::new();
    // Each has sent its head and half of its body when the end is asked for.
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /api/v1/apply?dry_run=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            house.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..10]).await.unwrap();
        in_hand.push(stream);
    }
    // All were accepted once another request on a later connection is answered.
    assert_eq!(house.get("/api/v1/me").await.0, 200);
    house.context.shutdown.request();
    assert!(!house.context.readiness.is_ready());
    eventually("the listener is closed", async || {
        tokio::net::TcpStream::connect(&address).await.is_err()
    })
    .await;
    for mut stream in in_hand {
        stream.write_all(&body.as_bytes()[10..]).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LONG, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    tokio::time::timeout(LONG, house.serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn idle_connections_make_room_for_those_who_ask() {
    let house = House::with(Limits {
        connections: 200,
        connections_per_address: 100,
        ..Limits::default()
    })
    .await;
    let address = house.base.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    let started = Instant::now();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .get(format!("{}/livez", house.base))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "took {:?}",
        started.elapsed()
    );
    drop(idle);
    house.close().await;
}

#[tokio::test]
async fn when_every_connection_is_at_work_a_new_one_is_turned_away() {
    let house = House::with(Limits {
        connections: 2,
        connections_per_address: 2,
        ..Limits::default()
    })
    .await;
    let mut one = house.listen("/api/v1/updates", None).await;
    one.expect("ready").await;
    let mut other = house.listen("/api/v1/updates", None).await;
    other.expect("ready").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (status, body) = read(client.get(format!("{}/readyz", house.base))).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (503, Some("server.busy")),
        "{body}"
    );
    let (status, body) = read(client.get(format!("{}/livez", house.base))).await;
    assert_eq!(status, 200, "busy is not dead: {body}");
    drop(one);
    eventually("there is room again", async || {
        client
            .get(format!("{}/readyz", house.base))
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    house.close().await;
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let house = House::with(Limits {
        request_timeout: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(house.base.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\nkind:",
        house.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(LONG, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("server.timeout"),
        "{answer}"
    );
    house.close().await;
}

#[tokio::test]
async fn own_telemetry_counts_requests_by_route() {
    let house = House::open().await;
    house.get("/api/v1/me").await;
    let (status, text) = read(house.request(Method::GET, "/metrics")).await;
    assert_eq!(status, 200);
    // Without telemetry set up the registry is empty; what matters is that the route answers.
    assert!(text.is_string() || text == json!(null), "{text}");
    house.close().await;
}
