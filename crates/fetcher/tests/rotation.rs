//! Refresh tokens that are good for one use: never handed in twice, and not lost when fetchers die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests and their helpers"
)]

use crate::support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::testing::TestServer;
use bus::{Ask, Bus};
use bytes::Bytes;
use fetcher::sync_run::Engine;
use sample_api::Server;
use serde_json::json;
use service::Identity;
use support::tokens::{SECRET, oauth2, origins, sample, seal, settings, sync_request};
use support::{engine, message, sync};
use tokio_util::sync::CancellationToken;
use wire::message::{decode, encode};
use wire::subject::filter;
use wire::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted, SyncRequest};

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
