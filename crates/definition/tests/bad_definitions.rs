//! Everything users get wrong is answered with a place, a code and a cure, and all of it at once.

use crate::support;

use definition::{NothingKnown, Problem};
use support::Catalogue;

/// Parses and validates; what is refused at either step.
fn problems(text: &str, source: &str) -> Vec<Problem> {
    match definition::parse(text, source) {
        Ok(bundle) => bundle.validate(&NothingKnown),
        Err(problems) => problems,
    }
}

fn connection(rest: &str) -> String {
    format!("kind: connection\nname: api\n{rest}\n")
}

/// A metric on a connection that is there, with `rest` besides name, connection and request.
fn metric(rest: &str) -> String {
    format!(
        "{}---\nkind: metric\nname: m\nconnection: api\nrequest: {{ path: /x }}\nselect: {{ value: n }}\n{rest}\n",
        connection("base_url: https://api.example.com")
    )
}

fn request(rest: &str) -> String {
    let rest = rest.replace('\n', "\n  ");
    format!(
        "{}---\nkind: metric\nname: m\nconnection: api\nselect: {{ value: n }}\nrequest:\n  {rest}\n",
        connection("base_url: https://api.example.com")
    )
}

fn select(rest: &str) -> String {
    format!(
        "{}---\nkind: metric\nname: m\nconnection: api\nrequest: {{ path: /x }}\nselect: {rest}\n",
        connection("base_url: https://api.example.com")
    )
}

/// Checks that `text` has a problem of `code` at `path` that says `says`.
#[track_caller]
fn expect(text: &str, code: &str, path: &str, says: &str) -> Problem {
    let problems = problems(text, "test.yaml");
    let Some(found) = problems.iter().find(|p| p.code == code && p.path == path) else {
        panic!(
            "no {code} at `{path}` in {problems:#?}\nof:\n{}",
            text.chars().take(2000).collect::<String>()
        );
    };
    let printed = found.to_string();
    assert!(printed.contains(says), "`{says}` is not said in: {printed}");
    assert!(found.line > 0 && found.column > 0, "no place: {printed}");
    found.clone()
}

#[test]
fn json_that_is_broken_says_line_and_column() {
    let found = problems("{name:", "request body");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].line, found[0].column),
        ("request.json_invalid", 1, 2)
    );
    for (text, line, column) in [
        ("{\"a\": 1,}", 1, 9),
        ("{\"a\": 1} x", 1, 10),
        ("{\n  \"a\" 1}", 2, 7),
        ("[01]", 1, 2),
        ("{\"a\": \"x\ny\"}", 1, 9),
        ("{\"a\": \"\\ud800\"}", 1, 14),
        ("{\"a\": tru}", 1, 10),
    ] {
        let found = problems(text, "body.json");
        assert_eq!(
            (found[0].line, found[0].column),
            (line, column),
            "{text}: {}",
            found[0]
        );
    }
}

#[test]
fn yaml_that_is_broken_says_line_and_column() {
    let found = problems("kind: metric\nname: [a\n", "a.yaml");
    assert_eq!(found[0].code, "request.yaml_invalid");
    assert!(found[0].line >= 2, "{}", found[0]);
    assert!(problems("a: b: c", "a.yaml")[0].code == "request.yaml_invalid");
}

#[test]
fn the_wrong_shape_is_named() {
    for text in [
        "[]",
        "[[]]",
        "[1]",
        "42",
        "just text",
        "{\"definitions\": 1}",
    ] {
        let found = problems(text, "body");
        assert_eq!(found[0].code, "request.shape", "{text}: {found:?}");
    }
    assert!(
        problems("[]", "body")[0]
            .message
            .contains("expected an object, got an array")
    );
    for text in ["", "---\n---\n", "# only a comment", "null"] {
        assert_eq!(
            problems(text, "body")[0].code,
            "definition.empty",
            "{text:?}"
        );
    }
}

#[test]
fn bundles_are_bounded() {
    let deep = format!("kind: metric\nx: {}", "[".repeat(200));
    assert_eq!(
        problems(&"a".repeat(2 * 1024 * 1024 + 1), "a")[0].code,
        "request.too_large"
    );
    assert!(matches!(
        problems(&deep, "a.yaml")[0].code,
        "request.too_deep" | "request.yaml_invalid"
    ));
    assert_eq!(
        problems(&"[".repeat(100_000), "a.json")[0].code,
        "request.too_deep"
    );
    let many = "---\nkind: goal\n".repeat(10_001);
    assert_eq!(problems(&many, "a.yaml")[0].code, "quota.definitions");
    let wide = format!("kind: metric\nx: [{}]", "1,".repeat(900_000));
    assert_eq!(problems(&wide, "a.yaml")[0].code, "request.too_large");
}

#[test]
fn aliases_repeat_a_little_and_never_a_lot() {
    let shared =
        "kind: metric\nname: a\nconnection: api\nrequest: { query: &q { a: 1 }, form: *q }";
    assert!(
        !problems(shared, "a.yaml")
            .iter()
            .any(|p| p.code == "definition.alias")
    );
    let mut bomb = String::from("a: &a0 [1,1,1,1,1,1,1,1,1]\n");
    for level in 1..10 {
        let previous = format!("*a{}", level - 1);
        let repeated = vec![previous; 9].join(",");
        bomb = format!(
            "{bomb}a{level}: &a{level} [{repeated}]
"
        );
    }
    for (text, code) in [
        (bomb.as_str(), "definition.alias"),
        ("a: &a [*a]", "definition.alias"),
        ("a: *nothing", "definition.alias"),
        ("a: !!python/object x", "definition.yaml_tag"),
        ("a: !x [1]", "definition.yaml_tag"),
        ("? [a]\n: b", "definition.type"),
    ] {
        assert_eq!(problems(text, "a.yaml")[0].code, code, "{text}");
    }
}

#[test]
fn names_are_checked() {
    for bad in [
        "\"\"",
        "\"a\\0b\"",
        "\"abc\\u202egnp\"",
        "New-Subscribers",
        "1abc",
        "_a",
        "é",
        "a.b",
        "12",
        "[a]",
    ] {
        expect(
            &format!("kind: connection\nname: {bad}\nbase_url: https://a.example.com"),
            "definition.name_invalid",
            "name",
            "",
        );
    }
    let long = "a".repeat(64);
    expect(
        &format!("kind: connection\nname: {long}\nbase_url: https://a.example.com"),
        "definition.name_invalid",
        "name",
        "63",
    );
    expect(
        "kind: connection\nname: My API\nbase_url: https://a.example.com",
        "definition.name_invalid",
        "name",
        "for example `my_api`",
    );
    expect(
        "kind: connection\nbase_url: https://a.example.com",
        "definition.required",
        "name",
        "`name` is missing",
    );
}

#[test]
fn deceptive_text_is_refused_everywhere() {
    for text in [
        metric("title: \"a\\u202eb\""),
        metric("description: \"a\\0b\""),
        metric("owner: \"a\\u0007\""),
        metric("tags: [\"a\\u2066\"]"),
        metric("title: \"a\\u200fb\""),
        metric("title: \"a\\u200eb\""),
        metric("title: \"a\\u061cb\""),
        metric("title: \"a\\u200bb\""),
        metric("title: \"a\\u00adb\""),
        metric("title: \"a\\u2028b\""),
        metric("title: \"ab\\u200d\""),
        metric("title: \"\\u200d\""),
        metric("title: \"a\\U000E0001\\U000E0041b\""),
        metric("description: \"a\\u200fb\""),
        metric("owner: \"a\\u2064b\""),
        metric("tags: [\"a\\u200b\"]"),
        metric("expression: \"a\\0\""),
        request("query: { a: \"x\\0\" }"),
        request("method: POST\nbody: { a: [\"x\\0\"] }"),
        metric("title: \"two\\nlines\""),
    ] {
        let found = problems(&text, "a.yaml");
        assert_eq!(
            found
                .iter()
                .filter(|p| p.code == "definition.text_invalid")
                .count(),
            1,
            "{text}\n{found:?}"
        );
    }
    expect(
        &metric(&format!("title: {}", "x".repeat(121))),
        "definition.text_too_long",
        "title",
        "120",
    );
    for (blank, path) in [
        ("title: \"\"", "title"),
        ("title: \"   \"", "title"),
        ("title: \"\\u00a0\"", "title"),
        ("owner: \"\"", "owner"),
        ("tags: [\"\"]", "tags[0]"),
        ("tags: [a, \" \"]", "tags[1]"),
    ] {
        expect(&metric(blank), "definition.text_empty", path, "blank");
    }
    for fine in [
        "title: \"می\\u200cخواهم\"",
        "title: \"👩\\u200d💻 made\"",
        "description: \"\"",
        "expression: 'a[b = \"x\\u200fy\"]'",
    ] {
        assert_eq!(problems(&metric(fine), "a.yaml"), [], "{fine}");
    }
    expect(
        &metric("title: 2024"),
        "definition.type",
        "title",
        "put it in quotes",
    );
}

#[test]
fn addresses_are_checked() {
    let long = format!("base_url: \"https://api.example.com/{}\"", "a".repeat(8193));
    expect(
        &connection(&long),
        "definition.url_too_long",
        "base_url",
        "8192",
    );
    for (url, code, says) in [
        ("/v3/x", "definition.url_invalid", "scheme and a host"),
        ("api.example.com", "definition.url_invalid", ""),
        ("ftp://api.example.com", "definition.url_invalid", "`ftp`"),
        ("file:///etc/passwd", "definition.url_invalid", ""),
        ("https://", "definition.url_invalid", ""),
        (
            "https://user:hunter2@api.example.com",
            "definition.url_invalid",
            "auth",
        ),
        (
            "https://api.example.com/?a=b",
            "definition.url_invalid",
            "request.query",
        ),
        ("https://api.example.com/#x", "definition.url_invalid", ""),
        (
            "https://API.example.com",
            "definition.url_invalid",
            "write `https://api.example.com`",
        ),
        (
            "https://api.example.com:443",
            "definition.url_invalid",
            "plain form",
        ),
        (
            "http://0x7f.1",
            "definition.url_invalid",
            "`http://127.0.0.1`",
        ),
        (
            "https://api.example.com/a/../b",
            "definition.url_invalid",
            "",
        ),
        (
            "https://api.example.com/?api_key=sk_live_123",
            "definition.secret_in_url",
            "api_key=***",
        ),
        (
            "https://api.example.com/{{acount}}",
            "definition.template_unknown",
            "known are window.start",
        ),
        (
            "https://{{ window.start | date }}.example.com",
            "definition.template_unknown",
            "",
        ),
        (
            "https://{{ connection.shop }}.example.com",
            "definition.template_unknown",
            "has no variable `shop`",
        ),
    ] {
        let found = expect(
            &connection(&format!("base_url: \"{url}\"")),
            code,
            "base_url",
            says,
        );
        assert!(
            !found.to_string().contains("hunter2") && !found.to_string().contains("sk_live"),
            "{found}"
        );
    }
}

#[test]
fn paths_are_checked() {
    for (path, says) in [
        ("v3/x", "write `/v3/x`"),
        ("//evil.example.com/x", "starts with one"),
        ("https://evil.example.com/x", "base_url"),
        ("/a/../b", "refused"),
        ("/a/%2e%2e/b", "refused"),
        ("/a b", "write `/a%20b`"),
        ("/a\\\\b", ""),
        ("/a?b=c", "request.query"),
        ("/a#b", "never sent"),
        ("/a/{page}", ""),
    ] {
        expect(
            &request(&format!("path: \"{path}\"")),
            "definition.path",
            "request.path",
            says,
        );
    }
    expect(
        &request("path: \"/a?api_secret=abc\""),
        "definition.secret_in_url",
        "request.path",
        "api_secret=***",
    );
    expect(
        &request("path: /a\nquery: { a: \"{{ x }}\" }"),
        "definition.template_unknown",
        "request.query.a",
        "`{{ x }}`",
    );
    expect(
        &request(&format!("path: /a\nquery: {{ q: {} }}", "a".repeat(8193))),
        "definition.url_too_long",
        "request",
        "8192",
    );
}

#[test]
fn only_reading_methods_are_allowed() {
    for method in ["get", "\"GET / HTTP/1.1\\r\\nX: y\"", "DELETE", "PUT", "1"] {
        expect(
            &request(&format!("method: {method}")),
            "definition.method",
            "request.method",
            "only GET and POST are allowed",
        );
    }
    expect(
        &request("method: get"),
        "definition.method",
        "request.method",
        "write GET",
    );
    expect(
        &request("method: POST\nbody: { query: \"mutation { a }\" }"),
        "definition.graphql_mutation",
        "request.body.query",
        "only reads",
    );
    expect(
        &request("method: POST\nbody: { query: \"{{ 'muta' ~ 'tion' }} { a }\" }"),
        "definition.graphql_mutation",
        "request.body.query",
        "",
    );
    expect(
        &request("query: { query: \"mutation { a }\" }"),
        "definition.graphql_mutation",
        "request.query.query",
        "",
    );
}

#[test]
fn bodies_are_checked() {
    let large = format!("method: POST\nbody: {{ a: \"{}\" }}", "a".repeat(1_048_577));
    let found = problems(&request(&large), "a.yaml");
    assert!(found.iter().any(|p| matches!(p.code, "definition.body_too_large") && p.message.contains("1048576")), "{found:?}");
    expect(
        &request("body: { a: 1 }"),
        "definition.body",
        "request.body",
        "method: POST",
    );
    expect(
        &request("method: POST\nbody: just text"),
        "definition.body",
        "request.body",
        "JSON",
    );
    expect(
        &request("method: POST\nbody: 1"),
        "definition.type",
        "request.body",
        "",
    );
    expect(
        &request("method: POST\nbody: { a: 1 }\nform: { a: 1 }"),
        "definition.body",
        "request.form",
        "exclude",
    );
    expect(
        &request("method: POST\nbody: { a: 1, a: 2 }"),
        "definition.duplicate_field",
        "request.body.a",
        "first one is on line",
    );
    expect(
        &request("method: POST\nform: { api_key: sk_live_123 }"),
        "definition.secret_in_body",
        "request.form.api_key",
        "***",
    );
}

#[test]
fn headers_are_checked_without_showing_their_values() {
    let found = expect(
        &request("headers: { X-A: \"a\\r\\nX-Evil: 1\" }"),
        "definition.header_value",
        "request.headers.X-A",
        "`X-A`",
    );
    assert!(!found.to_string().contains("Evil"));
    expect(
        &request("headers: { X A: \"1\" }"),
        "definition.header_name",
        "request.headers[\"X A\"]",
        "`X A`",
    );
    expect(
        &request("headers: { X-A: é }"),
        "definition.header_value",
        "request.headers.X-A",
        "",
    );
    for name in [
        "Host",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Proxy-Authorization",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
    ] {
        expect(
            &request(&format!("headers: {{ {name}: chunked }}")),
            "definition.header_forbidden",
            &format!("request.headers.{name}"),
            name,
        );
    }
    let both = problems(
        &request("headers: { Transfer-Encoding: chunked, Content-Length: \"0\" }"),
        "a.yaml",
    );
    assert_eq!(
        both.iter()
            .filter(|p| p.code == "definition.header_forbidden")
            .count(),
        2
    );
    let many: Vec<String> = (0..65).map(|n| format!("X-{n}: a")).collect();
    expect(
        &request(&format!("headers: {{ {} }}", many.join(", "))),
        "definition.too_many_headers",
        "request.headers",
        "at most 64",
    );
    let found = expect(
        &request("headers: { Authorization: Bearer sk_live_123 }"),
        "definition.secret_in_header",
        "request.headers.Authorization",
        "secret set",
    );
    assert!(!found.to_string().contains("sk_live"));
    expect(
        &request("headers: { A: \"1\", a: \"2\" }"),
        "definition.duplicate_field",
        "request.headers.a",
        "twice",
    );
    expect(
        &connection("base_url: https://a.example.com\nauth: { header: { Host: { secret: x } } }"),
        "definition.header_forbidden",
        "auth.header.Host",
        "",
    );
}

#[test]
fn secrets_are_named_and_never_written() {
    for auth in [
        "{ bearer: sk_live_123 }",
        "{ bearer: { secret: sk-live-123 } }",
        "{ query: { api_key: sk_live_123 } }",
        "{ header: { X-Api-Key: sk_live_123 } }",
        "sk_live_123",
        "[sk_live_123]",
        "{ basic: { username: a, password: sk_live_123 } }",
        "{ basic: sk_live_123 }",
        "{ bearer: { secret: [sk_live_123] } }",
    ] {
        let found = problems(
            &connection(&format!("base_url: https://a.example.com\nauth: {auth}")),
            "a.yaml",
        );
        assert!(!found.is_empty(), "{auth}");
        assert!(
            found
                .iter()
                .all(|p| !p.to_string().contains("sk_live") && !p.to_string().contains("sk-live")),
            "{found:?}"
        );
    }
    let found = expect(
        &request("query: { api_key: sk_live_123, page: 1 }"),
        "definition.secret_in_url",
        "request.query.api_key",
        "api_key=***",
    );
    assert!(!found.to_string().contains("sk_live"));
    expect(
        &request("query: { token: \"a1b2c3d4e5f6a7b8\" }"),
        "definition.secret_in_url",
        "request.query.token",
        "***",
    );
    let fine = "query: { token: weekly, key: name, page_token: \"{{ now | unix }}\" }";
    assert_eq!(problems(&request(fine), "a.yaml"), vec![]);
    expect(
        &connection("base_url: https://a.example.com\nauth: { berer: { secret: a } }"),
        "definition.auth",
        "auth.berer",
        "did you mean `bearer`?",
    );
    expect(
        &connection("base_url: https://a.example.com\nauth: bearer"),
        "definition.auth",
        "auth",
        "{ bearer: { secret: name } }",
    );
}

fn auth(rest: &str) -> String {
    connection(&format!("base_url: https://a.example.com\nauth: {rest}"))
}

#[test]
fn oauth2_says_what_each_grant_needs() {
    const URL: &str = "token_url: https://t.example.com/token";
    let needed =
        |grant: &str, rest: &str| auth(&format!("{{ oauth2: {{ grant: {grant}, {URL}{rest} }} }}"));
    for (text, path, says) in [
        (
            auth("{ oauth2: {} }"),
            "auth.oauth2.grant",
            "`grant` is missing",
        ),
        (
            auth("{ oauth2: {} }"),
            "auth.oauth2.token_url",
            "`token_url` is missing",
        ),
        (
            needed("client_credentials", ""),
            "auth.oauth2.client_id",
            "needs `client_id`",
        ),
        (
            needed("client_credentials", ", client_id: a"),
            "auth.oauth2.client_secret",
            "needs `client_secret`",
        ),
        (
            needed("refresh_token", ""),
            "auth.oauth2.refresh_token",
            "needs `refresh_token`",
        ),
        (
            needed("authorization_code", ""),
            "auth.oauth2.authorize_url",
            "needs `authorize_url`",
        ),
        (needed("jwt_bearer", ""), "auth.oauth2.key", "needs `key`"),
        (
            needed(
                "jwt_bearer",
                ", key: { secret: k }, client_secret: { secret: s }",
            ),
            "auth.oauth2.client_id",
            "needs `client_id`",
        ),
    ] {
        expect(&text, "definition.required", path, says);
    }
    for (rest, path, says) in [
        (
            "{ oauth2: { grant: password } }",
            "auth.oauth2.grant",
            "known are client_credentials",
        ),
        (
            "{ oauth2: { grant: client_credentials, key: { secret: k } } }",
            "auth.oauth2.key",
            "goes with the grant jwt_bearer",
        ),
        (
            "{ oauth2: { grant: jwt_bearer, refresh_token: { secret: k } } }",
            "auth.oauth2.refresh_token",
            "goes with the grant refresh_token or authorization_code",
        ),
        (
            "{ oauth2: { grant: jwt_bearer, key: { secret: k }, lifetime: 2d } }",
            "auth.oauth2.lifetime",
            "from 1m to 1d",
        ),
        (
            "{ oauth2: { grant: jwt_bearer, key: { secret: k }, algorithm: HS256 } }",
            "auth.oauth2.algorithm",
            "known are RS256, ES256",
        ),
        (
            "{ oauth2: { grant: client_credentials, client_secret: sk_live_1 } }",
            "auth.oauth2.client_secret",
            "a secret is never written",
        ),
        (
            "{ oauth2: { grant: client_credentials, scopes: [\"\"] } }",
            "auth.oauth2.scopes[0]",
            "is no scope",
        ),
        (
            "{ oauth2: { grant: client_credentials, put: { header: A, query: b } } }",
            "auth.oauth2.put",
            "expected one of header, query, cookie",
        ),
        (
            "{ oauth2: { grant: client_credentials, put: { query: b, prefix: c } } }",
            "auth.oauth2.put.prefix",
            "goes with `header` alone",
        ),
        (
            "{ jwt_bearer: {} }",
            "auth.jwt_bearer",
            "is a grant of `oauth2`",
        ),
        ("oauth2", "auth", "grant: client_credentials"),
    ] {
        expect(&auth(rest), "definition.auth", path, says);
    }
    let complete = |rest: &str| {
        needed(
            "client_credentials",
            &format!(", client_id: a, client_secret: {{ secret: s }}, {rest}"),
        )
    };
    for (rest, code, path) in [
        (
            "parameters: { client_secret: a }",
            "definition.auth",
            "auth.oauth2.parameters.client_secret",
        ),
        (
            "parameters: { api_key: a }",
            "definition.secret_in_body",
            "auth.oauth2.parameters.api_key",
        ),
        (
            "parameters: { from: \"{{ window.start }}\" }",
            "definition.template_unknown",
            "auth.oauth2.parameters.from",
        ),
        (
            "put: { header: Host }",
            "definition.header_forbidden",
            "auth.oauth2.put.header",
        ),
        (
            "put: { cookie: \"a b\" }",
            "definition.header_name",
            "auth.oauth2.put.cookie",
        ),
    ] {
        expect(&complete(rest), code, path, "");
    }
    for (url, says) in [
        ("ftp://t.example.com/", "is not allowed"),
        ("/token", "not an absolute address"),
        ("https://me:pw@t.example.com/", "user name or password"),
        ("https://t.example.com/token#x", "fragment"),
    ] {
        let text = auth(&format!(
            "{{ oauth2: {{ grant: client_credentials, token_url: \"{url}\", client_id: a, client_secret: {{ secret: s }} }} }}"
        ));
        expect(
            &text,
            "definition.url_invalid",
            "auth.oauth2.token_url",
            says,
        );
    }
    let secret = auth(
        "{ oauth2: { grant: authorization_code, token_url: https://t.example.com, authorize_url: https://t.example.com, client_id: { secret: c }, refresh_token: { secret: r } } }",
    );
    expect(
        &secret,
        "definition.auth",
        "auth.oauth2.client_id",
        "text and no secret",
    );
}

#[test]
fn a_login_names_its_secrets_wherever_they_stand() {
    let request = |rest: &str| {
        auth(&format!(
            "{{ login: {{ token: t, request: {{ {rest} }} }} }}"
        ))
    };
    for (text, code, path, says) in [
        (
            auth("{ login: {} }"),
            "definition.required",
            "auth.login.request",
            "is missing",
        ),
        (
            auth("{ login: {} }"),
            "definition.required",
            "auth.login.token",
            "is missing",
        ),
        (
            request(""),
            "definition.auth",
            "auth.login.request",
            "expected `path`",
        ),
        (
            request("path: /in, url: https://b.example.com"),
            "definition.auth",
            "auth.login.request",
            "expected `path`",
        ),
        (
            request("path: in"),
            "definition.path",
            "auth.login.request.path",
            "starts with one `/`",
        ),
        (
            request("path: /in, method: PUT"),
            "definition.method",
            "auth.login.request.method",
            "GET and POST",
        ),
        (
            request("path: /in, method: GET, body: { a: 1 }"),
            "definition.body",
            "auth.login.request.body",
            "a GET has no",
        ),
        (
            request("path: /in, body: { a: 1 }, form: { a: b }"),
            "definition.body",
            "auth.login.request.form",
            "exclude",
        ),
        (
            request("path: /in, body: { user: { password: hunter22 } }"),
            "definition.secret_in_body",
            "auth.login.request.body.user.password",
            "***",
        ),
        (
            request("path: /in, body: { user: { secret: Hunter22 } }"),
            "definition.name_invalid",
            "auth.login.request.body.user.secret",
            "the name of a secret",
        ),
        (
            request("path: /in, form: { password: hunter22 }"),
            "definition.secret_in_body",
            "auth.login.request.form.password",
            "***",
        ),
        (
            request("path: /in, query: { api_key: hunter22 }"),
            "definition.secret_in_url",
            "auth.login.request.query.api_key",
            "***",
        ),
        (
            request("path: /in, headers: { Authorization: hunter22 }"),
            "definition.secret_in_header",
            "auth.login.request.headers.Authorization",
            "***",
        ),
        (
            request("path: /in, headers: { Host: { secret: a } }"),
            "definition.header_forbidden",
            "auth.login.request.headers.Host",
            "",
        ),
        (
            request("path: /in, basic: { username: a, password: hunter22 }"),
            "definition.secret_in_text",
            "auth.login.request.basic.password",
            "***",
        ),
        (
            auth("{ login: { request: { path: /in }, token: { header: a, cookie: b } } }"),
            "definition.auth",
            "auth.login.token",
            "expected one of header, cookie",
        ),
        (
            auth("{ login: { request: { path: /in }, token: { header: \"a b\" } } }"),
            "definition.header_name",
            "auth.login.token.header",
            "",
        ),
        (
            auth("{ login: { request: { path: /in }, token: t, lifetime: 10s } }"),
            "definition.auth",
            "auth.login.lifetime",
            "from 1m to 31d",
        ),
    ] {
        let found = expect(&text, code, path, says);
        assert!(
            !found.to_string().to_lowercase().contains("hunter"),
            "{found}"
        );
    }
}

#[test]
fn schedules_are_checked() {
    for bad in ["-1h", "59s", "32d", "1mo", "0s", "soon", "60", "1.5h"] {
        expect(
            &metric(&format!("schedule: {{ every: {bad} }}")),
            "definition.interval",
            "schedule.every",
            "",
        );
    }
    expect(
        &metric("schedule: { every: 30s }"),
        "definition.interval",
        "schedule.every",
        "60s to 31d",
    );
    expect(
        &metric("schedule: { cron: \"0 0 30 2 *\" }"),
        "definition.cron_never",
        "schedule.cron",
        "never fires",
    );
    expect(
        &metric("schedule: { cron: \"61 * * * *\" }"),
        "definition.cron",
        "schedule.cron",
        "five fields",
    );
    expect(
        &metric("schedule: { cron: \"* * * * * *\" }"),
        "definition.cron",
        "schedule.cron",
        "",
    );
    expect(
        &metric("schedule: {}"),
        "definition.schedule",
        "schedule",
        "",
    );
    expect(
        &metric("schedule: { every: 1h, cron: \"0 3 * * *\" }"),
        "definition.schedule",
        "schedule.cron",
        "exclude",
    );
    let both = metric("schedule: { every: -1h, cron: \"0 0 30 2 *\" }");
    for (code, path, says) in [
        ("definition.schedule", "schedule.cron", "exclude"),
        ("definition.interval", "schedule.every", "more than nothing"),
        ("definition.cron_never", "schedule.cron", "never fires"),
    ] {
        expect(&both, code, path, says);
    }
}

#[test]
fn a_number_too_large_is_told_at_its_place() {
    let large = "100000000000000000000";
    for digits in [large, "0xFFFFFFFFFFFFFFFFFF"] {
        let text = request(&format!("path: /x\nmax_pages: {digits}"));
        let found = problems(&text, "test.yaml");
        let about: Vec<_> = found
            .iter()
            .filter(|one| one.path == "request.max_pages")
            .collect();
        assert_eq!(about.len(), 1, "{found:#?}");
        assert!(
            about[0].message.contains("whole number from 1 to"),
            "{found:#?}"
        );
        assert!(about[0].message.contains(digits), "{found:#?}");
        assert_eq!(about[0].hint, None);
    }
    let json = format!(
        "{{\"kind\":\"metric\",\"name\":\"m\",\"connection\":\"c\",\"select\":{{\"value\":\"n\"}},\"request\":{{\"path\":\"/x\",\"max_pages\":{large}}}}}"
    );
    assert!(
        problems(&json, "body")
            .iter()
            .any(|one| one.path == "request.max_pages"),
        "{json}"
    );
    expect(
        &request(&format!("path: /x\nmethod: POST\nbody: {{ a: [{large}] }}")),
        "definition.number",
        "request.body.a[0]",
        "put it in quotes",
    );
    expect(
        &format!(
            "{}variables: {{ id: {large} }}\n",
            connection("base_url: https://a.example.com")
        ),
        "definition.number",
        "variables.id",
        "put it in quotes",
    );
}

#[test]
fn zones_are_iana_names() {
    for bad in [
        "EST5EDT4",
        "EST",
        "EST5EDT",
        "GMT+1",
        "Etc/GMT+1",
        "Mars/Base",
        "+02:00",
        "europe/paris",
        "\"\"",
    ] {
        expect(
            &metric(&format!("timezone: {bad}")),
            "definition.timezone",
            "timezone",
            "IANA",
        );
    }
    expect(
        &metric("timezone: europe/paris"),
        "definition.timezone",
        "timezone",
        "did you mean `Europe/Paris`?",
    );
    expect(
        &metric("timezone: New York"),
        "definition.timezone",
        "timezone",
        "America/New_York",
    );
    expect(
        &select("{ value: n, date: { path: d, zone: CET } }"),
        "definition.timezone",
        "select.date.zone",
        "",
    );
}

#[test]
fn words_of_closed_sets_list_the_known() {
    for (line, code, path, says) in [
        (
            "aggregation: avgg",
            "definition.aggregation",
            "aggregation",
            "sum, average, min, max, count, count_distinct, first, last, median, p90, p95, p99",
        ),
        (
            "aggregation: averge",
            "definition.aggregation",
            "aggregation",
            "did you mean `average`?",
        ),
        (
            "type: event",
            "definition.type_unknown",
            "type",
            "did you mean `events`?",
        ),
        (
            "resolution: all",
            "definition.resolution",
            "resolution",
            "hour, day, week",
        ),
        ("scope: pages", "definition.scope", "scope", "page, run"),
        (
            "favourable_trend: left",
            "definition.trend",
            "favourable_trend",
            "",
        ),
        (
            "week_start: Monday",
            "definition.week_start",
            "week_start",
            "did you mean `monday`?",
        ),
        ("covers: some", "definition.covers", "covers", ""),
        ("mode: merge", "definition.mode", "mode", "restate, upsert"),
        (
            "mode: upsert",
            "definition.mode",
            "mode",
            "only events are kept record by record",
        ),
        (
            "mode: upsert",
            "definition.key_required",
            "select.key",
            "such as its id",
        ),
        (
            "reject_limit: \"150%\"",
            "definition.reject_limit",
            "reject_limit",
            "from 0 to 1",
        ),
        (
            "format: { style: money }",
            "definition.format",
            "format.style",
            "",
        ),
        (
            "format: { decimals: 13 }",
            "definition.format",
            "format.decimals",
            "0 to 12",
        ),
    ] {
        expect(&metric(line), code, path, says);
    }
}

#[test]
fn a_metric_that_is_told_its_values_asks_nobody() {
    let pushed = |rest: &str| format!("kind: metric\nname: m\nsource: push\n{rest}\n");
    for (rest, path) in [
        ("request: { path: /x }", "request"),
        ("select: { value: n }", "select"),
        ("mode: upsert", "mode"),
        ("window: { last: 1d }", "window"),
    ] {
        expect(
            &pushed(rest),
            "definition.metric_source",
            path,
            "that are fetched",
        );
    }
    expect(
        &pushed("type: levels"),
        "definition.source",
        "type",
        "events only",
    );
    expect(
        "kind: metric\nname: m\nsource: pull\n",
        "definition.source",
        "source",
        "push",
    );
    expect(
        "kind: metric\nname: m\n",
        "definition.metric_source",
        "",
        "source: push",
    );
}

#[test]
fn deleted_records_need_a_mode_that_follows_them() {
    expect(
        &select("{ value: n, deleted: gone }"),
        "definition.deleted",
        "select.deleted",
        "`mode: upsert` only",
    );
}

#[test]
fn pagination_is_checked() {
    for (line, code, path, says) in [
        (
            "max_pages: 0",
            "definition.max_pages",
            "request.max_pages",
            "1 to 10000",
        ),
        (
            "max_pages: 10001",
            "definition.max_pages",
            "request.max_pages",
            "1 to 10000",
        ),
        (
            "pagination: { type: guess }",
            "definition.pagination_type",
            "request.pagination",
            "none, page, offset, cursor, next_url, link_header",
        ),
        (
            "pagination: { guess: {} }",
            "definition.pagination_type",
            "request.pagination.guess",
            "link_header",
        ),
        (
            "pagination: pages",
            "definition.pagination_type",
            "request.pagination",
            "did you mean `page`?",
        ),
        (
            "pagination: page",
            "definition.pagination",
            "request.pagination",
            "needs settings",
        ),
        (
            "pagination: { page: {} }",
            "definition.required",
            "request.pagination.page.param",
            "",
        ),
        (
            "pagination: { page: { param: p, totl: x } }",
            "definition.unknown_field",
            "request.pagination.page.totl",
            "did you mean `total`?",
        ),
        (
            "pagination: { page: { param: p, size_param: s } }",
            "definition.pagination",
            "request.pagination.page.size_param",
            "`size`",
        ),
        (
            "pagination: { cursor: { from: a, param: b, in: body } }",
            "definition.pagination",
            "request.pagination.cursor.in",
            "no body",
        ),
        (
            "pagination: { page: { param: p, in: path } }",
            "definition.pagination",
            "request.pagination.page.in",
            "{p}",
        ),
        (
            "pagination: { page: { param: Host, in: header } }",
            "definition.header_forbidden",
            "request.pagination.page.param",
            "",
        ),
        (
            "pagination: { page: { param: p, start: 1.5 } }",
            "definition.pagination",
            "request.pagination.page.start",
            "whole number",
        ),
        (
            "pagination: { next_url: {} }",
            "definition.required",
            "request.pagination.next_url.from",
            "",
        ),
    ] {
        expect(&request(line), code, path, says);
    }
    let found = expect(
        &request("query: { page: 1 }\npagination: { page: { param: page } }"),
        "definition.pagination",
        "request.pagination.page.param",
        "sets it",
    );
    assert!(!found.is_error());
}

#[test]
fn a_metric_has_one_source() {
    let base = connection("base_url: https://api.example.com");
    let of =
        |rest: &str| format!("{base}---\nkind: metric\nname: m\nselect: {{ value: n }}\n{rest}");
    expect(&of(""), "definition.metric_source", "", "either `dataset`");
    expect(
        &of("connection: api"),
        "definition.metric_source",
        "request",
        "",
    );
    expect(
        &of("request: { path: /x }"),
        "definition.metric_source",
        "connection",
        "",
    );
    expect(
        &of("dataset: d\nrequest: { path: /x }\nwindow: { last: 1d }"),
        "definition.metric_source",
        "request",
        "belongs to the dataset",
    );
    expect(
        &of("dataset: d"),
        "definition.dataset_unknown",
        "dataset",
        "no dataset `d`",
    );
    expect(
        &of("connection: apy\nrequest: {}"),
        "definition.connection_unknown",
        "connection",
        "did you mean `api`?",
    );
    expect(
        &format!("{base}---\n{base}"),
        "definition.name_taken",
        "name",
        "line 2",
    );
    expect(
        &connection("base_url: https://a.example.com\nconnector: nobody"),
        "definition.not_yet",
        "connector",
        "catalogue",
    );
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (text, code, path) in [
        (
            metric("type: levels\nover_time: median"),
            "definition.over_time",
            "over_time",
        ),
        (
            metric("type: events\nover_time: last"),
            "definition.over_time",
            "over_time",
        ),
        (
            metric("type: events"),
            "definition.date_required",
            "select.date",
        ),
        (
            metric("type: periods"),
            "definition.date_required",
            "select.date",
        ),
        (
            select("{ records: a }\naggregation: count_distinct"),
            "definition.value_required",
            "select.value",
        ),
        (
            select("{ value: { count: true } }\naggregation: average"),
            "definition.value_required",
            "select.value",
        ),
        (
            select("{ value: { count: true, path: a } }"),
            "definition.value",
            "select.value.path",
        ),
        (
            select("{ value: { count: false } }"),
            "definition.value",
            "select.value.count",
        ),
        (select("{ value: {} }"), "definition.value", "select.value"),
        (
            select("{ value: { path: a, scale: 0 } }"),
            "definition.value",
            "select.value.scale",
        ),
        (
            select("{ value: { path: a, number: german } }"),
            "definition.number_format",
            "select.value.number",
        ),
        (
            select("{ value: a, unit: b }\nunit: USD"),
            "definition.unit",
            "unit",
        ),
        (
            select("{ value: a, dimensions: { Bad Name: a } }"),
            "definition.name_invalid",
            "select.dimensions[\"Bad Name\"]",
        ),
        (
            select("{ value: a, records: { zip: [a] } }"),
            "definition.records",
            "select.records.zip",
        ),
        (
            select("{ value: \"\" }"),
            "definition.required",
            "select.value",
        ),
        (
            select("{ value: a, date: { path: d, format: \"%d/%m\" } }"),
            "definition.date_format",
            "select.date.format",
        ),
        (
            select("{ value: a, date: { path: d, format: \"%!\" } }"),
            "definition.date_format",
            "select.date.format",
        ),
        (
            select("{ value: a, date: { path: d, format: \"dd/MM/yyyy\" } }"),
            "definition.date_format",
            "select.date.format",
        ),
        (
            metric("window: { last: 90d }"),
            "definition.window_unused",
            "window",
        ),
        (
            metric("window: { step: 1d }"),
            "definition.required",
            "window.last",
        ),
        (
            metric("window: { last: 1y, step: 1h }"),
            "definition.window",
            "window.step",
        ),
        (
            metric("window: { last: 1d, lookback: 2d }"),
            "definition.window",
            "window.lookback",
        ),
        (
            request("query: { a: \"{{ window.start | date }}\" }"),
            "definition.window_missing",
            "request.query.a",
        ),
    ] {
        expect(&text, code, path, "");
    }
    let many: Vec<String> = (0..17).map(|n| format!("d{n}: a")).collect();
    expect(
        &select(&format!(
            "{{ value: a, dimensions: {{ {} }} }}",
            many.join(", ")
        )),
        "definition.too_many_dimensions",
        "select.dimensions",
        "at most 16",
    );
    expect(
        &select("{ value: a, date: { path: d, format: dd/MM/yyyy } }"),
        "definition.date_format",
        "select.date.format",
        "did you mean `%d/%m/%Y`?",
    );
}

#[test]
fn points_are_kept_for_a_day_at_least() {
    expect(
        &metric("keep: 1h"),
        "definition.keep",
        "keep",
        "a day at least",
    );
    expect(&metric("keep: long"), "definition.keep", "keep", "");
}

#[test]
fn a_calculated_metric_says_what_is_wrong_with_it() {
    let base = "kind: connection\nname: kit\nbase_url: https://api.example.com\n---\n\
                kind: metric\nname: paid\nconnection: kit\nrequest: { path: /paid }\nselect: { records: p }\nunit: USD\n---\n\
                kind: metric\nname: trials\nconnection: kit\nrequest: { path: /trials }\nselect: { records: t }\n---\n";
    let calculated = |rest: &str| format!("{base}kind: metric\nname: rate\n{rest}");
    let fine = calculated(
        "formula: paid / trials * 100\nweight: trials\nresolution: day\nformat: { style: percent }",
    );
    let bundle = definition::parse(&fine, "body").unwrap();
    assert_eq!(bundle.validate(&definition::NothingKnown), []);
    for (rest, code, path, says) in [
        (
            "formula: paid / * 2",
            "definition.formula",
            "formula",
            "at character 8: expected a number, a metric",
        ),
        (
            "formula: paid / trails",
            "definition.metric_unknown",
            "formula",
            "did you mean `trials`?",
        ),
        (
            "formula: paid / trials\nweight: trails",
            "definition.metric_unknown",
            "weight",
            "did you mean `trials`?",
        ),
        (
            "formula: paid + trials",
            "definition.formula_unit",
            "formula",
            "USD and a plain number",
        ),
        (
            "formula: trials / paid",
            "definition.formula_unit",
            "formula",
            "state `unit`",
        ),
        (
            "formula: rate + 1",
            "definition.formula_cycle",
            "formula",
            "from itself",
        ),
        (
            "formula: paid / trials\naggregation: sum",
            "definition.formula",
            "aggregation",
            "does not go with",
        ),
        (
            "formula: paid / trials\nconnection: kit",
            "definition.formula",
            "connection",
            "does not go with",
        ),
        (
            "formula: paid\n---\nkind: metric\nname: a\nformula: b + 1\n---\nkind: metric\nname: b\nformula: a + 1",
            "definition.formula_cycle",
            "formula",
            "a from b from a",
        ),
        (
            "connection: kit\nrequest: { path: /x }\nweight: trials",
            "definition.formula",
            "weight",
            "there is none",
        ),
    ] {
        expect(&calculated(rest), code, path, says);
    }
}

#[test]
fn response_settings_belong_to_their_format() {
    for (response, path, says) in [
        ("{ format: cvs }", "format", "did you mean `csv`?"),
        ("{ delimiter: \";\" }", "format", "is missing"),
        (
            "{ format: json, delimiter: \";\" }",
            "delimiter",
            "belongs to the format `csv`",
        ),
        (
            "{ format: csv, delimiter: \";;\" }",
            "delimiter",
            "is no delimiter",
        ),
        (
            "{ format: csv, lists: [a.b] }",
            "lists",
            "belongs to the format `xml`",
        ),
        ("{ format: csv, header: [a, a] }", "header", "named twice"),
        ("{ format: csv, header: 1 }", "header", ""),
        (
            "{ format: xml, lists: [a..b] }",
            "lists[0]",
            "is no path of elements",
        ),
        (
            "{ format: csv, encoding: latin-99 }",
            "encoding",
            "is not known",
        ),
        (
            "{ format: csv, compression: rar }",
            "compression",
            "known are auto, gzip, zip",
        ),
    ] {
        let text = request(&format!("response: {response}"));
        let path = format!("request.response.{path}");
        let code = match path.as_str() {
            "request.response.format" if says == "is missing" => "definition.required",
            "request.response.header" if says.is_empty() => "definition.type",
            _ => "definition.response_format",
        };
        expect(&text, code, &path, says);
    }
}

#[test]
fn pagination_to_be_recognised_is_recognised_by_a_preview() {
    expect(
        &request("pagination: auto"),
        "definition.pagination_auto",
        "request.pagination",
        "tidemark preview FILE",
    );
}

#[test]
fn further_requests_are_checked_like_the_first() {
    let next = |next: &str| {
        request(&format!(
            "{{ method: POST, path: /a, body: {{}}, pagination: {{ cursor: {{ from: c, param: c, next: {next} }} }} }}"
        ))
    };
    for (text, code, path) in [
        (next("{ path: elsewhere }"), "definition.path", "path"),
        (next("{ method: GET, body: {} }"), "definition.body", "body"),
        (next("{ method: PUT }"), "definition.method", "method"),
        (next("{ url: /b }"), "definition.unknown_field", "url"),
        (
            next("{ query: { api_key: 0123456789abcdef0123456789abcdef } }"),
            "definition.secret_in_url",
            "query.api_key",
        ),
        (
            next("{ body: { query: \"mutation { a }\" } }"),
            "definition.graphql_mutation",
            "body.query",
        ),
        (
            next("{ path: \"/b/{{ window.start }}\" }"),
            "definition.window_missing",
            "path",
        ),
    ] {
        expect(
            &text,
            code,
            &format!("request.pagination.cursor.next.{path}"),
            "",
        );
    }
    expect(
        &request("pagination: { next_url: { from: n, next: { path: /b } } }"),
        "definition.pagination",
        "request.pagination.next_url.next.path",
        "the whole address",
    );
    expect(
        &request("pagination: { next_url: { from: { header: \"a b\" } } }"),
        "definition.header_name",
        "request.pagination.next_url.from.header",
        "",
    );
    expect(
        &request("pagination: { page: { param: p, in: path } }"),
        "definition.pagination",
        "request.pagination.page.in",
        "must hold `{p}`",
    );
}

#[test]
fn unknown_and_repeated_fields_are_refused() {
    expect(
        &metric("descripton: x"),
        "definition.unknown_field",
        "descripton",
        "did you mean `description`?",
    );
    expect(
        &metric("title: a\ntitle: b"),
        "definition.duplicate_field",
        "title",
        "the first one is on line",
    );
    expect(
        &request("pagnation: none"),
        "definition.unknown_field",
        "request.pagnation",
        "did you mean `pagination`?",
    );
    expect(
        "kind: metrik\nname: a",
        "definition.kind",
        "kind",
        "did you mean `metric`?",
    );
    expect(
        "name: a",
        "definition.kind",
        "",
        "connection, dataset, metric",
    );
    expect(
        "<<: { a: 1 }\nkind: metric\nname: a",
        "definition.unknown_field",
        "[\"<<\"]",
        "merge",
    );
    let json = "{\"kind\":\"connection\",\"name\":\"a\",\n \"name\":\"b\",\"base_url\":\"https://a.example.com\"}";
    let found = problems(json, "a.json");
    assert_eq!(
        (found[0].code, found[0].line, found[0].column),
        ("definition.duplicate_field", 2, 2)
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let text = include_str!("bad.yaml");
    let found = definition::parse(text, "bad.yaml").unwrap_err();
    let printed: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn what_is_read_but_does_not_hold_is_told_at_once_too() {
    let text = include_str!("unfit.yaml");
    let found = definition::parse(text, "unfit.yaml")
        .unwrap()
        .validate(&Catalogue);
    let printed: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(printed.join("\n"));
}

/// Hostile shapes at the full size of a bundle: an answer comes, and soon enough to be an answer.
#[test]
fn large_and_strange_bundles_are_answered() {
    let full = 2 * 1024 * 1024;
    let keys: Vec<String> = (0..120)
        .map(|n| format!("{{{}{n}: ", "k".repeat(60)))
        .collect();
    let keys = keys.concat();
    for (name, start, unit) in [
        (
            "unknown fields",
            "kind: metric\nname: a\n",
            "aggrgation: x\n",
        ),
        (
            "leaves below long keys",
            &*format!("kind: dataset\nrequest: {{ body: {keys}["),
            "\"{{a}}\",",
        ),
        ("sequences", "", "- "),
        ("explicit keys", "", "? "),
        ("anchors", "a: ", "&a "),
        ("flow", "", "["),
        ("flow maps", "", "{"),
        ("quotes", "a: ", "\"\\\""),
        ("colons", "a: ", "b: "),
        ("tags", "a: ", "!!str "),
        ("directives", "", "%TAG ! x\n"),
        ("documents", "", "---\n"),
        ("carriage returns", "a: |\n", " \r"),
        (
            "mutations",
            "kind: dataset\nname: a\nconnection: b\nrequest: { method: POST, body: { query: \"",
            "mutation ",
        ),
    ] {
        let mut text = start.to_owned();
        while text.len() + unit.len() < full {
            text.push_str(unit);
        }
        let started = std::time::Instant::now();
        for source in ["a.yaml", "a.json"] {
            let found = definition::parse(&text, source).unwrap_err();
            assert!(found.len() <= definition::MAX_PROBLEMS, "{name}");
        }
        // Two reads take a second or two unoptimised; ten times that is neither slow machine nor luck.
        assert!(
            started.elapsed().as_secs() < 30,
            "{name} took {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn variables_that_cannot_be_known_are_refused() {
    let with = |more: &str| {
        format!(
            "kind: connection\nname: api\n{more}\n---\nkind: metric\nname: m\nconnection: api\nrequest: {{ path: \"/o/{{{{ connection.org }}}}\" }}\nselect: {{ records: items }}\n"
        )
    };
    expect(
        &with("base_url: https://a.example.com\nvariables: { orgs: 1 }"),
        "definition.template_unknown",
        "request.path",
        "has no variable `org`",
    );
    expect(
        &with(
            "base_url: \"https://{{ connection.org }}.example.com\"\nvariables: { org: { path: /me, select: id } }",
        ),
        "definition.template_unknown",
        "base_url",
        "has no variable `org`",
    );
    expect(
        &with(
            "base_url: \"https://{{ connection.org }}.example.com\"\nvariables: { org: \"evil.com/?x=\" }",
        ),
        "definition.url_invalid",
        "base_url",
        "",
    );
    expect(
        &with(
            "base_url: https://a.example.com\nvariables: { org: { path: \"/me/{{ now | date }}\", select: id } }",
        ),
        "definition.template_unknown",
        "variables.org.path",
        "only the connection's constant variables",
    );
    expect(
        &with("base_url: https://a.example.com\nvariables: { org: { path: me, select: id } }"),
        "definition.path",
        "variables.org.path",
        "starts with one `/`",
    );
    expect(
        &with(
            "base_url: https://a.example.com\nvariables: { org: 1, api_key: abcdefghijklmnop1234 }",
        ),
        "definition.secret_in_text",
        "variables.api_key",
        "***",
    );
}

#[test]
fn parents_that_cannot_be_are_refused() {
    let api = "kind: connection\nname: api\nbase_url: https://a.example.com\n";
    let dataset = |name: &str, more: &str| {
        format!("---\nkind: dataset\nname: {name}\nconnection: api\n{more}\n")
    };
    let stats = "request: { path: \"/b/{{ parent.id }}/stats\" }\nparent: { dataset: broadcasts }";
    expect(
        &format!("{api}{}", dataset("stats", stats)),
        "definition.dataset_unknown",
        "parent.dataset",
        "there is no dataset `broadcasts`",
    );
    expect(
        &format!(
            "{api}{}{}",
            dataset("stats", stats),
            dataset(
                "broadcasts",
                "request: { path: \"/x/{{ parent.id }}\" }\nparent: { dataset: stats }"
            )
        ),
        "definition.parent",
        "parent.dataset",
        "cannot descend from itself: stats of broadcasts of stats",
    );
    let broadcasts = dataset("broadcasts", "request: { path: /b }");
    expect(
        &format!(
            "{api}{broadcasts}{}",
            dataset(
                "stats",
                "request: { path: /s }\nparent: { dataset: broadcasts }"
            )
        ),
        "definition.parent_unused",
        "parent",
        "every record would ask for the same",
    );
    expect(
        &format!(
            "{api}{}",
            dataset("stats", "request: { path: \"/b/{{ parent.id }}\" }")
        ),
        "definition.parent_missing",
        "request.path",
        "there is no parent",
    );
    expect(
        &format!(
            "{api}{broadcasts}{}",
            dataset(
                "stats",
                &stats.replace("broadcasts }", "broadcasts, max_parents: 0 }")
            )
        ),
        "definition.parent",
        "parent.max_parents",
        "from 1 to 10000",
    );
}
