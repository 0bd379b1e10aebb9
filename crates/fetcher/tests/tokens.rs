//! Tokens: asked for once, shared, renewed when they end, and never lost when fetchers die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests and their helpers"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bus::testing::TestServer;
use bus::{Ask, Bus};
use bytes::Bytes;
use fetcher::Config;
use fetcher::auth::Patience;
use fetcher::sync_run::Engine;
use sample_api::Server;
use serde_json::{Value, json};
use service::{Identity, SealedSecret};
use support::{config, engine, message, sync, with_connection};
use tokio_util::sync::CancellationToken;
use wire::message::{decode, encode};
use wire::subject::filter;
use wire::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted, SyncRequest};

const SECRET: &str = "canary-7f3a-client-secret";

async fn sample() -> Server {
    let config = sample_api::Config {
        subscribers: 120,
        page_size: 20,
        secret: SECRET.to_owned(),
        today: Some("2026-11-22".parse().unwrap()),
        ..sample_api::Config::default()
    };
    Server::start(config).await.unwrap()
}

fn seal(
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

fn sync_request(
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

fn origins(server: &Server) -> Vec<String> {
    vec![server.url()]
}

fn settings(server: &Server, identity: &Identity) -> Config {
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

fn oauth2(server: &Server, grant: Value) -> Value {
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

#[tokio::test]
async fn client_credentials_are_exchanged_once_for_all_pages() {
    for client_auth in ["body", "header"] {
        let (server, identity) = (sample().await, Identity::generate());
        let auth = oauth2(
            &server,
            json!({ "grant": "client_credentials", "client_auth": client_auth, "scopes": ["read"] }),
        );
        let secrets = vec![seal(
            &identity,
            "client_secret",
            1,
            SECRET,
            &origins(&server),
        )];
        let request = sync_request(&server, auth, "/oauth/api", secrets);
        let engine = engine(settings(&server, &identity));
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(
            (manifest.outcome.as_str(), message(&manifest)),
            ("complete", "")
        );
        assert_eq!(memory.bodies().len(), 6);
        assert_eq!(server.tokens().0, 1, "{client_auth}");
        // The next run uses the same token.
        sync(&engine, &request).await;
        assert_eq!(server.tokens().0, 1);
    }
}

#[tokio::test]
async fn a_token_that_ended_is_renewed_once_by_all_pages() {
    let (server, identity) = (sample().await, Identity::generate());
    let auth = oauth2(
        &server,
        json!({ "grant": "client_credentials", "put": { "header": "X-Access-Token" } }),
    );
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        SECRET,
        &origins(&server),
    )];
    let request = sync_request(&server, auth, "/oauth/api", secrets);
    let engine = engine(settings(&server, &identity));
    sync(&engine, &request).await;
    server.revoke_tokens();
    let (manifest, memory) = sync(&engine, &request).await;
    assert_eq!(
        (manifest.outcome.as_str(), memory.bodies().len()),
        ("complete", 6)
    );
    assert_eq!(server.tokens().0, 2);
    // One that says when it ends is renewed before that.
    server.set_token_life(Duration::ZERO);
    server.revoke_tokens();
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(support::code(&manifest), "upstream.unauthorized");
    assert!(manifest.needs_attention);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_without_the_secret() {
    let (server, identity) = (sample().await, Identity::generate());
    let auth = oauth2(&server, json!({ "grant": "client_credentials" }));
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        "canary-wrong-secret",
        &origins(&server),
    )];
    let request = sync_request(&server, auth, "/oauth/api", secrets);
    let engine = engine(settings(&server, &identity));
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(
        message(&manifest),
        "the token server answered 401: invalid_client (the client is unknown, or its secret is wrong)"
    );
    assert_eq!(support::code(&manifest), "token.refused");
    assert!(manifest.needs_attention);
    assert!(!serde_json::to_string(&manifest).unwrap().contains("canary"));
    // Asking again at once would tell the same, and locks accounts elsewhere.
    sync(&engine, &request).await;
    assert_eq!(server.ledger().by_path["/oauth/token"], 1);
}

#[tokio::test]
async fn tokens_go_no_further_than_what_they_were_given_for() {
    let (server, identity) = (sample().await, Identity::generate());
    let other = sample().await;
    let auth = oauth2(&server, json!({ "grant": "client_credentials" }));
    // The secret was stored for the token server and the API of before; somebody edits base_url.
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        SECRET,
        &origins(&server),
    )];
    let request = sync_request(&other, auth.clone(), "/oauth/api", secrets.clone());
    let engine = engine(Config {
        guard: config(&[server.address(), other.address()]).guard,
        ..settings(&server, &identity)
    });
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(support::code(&manifest), "secret.origin_refused");
    assert_eq!(other.ledger().requests, 0);
    // Or token_url.
    let auth = oauth2(&other, json!({ "grant": "client_credentials" }));
    let (manifest, _) = sync(&engine, &sync_request(&server, auth, "/oauth/api", secrets)).await;
    assert_eq!(support::code(&manifest), "secret.origin_refused");
    assert_eq!(other.ledger().requests, 0);
}

const RSA: &str = include_str!("data/keys/rsa.pem");
const EC: &str = include_str!("data/keys/ec.pem");
/// DER: the public halves.
const RSA_PUBLIC: &[u8] = include_bytes!("data/keys/rsa.pub.der");
const EC_PUBLIC: &[u8] = include_bytes!("data/keys/ec.pub.der");

#[tokio::test]
async fn assertions_are_signed_with_either_kind_of_key() {
    let (server, identity) = (sample().await, Identity::generate());
    let google = json!({ "type": "service_account", "private_key": RSA, "private_key_id": "k1", "client_email": "me@project.example" }).to_string();
    for (key, algorithm, issuer) in [
        (EC, "ES256", Some("me@project.example")),
        (RSA, "RS256", Some("me@project.example")),
        (google.as_str(), "RS256", None),
    ] {
        let mut grant = json!({
            "grant": "jwt_bearer",
            "token_url": format!("{}/oauth/token", server.url()),
            "key": { "secret": "key" },
            "algorithm": algorithm,
            "scopes": ["a", "b"],
            "claims": { "tenant": "acme" },
            "lifetime": "10m",
        });
        if let Some(issuer) = issuer {
            grant["issuer"] = json!(issuer);
        }
        let secrets = vec![seal(&identity, "key", 1, key, &origins(&server))];
        let request = sync_request(&server, json!({ "oauth2": grant }), "/oauth/api", secrets);
        let (manifest, memory) = sync(&engine(settings(&server, &identity)), &request).await;
        assert_eq!(
            (message(&manifest), memory.bodies().len()),
            ("", 6),
            "{algorithm}"
        );
        let assertion = server.assertions().pop().unwrap();
        let (said, signature) = assertion.rsplit_once('.').unwrap();
        let (header, claims) = said.split_once('.').unwrap();
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (read(header), read(claims));
        assert_eq!(header["alg"], algorithm);
        assert_eq!(
            header["kid"],
            if issuer.is_none() {
                json!("k1")
            } else {
                Value::Null
            }
        );
        assert_eq!(claims["iss"], "me@project.example");
        assert_eq!(claims["sub"], "me@project.example");
        assert_eq!(claims["aud"], format!("{}/oauth/token", server.url()));
        assert_eq!(
            (&claims["scope"], &claims["tenant"]),
            (&json!("a b"), &json!("acme"))
        );
        let holds = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(holds, 600);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public: ring::signature::UnparsedPublicKey<&[u8]> = if algorithm == "ES256" {
            // The last 65 bytes of the public key's DER are its point.
            let point = &EC_PUBLIC[EC_PUBLIC.len() - 65..];
            ring::signature::UnparsedPublicKey::new(
                &ring::signature::ECDSA_P256_SHA256_FIXED,
                point,
            )
        } else {
            // The bit string within the DER holds the bare RSA key.
            let bare = &RSA_PUBLIC[24..];
            ring::signature::UnparsedPublicKey::new(
                &ring::signature::RSA_PKCS1_2048_8192_SHA256,
                bare,
            )
        };
        public.verify(said.as_bytes(), &signature).expect(algorithm);
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_told_without_showing_it() {
    let (server, identity) = (sample().await, Identity::generate());
    for (key, algorithm, says) in [
        ("canary-not-a-key", "RS256", "holds no private key"),
        (EC, "RS256", "holds a key that cannot sign RS256"),
        (
            "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
            "RS256",
            "holds a private key of a kind that is not supported",
        ),
    ] {
        let grant = json!({
            "grant": "jwt_bearer", "token_url": format!("{}/oauth/token", server.url()),
            "key": { "secret": "key" }, "algorithm": algorithm, "issuer": "me",
        });
        let secrets = vec![seal(&identity, "key", 1, key, &origins(&server))];
        let request = sync_request(&server, json!({ "oauth2": grant }), "/oauth/api", secrets);
        let (manifest, _) = sync(&engine(settings(&server, &identity)), &request).await;
        assert!(message(&manifest).contains(says), "{}", message(&manifest));
        assert!(!message(&manifest).contains("canary"));
        assert_eq!(support::code(&manifest), "token.unfit");
    }
}

#[tokio::test]
async fn a_login_is_put_where_it_belongs_and_done_again_when_it_ended() {
    let password = json!({ "secret": "password" });
    let json_body = json!({ "path": "/session", "body": { "user": { "name": "sample", "password": password } } });
    let form = json!({ "path": "/session", "form": { "user": "sample", "password": password } });
    let basic =
        json!({ "path": "/session", "basic": { "username": "sample", "password": password } });
    for (request, token, put) in [
        (
            &json_body,
            json!("session.token"),
            Some(json!({ "header": "X-Session" })),
        ),
        (&form, json!({ "header": "X-Session" }), None),
        (&basic, json!({ "cookie": "sid" }), None),
    ] {
        let (server, identity) = (sample().await, Identity::generate());
        let mut request = request.clone();
        // The login is beside the API's base path.
        request["url"] = json!(format!("{}/session", server.url()));
        request.as_object_mut().unwrap().shift_remove("path");
        let mut login = json!({ "request": request, "token": token, "lifetime": "30m" });
        if let Some(put) = put {
            login["put"] = put;
        }
        let secrets = vec![seal(&identity, "password", 1, SECRET, &origins(&server))];
        let request = sync_request(&server, json!({ "login": login }), "/session/api", secrets);
        let engine = engine(settings(&server, &identity));
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(
            (message(&manifest), memory.bodies().len()),
            ("", 6),
            "{token}"
        );
        server.revoke_tokens();
        let (manifest, _) = sync(&engine, &request).await;
        assert_eq!(message(&manifest), "");
        assert_eq!(server.tokens().0, 2, "concurrent pages renew once");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_says_so() {
    let (server, identity) = (sample().await, Identity::generate());
    let login = json!({
        "request": { "url": format!("{}/session", server.url()), "form": { "user": "sample", "password": { "secret": "password" } } },
        "token": "session.token",
    });
    let secrets = vec![seal(
        &identity,
        "password",
        1,
        "canary-wrong",
        &origins(&server),
    )];
    let request = sync_request(&server, json!({ "login": login }), "/session/api", secrets);
    let (manifest, _) = sync(&engine(settings(&server, &identity)), &request).await;
    assert_eq!(
        message(&manifest),
        "the login answered 401: invalid_login (the user is unknown, or the password is wrong)"
    );
}

/// The store's side in memory: sealed secrets by name, versions one at a time.
#[derive(Clone)]
struct Keeper {
    kept: Arc<Mutex<wire::SealedSecret>>,
    /// Whether it answers when something is brought.
    takes: Arc<std::sync::atomic::AtomicBool>,
}

impl Keeper {
    fn start(bus: &Bus, first: wire::SealedSecret) -> Self {
        let keeper = Keeper {
            kept: Arc::new(Mutex::new(first)),
            takes: Arc::new(true.into()),
        };
        for filter in [filter::secrets_wanted(), filter::secrets_replaced()] {
            let (bus, keeper) = (bus.clone(), keeper.clone());
            tokio::spawn(async move {
                let handler = move |ask: Ask| {
                    let keeper = keeper.clone();
                    async move { keeper.answer(&ask) }
                };
                bus.serve(&filter, "keeper", 4, CancellationToken::new(), handler)
                    .await;
            });
        }
        keeper
    }

    fn answer(&self, ask: &Ask) -> Bytes {
        let mut kept = self.kept.lock().unwrap();
        if ask.subject.ends_with("wanted") {
            decode::<SecretsWanted>(&ask.subject, &ask.payload).unwrap();
            let answer = SecretsRead {
                workspace: ask.workspace.clone(),
                secrets: vec![kept.clone()],
                error: String::new(),
            };
            return encode(&answer).unwrap().into();
        }
        let mut answer = SecretKept {
            workspace: ask.workspace.clone(),
            ..SecretKept::default()
        };
        if !self.takes.load(std::sync::atomic::Ordering::SeqCst) {
            return encode(&answer).unwrap().into();
        }
        let brought: SecretReplaced = decode(&ask.subject, &ask.payload).unwrap();
        assert!(
            !String::from_utf8_lossy(&ask.payload).contains("refresh-"),
            "sealed"
        );
        let secret = brought.secret.unwrap();
        answer.outcome = if secret.version == kept.version + 1 {
            *kept = secret;
            "kept".to_owned()
        } else {
            "conflict".to_owned()
        };
        encode(&answer).unwrap().into()
    }

    fn version(&self) -> i64 {
        self.kept.lock().unwrap().version
    }
}

struct Rotating {
    server: Server,
    identity: Identity,
    nats: TestServer,
    keeper: Keeper,
    request: SyncRequest,
}

async fn rotating() -> Rotating {
    let (server, identity) = (sample().await, Identity::generate());
    let nats = TestServer::start().await;
    let bus = nats.provisioned().await;
    let auth = oauth2(
        &server,
        json!({ "grant": "refresh_token", "refresh_token": { "secret": "refresh" } }),
    );
    let first = seal(
        &identity,
        "refresh",
        1,
        sample_api::REFRESH,
        &origins(&server),
    );
    let secrets = vec![
        seal(&identity, "client_secret", 1, SECRET, &origins(&server)),
        first.clone(),
    ];
    let request = sync_request(&server, auth, "/oauth/api", secrets);
    let keeper = Keeper::start(&bus, first);
    Rotating {
        server,
        identity,
        nats,
        keeper,
        request,
    }
}

impl Rotating {
    async fn engine(&self) -> Engine {
        engine(settings(&self.server, &self.identity)).sharing(self.nats.bus().await)
    }
}

#[tokio::test]
async fn two_fetchers_never_hand_in_one_refresh_token_twice() {
    let house = rotating().await;
    let (first, second) = (house.engine().await, house.engine().await);
    for round in 1..=5 {
        let (one, two) = tokio::join!(sync(&first, &house.request), sync(&second, &house.request));
        assert_eq!(
            (message(&one.0), message(&two.0)),
            ("", ""),
            "round {round}"
        );
        assert_eq!(house.server.tokens(), (round, 0));
        house.server.revoke_tokens();
    }
    assert_eq!(house.keeper.version(), 6);
    // A third that comes later uses what the others share.
    house.server.set_token_life(Duration::from_mins(10));
    sync(&first, &house.request).await;
    let third = house.engine().await;
    let (manifest, _) = sync(&third, &house.request).await;
    assert_eq!(message(&manifest), "");
    assert_eq!(house.server.tokens(), (6, 0));
}

#[tokio::test]
async fn a_run_that_goes_away_does_not_lose_the_next_refresh_token() {
    let house = rotating().await;
    let engine = Arc::new(house.engine().await);
    house.server.set_latency(Duration::from_millis(300));
    let (running, request) = (engine.clone(), house.request.clone());
    let run = tokio::spawn(async move { sync(&running, &request).await.0 });
    wait(|| {
        house.server.ledger().by_path.contains_key("/oauth/token") || house.server.tokens().0 > 0
    })
    .await;
    run.abort();
    house.server.set_latency(Duration::ZERO);
    wait(|| house.keeper.version() == 2).await;
    let (manifest, _) = sync(&engine, &house.request).await;
    assert_eq!((message(&manifest), house.server.tokens()), ("", (1, 0)));
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_is_waited_for_before_the_token_is_used() {
    let house = rotating().await;
    house
        .keeper
        .takes
        .store(false, std::sync::atomic::Ordering::SeqCst);
    let engine = Arc::new(house.engine().await);
    let (running, request) = (engine.clone(), house.request.clone());
    let run = tokio::spawn(async move { sync(&running, &request).await.0 });
    wait(|| house.server.tokens().0 == 1).await;
    // The other waits for the lease meanwhile, and hands nothing in.
    let other = house.engine().await;
    let (waiting, request) = (Arc::new(other), house.request.clone());
    let second = tokio::spawn(async move { sync(&waiting, &request).await.0 });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(house.server.ledger().by_path.get("/oauth/api/page"), None);
    house
        .keeper
        .takes
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let (one, two) = (run.await.unwrap(), second.await.unwrap());
    assert_eq!((message(&one), message(&two)), ("", ""));
    assert_eq!(house.server.tokens(), (1, 0));
}

#[tokio::test]
async fn a_fetcher_killed_between_exchange_and_keeping_leaves_a_clear_word() {
    let house = rotating().await;
    house
        .keeper
        .takes
        .store(false, std::sync::atomic::Ordering::SeqCst);
    // It dies with its whole runtime, as a process would.
    let (config, request) = (
        settings(&house.server, &house.identity),
        house.request.clone(),
    );
    let url = house.nats.url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move {
        let bus = Bus::connect(bus::BusConfig::new(&url, "doomed"))
            .await
            .unwrap();
        sync(&engine(config).sharing(bus), &request).await
    });
    wait(|| house.server.tokens().0 == 1).await;
    runtime.shutdown_background();
    house
        .keeper
        .takes
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let heir = house.engine().await;
    let (manifest, _) = sync(&heir, &house.request).await;
    assert_eq!(
        support::code(&manifest),
        "token.lost",
        "{}",
        message(&manifest)
    );
    assert!(
        message(&manifest).contains("authorize the connection again"),
        "{}",
        message(&manifest)
    );
    assert!(manifest.needs_attention);
}

#[tokio::test]
async fn what_is_shared_is_sealed() {
    let house = rotating().await;
    let engine = house.engine().await;
    sync(&engine, &house.request).await;
    let cells = house.nats.bus().await.tokens();
    let held = cells
        .get("default", "api", wire::stream::TokenCell::Access)
        .await
        .unwrap()
        .expect("it is shared");
    let text = String::from_utf8(held.value.to_vec()).unwrap();
    assert!(service::open(std::slice::from_ref(&house.identity), &text).is_ok());
    assert!(service::open(&[Identity::generate()], &text).is_err());
}

async fn wait(holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "it never held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
