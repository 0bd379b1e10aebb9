//! The cases of area `api` of the bad-input list: a clear error, and nothing changed.

use std::time::Duration;

use gateway::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, METRIC, read};

/// Cases that belong to what does not exist yet, or that another file tests.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "API-009",
        "operation: idle_connections_make_room_for_those_who_ask",
    ),
    (
        "API-026",
        "the whole house: a_private_address_is_refused_alike_whether_its_port_is_open_or_closed",
    ),
    (
        "API-027",
        "operation: while_the_store_is_away_requests_are_503_and_the_gateway_stays_ready",
    ),
    (
        "API-029",
        "operation: at_shutdown_requests_in_hand_finish_and_new_ones_are_not_taken",
    ),
];

#[test]
fn every_case_of_the_list_has_a_test() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("bad_input_api.json")).unwrap();
    let tests = include_str!("bad_input.rs");
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let marker = format!("// {id}");
        let elsewhere = ELSEWHERE.iter().any(|(known, _)| *known == id);
        assert!(
            elsewhere || tests.contains(&marker),
            "{id} ({}) has no test",
            case["title"]
        );
    }
}

async fn unchanged(house: &House) {
    assert_eq!(
        house.get("/api/v1/connections").await.1["items"],
        json!([]),
        "nothing changes"
    );
    assert_eq!(house.store.secrets("default").await.unwrap(), []);
}

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn tokens_missing_and_wrong_are_refused() {
    let house = House::open().await;
    let url = format!("{}/api/v1/me", house.base);
    // API-001
    let answer = house.client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(
        answer.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(code(&answer.json().await.unwrap()), "auth.missing");
    // API-002
    let (_, made) = house
        .post(
            "/api/v1/tokens",
            json!({ "name": "revoked", "role": "viewer" }),
        )
        .await;
    let revoked = made["value"].as_str().unwrap().to_owned();
    let id = made["id"].as_str().unwrap();
    read(house.request(Method::DELETE, &format!("/api/v1/tokens/{id}"))).await;
    let expired = gateway::generate_token();
    let token = store::NewToken {
        hash: gateway::hash_token(&expired),
        workspace: Some("default".into()),
        role: "admin".into(),
        name: "expired".into(),
        expires_at: Some(1),
    };
    house.store.insert_token("test", &token).await.unwrap();
    let mut texts = Vec::new();
    for header in [
        format!("Bearer {revoked}"),
        format!("Bearer {expired}"),
        "Bearer mx_bad".into(),
        "Basic eA==".into(),
        "Bearer".into(),
    ] {
        let answer = house
            .client
            .get(&url)
            .header("Authorization", &header)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{header}");
        assert!(answer.headers().contains_key("www-authenticate"));
        texts.push(answer.text().await.unwrap());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "one text for all: {texts:?}");
    assert!(texts[0].contains("auth.invalid"));
    unchanged(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_role_that_is_not_enough_is_named() {
    let house = House::open().await;
    // API-004
    let viewer = house.token_of("viewer").await;
    let editor = house.token_of("editor").await;
    let asked = [
        (Method::POST, "/api/v1/apply", &viewer, "editor"),
        (Method::PUT, "/api/v1/secrets/x", &viewer, "editor"),
        (Method::DELETE, "/api/v1/metrics/x", &viewer, "editor"),
        (Method::POST, "/api/v1/metrics/x/sync", &viewer, "editor"),
        (Method::GET, "/api/v1/secrets", &viewer, "editor"),
        (Method::GET, "/api/v1/tokens", &editor, "admin"),
        (Method::GET, "/api/v1/audit", &editor, "admin"),
    ];
    for (method, path, token, needed) in asked {
        let request = house
            .client
            .request(method, format!("{}{path}", house.base))
            .bearer_auth(token);
        let (status, body) = read(request.body(METRIC)).await;
        assert_eq!(
            (status.as_u16(), code(&body)),
            (403, "auth.scope"),
            "{path}"
        );
        assert!(
            body["detail"]
                .as_str()
                .unwrap()
                .contains(&format!("`{needed}`")),
            "{body}"
        );
    }
    unchanged(&house).await;
    house.close().await;
}

#[tokio::test]
async fn unknown_fields_and_broken_bodies_are_refused() {
    let house = House::open().await;
    // API-006
    let more = json!({ "name": "x", "role": "viewer", "tenant_id": "other" });
    let (status, body) = house.post("/api/v1/tokens", more).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.unknown_field"),
        "{body}"
    );
    assert!(
        body["detail"].as_str().unwrap().contains("tenant_id"),
        "{body}"
    );
    let put = house
        .request(Method::PUT, "/api/v1/secrets/x")
        .json(&json!({ "value": "v", "version": 9 }));
    assert_eq!(code(&read(put).await.1), "request.unknown_field");
    // The body of a secret is never said again, whatever is wrong with it.
    for (body, expected) in [
        (json!("sk_live_verysecret123"), "request.shape"),
        (
            json!({ "value": 98_765_432_101_234_u64 }),
            "request.invalid",
        ),
        (json!({ "sk_live_askey": "x" }), "request.unknown_field"),
        (
            json!({ "value": "v", "origins": ["sk_live_x"] }),
            "request.invalid",
        ),
        (json!({ "value": "sk_live_a\r\nX: 1" }), "secret.unfit"),
        (json!({ "value": "sk_live_a\0" }), "secret.unfit"),
    ] {
        let put = house.request(Method::PUT, "/api/v1/secrets/s2").json(&body);
        let (status, answer) = read(put).await;
        let told = (status.as_u16(), code(&answer));
        assert_eq!(told, (422, expected), "{answer}");
        let text = answer.to_string();
        assert!(
            !text.contains("sk_live") && !text.contains("98765"),
            "{text}"
        );
    }
    let broken = house
        .request(Method::POST, "/api/v1/tokens")
        .header("Content-Type", "application/json")
        .body("{\"name\": ");
    let (status, body) = read(broken).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (400, "request.json"),
        "{body}"
    );
    let latin = house
        .request(Method::POST, "/api/v1/apply")
        .body(vec![b'k', 0xff, 0xfe]);
    let (status, body) = read(latin).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (400, "request.encoding"),
        "{body}"
    );
    let form = house
        .request(Method::POST, "/api/v1/tokens")
        .header("Content-Type", "text/html")
        .body("{}");
    assert_eq!(read(form).await.0, 415);
    unchanged(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_it_is_parsed() {
    let house = House::open().await;
    // API-007
    let stated = house
        .request(Method::POST, "/api/v1/apply")
        .body(vec![b'x'; 2_097_153]);
    let (status, body) = read(stated).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(code(&body), "request.too_large");
    let just = house.request(Method::POST, "/api/v1/apply").body(format!(
        "# {}\n{METRIC}",
        "x".repeat(2_097_152 - METRIC.len() - 3)
    ));
    assert_ne!(read(just).await.0, 413, "2 MiB are taken");
    unchanged(&house).await;
    house.close().await;
}

/// Sends bytes to the end, as clients do that read no answer before, and returns what came back.
async fn send_all_then_read(house: &House, head: &str, body: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = house.base.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), reading).await;
    read.expect("the connection ends").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_reads_why_it_was_refused() {
    let house = House::open().await;
    let large = vec![b'x'; 16 * 1024 * 1024];
    let head = format!(
        "POST /api/v1/apply HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        house.token,
        large.len()
    );
    let answer = send_all_then_read(&house, &head, &large).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request.too_large"), "{answer}");
    unchanged(&house).await;
    house.close().await;
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_in_good_order() {
    let house = House::open().await;
    let get = |rest: &str| format!("GET /api/v1/me HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    for bytes in [65 * 1024, 130 * 1024, 200 * 1024] {
        let head = get(&format!("X-Long: {}\r\n", "a".repeat(bytes)));
        let answer = send_all_then_read(&house, &head, b"").await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{bytes}: {answer}");
        assert!(answer.contains("request.head_too_large"), "{answer}");
    }
    let many: Vec<String> = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answer = send_all_then_read(&house, &get(&many.concat()), b"").await;
    assert!(answer.contains("at most 100 headers"), "many: {answer}");
    let huge = get(&format!("X-Long: {}\r\n", "a".repeat(4 * 1024 * 1024)));
    let answer = send_all_then_read(&house, &huge, b"").await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "huge: {answer}");
    unchanged(&house).await;
    house.close().await;
}

#[tokio::test]
async fn what_is_no_json_is_a_400_and_what_is_no_sync_a_422() {
    let house = House::open().await;
    house.furnish().await;
    for (kind, text, expected) in [
        ("application/json", "{\"kind\": ", "request.json_invalid"),
        ("application/yaml", "a: b: c", "request.yaml_invalid"),
    ] {
        let broken = house
            .request(Method::POST, "/api/v1/apply")
            .header("Content-Type", kind)
            .body(text);
        let (status, body) = read(broken).await;
        assert_eq!((status.as_u16(), code(&body)), (400, expected), "{body}");
        assert!(body["problems"][0]["line"].as_u64() > Some(0), "{body}");
    }
    // What says that it is JSON is read as nothing else, though all of these are YAML.
    for (text, line, column) in [
        ("{\"kind\": \"connection\",\n \"name\": \"x\",}", 2, 14),
        ("{\"kind\": 010}", 1, 10),
        ("{\"kind\": \"\\x41\"}", 1, 12),
        ("{\"kind\": \"a\nb\"}", 1, 12),
        ("{'kind': 'connection'}", 1, 2),
        ("kind: connection\nname: x\n", 1, 1),
    ] {
        for kind in ["application/json", "application/json; charset=utf-8"] {
            for (method, path) in [
                (Method::POST, "/api/v1/apply?source=x.yaml"),
                (Method::PUT, "/api/v1/connections/x"),
            ] {
                let broken = house.request(method, path).header("Content-Type", kind);
                let (status, body) = read(broken.body(text)).await;
                let told = (status.as_u16(), code(&body));
                assert_eq!(told, (400, "request.json_invalid"), "{text}: {body}");
                let first = &body["problems"][0];
                let place = (&first["line"], &first["column"]);
                assert_eq!(place, (&json!(line), &json!(column)), "{text}: {body}");
            }
        }
    }
    let sync = "/api/v1/metrics/new_subscribers/sync";
    for path in [sync, "/api/v1/metrics/new_subscribers/recompute"] {
        let (status, body) = house.post(path, json!([])).await;
        assert_eq!(
            (status.as_u16(), code(&body)),
            (422, "request.shape"),
            "{path}: {body}"
        );
    }
    let (status, body) = house.post(sync, json!({ "force": true })).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.unknown_field"),
        "{body}"
    );
    assert_eq!(house.post(sync, json!({})).await.0, 202);
    let role = json!({ "name": "x", "role": "owner" });
    let (_, body) = house.post("/api/v1/tokens", role).await;
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("unknown variant `owner`, expected one of `viewer`, `editor`, `admin`"),
        "{detail}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_cursor_that_no_list_has_given_is_a_400() {
    let house = House::open().await;
    house.furnish().await;
    for path in [
        "/api/v1/metrics?cursor=zzz",
        "/api/v1/connections?cursor=",
        "/api/v1/metrics/new_subscribers/runs?cursor=zzz",
        "/api/v1/audit?cursor=zzz",
    ] {
        let (status, body) = house.get(path).await;
        assert_eq!(
            (status.as_u16(), code(&body)),
            (400, "request.cursor"),
            "{path} {body}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn a_position_that_is_not_ours_gets_a_resync_with_a_snapshot() {
    let house = House::open().await;
    house.furnish().await;
    house
        .commit("new_subscribers", &[("2026-01-01", "active", 1)])
        .await;
    // API-011
    for position in [
        "zzz",
        "0-0",
        "-",
        "18446744073709551615-18446744073709551615",
    ] {
        let mut events = house
            .listen("/api/v1/updates?metrics=new_subscribers", Some(position))
            .await;
        let (id, resync) = events.expect("resync").await;
        assert!(id.contains('-'), "the stream goes on from {id}");
        assert_eq!(
            resync["metrics"][0]["metric"], "new_subscribers",
            "{resync}"
        );
        assert_eq!(resync["metrics"][0]["version"], 1, "{resync}");
    }
    house.close().await;
}

#[tokio::test]
async fn other_origins_get_neither_sockets_nor_permission() {
    let house = House::open().await;
    // API-012
    let socket = house
        .request(Method::GET, "/api/v1/updates")
        .header("Origin", "https://evil.test")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    let (status, body) = read(socket).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (403, "origin.refused"),
        "{body}"
    );
    // API-014
    for path in ["/api/v1/metrics", "/api/v1/apply", "/"] {
        let preflight = house
            .client
            .request(Method::OPTIONS, format!("{}{path}", house.base))
            .header("Origin", "https://evil.test")
            .header("Access-Control-Request-Method", "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        let allowed = preflight
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control"));
        assert!(!allowed, "{:?}", preflight.headers());
    }
    let answer = house
        .request(Method::GET, "/api/v1/me")
        .header("Origin", "https://evil.test")
        .send()
        .await
        .unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    house.close().await;
}

#[tokio::test]
async fn parameters_out_of_bounds_are_named() {
    let house = House::open().await;
    house.furnish().await;
    // API-016
    for limit in ["0", "-1", "1000000000", "abc"] {
        for path in [
            "/api/v1/metrics",
            "/api/v1/metrics/new_subscribers/runs",
            "/api/v1/audit",
        ] {
            let (status, body) = house.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(
                (status.as_u16(), code(&body)),
                (422, "request.query"),
                "{path} {limit}"
            );
            assert!(
                body["detail"].as_str().unwrap().contains("1..1000"),
                "{body}"
            );
        }
    }
    // API-017
    let path = "/api/v1/metrics/new_subscribers/series";
    let (status, body) = house
        .get(&format!("{path}?from=1900-01-01&to=2100-01-01"))
        .await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.range_too_large"),
        "{body}"
    );
    assert!(
        body["detail"].as_str().unwrap().contains("10,000"),
        "{body}"
    );
    let (status, body) = house
        .get(&format!("{path}?from=1900-01-01&to=2100-01-01&step=1m"))
        .await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.query"),
        "{body}"
    );
    assert!(
        body["detail"].as_str().unwrap().contains("`step`"),
        "{body}"
    );
    let (status, body) = house
        .get(&format!("{path}?from=2026-02-01&to=2026-01-01"))
        .await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.query"),
        "{body}"
    );
    let (status, body) = house.get("/api/v1/me?debug=1").await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (422, "request.query"),
        "{body}"
    );
    house.close().await;
}

#[tokio::test]
async fn names_that_cannot_be_are_not_looked_up_and_hosts_not_believed() {
    let house = House::open().await;
    // API-019
    for path in [
        "/api/v1/metrics/1'%20OR%201=1--",
        "/api/v1/metrics/..%2f..%2fetc",
        "/api/v1/runs/1'%20OR%201=1--",
        "/api/v1/nothing",
        "/v1/metrics",
    ] {
        let (status, body) = house.get(path).await;
        assert_eq!(
            (status.as_u16(), code(&body)),
            (404, "not_found"),
            "{path}: {body}"
        );
    }
    // API-021
    for path in [
        "/",
        "/docs",
        "/openapi.json",
        "/api/v1/me",
        "/api/v1/nothing",
    ] {
        let answer = house
            .request(Method::GET, path)
            .header("Host", "evil.test")
            .send()
            .await
            .unwrap();
        let headers = format!("{:?}", answer.headers());
        let text = answer.text().await.unwrap();
        assert!(
            !headers.contains("evil.test") && !text.contains("evil.test"),
            "{path}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let house = House::open().await;
    // API-022
    let make = |name: &str| {
        let draft = json!({ "name": name, "role": "viewer" });
        house
            .request(Method::POST, "/api/v1/tokens")
            .header("Idempotency-Key", "k1")
            .json(&draft)
    };
    let (status, first) = read(make("one")).await;
    assert_eq!(status, 201, "{first}");
    let (status, again) = read(make("one")).await;
    assert_eq!((status.as_u16(), &again), (201, &first), "done once");
    let (status, body) = read(make("other")).await;
    assert_eq!(
        (status.as_u16(), code(&body)),
        (409, "idempotency.mismatch"),
        "{body}"
    );
    let (_, list) = house.get("/api/v1/tokens").await;
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        2,
        "the first admin and one more: {list}"
    );
    house.close().await;
}

#[tokio::test]
async fn one_token_cannot_ask_without_end() {
    let limits = Limits {
        token_requests_per_second: 10,
        token_request_burst: 20,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    // API-024
    let mut refused = None;
    for _ in 0..1000 {
        let answer = house
            .request(Method::GET, "/api/v1/me")
            .send()
            .await
            .unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(code(&refused.json().await.unwrap()), "rate.limited");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while house.get("/api/v1/me").await.0 == 429 {
        assert!(std::time::Instant::now() < deadline, "the limit never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    house.close().await;
}
