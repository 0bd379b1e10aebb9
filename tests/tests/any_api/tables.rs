//! Ways of paging and of signing in, as the sample API knows them.

use serde_json::{Value, json};

/// A way of paging: what it is called, the request, where its records are, and how it ends.
pub(crate) type Paging = (&'static str, Value, &'static str);

#[rustfmt::skip]
pub(crate) fn pagings() -> Vec<Paging> {
    let page = |more: Value| json!({ "page": with(json!({ "param": "page" }), more) });
    let known = json!({ "total_pages": "total_pages" });
    let offset = |more: Value| json!({ "offset": with(json!({ "param": "offset", "limit_param": "limit", "limit": 30 }), more) });
    let cursor = |more: Value| json!({ "cursor": with(json!({ "from": "next_cursor", "param": "after" }), more) });
    let get = |path: &str, pagination: Value| json!({ "path": path, "pagination": pagination });
    let post = |path: &str, body: Value, pagination: Value| json!({ "method": "POST", "path": path, "body": body, "pagination": pagination });
    let form = |pagination: Value| json!({ "method": "POST", "path": "/api/form", "form": { "size": "30" }, "pagination": pagination });
    let header = |name: &str| json!({ "header": name });
    vec![
        ("page in the query, total pages", get("/api/page", page(known.clone())), "items"),
        ("page in the query, total", get("/api/page", page(json!({ "total": "total" }))), "items"),
        ("page from 0", json!({ "path": "/api/page", "query": { "zero": "true" }, "pagination": page(json!({ "start": 0, "total_pages": "total_pages" })) }), "items"),
        ("page, nothing stated", get("/api/page", page(json!({}))), "items"),
        ("page, size sent", get("/api/page", page(json!({ "size_param": "size", "size": 50 }))), "items"),
        ("page, exact size", get("/api/page", page(json!({ "size_param": "size", "size": 40 }))), "items"),
        ("page, has_more", get("/api/has_more", page(json!({ "has_more": "has_more" }))), "items"),
        ("page, bare lists", get("/api/short", page(json!({}))), "$"),
        ("page, totals in headers", get("/api/headers", page(json!({ "total_pages": header("X-Total-Pages") }))), "$"),
        ("page in the path", get("/api/by_path/{page}", page(with(known.clone(), json!({ "in": "path" })))), "items"),
        ("page in a header", get("/api/by_header", json!({ "page": { "param": "X-Page", "in": "header", "total_pages": "total_pages" } })), "items"),
        ("page in a body", post("/api/search", json!({ "size": 30 }), page(with(known.clone(), json!({ "in": "body" })))), "items"),
        ("page in a form", form(page(with(known, json!({ "in": "body" })))), "items"),
        ("offset in the query, total", get("/api/offset", offset(json!({ "total": "total" }))), "items"),
        ("offset, nothing stated", get("/api/offset", json!({ "offset": { "param": "offset" } })), "items"),
        ("offset in the path", get("/api/by_path/offset/{offset}", offset(json!({ "in": "path", "total": "total" }))), "items"),
        ("offset in a header", get("/api/by_header/offset", json!({ "offset": { "param": "X-Offset", "in": "header", "total": "total" } })), "items"),
        ("offset in a body", post("/api/search", json!({}), json!({ "offset": { "param": "paging.offset", "in": "body", "limit_param": "paging.limit", "limit": 30, "total": "total" } })), "items"),
        ("offset in a form", form(json!({ "offset": { "param": "offset", "in": "body", "limit_param": "limit", "limit": 30, "total": "total" } })), "items"),
        ("cursor in the query, to null", get("/api/cursor", cursor(json!({}))), "items"),
        ("cursor, to nothing", json!({ "path": "/api/cursor", "query": { "ends": "absent" }, "pagination": cursor(json!({})) }), "items"),
        ("cursor, to an empty text", json!({ "path": "/api/cursor", "query": { "ends": "empty" }, "pagination": cursor(json!({})) }), "items"),
        ("cursor, has_more", get("/api/cursor", cursor(json!({ "has_more": "has_more", "size_param": "size", "size": 50 }))), "items"),
        ("cursor in a header", get("/api/by_header/after", json!({ "cursor": { "from": "next_cursor", "param": "X-After", "in": "header" } })), "items"),
        ("cursor in a body", post("/api/search", json!({ "cursor": {} }), json!({ "cursor": { "from": "next_cursor", "param": "cursor.after", "in": "body" } })), "items"),
        ("cursor of a header", get("/api/headers", json!({ "cursor": { "from": header("X-Next-Page"), "param": "page" } })), "$"),
        ("next link in the body", get("/api/next", json!({ "next_url": { "from": "next" } })), "items"),
        ("next link, relative", json!({ "path": "/api/next", "query": { "relative": "true" }, "pagination": { "next_url": { "from": "next" } } }), "items"),
        ("next link in a header", get("/api/headers", json!({ "next_url": { "from": header("Next-Page") } })), "$"),
        ("Link header", get("/api/link", json!("link_header")), "$"),
        ("one page", json!({ "path": "/api/page", "query": { "size": "1000" } }), "items"),
    ]
}

/// Ways of signing in: what each is called, what stands before the path, and `auth`.
pub(crate) fn sign_ins(url: &str) -> Vec<(&'static str, &'static str, Value)> {
    let key = json!({ "secret": "key" });
    vec![
        ("none", "", json!("none")),
        (
            "basic",
            "/secured/basic",
            json!({ "basic": { "username": "sample", "password": key } }),
        ),
        ("bearer", "/secured/bearer", json!({ "bearer": key })),
        (
            "token",
            "/secured/token",
            json!({ "header": { "Authorization": { "secret": "key", "prefix": "Token " } } }),
        ),
        (
            "header",
            "/secured/header",
            json!({ "header": { "X-Api-Key": key } }),
        ),
        (
            "query",
            "/secured/query",
            json!({ "query": { "key": key } }),
        ),
        (
            "oauth2",
            "/oauth",
            json!({ "oauth2": { "grant": "client_credentials", "token_url": format!("{url}/oauth/token"),
                "client_id": sample_api::CLIENT, "client_secret": key } }),
        ),
        (
            "login",
            "/session",
            json!({ "login": { "token": "session.token", "request": { "url": format!("{url}/session"),
                "body": { "user": { "name": "sample", "password": key } } } } }),
        ),
    ]
}

fn with(mut object: Value, more: Value) -> Value {
    let (Value::Object(fields), Value::Object(more)) = (&mut object, more) else {
        panic!("objects are merged");
    };
    fields.extend(more);
    object
}
