//! Records kept by their keys: looked up, placed, moved, seen again, dropped and swept.

use store::{Cell, CellPlace, GONE_RECORDS_KEPT, Record, RunKind, Store};

use crate::fixture::{WS, metrics, open};
use crate::on_both;

on_both!(
    records_are_kept_by_key_and_found_by_bucket,
    a_record_seen_again_is_younger_and_one_not_seen_is_dropped,
    records_go_with_their_metric_and_gone_ones_with_time,
    a_series_beyond_the_limit_keeps_no_record,
);

fn record(key: &str, place: Option<(i64, &str)>, seen_at: i64) -> Record {
    Record {
        key: key.into(),
        place: place.map(|(start, series)| CellPlace {
            start,
            series: series.into(),
        }),
        seen_at,
        run: "r_1".into(),
        page: 3,
        value: place.map(|_| key.as_bytes().to_vec()).unwrap_or_default(),
    }
}

async fn begin(store: &Store, dataset: &str, slot: i64) -> store::Commit {
    let run = open(store, dataset, slot, RunKind::Manual).await;
    let commit = store.begin_commit(WS, dataset, &run).await.unwrap();
    commit.expect("an open run")
}

async fn records_are_kept_by_key_and_found_by_bucket(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let mut commit = begin(store, &dataset, 1).await;
    assert_eq!(commit.records_revision("one").unwrap(), None);
    let mut all: Vec<Record> = (0..4_500)
        .map(|at| record(&format!("k{at}"), Some((at % 3, "{a}")), 5))
        .collect();
    all.push(record("gone", None, 5));
    assert_eq!(commit.put_records("one", &all).await.unwrap(), 0);
    let moved = record("k0", Some((9, "{b}")), 6);
    commit
        .put_records("one", std::slice::from_ref(&moved))
        .await
        .unwrap();
    commit.set_records_revision("one", Some(1)).await.unwrap();
    commit.commit().await.unwrap();

    let mut commit = begin(store, &dataset, 2).await;
    assert_eq!(commit.records_revision("one").unwrap(), Some(1));
    let asked = ["k0", "gone", "none"].map(str::to_owned).to_vec();
    let found = commit.records("one", asked).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found["k0"], moved);
    assert_eq!(found["gone"].place, None);
    let (mut walked, mut cursor) = (Vec::new(), None);
    loop {
        let (records, next) = commit
            .records_in("one", 0, 3, cursor.as_ref())
            .await
            .unwrap();
        walked.extend(records);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        walked.len(),
        4_499,
        "all but the one that moved and the one that is gone"
    );
    let place = |record: &Record| (record.place.clone(), record.key.clone());
    assert!(walked.is_sorted_by_key(place));
    assert!(
        commit
            .records_in("two", 0, 99, None)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    drop(commit);
    let runs = store
        .record_runs(WS, "one", 9, 10, 5)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (runs[0].run.as_str(), runs[0].records, runs[0].seen_at),
        ("r_1", 1, 6)
    );
    assert_eq!(
        store.records_of(WS, "one", 9, 10, 5).await.unwrap(),
        [moved]
    );
    assert_eq!(store.record_runs(WS, "two", 0, 10, 5).await.unwrap(), None);
}

async fn a_record_seen_again_is_younger_and_one_not_seen_is_dropped(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let mut commit = begin(store, &dataset, 1).await;
    let all = [
        record("a", Some((0, "{a}")), 5),
        record("b", Some((0, "{a}")), 5),
        record("c", Some((7, "{b}")), 5),
    ];
    commit.put_records("one", &all).await.unwrap();
    commit
        .see_records("one", vec!["a".into(), "none".into()], (8, "r_2", 1))
        .await
        .unwrap();
    // An older word changes nothing.
    commit
        .see_records("one", vec!["a".into()], (6, "r_0", 1))
        .await
        .unwrap();
    let dropped = commit.drop_unseen_records("one", 8).await.unwrap();
    let place = |start, series: &str| CellPlace {
        start,
        series: series.into(),
    };
    let mut dropped: Vec<CellPlace> = dropped;
    dropped.sort();
    assert_eq!(dropped, [place(0, "{a}"), place(7, "{b}")]);
    let (left, _) = commit.records_in("one", 0, 99, None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].key.as_str(), left[0].seen_at, left[0].run.as_str()),
        ("a", 8, "r_2")
    );
    commit.set_records_revision("one", None).await.unwrap();
    assert!(
        commit
            .records_in("one", 0, 99, None)
            .await
            .unwrap()
            .0
            .is_empty()
    );
}

async fn records_go_with_their_metric_and_gone_ones_with_time(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let mut commit = begin(store, &dataset, 1).await;
    let now = commit.now();
    let some = [
        record("there", Some((0, "{a}")), now),
        record("gone", None, now),
    ];
    for metric in ["one", "two"] {
        commit.put_records(metric, &some).await.unwrap();
        commit.set_records_revision(metric, Some(1)).await.unwrap();
    }
    commit.commit().await.unwrap();
    assert_eq!(
        store.sweep(now + GONE_RECORDS_KEPT).await.unwrap().records,
        0
    );
    assert_eq!(
        store
            .sweep(now + GONE_RECORDS_KEPT + 1)
            .await
            .unwrap()
            .records,
        2
    );
    store.purge(WS, "tester", "two").await.unwrap();
    assert_eq!(store.record_runs(WS, "two", 0, 9, 9).await.unwrap(), None);
    assert!(
        store
            .records_of(WS, "two", 0, 9, 9)
            .await
            .unwrap()
            .is_empty()
    );
    crate::fixture::apply(store, &[crate::fixture::delete(store::Kind::Metric, "one")]).await;
    let mut swept = 0;
    while store
        .sweep(now)
        .await
        .map(|one| {
            swept += one.records;
            one.more
        })
        .unwrap()
    {}
    assert_eq!(swept, 1);
}

async fn a_series_beyond_the_limit_keeps_no_record(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    store
        .put_setting(store::SERIES_LIMIT_SETTING, "1")
        .await
        .unwrap();
    let mut commit = begin(store, &dataset, 1).await;
    let all = [
        record("a", Some((0, "{a}")), 5),
        record("b", Some((0, "{b}")), 5),
    ];
    assert_eq!(commit.put_records("one", &all).await.unwrap(), 1);
    let cell = Cell {
        series: "{b}".into(),
        start: 0,
        state: b"x".to_vec(),
        partial: false,
    };
    let whole = [store::Interval { start: 0, end: 9 }];
    let replaced = commit.replace("one", &whole, &[cell]).await.unwrap();
    assert_eq!(replaced.overflow, 1, "a series with records keeps its room");
    let found = commit
        .records("one", vec!["a".into(), "b".into()])
        .await
        .unwrap();
    assert_eq!(found["b"].place, None);
    assert!(found["a"].place.is_some());
}
