//! The client around the guard: redirects, credentials, pools, proxies, headers, certificates.

use crate::support;

use std::process::Command;

use serde_json::json;
use service::Identity;
use support::{
    Reply, Stub, answer, code, config, engine, message, ok, request, sync, tls_server,
    with_connection,
};

fn redirect(to: &str) -> Reply {
    answer("302 Found", &[("Location", to)], b"")
}

#[tokio::test]
async fn a_redirect_on_the_origin_keeps_credentials() {
    let identity = Identity::generate();
    let stub = Stub::start(|asked| {
        if asked.number == 0 {
            redirect("/there?page=1")
        } else {
            ok("[1]")
        }
    })
    .await;
    let mut settings = config(&[stub.address]);
    settings.identities = vec![identity.clone()];
    let auth = json!({"query": {"api_secret": {"secret": "key"}}});
    let mut order = with_connection(
        json!({"name": "api", "base_url": stub.url(), "auth": auth}),
        json!({"path": "/x?a=1"}),
    );
    order.secrets = vec![support::seal(&identity, &stub.url(), "canary-secret")];
    let (manifest, _) = sync(&engine(settings), &order).await;
    assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
    let asked = stub.asked();
    assert_eq!(asked[0].target(), "/x?a=1&api_secret=canary-secret");
    assert_eq!(asked[1].target(), "/there?page=1&api_secret=canary-secret");
    assert_eq!(
        manifest.pages[0].url,
        format!("{}/there?page=1", stub.url())
    );
    assert!(asked.iter().all(|asked| asked.header("referer").is_none()));
}

#[tokio::test]
async fn a_redirect_to_another_origin_carries_nothing() {
    let identity = Identity::generate();
    let other = Stub::start(|_| ok("[1]")).await;
    let target = format!("{}/y", other.url());
    let stub = Stub::start(move |_| redirect(&target)).await;
    let mut settings = config(&[stub.address, other.address]);
    settings.identities = vec![identity.clone()];
    for auth in [
        json!({"bearer": {"secret": "key"}}),
        json!({"query": {"k": {"secret": "key"}}}),
    ] {
        let connection = json!({"name": "api", "base_url": stub.url(), "auth": auth, "headers": {"X-Tenant": "mine", "Cookie": "a=b"}});
        let mut order = with_connection(connection, json!({"path": "/x"}));
        order.secrets = vec![support::seal(&identity, &stub.url(), "canary-secret")];
        let (manifest, _) = sync(&engine(settings.clone()), &order).await;
        assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
    }
    for asked in other.asked() {
        assert!(!format!("{asked:?}").contains("canary"), "{asked:?}");
        assert!(
            asked.header("x-tenant").is_none() && asked.header("cookie").is_none(),
            "{asked:?}"
        );
    }
    assert_eq!(other.asked().len(), 2);
}

#[tokio::test]
async fn a_credential_that_a_redirect_repeats_stays_at_its_origin() {
    let identity = Identity::generate();
    let other = Stub::start(|_| ok("[1]")).await;
    let home = other.url();
    let stub = Stub::start(move |asked| {
        let asked_with = asked.target();
        let query = asked_with.split_once('?').map_or("", |(_, query)| query);
        match asked.number {
            0 => redirect(&format!("{home}/items?{query}")),
            1 => redirect(&format!("{home}/items?back={}", query.replace('=', "%3D"))),
            _ => redirect(&format!("{home}/items?token=canary-secret")),
        }
    })
    .await;
    let mut settings = config(&[stub.address, other.address]);
    settings.identities = vec![identity.clone()];
    let run = async |auth: serde_json::Value| {
        let connection = json!({"name": "api", "base_url": stub.url(), "auth": auth});
        let mut order = with_connection(connection, json!({"path": "/x?a=1"}));
        order.secrets = vec![support::seal(&identity, &stub.url(), "canary-secret")];
        sync(&engine(settings.clone()), &order).await.0
    };
    let query = json!({"query": {"key": {"secret": "key"}}});
    let manifest = run(query.clone()).await;
    assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
    for auth in [query, json!({"bearer": {"secret": "key"}})] {
        let manifest = run(auth).await;
        assert!(
            message(&manifest).contains("credential to another origin"),
            "{}",
            message(&manifest)
        );
    }
    let heard = other.asked();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].target(), "/items?a=1");
}

#[tokio::test]
async fn redirects_to_closed_addresses_and_in_circles_are_refused() {
    let near = Stub::start(|_| ok("[1]")).await;
    let target = near.url();
    let (manifest, _, asked) = support::get(move |_| redirect(&target)).await;
    assert_eq!(
        (code(&manifest), asked.len()),
        ("egress.redirect_refused", 1)
    );
    assert_eq!(near.connections(), 0);
    for to in [
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "//localhost/",
        "/x",
    ] {
        let (manifest, ..) = support::get(move |_| redirect(to)).await;
        assert_eq!(code(&manifest), "egress.redirect_refused", "{to}");
    }
    let (manifest, _, asked) = support::get(|asked| redirect(&format!("/{}", asked.number))).await;
    assert_eq!(
        (code(&manifest), asked.len()),
        ("egress.redirect_refused", 6)
    );
    assert!(message(&manifest).contains(" → "), "{}", message(&manifest));
}

#[tokio::test]
async fn a_closed_address_is_refused_with_its_cure_and_never_contacted() {
    let stub = Stub::start(|_| ok("[1]")).await;
    let (manifest, _) = sync(
        &engine(config(&[])),
        &request(&stub.url(), json!({"path": "/x"})),
    )
    .await;
    assert_eq!(code(&manifest), "egress.address_forbidden");
    assert!(
        message(&manifest).contains(&format!("--allow-host {}", stub.address)),
        "{}",
        message(&manifest)
    );
    assert_eq!(stub.connections(), 0);
    let open = fetcher::fetch_once(
        &format!("{}/x", stub.url()),
        &[],
        &fetcher::Guard::new(config(&[]).guard),
    )
    .await;
    let closed = fetcher::fetch_once(
        "http://127.0.0.1:1/x",
        &[],
        &fetcher::Guard::new(config(&[]).guard),
    )
    .await;
    let text = |error: fetcher::PageError, port: u16| {
        error.to_string().replace(&format!(":{port}"), ":PORT")
    };
    assert_eq!(
        text(open.expect_err("refused"), stub.address.port()),
        text(closed.expect_err("refused"), 1),
        "the same words for open and closed ports"
    );
}

#[tokio::test]
async fn a_look_at_an_address_returns_what_is_there() {
    let stub = Stub::start(|_| {
        answer(
            "200 OK",
            &[
                ("Link", "</x?page=2>; rel=\"next\""),
                ("Content-Type", "application/json"),
            ],
            b"{\"a\":1}",
        )
    })
    .await;
    let guard = fetcher::Guard::new(config(&[stub.address]).guard);
    let headers = [("X-Key".to_owned(), "v".to_owned())];
    let glance = fetcher::fetch_once(&format!("{}/x", stub.url()), &headers, &guard)
        .await
        .expect("a page");
    assert_eq!(
        (
            glance.status.as_u16(),
            glance.headers.get("link").map(http::HeaderValue::as_bytes),
            &glance.body[..]
        ),
        (
            200,
            Some(&b"</x?page=2>; rel=\"next\""[..]),
            &b"{\"a\":1}"[..]
        )
    );
    assert_eq!(stub.asked()[0].header("x-key"), Some("v"));
    let host = [("Host".to_owned(), "169.254.169.254".to_owned())];
    let refused = fetcher::fetch_once(&format!("{}/x", stub.url()), &host, &guard)
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), "definition.header_forbidden");
}

#[tokio::test]
async fn connections_are_reused_within_a_workspace_and_never_across() {
    let stub = Stub::start(|_| ok("[1]")).await;
    let engine = engine(config(&[stub.address]));
    let mut order = request(&stub.url(), json!({"path": "/x"}));
    for workspace in ["a", "a", "b", "b", "a"] {
        order.workspace = workspace.to_owned();
        assert_eq!(sync(&engine, &order).await.0.outcome, "complete");
    }
    assert_eq!((stub.asked().len(), stub.connections()), (5, 2));
}

#[tokio::test]
async fn an_echoed_secret_is_masked_everywhere() {
    let identity = Identity::generate();
    for (status, body) in [
        ("400 Bad Request", "bad key sk_live_123"),
        ("200 OK", "<html>bad key sk_live_123"),
        (
            "200 OK",
            "{\"next\":\"https://h/?key=sk_live_123\",\"k\":\"c2tfbGl2ZV8xMjM=\"}",
        ),
    ] {
        let stub = Stub::start(move |_| answer(status, &[], body.as_bytes())).await;
        let mut settings = config(&[stub.address]);
        settings.identities = vec![identity.clone()];
        let auth = json!({"bearer": {"secret": "key"}});
        let mut order = with_connection(
            json!({"name": "api", "base_url": stub.url(), "auth": auth}),
            json!({"path": "/x"}),
        );
        order.secrets = vec![support::seal(&identity, &stub.url(), "sk_live_123")];
        let (manifest, memory) = sync(&engine(settings), &order).await;
        let everything = format!("{manifest:?} {:?}", memory.pages.lock().expect("pages"));
        assert!(
            !everything.contains("sk_live_123") && !everything.contains("c2tfbGl2"),
            "{everything}"
        );
        assert!(everything.contains("***"), "{everything}");
        if status.starts_with("400") {
            assert_eq!(
                manifest.error.as_ref().map(|error| error.excerpt.as_str()),
                Some("bad key ***")
            );
        }
    }
}

#[tokio::test]
async fn a_secret_for_another_origin_is_not_sent() {
    let identity = Identity::generate();
    let stub = Stub::start(|_| ok("[1]")).await;
    let mut settings = config(&[stub.address]);
    settings.identities = vec![identity.clone()];
    let auth = json!({"bearer": {"secret": "key"}});
    let mut order = with_connection(
        json!({"name": "api", "base_url": stub.url(), "auth": auth}),
        json!({"path": "/x"}),
    );
    order.secrets = vec![support::seal(
        &identity,
        "https://api.convertkit.com",
        "canary",
    )];
    let (manifest, _) = sync(&engine(settings), &order).await;
    assert_eq!(
        (code(&manifest), manifest.needs_attention),
        ("secret.origin_refused", true)
    );
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn a_rate_limit_without_nats_sends_nothing() {
    let stub = Stub::start(|_| ok("[1]")).await;
    let connection = json!({"name": "api", "base_url": stub.url(), "rate_limit": {"requests": 10, "per": "60s"}});
    let (manifest, _) = sync(
        &engine(config(&[stub.address])),
        &with_connection(connection, json!({"path": "/x"})),
    )
    .await;
    assert_eq!((code(&manifest), stub.asked().len()), ("fetcher.budget", 0));
}

/// Runs itself in a process whose environment names a proxy.
#[tokio::test]
async fn proxy_variables_are_ignored() {
    let stub = Stub::start(|_| ok("[1]")).await;
    if std::env::var_os("TIDEMARK_TEST_INNER").is_some() {
        let (manifest, _) = sync(
            &engine(config(&[stub.address])),
            &request(&stub.url(), json!({"path": "/x"})),
        )
        .await;
        assert_eq!(manifest.outcome, "complete", "{}", message(&manifest));
        return;
    }
    let proxy = Stub::start(|_| answer("502 Bad Gateway", &[], b"")).await;
    let program = std::env::current_exe().expect("this test");
    let url = proxy.url();
    let status = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--exact", "proxy_variables_are_ignored"])
            .env("TIDEMARK_TEST_INNER", "1")
            .envs(
                [
                    "http_proxy",
                    "HTTP_PROXY",
                    "https_proxy",
                    "ALL_PROXY",
                    "all_proxy",
                ]
                .map(|name| (name, url.clone())),
            )
            .output()
            .expect("the inner test")
    })
    .await
    .expect("joined");
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stdout)
    );
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn certificates_are_checked_and_the_reason_is_named() {
    let authority = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/tls/authority.pem"
    ))
    .expect("pem");
    for (name, trusts, says) in [
        ("good", true, ""),
        ("good", false, "UnknownIssuer"),
        ("expired", true, "expired"),
        ("wrong_host", true, "not valid for name"),
        ("self_signed", true, "UnknownIssuer"),
    ] {
        let address = tls_server(name);
        let mut settings = config(&[address]);
        settings.extra_authorities = trusts.then(|| authority.clone());
        let (manifest, _) = sync(
            &engine(settings),
            &request(&format!("https://{address}"), json!({"path": "/x"})),
        )
        .await;
        if says.is_empty() {
            assert_eq!(
                manifest.outcome,
                "complete",
                "{name}: {} {}",
                code(&manifest),
                message(&manifest)
            );
        } else {
            assert_eq!(
                (code(&manifest), manifest.requests),
                ("upstream.tls", 1),
                "{name}"
            );
            assert!(
                message(&manifest).contains(says),
                "{name}: {}",
                message(&manifest)
            );
        }
    }
}
