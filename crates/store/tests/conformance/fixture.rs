//! A fresh store of each kind, and short ways to fill it.

use store::testing::TestPostgres;
use store::{Action, Applied, Change, FetchIdentity, Interval, Kind, NewRuns, Put, RunKind, Store};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) const WS: &str = "default";
pub(crate) const DAY: i64 = 86_400_000;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

pub(crate) async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = Store::open(&url).await.expect("the store opens");
    store.migrate().await.expect("the store migrates");
    Fixture {
        store,
        url,
        _folder: Some(folder),
    }
}

pub(crate) async fn postgres() -> Fixture {
    let url = postgres_database().await;
    let store = Store::open(&url).await.expect("the store opens");
    store.migrate().await.expect("the store migrates");
    Fixture {
        store,
        url,
        _folder: None,
    }
}

pub(crate) async fn postgres_database() -> String {
    static SERVER: OnceCell<TestPostgres> = OnceCell::const_new();
    let server = SERVER
        .get_or_init(|| async { TestPostgres::start().await.expect("PostgreSQL starts") })
        .await;
    server.database().await.expect("a database")
}

pub(crate) fn put(kind: Kind, name: &str, put: Put) -> Change {
    Change {
        kind,
        name: name.into(),
        action: Action::Put(put),
        if_match: None,
    }
}

pub(crate) fn delete(kind: Kind, name: &str) -> Change {
    Change {
        kind,
        name: name.into(),
        action: Action::Delete,
        if_match: None,
    }
}

pub(crate) fn connection(name: &str, origin: &str) -> Change {
    let document = format!(r#"{{"kind":"connection","name":"{name}","base_url":"{origin}"}}"#);
    put(
        Kind::Connection,
        name,
        Put {
            document,
            origin: Some(origin.into()),
            ..Put::default()
        },
    )
}

pub(crate) fn fetch(connection: &str, path: &str) -> FetchIdentity {
    let identity = format!(r#"{{"connection":"{connection}","path":"{path}"}}"#);
    FetchIdentity {
        document: identity.clone(),
        identity,
        connection: connection.into(),
    }
}

pub(crate) fn metric(name: &str, connection: &str, path: &str) -> Change {
    metric_with(name, connection, path, "1")
}

/// A metric whose evaluation is told apart by `evaluation`.
pub(crate) fn metric_with(name: &str, connection: &str, path: &str, evaluation: &str) -> Change {
    let document = format!(
        r#"{{"kind":"metric","name":"{name}","path":"{path}","expression":"{evaluation}"}}"#
    );
    put(
        Kind::Metric,
        name,
        Put {
            document,
            evaluation: Some(format!(r#"{{"expression":"{evaluation}"}}"#)),
            fetch: Some(fetch(connection, path)),
            ..Put::default()
        },
    )
}

/// Applies a bundle that must go through.
pub(crate) async fn apply(store: &Store, changes: &[Change]) -> Vec<Applied> {
    store
        .apply(WS, "tester", changes)
        .await
        .expect("the bundle applies")
}

/// A connection and one metric for each name, all on one request; returns the dataset's id.
pub(crate) async fn metrics(store: &Store, names: &[&str]) -> String {
    let mut changes = vec![connection("api", "https://api.example.com:443")];
    changes.extend(names.iter().map(|name| metric(name, "api", "/things")));
    apply(store, &changes)
        .await
        .pop()
        .and_then(|applied| applied.dataset)
        .expect("a dataset")
}

/// Opens one run without a window.
pub(crate) async fn open(store: &Store, dataset: &str, slot: i64, kind: RunKind) -> String {
    open_window(store, dataset, slot, kind, None).await
}

pub(crate) async fn open_window(
    store: &Store,
    dataset: &str,
    slot: i64,
    kind: RunKind,
    window: Option<Interval>,
) -> String {
    let new = NewRuns {
        workspace: WS.into(),
        dataset: dataset.into(),
        slot,
        kind,
        windows: vec![window],
        reason: None,
    };
    store
        .open_runs(&new)
        .await
        .expect("a run opens")
        .remove(0)
        .run
}

pub(crate) fn days(start: i64, end: i64) -> Interval {
    Interval {
        start: start * DAY,
        end: end * DAY,
    }
}
