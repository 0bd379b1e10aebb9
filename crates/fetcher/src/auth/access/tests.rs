//! Secrets on requests: where they belong, for their origins only.

use service::SealedSecret;

use super::*;

const VALUE: &str = "canary/51 &x";

fn connection(auth: &serde_json::Value) -> Connection {
    Connection::from_document(
        &serde_json::json!({"name": "kit", "base_url": "https://api.test", "auth": auth}),
    )
    .expect("a connection")
}

fn access(
    auth: &serde_json::Value,
    origins: &[&str],
    outer: &[&str],
) -> Result<Access, SecretFault> {
    let identity = Identity::generate();
    let secret = SealedSecret {
        workspace: "default".into(),
        name: "key".into(),
        version: 1,
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        value: VALUE.into(),
    };
    let sealed = wire::SealedSecret {
        name: "key".to_owned(),
        version: 1,
        sealed: service::seal(&identity.recipient(), &secret).expect("sealed"),
        origins: outer.iter().map(|origin| (*origin).to_owned()).collect(),
    };
    Access::open(
        "default",
        &connection(auth),
        &[sealed],
        &[identity],
        &scope(),
    )
}

fn scope() -> Scope {
    Scope {
        window: None,
        now: jiff::Timestamp::UNIX_EPOCH,
        zone: jiff::tz::TimeZone::UTC,
        connection: IndexMap::new(),
        parent: None,
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a url")
}

#[test]
fn each_kind_puts_the_secret_where_it_belongs() {
    let secret = serde_json::json!({"secret": "key"});
    let api = url("https://api.test/v3");
    for (auth, header, expected) in [
        (
            serde_json::json!({"bearer": secret}),
            "authorization",
            format!("Bearer {VALUE}"),
        ),
        (
            serde_json::json!({"header": {"X-Key": {"secret": "key", "prefix": "Token "}}}),
            "x-key",
            format!("Token {VALUE}"),
        ),
        (
            serde_json::json!({"basic": {"username": "api", "password": secret}}),
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("api:{VALUE}"))),
        ),
    ] {
        let access = access(&auth, &["https://api.test:443"], &[]).expect("access");
        let credentials = access.credentials(&api).expect("credentials");
        assert_eq!(
            credentials.headers[header].to_str().expect("text"),
            expected
        );
        assert!(credentials.headers[header].is_sensitive());
        assert!(!format!("{access:?}{credentials:?}").contains("canary"));
    }
    let access = access(
        &serde_json::json!({"query": {"api_secret": secret}}),
        &["https://api.test"],
        &[],
    );
    let credentials = access
        .expect("access")
        .credentials(&api)
        .expect("credentials");
    assert_eq!(credentials.query[0].0, "api_secret");
    assert_eq!(credentials.query[0].1.expose(), VALUE);
}

#[test]
fn a_secret_goes_to_its_own_origins_only() {
    let auth = serde_json::json!({"bearer": {"secret": "key"}});
    let bound =
        access(&auth, &["https://api.test:443"], &["https://evil.test:443"]).expect("access");
    for other in [
        "https://evil.test/",
        "http://api.test/",
        "https://api.test:8443/",
        "https://x.api.test/",
    ] {
        let fault = bound.credentials(&url(other)).expect_err(other);
        assert_eq!(fault.code(), "secret.origin_refused");
    }
    let outer = access(&auth, &[], &["https://api.test"]).expect("access");
    assert!(outer.credentials(&url("https://api.test/")).is_ok());
    let none = access(&auth, &[], &[]).expect("access");
    assert!(none.credentials(&url("https://api.test/")).is_err());
}

#[test]
fn a_missing_or_foreign_secret_is_told_by_name_alone() {
    let auth = serde_json::json!({"bearer": {"secret": "key"}});
    let missing =
        Access::open("default", &connection(&auth), &[], &[], &scope()).expect_err("missing");
    assert_eq!(missing.to_string(), "secret `key` is not set");
    let identity = Identity::generate();
    let foreign = SealedSecret {
        workspace: "other".into(),
        name: "key".into(),
        version: 1,
        origins: Vec::new(),
        value: VALUE.into(),
    };
    let sealed = wire::SealedSecret {
        name: "key".to_owned(),
        version: 1,
        sealed: service::seal(&identity.recipient(), &foreign).expect("sealed"),
        origins: Vec::new(),
    };
    let fault = Access::open(
        "default",
        &connection(&auth),
        &[sealed],
        &[identity],
        &scope(),
    )
    .expect_err("foreign");
    assert_eq!(fault.code(), "secret.closed");
}
