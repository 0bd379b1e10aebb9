//! Calculated metrics: what they are made of stays, and they change with it, in one transaction.

use store::{Cell, Change, Error, Interval, Kind, Put, RunKind, Store};

use crate::fixture::{DAY, WS, apply, delete, metric, metrics, open, put};
use crate::on_both;

on_both!(
    a_calculated_metric_has_a_version_of_its_own,
    a_change_of_an_input_raises_all_that_stands_on_it,
    inputs_must_be_there_and_stay,
    nothing_is_calculated_from_itself,
    a_metric_may_change_sides,
);

fn calculated(name: &str, inputs: &[&str], formula: &str) -> Change {
    put(
        Kind::Metric,
        name,
        Put {
            document: format!(r#"{{"kind":"metric","name":"{name}","formula":"{formula}"}}"#),
            evaluation: Some(format!(r#"{{"formula":"{formula}"}}"#)),
            uses: inputs
                .iter()
                .map(|input| (Kind::Metric, (*input).to_owned()))
                .collect(),
            ..Put::default()
        },
    )
}

async fn version(store: &Store, metric: &str) -> i64 {
    store.metric_version(WS, metric).await.unwrap().unwrap()
}

/// What waits to be announced: metric, version, and whether points are told.
async fn waiting(store: &Store) -> Vec<(String, i64, bool)> {
    let rows = store.outbox(100).await.unwrap().into_iter();
    rows.map(|row| (row.metric, row.version, !row.payload.is_empty()))
        .collect()
}

/// Commits one cell of a metric, with a new version.
async fn change(store: &Store, dataset: &str, metric: &str, slot: i64) {
    let run = open(store, dataset, slot, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let cell = Cell {
        series: "{}".into(),
        start: DAY,
        state: slot.to_be_bytes().to_vec(),
        partial: false,
    };
    let whole = Interval {
        start: 0,
        end: 10 * DAY,
    };
    commit.replace(metric, &[whole], &[cell]).await.unwrap();
    commit.bump_version(metric).unwrap();
    commit.commit().await.unwrap();
}

async fn a_calculated_metric_has_a_version_of_its_own(store: &Store) {
    metrics(store, &["paid", "trials"]).await;
    let made = apply(store, &[calculated("rate", &["paid", "trials"], "a")]).await;
    assert_eq!((made[0].revision, &made[0].dataset), (Some(1), &None));
    assert_eq!(version(store, "rate").await, 1);
    assert_eq!(waiting(store).await, [("rate".to_owned(), 1, false)]);
    let state = store.metric_state(WS, "rate").await.unwrap().unwrap();
    assert_eq!((state.version, state.dataset), (1, None));
    // The same again is nothing; another title is no other calculation.
    apply(store, &[calculated("rate", &["paid", "trials"], "a")]).await;
    assert_eq!(version(store, "rate").await, 1);
    let edited = apply(store, &[calculated("rate", &["paid"], "b")]).await;
    assert_eq!(edited[0].revision, Some(2));
    assert_eq!(version(store, "rate").await, 2);
    apply(store, &[delete(Kind::Metric, "trials")]).await;
    // Deleted and made again, it goes on.
    apply(store, &[delete(Kind::Metric, "rate")]).await;
    apply(store, &[calculated("rate", &["paid"], "b")]).await;
    assert_eq!(version(store, "rate").await, 3);
}

async fn a_change_of_an_input_raises_all_that_stands_on_it(store: &Store) {
    let dataset = metrics(store, &["paid", "trials"]).await;
    let three = [
        calculated("half", &["rate"], "rate / 2"),
        calculated("rate", &["paid", "trials"], "paid / trials"),
        calculated("other", &["trials"], "trials * 2"),
    ];
    apply(store, &three).await;
    assert_eq!(version(store, "half").await, 1);
    let waited: Vec<i64> = store
        .outbox(100)
        .await
        .unwrap()
        .iter()
        .map(|row| row.id)
        .collect();
    store.outbox_delete(&waited).await.unwrap();
    change(store, &dataset, "paid", 1_000).await;
    let versions = [
        version(store, "rate").await,
        version(store, "half").await,
        version(store, "other").await,
    ];
    assert_eq!(versions, [2, 2, 1]);
    let expected = [("half".to_owned(), 2, false), ("rate".to_owned(), 2, false)];
    assert_eq!(waiting(store).await, expected);
    // A commit that is dropped raises and announces nothing.
    let run = open(store, &dataset, 2_000, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    commit.bump_version("paid").unwrap();
    drop(commit);
    assert_eq!(version(store, "rate").await, 2);
    store.purge(WS, "tester", "trials").await.unwrap();
    assert_eq!(version(store, "other").await, 2);
    assert_eq!(version(store, "half").await, 3);
    // Another formula below changes what stands above.
    apply(
        store,
        &[calculated("rate", &["paid", "trials"], "trials / paid")],
    )
    .await;
    assert_eq!(version(store, "half").await, 4);
    let found = store
        .calculated_from(WS, &["paid".to_owned()])
        .await
        .unwrap();
    assert_eq!(found, ["half", "rate"]);
}

async fn inputs_must_be_there_and_stay(store: &Store) {
    metrics(store, &["paid"]).await;
    let missing = store
        .apply(
            WS,
            "tester",
            &[calculated("rate", &["paid", "trials"], "a")],
        )
        .await;
    assert!(matches!(missing, Err(Error::NotFound { kind: "metric", name }) if name == "trials"));
    apply(store, &[calculated("rate", &["paid"], "a")]).await;
    let refused = store
        .apply(WS, "tester", &[delete(Kind::Metric, "paid")])
        .await;
    let Err(Error::InUse { names, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(names, ["metric `rate`"]);
    apply(
        store,
        &[delete(Kind::Metric, "rate"), delete(Kind::Metric, "paid")],
    )
    .await;
}

async fn nothing_is_calculated_from_itself(store: &Store) {
    metrics(store, &["paid"]).await;
    apply(
        store,
        &[
            calculated("a", &["paid"], "paid"),
            calculated("b", &["a"], "a"),
        ],
    )
    .await;
    let refused = store
        .apply(WS, "tester", &[calculated("a", &["b"], "b")])
        .await;
    assert!(
        matches!(&refused, Err(Error::Invalid(why)) if why.contains("from itself")),
        "{refused:?}"
    );
    assert_eq!(version(store, "a").await, 1);
}

async fn a_metric_may_change_sides(store: &Store) {
    let dataset = metrics(store, &["paid", "rate"]).await;
    change(store, &dataset, "rate", 1_000).await;
    assert_eq!(version(store, "rate").await, 1);
    let made = apply(store, &[calculated("rate", &["paid"], "paid")]).await;
    assert_eq!((made[0].revision, &made[0].dataset), (Some(2), &None));
    assert_eq!(version(store, "rate").await, 2);
    // Its own points are out of sight, and do not come back with a request of its own.
    let read = async || {
        store
            .series(WS, "rate", 0, 10 * DAY)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(read().await.series, []);
    let back = apply(store, &[metric("rate", "api", "/things")]).await;
    assert_eq!(back[0].dataset.as_deref(), Some(dataset.as_str()));
    assert_eq!(read().await.series, []);
    assert_eq!(version(store, "rate").await, 2);
    change(store, &dataset, "paid", 2_000).await;
    assert_eq!(
        version(store, "rate").await,
        2,
        "it is no longer calculated"
    );
}
