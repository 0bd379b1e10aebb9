use definition::window::Interval;
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::egress::GuardConfig;

fn page(base: &str, request: &Value, position: &Position) -> Result<Rendered, RenderError> {
    let connection = Connection::from_document(&json!({
        "name": "kit", "base_url": base, "headers": {"X-Version": "3"},
    }))
    .expect("a connection");
    let request = Request::from_document(request).expect("a request");
    let at = |text: &str| text.parse().expect("an instant");
    let scope = Scope {
        window: Some(Interval {
            start: at("2026-01-01T00:00:00Z"),
            end: at("2026-02-01T00:00:00Z"),
        }),
        now: at("2026-02-03T04:05:06Z"),
        zone: TimeZone::UTC,
        connection: indexmap::IndexMap::new(),
        parent: None,
    };
    Template::new(&connection, &request, &scope)?
        .page(position, &Guard::new(GuardConfig::default()))
}

fn url(base: &str, request: &Value, position: &Position) -> String {
    page(base, request, position)
        .expect("rendered")
        .url
        .to_string()
}

#[test]
fn the_path_stands_behind_the_path_of_the_base() {
    for (base, path, expected) in [
        ("https://h.test", "/v3/x", "https://h.test/v3/x"),
        ("https://h.test/v3", "/x", "https://h.test/v3/x"),
        ("https://h.test/v3/", "/x", "https://h.test/v3/x"),
        ("https://h.test/v3", "", "https://h.test/v3"),
        (
            "https://h.test/v3?tenant=1",
            "/x",
            "https://h.test/v3/x?tenant=1",
        ),
        (
            "https://h.test",
            "/x.json?_shape=array",
            "https://h.test/x.json?_shape=array",
        ),
    ] {
        assert_eq!(
            url(base, &json!({"path": path}), &Position::Start),
            expected
        );
    }
}

#[test]
fn queries_are_encoded_and_lists_repeated() {
    let request = json!({"path": "/x", "query": {"from": "{{ window.start | date }}", "q": "a b&c=ü", "id": ["1", "2"]}});
    assert_eq!(
        url("https://h.test", &request, &Position::Start),
        "https://h.test/x?from=2026-01-01&q=a+b%26c%3D%C3%BC&id=1&id=2"
    );
}

#[test]
fn page_parameters_take_the_place_of_those_in_the_template() {
    let request = json!({"path": "/x", "query": {"page": "1", "n": "5"}, "pagination": {"page": {"param": "page"}}});
    assert_eq!(
        url("https://h.test", &request, &Position::Page(7)),
        "https://h.test/x?page=7&n=5"
    );
    let request = json!({"path": "/x/{p}/y", "pagination": {"page": {"param": "p", "in": "path"}}});
    assert_eq!(
        url("https://h.test", &request, &Position::Page(7)),
        "https://h.test/x/7/y"
    );
    let cursor = json!({"path": "/x/{after}", "pagination": {"cursor": {"from": "c", "param": "after", "in": "path"}}});
    assert_eq!(
        url("https://h.test", &cursor, &Position::Start),
        "https://h.test/x"
    );
    assert_eq!(
        url("https://h.test", &cursor, &Position::Cursor(json!("a/b?"))),
        "https://h.test/x/a%2Fb%3F"
    );
    assert!(page("https://h.test", &cursor, &Position::Cursor(json!(".."))).is_err());
    let header = json!({"path": "/x", "pagination": {"page": {"param": "X-Page", "in": "header"}}});
    let rendered = page("https://h.test", &header, &Position::Page(2)).expect("rendered");
    assert_eq!(rendered.headers["x-page"], "2");
    assert_eq!(rendered.headers["x-version"], "3");
}

#[test]
fn bodies_carry_the_place_at_a_dotted_path() {
    let request = json!({
        "method": "POST", "path": "/graphql",
        "body": {"query": "{ items }", "variables": {"first": 50}, "since": "{{ window.start | date }}"},
        "pagination": {"cursor": {"from": "c", "param": "variables.after", "in": "body"}},
    });
    let rendered =
        page("https://h.test", &request, &Position::Cursor(json!("abc"))).expect("rendered");
    let (bytes, content_type) = rendered.body.expect("a body");
    assert_eq!(content_type, "application/json");
    let body: Value = serde_json::from_slice(&bytes).expect("json");
    assert_eq!(body["variables"], json!({"first": 50, "after": "abc"}));
    assert_eq!(body["since"], "2026-01-01");
    let form = json!({
        "method": "POST", "path": "/search", "form": {"q": "a b", "page": "1"},
        "pagination": {"page": {"param": "page", "in": "body"}},
    });
    let rendered = page("https://h.test", &form, &Position::Page(3)).expect("rendered");
    assert_eq!(&rendered.body.expect("a body").0[..], b"q=a+b&page=3");
}

#[test]
fn forbidden_headers_and_addresses_are_refused_before_anything_is_sent() {
    let host = page(
        "https://h.test",
        &json!({"path": "/", "headers": {"Host": "169.254.169.254"}}),
        &Position::Start,
    );
    assert_eq!(
        host.expect_err("refused").code(),
        "definition.header_forbidden"
    );
    let near = page(
        "http://127.0.0.1:3000",
        &json!({"path": "/"}),
        &Position::Start,
    );
    assert_eq!(
        near.expect_err("refused").code(),
        "egress.address_forbidden"
    );
}

/// Every strategy that has a parameter, in every place, on the first page and on a further one.
#[test]
fn parameters_stand_where_they_belong() {
    let strategies = [
        (
            "page",
            json!({"param": "P"}),
            Position::Page(1),
            Position::Page(2),
            "1",
            "2",
        ),
        (
            "page",
            json!({"param": "P", "start": 0}),
            Position::Page(0),
            Position::Page(7),
            "0",
            "7",
        ),
        (
            "offset",
            json!({"param": "P"}),
            Position::Offset(0),
            Position::Offset(50),
            "0",
            "50",
        ),
        (
            "cursor",
            json!({"param": "P", "from": "c"}),
            Position::Start,
            Position::Cursor(json!("n/x")),
            "",
            "n/x",
        ),
        (
            "cursor",
            json!({"param": "P", "from": "c"}),
            Position::Start,
            Position::Cursor(json!(12)),
            "",
            "12",
        ),
    ];
    for (strategy, settings, first, further, at_first, then) in &strategies {
        for place in ["query", "body", "path", "header"] {
            let mut settings = settings.clone();
            settings["in"] = json!(place);
            if place == "body" {
                settings["param"] = json!("a.P");
            }
            let mut request = json!({"path": "/x/{P}", "pagination": {*strategy: settings}});
            if place == "body" {
                request["method"] = json!("POST");
                request["body"] = json!({"a": {"z": 1}});
            }
            if place != "path" {
                request["path"] = json!("/x");
            }
            for (position, expected) in [(first, at_first), (further, then)] {
                let what = format!("{strategy} in {place} at {position:?}");
                let rendered = page("https://h.test", &request, position).expect(&what);
                let url = rendered.url.as_str();
                match place {
                    "query" => {
                        let query = rendered.url.query_pairs().next();
                        let value = query.map(|(_, value)| value.into_owned());
                        assert_eq!(value.unwrap_or_default(), *expected, "{what}");
                    }
                    "path" => {
                        let path = url
                            .trim_start_matches("https://h.test/x")
                            .trim_start_matches('/');
                        assert_eq!(path.replace("%2F", "/"), *expected, "{what}: {url}");
                    }
                    "header" => {
                        let value = rendered
                            .headers
                            .get("P")
                            .map(|value| value.to_str().expect("text"));
                        assert_eq!(value.unwrap_or_default(), *expected, "{what}");
                    }
                    _ => {
                        let body: Value = serde_json::from_slice(&rendered.body.expect("a body").0)
                            .expect("json");
                        assert_eq!(body["a"]["z"], 1, "{what}");
                        let value = match &body["a"]["P"] {
                            Value::String(text) => text.clone(),
                            Value::Null => String::new(),
                            number => number.to_string(),
                        };
                        assert_eq!(value, *expected, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn further_requests_may_differ_from_the_first() {
    let asked = |request: &Value, position: &Position| {
        let rendered = page("https://h.test/api", request, position).expect("rendered");
        let body = rendered
            .body
            .map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        format!(
            "{} {} {}",
            rendered.method,
            rendered.url,
            body.unwrap_or_default()
        )
    };
    let next = Position::Cursor(json!("c2"));
    let folder = json!({"method": "POST", "path": "/list", "query": {"a": "1"}, "body": {"path": "/docs"}, "pagination":
        {"cursor": {"from": "cursor", "param": "cursor", "in": "body", "next": {"path": "/list/continue", "body": {}}}}});
    assert_eq!(
        asked(&folder, &Position::Start),
        r#"POST https://h.test/api/list?a=1 {"path":"/docs"}"#
    );
    assert_eq!(
        asked(&folder, &next),
        r#"POST https://h.test/api/list/continue?a=1 {"cursor":"c2"}"#
    );
    let scroll = json!({"path": "/index/_search", "query": {"scroll": "1m"}, "pagination": {"cursor": {"from": "_scroll_id",
        "param": "scroll_id", "in": "body", "next": {"method": "POST", "path": "/_search/scroll", "query": {}, "body": {"scroll": "1m"}}}}});
    assert_eq!(
        asked(&scroll, &Position::Start),
        "GET https://h.test/api/index/_search?scroll=1m "
    );
    assert_eq!(
        asked(&scroll, &next),
        r#"POST https://h.test/api/_search/scroll {"scroll":"1m","scroll_id":"c2"}"#
    );
    let job = json!({"method": "POST", "path": "/query", "body": {"sql": "…"}, "pagination":
        {"cursor": {"from": "next", "param": "next", "in": "path", "next": {"method": "GET", "path": "/query/{next}"}}}});
    assert_eq!(
        asked(&job, &Position::Start),
        r#"POST https://h.test/api/query {"sql":"…"}"#
    );
    assert_eq!(asked(&job, &next), "GET https://h.test/api/query/c2 ");
    let linked = json!({"method": "POST", "path": "/query", "body": {"q": 1}, "pagination":
        {"next_url": {"from": "nextRecordsUrl", "next": {"method": "GET"}}}});
    let at = Position::Url("https://h.test/api/query/01g-2000".to_owned());
    assert_eq!(
        asked(&linked, &at),
        "GET https://h.test/api/query/01g-2000 "
    );
    let numbered = json!({"path": "/search", "query": {"q": "x"}, "pagination":
        {"page": {"param": "n", "in": "path", "next": {"path": "/search/{n}"}}}});
    assert_eq!(
        asked(&numbered, &Position::Page(1)),
        "GET https://h.test/api/search?q=x "
    );
    assert_eq!(
        asked(&numbered, &Position::Page(2)),
        "GET https://h.test/api/search/2?q=x "
    );
}

#[test]
fn no_variable_makes_a_mutation_of_a_query() {
    let sent = |request: &Value| {
        let connection = Connection::from_document(&json!({
            "name": "kit", "base_url": "https://h.test",
            "variables": {"q": "mutation M { x }", "r": "query { x }"},
        }))
        .expect("a connection");
        let request = Request::from_document(request).expect("a request");
        let scope = Scope {
            connection: [("q", "mutation M { x }"), ("r", "query { x }")]
                .map(|(name, text)| (name.to_owned(), json!(text)))
                .into_iter()
                .collect(),
            window: None,
            now: "2026-02-03T04:05:06Z".parse().expect("an instant"),
            zone: TimeZone::UTC,
            parent: None,
        };
        Template::new(&connection, &request, &scope)?
            .page(&Position::Start, &Guard::new(GuardConfig::default()))
    };
    for shape in ["body", "form"] {
        let of = |text: &str| json!({"method": "POST", "path": "/graphql", shape: {"query": text}});
        assert!(sent(&of("{{ connection.r }}")).is_ok(), "{shape}");
        let refused = sent(&of("{{ connection.q }}")).expect_err("a mutation");
        assert_eq!(refused.code(), "definition.graphql_mutation", "{shape}");
    }
    let by_address = json!({"path": "/graphql", "query": {"query": "{{ connection.q }}"}});
    assert!(sent(&by_address).is_err());
}
