//! What a metric sees of its runs: its own figures, its history over edits, pauses, what is evaluated again.

use store::{GONE_PAUSES_AT, MetricOutcome, Outcome, RunEnd, RunKind, RunState, Store};

use crate::fixture::{WS, apply, metric, metric_with, metrics, open};
use crate::on_both;

on_both!(
    a_metrics_runs_show_its_own_rows,
    a_metrics_runs_stay_when_its_request_is_edited,
    three_answers_gone_in_a_row_pause_a_dataset,
    a_pause_ends_with_a_success,
    a_pause_ends_with_an_edit,
    a_recompute_passes_over_what_its_revision_has_seen,
    notes_are_kept_with_the_run,
    definitions_and_datasets_are_read_many_at_once,
);

/// Ends a run as final with so many rows for each metric.
async fn end_well(store: &Store, dataset: &str, run: &str, rows: &[(&str, i64)], revision: i64) {
    let mut commit = store
        .begin_commit(WS, dataset, run)
        .await
        .unwrap()
        .expect("an open run");
    for (metric, rows) in rows {
        let outcome = MetricOutcome {
            metric: (*metric).into(),
            revision,
            rows: *rows,
            rejected: 1,
            changed: 2,
            details: Some(r#"{"left_out":1}"#.into()),
            ..MetricOutcome::default()
        };
        commit.metric_outcome(&outcome, &[]).await.unwrap();
    }
    let end = RunEnd {
        rows: rows.iter().map(|(_, rows)| rows).sum(),
        notes: vec!["the total changed".into()],
        requests: Some(7),
        ..RunEnd::default()
    };
    commit.finish(RunState::Final, &end).await.unwrap();
    commit.commit().await.unwrap();
}

async fn a_metrics_runs_show_its_own_rows(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    end_well(store, &dataset, &run, &[("one", 3), ("two", 4)], 1).await;
    let waiting = open(store, &dataset, 2, RunKind::Manual).await;
    let found = store.runs_of_metric(WS, "two", 9, None).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&found[0].run.id, found[0].run.rows, found[0].outcome),
        (&waiting, 0, None)
    );
    assert_eq!((&found[1].run.id, found[1].run.rows), (&run, 4));
    assert_eq!(
        (found[1].run.rejected, found[1].outcome),
        (1, Some(Outcome::Applied))
    );
    assert_eq!(
        (found[1].changed, found[1].details.as_deref()),
        (Some(2), Some(r#"{"left_out":1}"#))
    );
    assert_eq!(found[1].run.requests, Some(7));
    let detail = store.run_detail(WS, &run).await.unwrap().unwrap();
    assert_eq!(detail.outcomes[1].details, found[1].details);
    let slot = found[1].run.slot;
    let at = store.runs_at(WS, "two", &[slot, 99], 9).await.unwrap();
    assert_eq!(at.len(), 1, "the final ones of these slots");
    let revision = store.revision(WS, "two", 1).await.unwrap().unwrap();
    assert!(revision.document.contains("two"), "{revision:?}");
    assert_eq!(store.revision(WS, "two", 9).await.unwrap(), None);
    let whole = store.runs_of_dataset(WS, &dataset, 9, None).await.unwrap();
    assert_eq!(whole[1].rows, 7, "over all metrics");
}

async fn a_metrics_runs_stay_when_its_request_is_edited(store: &Store) {
    let before = metrics(store, &["one"]).await;
    let old = open(store, &before, 1, RunKind::Manual).await;
    end_well(store, &before, &old, &[("one", 3)], 1).await;
    let applied = apply(store, &[metric("one", "api", "/elsewhere")]).await;
    let after = applied[0].dataset.clone().unwrap();
    assert_ne!(before, after);
    let new = open(store, &after, 2, RunKind::Manual).await;
    let found = store.runs_of_metric(WS, "one", 9, None).await.unwrap();
    let ids: Vec<&String> = found.iter().map(|one| &one.run.id).collect();
    assert_eq!(ids, [&new, &old]);
    assert_eq!(found[1].run.rows, 3);
    let rest = store
        .runs_of_metric(WS, "one", 9, Some(&new))
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
}

async fn gone(store: &Store, dataset: &str, slot: i64) {
    let run = open(store, dataset, slot, RunKind::Manual).await;
    let end = RunEnd {
        is_gone: true,
        ..RunEnd::default()
    };
    assert!(store.fail_run(WS, &run, &end).await.unwrap());
}

async fn three_answers_gone_in_a_row_pause_a_dataset(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    gone(store, &dataset, 1).await;
    gone(store, &dataset, 2).await;
    // Another failure between them: not in a row.
    let run = open(store, &dataset, 3, RunKind::Manual).await;
    store.fail_run(WS, &run, &RunEnd::default()).await.unwrap();
    for slot in 4..4 + GONE_PAUSES_AT {
        let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
        assert_eq!(stored.paused_reason, None);
        gone(store, &dataset, slot).await;
    }
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    let reason = stored.paused_reason.expect("it is paused");
    assert!(reason.contains("410"), "{reason}");
    assert_eq!(stored.attention_reason, Some(reason));
}

async fn a_pause_ends_with_a_success(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    for slot in 1..=GONE_PAUSES_AT {
        gone(store, &dataset, slot).await;
    }
    store.set_next_due(WS, &dataset, None).await.unwrap();
    let run = open(store, &dataset, 9, RunKind::Manual).await;
    end_well(store, &dataset, &run, &[("one", 1)], 1).await;
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(
        (stored.paused_reason, stored.attention_reason),
        (None, None)
    );
    assert!(stored.replan, "the scheduler plans it again");
}

async fn a_pause_ends_with_an_edit(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    for slot in 1..=GONE_PAUSES_AT {
        gone(store, &dataset, slot).await;
    }
    store.set_next_due(WS, &dataset, None).await.unwrap();
    apply(store, &[metric_with("one", "api", "/things", "2")]).await;
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(
        (stored.paused_reason, stored.attention_reason),
        (None, None)
    );
    assert!(stored.replan);
}

async fn a_recompute_passes_over_what_its_revision_has_seen(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let old = open(store, &dataset, 1, RunKind::Manual).await;
    end_well(store, &dataset, &old, &[("one", 1)], 1).await;
    apply(store, &[metric_with("one", "api", "/things", "2")]).await;
    // Before the recompute begins, a run is committed at the new revision.
    let new = open(store, &dataset, 2, RunKind::Manual).await;
    end_well(store, &dataset, &new, &[("one", 1)], 2).await;
    let now = store.now().await.unwrap();
    let claimed = store.claim_recompute(now, 1_000).await.unwrap().unwrap();
    assert!(!claimed.is_whole);
    let runs = store.runs_to_recompute(&claimed, 2, 9).await.unwrap();
    let ids: Vec<&String> = runs.iter().map(|(run, _)| &run.id).collect();
    assert_eq!(ids, [&old]);
    // Who asks for it gets all of them.
    store.request_recompute(WS, "one").await.unwrap();
    store.end_recompute(&claimed).await.unwrap();
    let claimed = store.claim_recompute(now, 1_000).await.unwrap().unwrap();
    assert!(claimed.is_whole);
    let runs = store.runs_to_recompute(&claimed, 2, 9).await.unwrap();
    assert_eq!(runs.len(), 2);
}

async fn notes_are_kept_with_the_run(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    assert!(store.run(WS, &run).await.unwrap().unwrap().notes.is_empty());
    end_well(store, &dataset, &run, &[("one", 1)], 1).await;
    let stored = store.run(WS, &run).await.unwrap().unwrap();
    assert_eq!(stored.notes, ["the total changed"]);
}

async fn definitions_and_datasets_are_read_many_at_once(store: &Store) {
    let first = metrics(store, &["one", "two"]).await;
    let applied = apply(store, &[metric("three", "api", "/others")]).await;
    let second = applied[0].dataset.clone().unwrap();
    let ids = [first.clone(), second.clone(), "d_gone".into()];
    let datasets = store.datasets_by_id(WS, &ids).await.unwrap();
    assert_eq!(datasets.len(), 2);
    let metrics = store.metrics_of_all(WS, &ids).await.unwrap();
    let names = |id: &String| -> Vec<&str> {
        let of = metrics.get(id).into_iter().flatten();
        of.map(|metric| metric.name.as_str()).collect()
    };
    assert_eq!(names(&first), ["one", "two"]);
    assert_eq!(names(&second), ["three"]);
    assert!(metrics[&second][0].document.contains("/others"));
    let kind = store::Kind::Connection;
    let named = ["api".into(), "none".into()];
    let found = store.definitions_named(WS, kind, &named).await.unwrap();
    assert_eq!(found.len(), 1);
    let plans = [
        (WS.to_owned(), first.clone(), Some(7)),
        (WS.to_owned(), second, None),
    ];
    store.set_next_dues(&plans).await.unwrap();
    let stored = store.dataset(WS, &first).await.unwrap().unwrap();
    assert_eq!((stored.next_due_at, stored.replan), (Some(7), false));
}
