//! Tokens, secrets, workspaces, settings, audit, migrations, and a database that goes away.

use store::{Error, Kind, NewToken, SealedSecret, Store};

use crate::fixture::{self, DAY, WS, apply, connection, metric, metrics};
use crate::on_both;

on_both!(
    a_token_is_found_by_its_hash_while_it_lives,
    the_first_admin_is_made_once,
    tokens_are_listed_and_revoked_by_workspace,
    a_secret_grows_by_one_version,
    secrets_are_listed_without_their_values,
    a_secret_without_origins_is_bound_once,
    settings_are_kept_and_put_once,
    a_workspace_goes_with_everything_in_it,
    nothing_crosses_workspaces,
    the_audit_trail_tells_who_did_what,
    the_audit_trail_is_swept_after_its_time,
    closed_stores_are_unavailable,
);

fn token(byte: u8, workspace: Option<&str>, role: &str, expires_at: Option<i64>) -> NewToken {
    NewToken {
        hash: [byte; 32],
        workspace: workspace.map(str::to_owned),
        role: role.into(),
        name: format!("token {byte}"),
        expires_at,
    }
}

async fn a_token_is_found_by_its_hash_while_it_lives(store: &Store) {
    let kept = store
        .insert_token("me", &token(1, Some(WS), "viewer", Some(5_000)))
        .await
        .unwrap();
    assert!(kept.id.starts_with("t_"));
    let found = store.token_by_hash(&[1; 32], 4_999).await.unwrap().unwrap();
    assert_eq!((&found.id, found.role.as_str()), (&kept.id, "viewer"));
    assert!(
        store
            .token_by_hash(&[1; 32], 5_000)
            .await
            .unwrap()
            .is_none(),
        "expired"
    );
    assert!(store.token_by_hash(&[2; 32], 0).await.unwrap().is_none());
    for now in [100_000, 130_000, 170_000] {
        store.touch_token(&kept.id, now).await.unwrap();
    }
    let listed = store.tokens(Some(WS)).await.unwrap();
    assert_eq!(listed[0].last_used_at, Some(170_000));
    let error = store
        .insert_token("me", &token(3, None, "king", None))
        .await
        .expect_err("no role");
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(store.sweep(5_001 + 30 * DAY).await.unwrap().tokens, 1);
}

async fn the_first_admin_is_made_once(store: &Store) {
    let tries = (0..6).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .insert_first_admin(&token(n, Some(WS), "admin", None))
                .await
        })
    });
    let mut made = 0;
    for attempt in tries.collect::<Vec<_>>() {
        made += usize::from(attempt.await.unwrap().unwrap().is_some());
    }
    assert_eq!((made, store.tokens(None).await.unwrap().len()), (1, 1));
}

async fn tokens_are_listed_and_revoked_by_workspace(store: &Store) {
    store.create_workspace("me", "other").await.unwrap();
    let here = store
        .insert_token("me", &token(1, Some(WS), "admin", None))
        .await
        .unwrap();
    let there = store
        .insert_token("me", &token(2, Some("other"), "admin", None))
        .await
        .unwrap();
    let all = store
        .insert_token("me", &token(3, None, "operator", None))
        .await
        .unwrap();
    assert_eq!(
        store.tokens(Some(WS)).await.unwrap(),
        std::slice::from_ref(&here)
    );
    assert_eq!(store.tokens(None).await.unwrap().len(), 3);
    assert!(!store.revoke_token(Some(WS), "me", &there.id).await.unwrap());
    assert!(!store.revoke_token(Some(WS), "me", &all.id).await.unwrap());
    assert!(store.revoke_token(Some(WS), "me", &here.id).await.unwrap());
    assert!(store.token_by_hash(&[1; 32], 0).await.unwrap().is_none());
    assert!(store.revoke_token(None, "me", &all.id).await.unwrap());
}

fn secret(name: &str, version: i64, sealed: &str, origins: &[&str]) -> SealedSecret {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    SealedSecret {
        name: name.into(),
        version,
        sealed: sealed.into(),
        origins,
    }
}

async fn a_secret_grows_by_one_version(store: &Store) {
    assert_eq!(store.next_secret_version(WS, "key").await.unwrap(), 1);
    let error = store
        .put_secret(WS, "me", &secret("key", 2, "x", &[]))
        .await
        .expect_err("gap");
    assert!(
        matches!(error, Error::Conflict { current: 0, .. }),
        "{error}"
    );
    store
        .put_secret(WS, "me", &secret("key", 1, "sealed-1", &["https://a:443"]))
        .await
        .unwrap();
    let error = store
        .put_secret(WS, "me", &secret("key", 1, "x", &[]))
        .await
        .expect_err("taken");
    assert!(
        matches!(error, Error::Conflict { current: 1, .. }),
        "{error}"
    );
    let error = store
        .put_secret(WS, "me", &secret("key", 3, "x", &[]))
        .await
        .expect_err("gap");
    assert!(
        matches!(error, Error::Conflict { current: 1, .. }),
        "{error}"
    );
    store
        .put_secret(WS, "me", &secret("key", 2, "sealed-2", &[]))
        .await
        .unwrap();
    let names = ["key".to_owned(), "none".to_owned()];
    let sealed = store.sealed_secrets(WS, &names).await.unwrap();
    assert_eq!(sealed, [secret("key", 2, "sealed-2", &[])]);
    assert!(store.delete_secret(WS, "me", "key").await.unwrap());
    assert!(!store.delete_secret(WS, "me", "key").await.unwrap());
    assert!(store.sealed_secrets(WS, &names).await.unwrap().is_empty());
    assert_eq!(
        store.next_secret_version(WS, "key").await.unwrap(),
        3,
        "versions never come twice"
    );
    store
        .put_secret(WS, "me", &secret("key", 3, "sealed-3", &[]))
        .await
        .unwrap();
    assert_eq!(store.secrets(WS).await.unwrap()[0].version, 3);
}

async fn secrets_are_listed_without_their_values(store: &Store) {
    let canary = "canary-7f3a";
    store
        .put_secret(WS, "me", &secret("key", 1, canary, &["https://a:443"]))
        .await
        .unwrap();
    let listed = store.secrets(WS).await.unwrap();
    assert_eq!(listed[0].origins, ["https://a:443"]);
    let sealed = store.sealed_secrets(WS, &["key".to_owned()]).await.unwrap();
    let audit = store.audit(None, 100, None).await.unwrap();
    for text in [
        format!("{listed:?}"),
        format!("{sealed:?}"),
        format!("{audit:?}"),
    ] {
        assert!(!text.contains(canary), "{text}");
    }
}

async fn a_secret_without_origins_is_bound_once(store: &Store) {
    store
        .put_secret(WS, "me", &secret("key", 1, "s", &[]))
        .await
        .unwrap();
    let bind = async |version, origins: &str| {
        let wanted: Vec<String> = origins.split(' ').map(str::to_owned).collect();
        store.bind_secret_origins(WS, "key", version, &wanted).await
    };
    assert!(!bind(2, "https://a:443").await.unwrap(), "another version");
    assert!(bind(1, "https://a:443 https://t:443").await.unwrap());
    assert!(bind(1, "https://t:443").await.unwrap(), "again is fine");
    assert!(!bind(1, "https://b:443").await.unwrap());
    assert!(!bind(1, "https://a:443 https://b:443").await.unwrap());
    assert_eq!(
        store.secrets(WS).await.unwrap()[0].origins,
        ["https://a:443", "https://t:443"]
    );
}

async fn settings_are_kept_and_put_once(store: &Store) {
    assert_eq!(store.setting("a").await.unwrap(), None);
    assert_eq!(store.put_setting_if_absent("a", "1").await.unwrap(), "1");
    assert_eq!(store.put_setting_if_absent("a", "2").await.unwrap(), "1");
    store.put_setting("a", "3").await.unwrap();
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("3"));
}

async fn a_workspace_goes_with_everything_in_it(store: &Store) {
    assert!(store.create_workspace("me", "other").await.unwrap());
    assert!(!store.create_workspace("me", "other").await.unwrap());
    let bundle = [
        connection("api", "https://a:443"),
        metric("one", "api", "/x"),
    ];
    store.apply("other", "me", &bundle).await.unwrap();
    store
        .put_secret("other", "me", &secret("key", 1, "s", &[]))
        .await
        .unwrap();
    store
        .insert_token("me", &token(1, Some("other"), "admin", None))
        .await
        .unwrap();
    assert!(store.delete_workspace("me", "other").await.unwrap());
    assert!(!store.delete_workspace("me", "other").await.unwrap());
    let names: Vec<String> = store
        .workspaces()
        .await
        .unwrap()
        .into_iter()
        .map(|workspace| workspace.name)
        .collect();
    assert_eq!(names, ["default"]);
    assert!(store.token_by_hash(&[1; 32], 0).await.unwrap().is_none());
    let error = store.apply("other", "me", &bundle).await.expect_err("gone");
    assert!(
        matches!(
            error,
            Error::NotFound {
                kind: "workspace",
                ..
            }
        ),
        "{error}"
    );
}

async fn nothing_crosses_workspaces(store: &Store) {
    store.create_workspace("me", "other").await.unwrap();
    let here = metrics(store, &["one"]).await;
    let bundle = [
        connection("api", "https://api.example.com:443"),
        metric("one", "api", "/things"),
    ];
    let there = store
        .apply("other", "me", &bundle)
        .await
        .unwrap()
        .remove(1)
        .dataset
        .unwrap();
    assert_ne!(here, there);
    assert!(store.dataset("other", &here).await.unwrap().is_none());
    assert!(
        store
            .definition("third", Kind::Metric, "one")
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.metrics_of("other", &here).await.unwrap().is_empty());
}

async fn the_audit_trail_tells_who_did_what(store: &Store) {
    let changes = [
        connection("api", "https://a:443"),
        metric("one", "api", "/x"),
    ];
    store.apply(WS, "t_anna", &changes).await.unwrap();
    store
        .record_audit(None, "operator", "restored", "store", "all", Some("{}"))
        .await
        .unwrap();
    let rows = store.audit(Some(WS), 10, None).await.unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|r| (r.actor.as_str(), r.action.as_str(), r.name.as_str()))
        .collect();
    assert_eq!(
        told,
        [("t_anna", "created", "one"), ("t_anna", "created", "api")]
    );
    let all = store.audit(None, 1, None).await.unwrap();
    assert_eq!(all[0].action, "restored");
    assert_eq!(store.audit(None, 10, Some(all[0].id)).await.unwrap(), rows);
}

async fn the_audit_trail_is_swept_after_its_time(store: &Store) {
    for n in 0..3 {
        store
            .record_audit(None, "me", "did", "thing", &n.to_string(), None)
            .await
            .unwrap();
    }
    let now = store.now().await.unwrap();
    assert_eq!(store.sweep(now + 399 * DAY).await.unwrap().audit, 0);
    let swept = store.sweep(now + 401 * DAY).await.unwrap();
    assert_eq!((swept.audit, swept.more), (3, false));
}

async fn closed_stores_are_unavailable(store: &Store) {
    store.ping().await.unwrap();
    store.close().await;
    let error = store
        .definition(WS, Kind::Metric, "one")
        .await
        .expect_err("closed");
    assert!(
        error.is_unavailable() && error.is_infrastructure(),
        "{error}"
    );
    assert!(
        store
            .begin_commit(WS, "d", "r")
            .await
            .expect_err("closed")
            .is_unavailable()
    );
    assert!(store.ping().await.expect_err("closed").is_unavailable());
}

#[tokio::test]
async fn processes_that_migrate_at_once_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("store.db").display());
    for url in [sqlite, fixture::postgres_database().await] {
        let migrations = (0..6).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = Store::open(&url).await?;
                store.migrate().await?;
                store.migrate().await
            })
        });
        for migration in migrations.collect::<Vec<_>>() {
            migration.await.unwrap().unwrap();
        }
        let store = Store::open(&url).await.unwrap();
        store.ping().await.unwrap();
        assert_eq!(store.workspaces().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    for fixture in [fixture::sqlite().await, fixture::postgres().await] {
        apply(&fixture.store, &[connection("api", "https://a:443")]).await;
        fixture.store.close().await;
        let store = Store::open(&fixture.url).await.unwrap();
        store.migrate().await.unwrap();
        assert!(
            store
                .definition(WS, Kind::Connection, "api")
                .await
                .unwrap()
                .is_some()
        );
    }
}

#[tokio::test]
async fn an_address_that_is_neither_is_refused() {
    for url in ["mysql://x", "store.db", "sqlite:", "sqlite::memory:"] {
        let error = Store::open(url).await.expect_err(url);
        assert!(matches!(error, Error::Address(_)), "{error}");
    }
    let secret = "postgres://user:hunter2@127.0.0.1:1/x";
    let error = Store::open(secret).await.expect_err("nobody listens");
    assert!(error.is_unavailable(), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    let fixture = fixture::sqlite().await;
    fixture.store.migrate().await.unwrap();
    let path = fixture.url.trim_start_matches("sqlite:").to_owned();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let sql = "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (99, 'x', 'x', 0)";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let error = fixture.store.migrate().await.expect_err("newer");
    assert!(matches!(error, Error::Schema(_)), "{error}");
}
