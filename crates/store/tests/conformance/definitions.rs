//! Definitions: all or nothing, versions, revisions, datasets, what may go.

use store::{
    ApplyOutcome, Error, Kind, METRICS_QUOTA_SETTING, Outcome, Put, RunEnd, RunKind, RunState,
    Store,
};

use crate::fixture::{
    WS, apply, connection, delete, fetch, metric, metric_with, metrics, open, put,
};
use crate::on_both;

on_both!(
    a_bundle_is_applied_whole_or_not_at_all,
    an_identical_document_is_unchanged_and_writes_nothing,
    a_plan_tells_and_changes_nothing,
    metrics_that_ask_the_same_share_one_dataset,
    a_changed_expression_makes_a_revision_and_old_ones_stay,
    only_the_newest_revisions_are_kept,
    a_changed_title_makes_no_revision,
    an_if_match_that_fell_behind_is_a_conflict,
    what_is_used_is_not_deleted,
    a_deleted_metric_takes_its_points_and_its_dataset_along,
    a_metric_that_comes_back_goes_on_with_its_version,
    a_new_origin_voids_what_was_fetched,
    a_changed_request_of_a_named_dataset_keeps_its_id,
    a_moved_metric_leaves_an_unused_dataset_behind_which_retires,
    more_metrics_than_the_quota_are_refused,
    lists_go_by_name_page_and_search,
    a_bundle_of_two_thousand_metrics_applies,
);

async fn a_bundle_is_applied_whole_or_not_at_all(store: &Store) {
    let bad = [
        connection("api", "https://a:443"),
        metric("one", "api", "/x"),
        metric("two", "gone", "/y"),
    ];
    let error = store
        .apply(WS, "tester", &bad)
        .await
        .expect_err("the connection is missing");
    assert!(
        matches!(
            error,
            Error::NotFound {
                kind: "connection",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        store
            .definition(WS, Kind::Connection, "api")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .definition(WS, Kind::Metric, "one")
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.audit(Some(WS), 10, None).await.unwrap().is_empty());
}

async fn an_identical_document_is_unchanged_and_writes_nothing(store: &Store) {
    let bundle = [
        connection("api", "https://a:443"),
        metric("one", "api", "/x"),
    ];
    let first = apply(store, &bundle).await;
    assert!(
        first
            .iter()
            .all(|applied| applied.outcome == ApplyOutcome::Created)
    );
    let audit = store.audit(Some(WS), 10, None).await.unwrap();
    let again = apply(store, &bundle).await;
    assert!(
        again
            .iter()
            .all(|applied| applied.outcome == ApplyOutcome::Unchanged),
        "{again:?}"
    );
    assert_eq!(first[1].version, again[1].version);
    assert_eq!(first[1].dataset, again[1].dataset);
    assert_eq!(store.audit(Some(WS), 10, None).await.unwrap(), audit);
}

async fn a_plan_tells_and_changes_nothing(store: &Store) {
    let bundle = [
        connection("api", "https://a:443"),
        metric("one", "api", "/x"),
    ];
    let plan = store.plan(WS, "tester", &bundle).await.unwrap();
    assert!(
        plan.iter()
            .all(|applied| applied.outcome == ApplyOutcome::Created)
    );
    assert!(
        store
            .definition(WS, Kind::Metric, "one")
            .await
            .unwrap()
            .is_none()
    );
    // A plan's moment is its own.
    let mut applied = apply(store, &bundle).await;
    for (one, planned) in applied.iter_mut().zip(&plan) {
        assert!(one.created_at >= planned.created_at);
        one.created_at = planned.created_at;
    }
    assert_eq!(applied, plan);
}

async fn metrics_that_ask_the_same_share_one_dataset(store: &Store) {
    let dataset = metrics(store, &["b_metric", "a_metric"]).await;
    assert_eq!(dataset.len(), 18);
    assert!(dataset.starts_with("d_"));
    let names: Vec<String> = store
        .metrics_of(WS, &dataset)
        .await
        .unwrap()
        .into_iter()
        .map(|m| m.name)
        .collect();
    assert_eq!(names, ["a_metric", "b_metric"]);
    let other = apply(store, &[metric("c_metric", "api", "/other")]).await;
    assert_ne!(other[0].dataset.as_ref(), Some(&dataset));
    let stored = store
        .dataset(WS, &dataset)
        .await
        .unwrap()
        .expect("the dataset");
    assert_eq!(stored.connection, "api");
    assert!(stored.next_due_at.is_some(), "a new dataset is due");
    assert!(!stored.replan);
    assert_eq!(
        store
            .due_datasets(store.now().await.unwrap(), 10)
            .await
            .unwrap()
            .len(),
        2
    );
}

async fn a_changed_expression_makes_a_revision_and_old_ones_stay(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    store
        .set_next_due(WS, &dataset, Some(i64::MAX))
        .await
        .unwrap();
    while store
        .claim_recompute(i64::MAX / 2, 1)
        .await
        .unwrap()
        .is_some_and(|r| r.attempts < 2)
    {}
    let changed = apply(store, &[metric_with("one", "api", "/things", "2")]).await;
    assert_eq!(
        (changed[0].outcome, changed[0].revision),
        (ApplyOutcome::Updated, Some(2))
    );
    assert_eq!(changed[0].dataset.as_ref(), Some(&dataset));
    let revisions = store.revisions(WS, "one").await.unwrap();
    assert_eq!(
        revisions.iter().map(|r| r.revision).collect::<Vec<_>>(),
        [2, 1]
    );
    assert!(revisions[1].evaluation.contains('1') && revisions[0].evaluation.contains('2'));
    assert_eq!(revisions[0].actor, "tester");
    // The kept pages are evaluated again; nothing is fetched for it.
    let recompute = store
        .claim_recompute(i64::MAX / 2, 1)
        .await
        .unwrap()
        .expect("a recompute");
    assert_eq!(recompute.metric, "one");
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(stored.next_due_at, Some(i64::MAX));
    assert!(stored.replan, "but the schedule may have changed");
    store.set_next_due(WS, &dataset, Some(7)).await.unwrap();
    assert!(!store.dataset(WS, &dataset).await.unwrap().unwrap().replan);
}

async fn only_the_newest_revisions_are_kept(store: &Store) {
    metrics(store, &["one"]).await;
    for n in 2..=203 {
        apply(
            store,
            &[metric_with("one", "api", "/things", &format!("e{n}"))],
        )
        .await;
    }
    let revisions = store.revisions(WS, "one").await.unwrap();
    assert_eq!(revisions.len(), 200);
    assert_eq!((revisions[0].revision, revisions[199].revision), (203, 4));
}

async fn a_changed_title_makes_no_revision(store: &Store) {
    metrics(store, &["one"]).await;
    let mut change = metric("one", "api", "/things");
    if let store::Action::Put(put) = &mut change.action {
        put.document = put
            .document
            .replace("\"kind\"", "\"title\":\"Ünë\",\"kind\"");
    }
    let applied = apply(store, &[change]).await;
    assert_eq!(
        (applied[0].outcome, applied[0].revision),
        (ApplyOutcome::Updated, Some(1))
    );
    assert_eq!(applied[0].version, 2);
    let found = store
        .definitions(WS, Kind::Metric, None, 10, Some("ÜNË"))
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "titles are searched");
}

async fn an_if_match_that_fell_behind_is_a_conflict(store: &Store) {
    metrics(store, &["one"]).await;
    let with = |if_match, evaluation| {
        let mut change = metric_with("one", "api", "/things", evaluation);
        change.if_match = Some(if_match);
        change
    };
    let error = store
        .apply(WS, "t", &[with(0, "2")])
        .await
        .expect_err("it exists");
    assert!(
        matches!(error, Error::Conflict { current: 1, .. }),
        "{error}"
    );
    assert_eq!(apply(store, &[with(1, "2")]).await[0].version, 2);
    let error = store
        .apply(WS, "t", &[with(1, "3")])
        .await
        .expect_err("it moved on");
    assert!(
        matches!(error, Error::Conflict { current: 2, .. }),
        "{error}"
    );
    assert_eq!(
        store
            .definition(WS, Kind::Metric, "one")
            .await
            .unwrap()
            .unwrap()
            .version,
        2
    );
}

async fn what_is_used_is_not_deleted(store: &Store) {
    metrics(store, &["one"]).await;
    let error = store
        .apply(WS, "t", &[delete(Kind::Connection, "api")])
        .await
        .expect_err("used");
    let Error::InUse { names, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(names, ["metric `one`"]);
    let named = Put {
        document: r#"{"kind":"dataset"}"#.into(),
        fetch: Some(fetch("api", "/named")),
        ..Put::default()
    };
    let reader = Put {
        document: r#"{"kind":"metric"}"#.into(),
        dataset_name: Some("named".into()),
        ..Put::default()
    };
    apply(
        store,
        &[
            put(Kind::Metric, "two", reader),
            put(Kind::Dataset, "named", named),
        ],
    )
    .await;
    let error = store
        .apply(WS, "t", &[delete(Kind::Dataset, "named")])
        .await
        .expect_err("used");
    let Error::InUse { names, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(names, ["metric `two`"]);
    // Together they may go, in whatever order.
    let all = [
        delete(Kind::Connection, "api"),
        delete(Kind::Dataset, "named"),
        delete(Kind::Metric, "one"),
        delete(Kind::Metric, "two"),
    ];
    assert!(
        apply(store, &all)
            .await
            .iter()
            .all(|a| a.outcome == ApplyOutcome::Deleted)
    );
    let error = store
        .apply(WS, "t", &[delete(Kind::Metric, "one")])
        .await
        .expect_err("gone");
    assert!(
        matches!(error, Error::NotFound { kind: "metric", .. }),
        "{error}"
    );
}

async fn a_deleted_metric_takes_its_points_and_its_dataset_along(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    apply(store, &[delete(Kind::Metric, "one")]).await;
    assert!(store.dataset(WS, &dataset).await.unwrap().is_none());
    assert!(
        store
            .series(WS, "one", 0, i64::MAX)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        store.run(WS, &run).await.unwrap().unwrap().state,
        RunState::Cancelled
    );
    assert!(
        store
            .begin_commit(WS, &dataset, &run)
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_metric_that_comes_back_goes_on_with_its_version(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(commit.bump_version("one").unwrap(), 1);
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    apply(store, &[delete(Kind::Metric, "one")]).await;
    let again = apply(store, &[metric("one", "api", "/things")]).await;
    assert_eq!(again[0].revision, Some(2));
    assert_eq!(store.metric_version(WS, "one").await.unwrap(), Some(1));
    // Runs that the dataset left behind belong to an earlier epoch.
    let stored = store
        .dataset(WS, &dataset)
        .await
        .unwrap()
        .expect("the same id");
    assert_eq!(stored.epoch, 1);
    assert!(store.final_runs(WS, &dataset, 3).await.unwrap().is_empty());
}

async fn a_new_origin_voids_what_was_fetched(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let flying = open(store, &dataset, 1, RunKind::Scheduled).await;
    assert!(store.mark_dispatched(WS, &flying, 1, 5).await.unwrap());
    let waiting = open(store, &dataset, 2, RunKind::Scheduled).await;
    assert_ne!(flying, waiting);
    apply(store, &[connection("api", "https://other.example.com:443")]).await;
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!((stored.epoch, stored.last_window_end), (1, None));
    assert_eq!(
        store.run(WS, &flying).await.unwrap().unwrap().state,
        RunState::Superseded
    );
    let run = store.run(WS, &waiting).await.unwrap().unwrap();
    assert_eq!((run.state, run.epoch), (RunState::Waiting, 1));
    assert!(
        store
            .begin_commit(WS, &dataset, &flying)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .begin_commit(WS, &dataset, &waiting)
            .await
            .unwrap()
            .is_some()
    );
}

async fn a_changed_request_of_a_named_dataset_keeps_its_id(store: &Store) {
    let named = |path: &str, title: &str| {
        let document = format!(r#"{{"kind":"dataset","path":"{path}","title":"{title}"}}"#);
        let fetch = Some(fetch("api", path));
        put(
            Kind::Dataset,
            "named",
            Put {
                document,
                fetch,
                ..Put::default()
            },
        )
    };
    let first = apply(
        store,
        &[connection("api", "https://a:443"), named("/a", "")],
    )
    .await;
    let id = first[1].dataset.clone().unwrap();
    let titled = apply(store, &[named("/a", "new")]).await;
    assert_eq!(titled[0].outcome, ApplyOutcome::Updated);
    assert_eq!(store.dataset(WS, &id).await.unwrap().unwrap().epoch, 0);
    let moved = apply(store, &[named("/b", "new")]).await;
    assert_eq!(moved[0].dataset.as_ref(), Some(&id));
    let stored = store.dataset_named(WS, "named").await.unwrap().unwrap();
    assert_eq!((stored.epoch, stored.id), (1, id));
    assert!(stored.document.contains("/b"));
}

async fn a_moved_metric_leaves_an_unused_dataset_behind_which_retires(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let moved = apply(store, &[metric("one", "api", "/elsewhere")]).await;
    assert_ne!(moved[0].dataset.as_ref(), Some(&dataset));
    assert!(store.dataset(WS, &dataset).await.unwrap().is_none());
    let back = apply(store, &[metric("one", "api", "/things")]).await;
    assert_eq!(back[0].dataset.as_ref(), Some(&dataset));
}

async fn more_metrics_than_the_quota_are_refused(store: &Store) {
    store.put_setting(METRICS_QUOTA_SETTING, "2").await.unwrap();
    metrics(store, &["one", "two"]).await;
    let error = store
        .apply(WS, "t", &[metric("three", "api", "/x")])
        .await
        .expect_err("full");
    assert!(matches!(error, Error::Quota { limit: 2, .. }), "{error}");
    apply(
        store,
        &[delete(Kind::Metric, "one"), metric("three", "api", "/x")],
    )
    .await;
}

async fn lists_go_by_name_page_and_search(store: &Store) {
    metrics(store, &["a_b", "ab", "b", "c_50"]).await;
    let page = store
        .definitions(WS, Kind::Metric, None, 2, None)
        .await
        .unwrap();
    assert_eq!(
        page.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
        ["a_b", "ab"]
    );
    let next = store
        .definitions(WS, Kind::Metric, Some("ab"), 9, None)
        .await
        .unwrap();
    assert_eq!(
        next.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
        ["b", "c_50"]
    );
    let found = store
        .definitions(WS, Kind::Metric, None, 9, Some("a_"))
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "`_` is a letter, not a pattern");
    assert_eq!(found[0].revision, Some(1));
    assert!(found[0].dataset.is_some());
}

async fn a_bundle_of_two_thousand_metrics_applies(store: &Store) {
    let mut changes = vec![connection("api", "https://a:443")];
    changes.extend((0..2_000).map(|n| metric(&format!("m{n}"), "api", &format!("/{n}"))));
    assert_eq!(apply(store, &changes).await.len(), 2_001);
    let due = store.due_datasets(i64::MAX, 5_000).await.unwrap();
    assert_eq!(due.len(), 2_000);
    let again = apply(store, &changes).await;
    assert!(
        again
            .iter()
            .all(|applied| applied.outcome == ApplyOutcome::Unchanged)
    );
    assert_eq!(Outcome::default(), Outcome::Applied);
}
