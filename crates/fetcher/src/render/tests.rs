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
