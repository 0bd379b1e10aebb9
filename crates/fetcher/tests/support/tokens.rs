//! What the tests of tokens share: a token server, connections to it, and their sealed secrets.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "tests and their helpers"
)]

use std::time::Duration;

use fetcher::Config;
use fetcher::auth::Patience;
use sample_api::Server;
use serde_json::{Value, json};
use service::{Identity, SealedSecret};
use wire::SyncRequest;

use super::{config, with_connection};

pub(crate) const SECRET: &str = "canary-7f3a-client-secret";

pub(crate) async fn sample() -> Server {
    let config = sample_api::Config {
        subscribers: 120,
        page_size: 20,
        secret: SECRET.to_owned(),
        today: Some("2026-11-22".parse().unwrap()),
        ..sample_api::Config::default()
    };
    Server::start(config).await.unwrap()
}

pub(crate) fn seal(
    identity: &Identity,
    name: &str,
    version: i64,
    value: &str,
    origins: &[String],
) -> wire::SealedSecret {
    let secret = SealedSecret {
        workspace: "default".to_owned(),
        name: name.to_owned(),
        version,
        origins: origins.to_vec(),
        value: value.into(),
    };
    wire::SealedSecret {
        name: name.to_owned(),
        version,
        sealed: service::seal(&identity.recipient(), &secret).unwrap(),
        origins: origins.to_vec(),
    }
}

pub(crate) fn sync_request(
    server: &Server,
    auth: Value,
    base: &str,
    secrets: Vec<wire::SealedSecret>,
) -> SyncRequest {
    let connection =
        json!({ "name": "api", "base_url": format!("{}{base}", server.url()), "auth": auth });
    let request = json!({
        "path": "/page",
        "pagination": { "page": { "param": "page", "total_pages": "total_pages" } },
    });
    SyncRequest {
        secrets,
        ..with_connection(connection, request)
    }
}

pub(crate) fn origins(server: &Server) -> Vec<String> {
    vec![server.url()]
}

pub(crate) fn settings(server: &Server, identity: &Identity) -> Config {
    Config {
        identities: vec![identity.clone()],
        patience: Patience {
            lease: Duration::from_secs(3),
            busy: Duration::from_secs(15),
            refusal: Duration::from_secs(30),
            ..Patience::default()
        },
        ..config(&[server.address()])
    }
}

pub(crate) fn oauth2(server: &Server, grant: Value) -> Value {
    let mut oauth2 = json!({
        "token_url": format!("{}/oauth/token", server.url()),
        "client_id": sample_api::CLIENT,
        "client_secret": { "secret": "client_secret" },
    });
    for (key, value) in grant.as_object().unwrap() {
        oauth2[key] = value.clone();
    }
    json!({ "oauth2": oauth2 })
}
