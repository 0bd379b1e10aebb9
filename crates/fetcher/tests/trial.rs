//! Trying a connection says what fails, in plain words, with real sockets and real certificates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests and their helpers"
)]

use crate::support;

use std::time::Duration;

use fetcher::Config;
use serde_json::{Value, json};
use service::Identity;
use support::{Reply, Stub, answer, config, engine, ok, seal};
use wire::{ConnectionTest, ConnectionTested};

async fn tried(settings: Config, connection: Value, path: &str) -> ConnectionTested {
    let asked = ConnectionTest {
        workspace: "default".to_owned(),
        connection: Some(connection.into()),
        path: path.to_owned(),
        ..ConnectionTest::default()
    };
    engine(settings).try_connection(&asked).await
}

fn at(url: &str) -> Value {
    json!({ "name": "api", "base_url": url })
}

/// Checks the step that failed, its code, and what is said about why and what to do.
#[track_caller]
fn broken(tested: &ConnectionTested, step: &str, code: &str, says: &str, cure: &str) {
    let shown = format!("{tested:#?}");
    assert!(!tested.ok, "{shown}");
    let last = tested.steps.last().expect("a step");
    assert_eq!(
        (last.step.as_str(), last.outcome.as_str()),
        (step, "failed"),
        "{shown}"
    );
    let error = tested.error.as_ref().expect("an error");
    assert_eq!(error.code, code, "{shown}");
    assert!(error.message.contains(says), "{shown}");
    assert!(tested.cure.contains(cure), "{shown}");
    assert!(
        tested
            .steps
            .iter()
            .rev()
            .skip(1)
            .all(|step| step.outcome == "passed")
    );
}

#[tokio::test]
async fn a_connection_that_works_shows_each_step() {
    let stub = Stub::start(|_| ok("{\"items\":[]}")).await;
    let identity = Identity::generate();
    let settings = Config {
        identities: vec![identity.clone()],
        ..config(&[stub.address])
    };
    let asked = ConnectionTest {
        workspace: "default".to_owned(),
        connection: Some(
            json!({ "name": "api", "base_url": stub.url(), "auth": { "bearer": { "secret": "key" } } }).into(),
        ),
        secrets: vec![seal(&identity, &stub.url(), "canary-81")],
        path: "/v1/things?limit=1".to_owned(),
        ..ConnectionTest::default()
    };
    let tested = engine(settings).try_connection(&asked).await;
    assert!(tested.ok, "{tested:#?}");
    let steps: Vec<&str> = tested.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["secrets", "address", "connect", "answer", "body"]);
    assert_eq!(stub.asked()[0].target(), "/v1/things?limit=1");
    assert_eq!(
        stub.asked()[0].header("authorization"),
        Some("Bearer canary-81")
    );
    assert!(!serde_json::to_string(&tested).unwrap().contains("canary"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_apart() {
    let tested = tried(
        config(&[]),
        at("https://no-such-name.tidemark-test.example"),
        "",
    )
    .await;
    broken(
        &tested,
        "address",
        "egress.dns_failed",
        "",
        "spelled in base_url",
    );

    let tested = tried(config(&[]), at("http://127.0.0.1:8080"), "").await;
    broken(
        &tested,
        "address",
        "egress.address_forbidden",
        "",
        "--allow-host 127.0.0.1:8080",
    );

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let tested = tried(config(&[nobody]), at(&format!("http://{nobody}")), "").await;
    broken(
        &tested,
        "connect",
        "upstream.connect_failed",
        "no connection",
        "nothing listens",
    );
}

#[tokio::test]
async fn certificates_are_told_apart() {
    let authority = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/tls/authority.pem"
    ))
    .unwrap();
    for (name, says, cure) in [
        ("expired", "expired", "operator must renew"),
        ("self_signed", "UnknownIssuer", "--extra-ca"),
        ("wrong_host", "not valid for name", "another name"),
    ] {
        let address = support::tls_server(name);
        let settings = Config {
            extra_authorities: Some(authority.clone()),
            ..config(&[address])
        };
        let tested = tried(settings, at(&format!("https://{address}")), "").await;
        broken(&tested, "connect", "upstream.tls", says, cure);
    }
    // No TLS at all behind https: servers answer what they take for a broken request.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, refusal)
                .await
                .unwrap();
        }
    });
    let tested = tried(config(&[address]), at(&format!("https://{address}")), "").await;
    broken(&tested, "connect", "upstream.tls", "", "scheme and port");
}

#[tokio::test]
async fn answers_that_are_no_data_are_told_apart() {
    for (reply, step, code, says, cure) in [
        (
            ("401 Unauthorized", "{\"error\":\"no\"}"),
            "answer",
            "upstream.unauthorized",
            "401",
            "wants credentials",
        ),
        (
            ("403 Forbidden", "{}"),
            "answer",
            "upstream.forbidden",
            "403",
            "write the connection's `auth`",
        ),
        (
            ("404 Not Found", "{}"),
            "answer",
            "upstream.not_found",
            "404",
            "the path is wrong",
        ),
        (
            ("503 Service Unavailable", "{}"),
            "answer",
            "upstream.server_error",
            "503",
            "not well",
        ),
        (
            ("200 OK", "<html><body>Sign in</body></html>"),
            "body",
            "upstream.not_json",
            "login or error page",
            "documentation",
        ),
    ] {
        let (status, body) = reply;
        let stub =
            Stub::start(move |_| answer(status, &[("Content-Type", "text/html")], body.as_bytes()))
                .await;
        let tested = tried(config(&[stub.address]), at(&stub.url()), "/x").await;
        broken(&tested, step, code, says, cure);
    }
    let elsewhere = Stub::start(|_| ok("[]")).await;
    let target = format!("{}/in", elsewhere.url());
    let stub = Stub::start(move |_| answer("302 Found", &[("Location", &target)], b"")).await;
    let tested = tried(
        config(&[stub.address, elsewhere.address]),
        at(&stub.url()),
        "",
    )
    .await;
    broken(
        &tested,
        "answer",
        "upstream.bad_response",
        "a redirect to",
        &elsewhere.url(),
    );
}

#[tokio::test]
async fn too_large_and_too_slow_are_told_apart() {
    let stub = Stub::start(|_| ok(&format!("[{}1]", "1,".repeat(4000)))).await;
    let mut settings = config(&[stub.address]);
    settings.limits.body = 1000;
    let tested = tried(settings, at(&stub.url()), "").await;
    broken(
        &tested,
        "body",
        "upstream.body_too_large",
        "too large",
        "answers less",
    );

    let stub = Stub::start(|_| Reply::Hang).await;
    let mut settings = config(&[stub.address]);
    (settings.limits.first_byte, settings.limits.connect) =
        (Duration::from_millis(200), Duration::from_millis(200));
    let tested = tried(settings, at(&stub.url()), "").await;
    broken(
        &tested,
        "answer",
        "upstream.timeout",
        "no answer within",
        "slow",
    );
}

#[tokio::test]
async fn a_token_that_is_refused_names_the_token_server() {
    let token_server =
        Stub::start(|_| answer("401 Unauthorized", &[], b"{\"error\":\"invalid_client\"}")).await;
    let stub = Stub::start(|_| ok("[]")).await;
    let identity = Identity::generate();
    let settings = Config {
        identities: vec![identity.clone()],
        ..config(&[stub.address, token_server.address])
    };
    let oauth2 = json!({
        "grant": "client_credentials", "token_url": format!("{}/token", token_server.url()),
        "client_id": "me", "client_secret": { "secret": "key" },
    });
    let asked = ConnectionTest {
        workspace: "default".to_owned(),
        connection: Some(
            json!({ "name": "api", "base_url": stub.url(), "auth": { "oauth2": oauth2 } }).into(),
        ),
        secrets: vec![seal(&identity, &token_server.url(), "canary-82")],
        ..ConnectionTest::default()
    };
    let tested = engine(settings).try_connection(&asked).await;
    broken(
        &tested,
        "token",
        "token.refused",
        "the token server answered 401: invalid_client",
        "store them again",
    );
    assert!(stub.asked().is_empty());
    let missing = ConnectionTest {
        secrets: Vec::new(),
        ..asked
    };
    let tested = engine(config(&[stub.address]))
        .try_connection(&missing)
        .await;
    broken(
        &tested,
        "secrets",
        "secret.missing",
        "is not set",
        "tidemark secret set",
    );
}

#[tokio::test]
async fn a_trial_asks_what_a_metric_asks_with_the_variables_looked_up() {
    let stub = Stub::start(|request| match request.target() {
        "/me" => ok("{\"org\":{\"id\":17}}"),
        "/orgs/17/events?since=2026-01-01&page=1" => ok("{\"events\":[]}"),
        _ => answer("404 Not Found", &[], b"{}"),
    })
    .await;
    let asked = |select: &str, path: &str| ConnectionTest {
        workspace: "default".to_owned(),
        connection: Some(
            json!({ "name": "api", "base_url": stub.url(),
                "variables": { "org": { "path": "/me", "select": select } } })
            .into(),
        ),
        request: Some(
            json!({ "path": path, "query": { "since": "{{ window.start | date }}" },
                "pagination": { "page": { "param": "page" } } })
            .into(),
        ),
        window: Some(wire::Window {
            start: "2026-01-01T00:00:00Z".to_owned(),
            end: "2026-02-01T00:00:00Z".to_owned(),
        }),
        timezone: "UTC".to_owned(),
        asks_for: "events_held".to_owned(),
        ..ConnectionTest::default()
    };
    let engine = engine(config(&[stub.address]));
    let path = "/orgs/{{ connection.org }}/events";
    let tested = engine.try_connection(&asked("org.id", path)).await;
    assert!(tested.ok, "{tested:#?}");
    let steps: Vec<&str> = tested.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["address", "variables", "connect", "answer", "body"]);
    assert!(
        tested.steps[3].message.contains("as `events_held` asks"),
        "{tested:#?}"
    );

    let tested = engine.try_connection(&asked("org.key", path)).await;
    broken(
        &tested,
        "variables",
        "variable.look_up",
        "variable `org`",
        "variables.org.select",
    );
    let tested = engine.try_connection(&asked("org.id", "/wrong")).await;
    broken(
        &tested,
        "answer",
        "upstream.not_found",
        "404",
        "`request.path` of `events_held`",
    );
}

#[tokio::test]
async fn wrong_places_of_tokens_are_told_from_wrong_credentials() {
    let nothing = Stub::start(|_| answer("404 Not Found", &[], b"{}")).await;
    let page = Stub::start(|_| ok("<html>Welcome</html>")).await;
    let refusing = Stub::start(|_| answer("401 Unauthorized", &[], b"{}")).await;
    let giving = Stub::start(|request| match request.target() {
        "/token" | "/in" => ok("{\"access_token\":\"t0k3n-of-mine\",\"token\":\"t0k3n-of-mine\"}"),
        _ => answer("401 Unauthorized", &[], b"{}"),
    })
    .await;
    let identity = Identity::generate();
    let oauth2 = |url: String| {
        json!({ "oauth2": { "grant": "client_credentials", "token_url": format!("{url}/token"),
            "client_id": "me", "client_secret": { "secret": "key" } } })
    };
    let login = |url: String| {
        json!({ "login": { "request": { "url": format!("{url}/in"), "body": { "password": { "secret": "key" } } },
            "token": "token", "put": { "header": "Authorization" } } })
    };
    for (auth, stub, step, cure) in [
        (
            oauth2(nothing.url()),
            &nothing,
            "token",
            "check `auth.oauth2.token_url`",
        ),
        (
            oauth2(page.url()),
            &page,
            "token",
            "probably no token server",
        ),
        (
            oauth2(refusing.url()),
            &refusing,
            "token",
            "`tidemark secret set key`",
        ),
        (
            oauth2(giving.url()),
            &giving,
            "answer",
            "a token was given and the API does not take it",
        ),
        (
            login(nothing.url()),
            &nothing,
            "token",
            "check `auth.login.request.url`",
        ),
        (
            login(page.url()),
            &page,
            "token",
            "`auth.login.request.url`",
        ),
        (
            login(refusing.url()),
            &refusing,
            "token",
            "check its user and password",
        ),
        (
            login(giving.url()),
            &giving,
            "answer",
            "where the token is put",
        ),
    ] {
        let settings = Config {
            identities: vec![identity.clone()],
            ..config(&[stub.address])
        };
        let asked = ConnectionTest {
            workspace: "default".to_owned(),
            connection: Some(json!({ "name": "api", "base_url": stub.url(), "auth": auth }).into()),
            secrets: vec![seal(&identity, &stub.url(), "canary-83")],
            ..ConnectionTest::default()
        };
        let tested = engine(settings).try_connection(&asked).await;
        let last = tested.steps.last().expect("a step");
        assert_eq!(last.step, step, "{tested:#?}");
        assert!(
            !tested.ok && tested.cure.contains(cure),
            "no `{cure}` in {tested:#?}"
        );
    }
}
