//! Bad definitions and requests through the real gateway: a clear answer that names the place, and
//! nothing changed.

use std::time::Duration;

use house_tests::{Hearing, Standalone};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A command that refuses something has said so by then, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

/// What is wrong, the method, the path, the headers, the body, the status and the code.
type Case<'a> = (
    &'a str,
    &'a Method,
    &'a str,
    &'a [(&'a str, &'a str)],
    Vec<u8>,
    u16,
    &'a str,
);

/// Sends requests to the gateway of a house.
struct Caller {
    client: reqwest::Client,
    url: String,
    token: String,
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    /// The codes of the problem and of all that it holds.
    fn codes(&self) -> Vec<&str> {
        let inner = self.body["problems"].as_array().into_iter().flatten();
        inner
            .chain([&self.body])
            .filter_map(|one| one["code"].as_str())
            .collect()
    }

    /// The problem of this code.
    fn problem(&self, code: &str) -> &Value {
        let mut inner = self.body["problems"].as_array().into_iter().flatten();
        inner
            .find(|one| one["code"] == code)
            .unwrap_or_else(|| panic!("no {code}: {}", self.body))
    }

    fn text(&self) -> String {
        self.body.to_string()
    }
}

impl Caller {
    fn of(house: &Standalone) -> Self {
        house_tests::crypto();
        Self {
            client: reqwest::Client::new(),
            url: house.cli.url.clone(),
            token: house.cli.token.clone(),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .timeout(SOON)
            .body(body);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            // Without a value, the header is left out.
            if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        let answer = request.send().await.expect("the gateway answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    async fn apply(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.send(
            Method::POST,
            "/api/v1/apply",
            &[("content-type", "application/json")],
            body.into(),
        )
        .await
    }

    /// Everything that a definition could have changed.
    async fn state(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in [
            "connections",
            "datasets",
            "metrics",
            "secrets",
            "tokens",
            "audit",
        ] {
            let answer = self.get(&format!("/api/v1/{path}")).await;
            assert_eq!(answer.status, 200, "{path}");
            let mut body = answer.body;
            // A token's last use moves by asking.
            for item in body["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().map(|item| item.remove("last_used_at"));
            }
            all.push(body);
        }
        all
    }
}

fn connection() -> Value {
    json!({ "kind": "connection", "name": "shop", "base_url": "https://api.example.com" })
}

fn metric() -> Value {
    json!({
        "kind": "metric", "name": "orders", "connection": "shop", "request": { "path": "/orders" },
        "select": { "records": "orders", "value": { "count": true }, "date": "at" },
    })
}

fn with(mut document: Value, key: &str, value: Value) -> Value {
    document[key] = value;
    document
}

fn connection_with(key: &str, value: Value) -> String {
    json!([with(connection(), key, value)]).to_string()
}

fn metric_with(key: &str, value: Value) -> String {
    json!([connection(), with(metric(), key, value)]).to_string()
}

fn request_with(key: &str, value: Value) -> String {
    metric_with("request", with(json!({ "path": "/orders" }), key, value))
}

/// A dataset that asks once for each record of another.
fn child_of(parent: &str) -> String {
    let details = json!({
        "kind": "dataset",
        "name": "details",
        "connection": "shop",
        "parent": { "dataset": parent },
        "request": { "path": "/orders/{{ parent.id }}" },
    });
    json!([connection(), details]).to_string()
}

fn expression(text: &str) -> String {
    let mut metric = with(metric(), "expression", json!(text));
    metric.as_object_mut().expect("an object").remove("select");
    json!([connection(), metric]).to_string()
}

/// Definitions that are refused: what is wrong, the body, the code, the path it names, and a text of
/// the message.
#[rustfmt::skip]
fn definitions() -> Vec<(
    &'static str,
    String,
    &'static str,
    &'static str,
    &'static str,
)> {
    let headers = |value: Value| connection_with("headers", value);
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("X-{n}"), json!("1"))).collect();
    vec![
        ("no JSON", "{name:".into(), "request.json_invalid", "", "not JSON"),
        ("a number", "7".into(), "request.shape", "", "got a number"),
        ("an empty list", "[]".into(), "request.shape", "", "expected an object"),
        ("nothing", String::new(), "definition.empty", "", "no definition"),
        ("nested without end", "[".repeat(100_000), "request.too_deep", "", "128"),
        ("no kind", json!({ "name": "a" }).to_string(), "definition.kind", "", "connection, dataset, metric"),
        ("a made-up kind", connection_with("kind", json!("banana")), "definition.kind", "kind", "banana"),
        ("another kind's fields", connection_with("kind", json!("goal")), "definition.unknown_field", "base_url", "known here"),
        ("no name", connection_with("name", json!("")), "definition.name_invalid", "name", "a name is needed"),
        ("NUL in a name", connection_with("name", json!("a\0b")), "definition.name_invalid", "name", "\\u{0}"),
        ("a name that reads backwards", connection_with("name", json!("abc\u{202e}gnp")), "definition.name_invalid", "name", "\\u{202e}"),
        ("a name too long", connection_with("name", json!("a".repeat(64))), "definition.name_invalid", "name", "63"),
        ("two of one name", json!([connection(), connection()]).to_string(), "definition.name_taken", "name", "two definitions"),
        ("an address without a host", connection_with("base_url", json!("/v3/x")), "definition.url_invalid", "base_url", "scheme and a host"),
        ("another scheme", connection_with("base_url", json!("ftp://example.com")), "definition.url_invalid", "base_url", "http and https"),
        ("a long address", connection_with("base_url", json!(format!("https://api.example.com/?q={}", "a".repeat(8193)))), "definition.url_too_long", "base_url", "8192"),
        ("a password in the address", connection_with("base_url", json!("https://me:hidden77@api.example.com")), "definition.url_invalid", "base_url", "auth"),
        ("a key in the address", connection_with("base_url", json!("https://api.example.com/?api_key=hidden77")), "definition.secret_in_url", "base_url", "api_key=***"),
        ("a key in a header", headers(json!({ "Authorization": "Bearer hidden77hidden77" })), "definition.secret_in_header", "headers.Authorization", "***"),
        ("a line break in a header", headers(json!({ "X-A": "hidden77\r\nX-Evil: 1" })), "definition.header_value", "headers.X-A", "X-A"),
        ("a blank in a header's name", headers(json!({ "X A": "1" })), "definition.header_name", "headers[\"X A\"]", "X A"),
        ("headers of the transport", headers(json!({ "Transfer-Encoding": "chunked" })), "definition.header_forbidden", "headers.Transfer-Encoding", "Transfer-Encoding"),
        ("too many headers", headers(Value::Object(many)), "definition.too_many_headers", "headers", "64"),
        ("a smuggled method", request_with("method", json!("GET / HTTP/1.1\r\nX: y")), "definition.method", "request.method", "only GET and POST"),
        ("a huge body", json!([connection(), with(metric(), "request", json!({ "path": "/x", "method": "POST", "body": { "a": "a".repeat(1_048_577) } }))]).to_string(), "definition.body_too_large", "request.body", "1048576"),
        ("an unknown variable", request_with("path", json!("/{{acount}}")), "definition.template_unknown", "request.path", "acount"),
        ("a broken template", request_with("path", json!("/{{")), "definition.template", "request.path", "syntax error"),
        ("an unknown pagination", request_with("pagination", json!({ "guess": {} })), "definition.pagination_type", "request.pagination.guess", "link_header"),
        ("no pages", request_with("max_pages", json!(0)), "definition.max_pages", "request.max_pages", "1 to 10000"),
        ("too many pages", request_with("max_pages", json!(10_001)), "definition.max_pages", "request.max_pages", "1 to 10000"),
        ("pages in words", request_with("max_pages", json!("ten")), "definition.type", "request.max_pages", "got text"),
        ("a time before now", metric_with("schedule", json!({ "every": "-1h" })), "definition.interval", "schedule.every", "-1h"),
        ("every five seconds", metric_with("schedule", json!({ "every": "5s" })), "definition.interval", "schedule.every", "60s to 31d"),
        ("every 32 days", metric_with("schedule", json!({ "every": "32d" })), "definition.interval", "schedule.every", "60s to 31d"),
        ("30 February", metric_with("schedule", json!({ "cron": "0 0 30 2 *" })), "definition.cron_never", "schedule.cron", "never fires"),
        ("no cron", metric_with("schedule", json!({ "cron": "61 * * *" })), "definition.cron", "schedule.cron", "five fields"),
        ("a short name of a zone", metric_with("timezone", json!("EST5EDT4")), "definition.timezone", "timezone", "IANA"),
        ("an unknown aggregation", metric_with("aggregation", json!("avgg")), "definition.aggregation", "aggregation", "count_distinct"),
        ("a field of somebody else", metric_with("tenant_id", json!("other")), "definition.unknown_field", "tenant_id", "tenant_id"),
        ("a variable looked up nowhere", connection_with("variables", json!({ "org": { "select": "a" } })), "definition.required", "variables.org.path", "the path below base_url"),
        ("a record of nobody", request_with("path", json!("/orders/{{ parent.id }}")), "definition.parent_missing", "request.path", "no parent"),
        ("a parent that is not there", child_of("nowhere"), "definition.dataset_unknown", "parent.dataset", "nowhere"),
        ("a dataset of itself", child_of("details"), "definition.parent", "parent.dataset", "descend from itself"),
        ("a connection that is not there", json!([with(metric(), "connection", json!("nowhere"))]).to_string(), "definition.connection_unknown", "connection", "nowhere"),
        ("half an expression", expression("a."), "expression.syntax", "expression", "unexpected end"),
        ("an empty expression", expression(""), "definition.required", "expression", "empty"),
        ("a sum of 100,000 terms", expression(&vec!["1"; 100_000].join("+")), "definition.text_too_long", "expression", "16384"),
        ("5,000 brackets", expression(&"(".repeat(5_000)), "expression.too_deep", "expression", "1000"),
        ("$eval", expression("$eval(\"1+1\")"), "expression.function_refused", "expression", "$eval"),
        ("$random", expression("$random()"), "expression.function_refused", "expression", "not deterministic"),
        ("$uuid", expression("$uuid()"), "expression.function_refused", "expression", "not deterministic"),
        ("$shuffle", expression("$shuffle([1, 2])"), "expression.function_refused", "expression", "not deterministic"),
        ("an unknown function", expression("$nosuch(1)"), "expression.unknown_function", "expression", "$nosuch"),
        ("the host's own functions", expression("\"\".constructor.constructor(\"return 1\")()"), "expression.syntax", "expression", "constructor"),
        ("a giant regular expression", expression("$contains(\"x\", /(?:a{0,1000}){0,1000}/)"), "expression.regex_too_large", "expression", "100000"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_definition_is_refused_with_its_place_and_changes_nothing() {
    let mut house = Standalone::start(&[]).await;
    let caller = Caller::of(&house);
    // Something good is there first, so that an unchanged list is not just an empty one.
    house
        .cli
        .apply(&json!([with(connection(), "name", json!("kept"))]).to_string())
        .await;
    let before = caller.state().await;
    let hearing = Hearing::on(&house.nats, "tidemark.>").await;
    for (title, body, code, path, text) in definitions() {
        let answer = caller.apply(body.clone()).await;
        assert!(
            (400..500).contains(&answer.status),
            "{title}: {}",
            answer.status
        );
        assert_eq!(
            answer.headers["content-type"], "application/problem+json",
            "{title}"
        );
        let problem = answer.problem(code);
        assert_eq!(problem["path"], path, "{title}: {problem}");
        assert_eq!(problem["severity"], "error", "{title}");
        assert!(
            problem["line"].as_u64().is_some_and(|line| line > 0),
            "{title}: {problem}"
        );
        assert!(
            problem["column"].as_u64().is_some_and(|column| column > 0),
            "{title}: {problem}"
        );
        assert!(
            problem["message"].as_str().is_some_and(
                |message| message.contains(text) || problem["hint"].to_string().contains(text)
            ),
            "{title}: {problem}"
        );
        assert!(
            !answer.text().contains("hidden77"),
            "{title} echoes what should be secret: {}",
            answer.text()
        );
        assert!(
            answer.text().len() < 16 * 1024,
            "{title}: an answer is short"
        );
        // The command line says the same and ends with 2.
        if !body.is_empty() && body.len() < 100_000 {
            let said = house
                .cli
                .run_with(&["validate", "-o", "json", "-"], &body)
                .await;
            // What needs the gateway's knowledge is its own to say.
            let others = [
                "definition.connection_unknown",
                "definition.dataset_unknown",
            ];
            if !others.contains(&code) {
                assert_eq!(said.code, Some(2), "{title}: {said:?}");
                assert!(said.output.contains(code), "{title}: {said:?}");
            }
            assert!(!said.output.contains("hidden77"), "{title}: {said:?}");
        }
    }
    assert_eq!(caller.state().await, before, "nothing was applied");
    let heard = hearing.all();
    assert!(heard.is_empty(), "nothing was published: {heard:?}");
    assert!(house.process.id().is_some());
    assert_eq!(caller.get("/livez").await.status, 200);
    // One good definition among bad ones is not applied either.
    let mixed = json!([connection(), with(metric(), "aggregation", json!("avgg"))]).to_string();
    assert_eq!(caller.apply(mixed).await.status, 422);
    assert_eq!(caller.state().await, before);
    assert_eq!(house.process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_refused_with_a_code_and_changes_nothing() {
    let house = Standalone::start(&[]).await;
    let caller = Caller::of(&house);
    house
        .cli
        .apply(&json!([connection(), with(metric(), "paused", json!(true))]).to_string())
        .await;
    let viewer = house
        .cli
        .run(&["token", "create", "--role", "viewer", "-o", "json"])
        .await
        .json();
    let viewer = viewer["value"].as_str().expect("a token").to_owned();
    let viewer = format!("Bearer {viewer}");
    let before = caller.state().await;
    let hearing = Hearing::on(&house.nats, "tidemark.>").await;
    let empty: &[(&str, &str)] = &[];
    let good = json!([connection(), with(metric(), "title", json!("Other"))]).to_string();
    let json_type = ("content-type", "application/json");
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let as_json = [json_type];
    let nobody = [("authorization", "")];
    let stranger = [("authorization", "Bearer tm_bad")];
    let basic = [("authorization", "Basic eDp5")];
    let old = [json_type, ("if-match", "\"999\"")];
    let as_viewer = [("authorization", viewer.as_str()), json_type];
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        ("no token", &get, "/api/v1/metrics", &nobody, vec![], 401, "auth.missing"),
        ("an unknown token", &get, "/api/v1/metrics", &stranger, vec![], 401, "auth.invalid"),
        ("another scheme", &get, "/api/v1/metrics", &basic, vec![], 401, "auth.invalid"),
        ("a reader applies", &post, "/api/v1/apply", &as_viewer, good.clone().into(), 403, "auth.scope"),
        ("a reader deletes", &delete, "/api/v1/metrics/orders", &as_viewer, vec![], 403, "auth.scope"),
        ("a reader keeps a secret", &put, "/api/v1/secrets/a", &as_viewer, br#"{"value":"x"}"#.to_vec(), 403, "auth.scope"),
        ("a reader looks at tokens", &get, "/api/v1/tokens", &as_viewer, vec![], 403, "auth.scope"),
        ("no UTF-8", &post, "/api/v1/apply", &as_json, b"{\"name\":\"\xff\"}".to_vec(), 400, "request.encoding"),
        ("a field of somebody else", &post, "/api/v1/tokens", &as_json, br#"{"role":"viewer","name":"x","tenant_id":"y"}"#.to_vec(), 422, "request.unknown_field"),
        ("a made-up role", &post, "/api/v1/tokens", &as_json, br#"{"role":"owner","name":"x"}"#.to_vec(), 422, "request.invalid"),
        ("a mistyped field", &put, "/api/v1/secrets/a", &as_json, br#"{"valeu":"x"}"#.to_vec(), 422, "request.unknown_field"),
        ("an empty secret", &put, "/api/v1/secrets/a", &as_json, br#"{"value":""}"#.to_vec(), 422, "request.invalid"),
        ("limit 0", &get, "/api/v1/metrics?limit=0", empty, vec![], 422, "request.query"),
        ("limit -1", &get, "/api/v1/metrics?limit=-1", empty, vec![], 422, "request.query"),
        ("a billion", &get, "/api/v1/metrics?limit=1000000000", empty, vec![], 422, "request.query"),
        ("a limit in words", &get, "/api/v1/metrics?limit=abc", empty, vec![], 422, "request.query"),
        ("a mistyped parameter", &get, "/api/v1/metrics?limt=1", empty, vec![], 422, "request.query"),
        ("the end before the beginning", &get, "/api/v1/metrics/orders/series?from=2025-01-02&to=2025-01-01", empty, vec![], 422, "request.query"),
        ("two hundred years of hours", &get, "/api/v1/metrics/orders/series?from=1900-01-01&to=2100-01-01&granularity=hour", empty, vec![], 422, "request.range_too_large"),
        ("minutes", &get, "/api/v1/metrics/orders/series?granularity=minute", empty, vec![], 422, "request.query"),
        ("SQL in a name", &get, "/api/v1/metrics/1'%20OR%201=1--", empty, vec![], 404, "not_found"),
        ("a way up", &get, "/api/v1/runs/%2e%2e%2fetc%2fpasswd", empty, vec![], 404, "not_found"),
        ("NUL in a name", &get, "/api/v1/metrics/a%00b", empty, vec![], 404, "not_found"),
        ("no such address", &get, "/api/v1/nope", empty, vec![], 404, "not_found"),
        ("another method", &Method::PATCH, "/api/v1/metrics", empty, vec![], 405, "request.method"),
        ("an old ETag", &put, "/api/v1/metrics/orders", &old, metric().to_string().into(), 412, "precondition.failed"),
        ("another name than the address says", &put, "/api/v1/metrics/orders", &as_json, with(metric(), "name", json!("other")).to_string().into(), 422, "request.invalid"),
        ("a connection in use", &delete, "/api/v1/connections/shop", empty, vec![], 409, "in_use"),
    ];
    for (title, method, path, headers, body, status, code) in cases {
        let answer = caller.send(method.clone(), path, headers, body).await;
        assert_eq!(answer.status, status, "{title}: {}", answer.body);
        assert!(answer.codes().contains(&code), "{title}: {}", answer.body);
        assert_eq!(
            answer.headers["content-type"], "application/problem+json",
            "{title}"
        );
        if status == 401 {
            let challenge = answer.headers["www-authenticate"].to_str().expect("a text");
            assert!(challenge.starts_with("Bearer"), "{title}: {challenge}");
        }
        if code == "request.query" {
            let path_named = answer.problem(code)["path"]
                .as_str()
                .is_some_and(|path| !path.is_empty());
            assert!(path_named, "{title} names the parameter: {}", answer.body);
        }
    }
    assert_eq!(caller.state().await, before, "nothing changed");
    let heard = hearing.all();
    assert!(heard.is_empty(), "nothing was published: {heard:?}");

    // One text for every wrong token, so that nothing tells a revoked one from one that never was.
    let texts: Vec<String> = {
        let listed = caller.get("/api/v1/tokens").await.body;
        let id = listed["items"]
            .as_array()
            .expect("tokens")
            .iter()
            .find(|one| one["role"] == "viewer");
        let id = id
            .and_then(|one| one["id"].as_str())
            .expect("the viewer's token")
            .to_owned();
        assert_eq!(
            caller
                .send(delete, &format!("/api/v1/tokens/{id}"), &[], vec![])
                .await
                .status,
            204
        );
        let mut texts = Vec::new();
        for token in [viewer.as_str(), "Bearer tm_never_was"] {
            let answer = caller
                .send(
                    Method::GET,
                    "/api/v1/metrics",
                    &[("authorization", token)],
                    vec![],
                )
                .await;
            assert_eq!(answer.status, 401);
            texts.push(answer.text());
        }
        texts
    };
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_is_refused_by_its_head_alone() {
    let house = Standalone::start(&[]).await;
    let address = house.cli.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let head = format!(
        "POST /api/v1/apply HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        house.cli.token,
        2 * 1024 * 1024 + 1
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("a head is taken");
    let mut answer = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&answer).contains("request.too_large") {
            assert_ne!(
                stream.read_buf(&mut answer).await.expect("an answer"),
                0,
                "it said why"
            );
        }
    };
    tokio::time::timeout(SOON, read)
        .await
        .expect("no byte of the body is waited for");
    assert!(
        answer.starts_with(b"HTTP/1.1 413 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_other_hosts_and_repeated_keys_get_nothing() {
    let house = Standalone::start(&[]).await;
    let caller = Caller::of(&house);
    house
        .cli
        .apply(&json!([connection(), metric()]).to_string())
        .await;
    let evil = [
        ("origin", "https://evil.test"),
        ("access-control-request-method", "GET"),
    ];
    let preflight = caller
        .send(Method::OPTIONS, "/api/v1/metrics", &evil, vec![])
        .await;
    assert_eq!(preflight.status, 204);
    assert!(
        preflight
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control-allow"))
    );

    let answer = caller
        .send(
            Method::GET,
            "/api/v1/metrics",
            &[("host", "evil.test")],
            vec![],
        )
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        !answer.text().contains("evil.test")
            && !format!("{:?}", answer.headers).contains("evil.test")
    );

    let key = [
        ("idempotency-key", "once"),
        ("content-type", "application/json"),
    ];
    let body = json!({ "name": "first", "role": "viewer" }).to_string();
    let first = caller
        .send(Method::POST, "/api/v1/tokens", &key, body.into())
        .await;
    assert_eq!(first.status, 201);
    let other = json!({ "name": "second", "role": "viewer" }).to_string();
    let second = caller
        .send(Method::POST, "/api/v1/tokens", &key, other.into())
        .await;
    assert_eq!(
        (second.status, second.body["code"].as_str()),
        (409, Some("idempotency.mismatch"))
    );
    let names = caller.get("/api/v1/tokens").await.text();
    assert!(
        names.contains("\"first\"") && !names.contains("\"second\""),
        "{names}"
    );
}
