//! Care for points: those that are kept for a while only, and notes.

use store::{Cell, Store};

use crate::fixture::{DAY, WS, apply, delete, metrics};
use crate::on_both;
use crate::points::{cell, commit_cells, read};

on_both!(
    points_older_than_a_metric_keeps_are_swept,
    notes_are_listed_by_what_they_touch,
    a_purge_is_announced_and_asks_for_all_again,
);

async fn points_older_than_a_metric_keeps_are_swept(store: &Store) {
    let connection = crate::fixture::connection("api", "https://api.example.com:443");
    let document = r#"{"kind":"metric","name":"one","connection":"api","request":{"path":"/things"},"select":{"value":"n","date":"at"},"resolution":"day","keep":"10d"}"#;
    let put = store::Put {
        document: document.into(),
        fetch: Some(crate::fixture::fetch("api", "/things")),
        ..store::Put::default()
    };
    let put = crate::fixture::put(store::Kind::Metric, "one", put);
    let applied = apply(store, &[connection, put]).await;
    let dataset = applied[1].dataset.clone().unwrap();
    let cells: Vec<Cell> = (0..30).map(|day| cell("{a}", day * DAY, "x")).collect();
    commit_cells(store, &dataset, 1, &cells).await;
    let version = store.metric_version(WS, "one").await.unwrap();
    assert_eq!(store.sweep(30 * DAY + 5).await.unwrap().cells, 20);
    let left = read(store, "one").await;
    assert_eq!((left.len(), left[0].1), (10, 20 * DAY));
    assert!(store.metric_version(WS, "one").await.unwrap() > version);
    assert_eq!(store.sweep(30 * DAY + 5).await.unwrap().cells, 0);
}

async fn notes_are_listed_by_what_they_touch(store: &Store) {
    metrics(store, &["one", "two"]).await;
    let first = store
        .add_note(WS, "one", "ada", (0, DAY), "a")
        .await
        .unwrap();
    let second = store
        .add_note(WS, "one", "ada", (5 * DAY, 9 * DAY), "b")
        .await
        .unwrap();
    assert_eq!(
        store.notes(WS, "one", i64::MIN, i64::MAX).await.unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(
        store.notes(WS, "one", DAY, 6 * DAY).await.unwrap(),
        [second]
    );
    assert!(
        store
            .notes(WS, "two", i64::MIN, i64::MAX)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!store.delete_note(WS, "two", first.id).await.unwrap());
    assert!(store.delete_note(WS, "one", first.id).await.unwrap());
    assert!(
        store
            .add_note(WS, "none", "ada", (0, 1), "x")
            .await
            .is_err()
    );
    apply(store, &[delete(store::Kind::Metric, "one")]).await;
    assert!(
        store
            .notes(WS, "one", i64::MIN, i64::MAX)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_purge_is_announced_and_asks_for_all_again(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    commit_cells(store, &dataset, 1, &[cell("{a}", 0, "x")]).await;
    let version = store.purge(WS, "tester", "one").await.unwrap();
    let news = store.outbox(100).await.unwrap();
    assert!(
        news.iter()
            .any(|row| row.metric == "one" && row.version == version && row.payload.is_empty()),
        "{news:?}"
    );
    let dataset = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(dataset.last_window_end, None);
}
