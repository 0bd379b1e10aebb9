//! Commits: visible whole or not at all, once, and only what differs is written.

use store::{
    Cell, CellChange, Coverage, Error, Interval, MetricOutcome, Outcome, RejectedSample, RunEnd,
    RunKind, RunState, SERIES_LIMIT_SETTING, Store,
};

use crate::fixture::{DAY, WS, apply, delete, metric, metrics, open};
use crate::on_both;

on_both!(
    a_commit_shows_everything_at_once,
    a_dropped_commit_leaves_nothing_behind,
    a_repeated_delivery_changes_nothing,
    a_run_ends_once_under_concurrent_commits,
    replacing_writes_only_what_differs,
    cells_outside_of_what_is_replaced_are_refused,
    a_sync_of_a_level_is_added_once,
    coverage_is_replaced_whole,
    what_an_earlier_revision_covers_is_measured,
    versions_grow_and_an_epoch_lifts_them,
    series_beyond_the_limit_are_counted_not_kept,
    many_cells_go_in_few_statements,
    rejected_samples_are_few_and_stay_with_their_metric,
    a_recompute_replaces_its_outcome_and_ends_nothing,
    a_recompute_asked_for_again_stays_queued,
    a_purged_metric_is_empty_and_newer,
    the_state_of_a_metric_is_read_at_once,
    a_deleted_metrics_points_are_swept_in_batches,
    text_with_nul_is_kept_readable,
);

pub(crate) fn cell(series: &str, start: i64, state: &str) -> Cell {
    Cell {
        series: series.into(),
        start,
        state: state.as_bytes().to_vec(),
        partial: false,
    }
}

pub(crate) fn all() -> Vec<Interval> {
    vec![Interval {
        start: i64::MIN / 4,
        end: i64::MAX / 4,
    }]
}

/// Commits cells over everything as a new run.
pub(crate) async fn commit_cells(
    store: &Store,
    dataset: &str,
    slot: i64,
    cells: &[Cell],
) -> Vec<CellChange> {
    let run = open(store, dataset, slot, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, dataset, &run)
        .await
        .unwrap()
        .expect("an open run");
    let changes = commit.replace("one", &all(), cells).await.unwrap().changes;
    commit.bump_version("one").unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    changes
}

/// What a query over everything returns: series, start, state.
pub(crate) async fn read(store: &Store, metric: &str) -> Vec<(String, i64, String)> {
    let rows = store
        .series(WS, metric, i64::MIN / 4, i64::MAX / 4)
        .await
        .unwrap()
        .unwrap();
    let mut cells = Vec::new();
    for series in rows.series {
        assert!(series.points.is_sorted_by_key(|point| point.start));
        for point in series.points {
            let state = String::from_utf8(point.state).unwrap();
            cells.push((series.key.clone(), point.start, state));
        }
    }
    cells
}

async fn a_commit_shows_everything_at_once(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let run = open(store, &dataset, 1_000, RunKind::Scheduled).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let names: Vec<&str> = commit.metrics().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(commit.metrics()[0].revision, 1);
    assert_eq!(
        (commit.run().slot, commit.run().id.as_str()),
        (1_000, run.as_str())
    );
    let cells = [
        cell("{b}", 0, "b0"),
        cell("{a}", DAY, "a1"),
        cell("{a}", 0, "a0"),
    ];
    let replaced = commit.replace("one", &all(), &cells).await.unwrap();
    assert_eq!(replaced.changes.len(), 3);
    assert_eq!(
        (
            replaced.changes[0].series.as_str(),
            replaced.changes[0].start
        ),
        ("{a}", 0)
    );
    let coverage = Coverage {
        start: 0,
        end: DAY,
        as_of: 1_000,
        run: run.clone(),
        revision: 1,
        complete: true,
    };
    commit
        .set_coverage("one", std::slice::from_ref(&coverage))
        .await
        .unwrap();
    let version = commit.bump_version("one").unwrap();
    commit
        .outbox("one", version, r#"{"metric":"one"}"#)
        .await
        .unwrap();
    let outcome = MetricOutcome {
        metric: "one".into(),
        revision: 1,
        rows: 3,
        changed: 3,
        ..MetricOutcome::default()
    };
    commit.metric_outcome(&outcome, &[]).await.unwrap();
    let failed = MetricOutcome {
        metric: "two".into(),
        revision: 1,
        outcome: Outcome::Failed,
        error: Some("{}".into()),
        ..MetricOutcome::default()
    };
    commit.metric_outcome(&failed, &[]).await.unwrap();
    let end = RunEnd {
        rows: 3,
        pages: 2,
        ended: Some("no_next".into()),
        ..RunEnd::default()
    };
    commit.finish(RunState::Final, &end).await.unwrap();
    // Nobody sees any of it yet.
    assert!(read(store, "one").await.is_empty());
    assert_eq!(store.metric_version(WS, "one").await.unwrap(), Some(0));
    assert!(store.outbox(10).await.unwrap().is_empty());
    commit.commit().await.unwrap();

    let rows = store.series(WS, "one", 0, DAY).await.unwrap().unwrap();
    assert_eq!((rows.version, rows.revision), (1, 1));
    assert_eq!(rows.coverage, [coverage]);
    assert_eq!(rows.series.len(), 2, "the range is half open: {rows:?}");
    assert_eq!(read(store, "one").await.len(), 3);
    let waiting = store.outbox(10).await.unwrap();
    assert_eq!((waiting[0].metric.as_str(), waiting[0].version), ("one", 1));
    assert_eq!(
        store.outbox_oldest().await.unwrap(),
        Some(waiting[0].created_at)
    );
    store.outbox_delete(&[waiting[0].id]).await.unwrap();
    assert_eq!(store.outbox_oldest().await.unwrap(), None);
    let detail = store.run_detail(WS, &run).await.unwrap().unwrap();
    assert_eq!((detail.run.state, detail.run.rows), (RunState::Final, 3));
    let outcomes: Vec<_> = detail
        .outcomes
        .iter()
        .map(|o| (o.metric.as_str(), o.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [("one", Outcome::Applied), ("two", Outcome::Failed)]
    );
    assert_eq!(detail.outcomes[0].version, 1);
    let finals = store.final_runs(WS, &dataset, 3).await.unwrap();
    assert_eq!(finals.len(), 1);
    let slots = store.final_slots(WS, &dataset, 3).await.unwrap();
    assert_eq!(slots, [(finals[0].0.slot, run.clone())]);
}

async fn a_dropped_commit_leaves_nothing_behind(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    {
        let mut commit = store
            .begin_commit(WS, &dataset, &run)
            .await
            .unwrap()
            .unwrap();
        commit
            .replace("one", &all(), &[cell("{}", 0, "x")])
            .await
            .unwrap();
        let version = commit.bump_version("one").unwrap();
        commit.outbox("one", version, "{}").await.unwrap();
        commit
            .finish(RunState::Final, &RunEnd::default())
            .await
            .unwrap();
        // The process dies here.
    }
    assert!(read(store, "one").await.is_empty());
    assert!(store.outbox(10).await.unwrap().is_empty());
    assert_eq!(store.metric_version(WS, "one").await.unwrap(), Some(0));
    assert_eq!(
        store.run(WS, &run).await.unwrap().unwrap().state,
        RunState::Waiting
    );
    assert!(
        store
            .begin_commit(WS, &dataset, &run)
            .await
            .unwrap()
            .is_some(),
        "it can be done again"
    );
}

async fn a_repeated_delivery_changes_nothing(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    commit_cells(store, &dataset, 1, &[cell("{}", 0, "x")]).await;
    let run = store
        .final_runs(WS, &dataset, 1)
        .await
        .unwrap()
        .remove(0)
        .0
        .id;
    assert!(store.begin_evaluation(WS, &run).await.unwrap().is_none());
    assert!(
        store
            .begin_commit(WS, &dataset, &run)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .begin_commit(WS, &dataset, "r_unknown")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(store.metric_version(WS, "one").await.unwrap(), Some(1));
}

async fn a_run_ends_once_under_concurrent_commits(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let tries = (0..8).map(|n| {
        let (store, dataset, run) = (store.clone(), dataset.clone(), run.clone());
        tokio::spawn(async move {
            let Some(mut commit) = store.begin_commit(WS, &dataset, &run).await? else {
                return Ok::<bool, Error>(false);
            };
            for metric in ["one", "two"] {
                let cells = [cell("{}", 0, &format!("by {n}"))];
                commit.replace(metric, &all(), &cells).await?;
                let version = commit.bump_version(metric)?;
                commit.outbox(metric, version, "{}").await?;
            }
            commit.finish(RunState::Final, &RunEnd::default()).await?;
            commit.commit().await?;
            Ok(true)
        })
    });
    let mut done = 0;
    for attempt in tries.collect::<Vec<_>>() {
        done += i32::from(attempt.await.unwrap().unwrap());
    }
    assert_eq!(done, 1);
    assert_eq!(store.outbox(10).await.unwrap().len(), 2);
    assert_eq!(store.metric_version(WS, "two").await.unwrap(), Some(1));
}

async fn replacing_writes_only_what_differs(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    commit_cells(
        store,
        &dataset,
        1,
        &[
            cell("{a}", 0, "same"),
            cell("{a}", DAY, "old"),
            cell("{b}", 0, "gone"),
            cell("{b}", 9 * DAY, "out"),
        ],
    )
    .await;
    let run = open(store, &dataset, 2, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let mut part = cell("{c}", DAY, "part");
    part.partial = true;
    let cells = [
        cell("{a}", 0, "same"),
        cell("{a}", DAY, "new"),
        part.clone(),
    ];
    // Overlapping and touching intervals are one.
    let intervals = [
        Interval { start: 0, end: DAY },
        Interval {
            start: DAY / 2,
            end: 2 * DAY,
        },
    ];
    let replaced = commit.replace("one", &intervals, &cells).await.unwrap();
    let change = |series: &str, start, old: Option<&str>, new: Option<&str>| CellChange {
        series: series.into(),
        start,
        old: old.map(|text| text.as_bytes().to_vec()),
        new: new.map(|text| text.as_bytes().to_vec()),
    };
    assert_eq!(
        replaced.changes,
        [
            change("{b}", 0, Some("gone"), None),
            change("{a}", DAY, Some("old"), Some("new")),
            change("{c}", DAY, None, Some("part")),
        ]
    );
    let again = commit.replace("one", &intervals, &cells).await.unwrap();
    assert!(again.changes.is_empty(), "a repeat changes nothing");
    part.partial = false;
    let whole = [cells[0].clone(), cells[1].clone(), part];
    let replaced = commit.replace("one", &intervals, &whole).await.unwrap();
    assert_eq!(
        replaced.changes,
        [change("{c}", DAY, Some("part"), Some("part"))]
    );
    let read = commit.cells("one", 0, 2 * DAY).await.unwrap();
    assert_eq!(read, whole);
    commit.commit().await.unwrap();
}

async fn cells_outside_of_what_is_replaced_are_refused(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let interval = [Interval { start: 0, end: DAY }];
    let error = commit
        .replace("one", &interval, &[cell("{}", DAY, "x")])
        .await
        .expect_err("outside");
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let twice = [cell("{}", 0, "x"), cell("{}", 0, "y")];
    let error = commit
        .replace("one", &interval, &twice)
        .await
        .expect_err("twice");
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let error = commit
        .replace("other", &interval, &[])
        .await
        .expect_err("not of this dataset");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

async fn a_sync_of_a_level_is_added_once(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    for (slot, state) in [(100, "a"), (200, "b")] {
        let run = open(store, &dataset, slot, RunKind::Manual).await;
        let mut commit = store
            .begin_commit(WS, &dataset, &run)
            .await
            .unwrap()
            .unwrap();
        let samples = [cell("{}", slot, state)];
        assert_eq!(
            commit
                .insert_samples("one", slot, &samples)
                .await
                .unwrap()
                .changes
                .len(),
            1
        );
        assert!(
            commit
                .insert_samples("one", slot, &samples)
                .await
                .unwrap()
                .changes
                .is_empty()
        );
        commit.insert_samples("one", slot + 50, &[]).await.unwrap();
        commit
            .finish(RunState::Final, &RunEnd::default())
            .await
            .unwrap();
        commit.commit().await.unwrap();
    }
    let rows = store.series(WS, "one", 100, 250).await.unwrap().unwrap();
    assert_eq!(
        rows.syncs,
        [100, 150, 200],
        "a sync without members is a sync"
    );
    let newest = async |names: &[&str], upto| store.newest_start(WS, names, upto).await.unwrap();
    assert_eq!(newest(&["one"], 1_000).await, Some(200));
    assert_eq!(newest(&["one", "none"], 199).await, Some(100));
    assert_eq!(newest(&["one"], 99).await, None);
    assert_eq!(newest(&[], 1_000).await, None);
    assert_eq!(rows.series[0].points.len(), 2);
}

async fn coverage_is_replaced_whole(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let piece = |start, end, as_of| Coverage {
        start,
        end,
        as_of,
        run: run.clone(),
        revision: 1,
        complete: as_of % 2 == 0,
    };
    for pieces in [
        vec![piece(0, 10, 1), piece(10, 20, 2)],
        vec![piece(0, 15, 1), piece(15, 20, 4), piece(20, 30, 5)],
        vec![piece(15, 20, 4)],
        vec![],
    ] {
        commit.set_coverage("one", &pieces).await.unwrap();
        assert_eq!(commit.coverage("one").await.unwrap(), pieces);
    }
    let error = commit
        .set_coverage("one", &[piece(0, 1, 1), piece(0, 2, 1)])
        .await
        .expect_err("two");
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

async fn what_an_earlier_revision_covers_is_measured(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let (version, revision) = store.metric_standing(WS, "one").await.unwrap().unwrap();
    assert_eq!(store.metric_standing(WS, "none").await.unwrap(), None);
    assert_eq!(store.outdated_ms(WS, "one", revision).await.unwrap(), 0);
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let begun = store.begin_commit(WS, &dataset, &run).await.unwrap();
    let mut commit = begun.unwrap();
    let piece = |start, end, revision| Coverage {
        start,
        end,
        as_of: 1,
        run: run.clone(),
        revision,
        complete: true,
    };
    let old = revision - 1;
    let pieces = [
        piece(0, 10, old),
        piece(10, 25, revision),
        piece(25, 30, old),
    ];
    commit.set_coverage("one", &pieces).await.unwrap();
    commit.commit().await.unwrap();
    let standing = store.metric_standing(WS, "one").await.unwrap();
    assert_eq!(standing, Some((version, revision)), "neither has changed");
    assert_eq!(store.outdated_ms(WS, "one", revision).await.unwrap(), 15);
    assert_eq!(
        store.outdated_ms(WS, "one", revision + 1).await.unwrap(),
        30
    );
}

async fn versions_grow_and_an_epoch_lifts_them(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    commit_cells(store, &dataset, 1, &[cell("{}", 0, "x")]).await;
    commit_cells(store, &dataset, 2, &[cell("{}", 0, "y")]).await;
    assert_eq!(store.metric_version(WS, "one").await.unwrap(), Some(2));
    assert_eq!(store.raise_epoch().await.unwrap(), 1);
    commit_cells(store, &dataset, 3, &[cell("{}", 0, "z")]).await;
    assert_eq!(
        store.metric_version(WS, "one").await.unwrap(),
        Some(1_000_000_000_001)
    );
    assert_eq!(store.raise_epoch().await.unwrap(), 2);
    assert_eq!(
        store.purge(WS, "tester", "one").await.unwrap(),
        2_000_000_000_001
    );
}

async fn series_beyond_the_limit_are_counted_not_kept(store: &Store) {
    store.put_setting(SERIES_LIMIT_SETTING, "3").await.unwrap();
    let dataset = metrics(store, &["one"]).await;
    let cells: Vec<Cell> = (0..5).map(|n| cell(&format!("{{{n}}}"), 0, "x")).collect();
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let replaced = commit.replace("one", &all(), &cells).await.unwrap();
    assert_eq!((replaced.overflow, replaced.changes.len()), (2, 3));
    // Series without cells make room.
    commit.replace("one", &all(), &[]).await.unwrap();
    let replaced = commit.replace("one", &all(), &cells[2..]).await.unwrap();
    assert_eq!((replaced.overflow, replaced.changes.len()), (0, 3));
}

async fn many_cells_go_in_few_statements(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let cells: Vec<Cell> = (0..20_000)
        .map(|n| {
            cell(
                &format!("{{\"k\":\"{}\"}}", n % 7),
                n / 7 * 3_600_000,
                &n.to_string(),
            )
        })
        .collect();
    assert_eq!(commit_cells(store, &dataset, 1, &cells).await.len(), 20_000);
    assert_eq!(read(store, "one").await.len(), 20_000);
    assert!(commit_cells(store, &dataset, 2, &cells).await.is_empty());
    assert_eq!(
        commit_cells(store, &dataset, 3, &cells[..10]).await.len(),
        19_990
    );
    assert_eq!(read(store, "one").await.len(), 10);
}

async fn rejected_samples_are_few_and_stay_with_their_metric(store: &Store) {
    let dataset = metrics(store, &["one", "two"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let sample = |row| RejectedSample {
        page: 1,
        row,
        code: "value.missing".into(),
        reason: "no value".into(),
        sample: "{}".into(),
    };
    let samples: Vec<_> = (0..50).map(sample).collect();
    let outcome = MetricOutcome {
        metric: "one".into(),
        revision: 1,
        rejected: 50,
        ..MetricOutcome::default()
    };
    commit.metric_outcome(&outcome, &samples).await.unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    let kept = store.rejected(WS, &run, "one").await.unwrap();
    assert_eq!(kept, samples[..20]);
    assert!(store.rejected(WS, &run, "two").await.unwrap().is_empty());
    assert!(
        store
            .rejected("other", &run, "one")
            .await
            .unwrap()
            .is_empty()
    );
    let now = store.now().await.unwrap();
    assert_eq!(store.sweep(now + 8 * DAY).await.unwrap().rejected, 20);
    assert!(store.run(WS, &run).await.unwrap().is_some());
    assert_eq!(store.sweep(now + 91 * DAY).await.unwrap().runs, 1);
    assert!(store.run_detail(WS, &run).await.unwrap().is_none());
}

async fn a_recompute_replaces_its_outcome_and_ends_nothing(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    assert!(
        store
            .begin_recompute(WS, &dataset, &run)
            .await
            .unwrap()
            .is_none(),
        "not final"
    );
    commit_cells(store, &dataset, 1, &[cell("{}", 0, "x")]).await;
    for revision in [1, 2, 2] {
        let mut commit = store
            .begin_recompute(WS, &dataset, &run)
            .await
            .unwrap()
            .unwrap();
        commit
            .replace("one", &all(), &[cell("{}", 0, "y")])
            .await
            .unwrap();
        let outcome = MetricOutcome {
            metric: "one".into(),
            revision,
            rows: 9,
            ..MetricOutcome::default()
        };
        commit.metric_outcome(&outcome, &[]).await.unwrap();
        assert!(
            commit
                .finish(RunState::Final, &RunEnd::default())
                .await
                .is_err()
        );
        commit.commit().await.unwrap();
    }
    let detail = store.run_detail(WS, &run).await.unwrap().unwrap();
    assert_eq!(
        detail
            .outcomes
            .iter()
            .map(|o| o.revision)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(read(store, "one").await[0].2, "y");
}

async fn a_recompute_asked_for_again_stays_queued(store: &Store) {
    metrics(store, &["one"]).await;
    assert!(store.request_recompute(WS, "none").await.is_err());
    let id = store.request_recompute(WS, "one").await.unwrap();
    assert_eq!(store.request_recompute(WS, "one").await.unwrap(), id);
    let now = store.now().await.unwrap();
    let claimed = store.claim_recompute(now, 1_000).await.unwrap().unwrap();
    assert_eq!((claimed.id, claimed.attempts), (id, 1));
    assert!(
        store
            .claim_recompute(now + 999, 1_000)
            .await
            .unwrap()
            .is_none(),
        "leased"
    );
    store.request_recompute(WS, "one").await.unwrap();
    store.end_recompute(&claimed).await.unwrap();
    let again = store
        .claim_recompute(now, 1_000)
        .await
        .unwrap()
        .expect("asked for again");
    store.end_recompute(&again).await.unwrap();
    assert!(
        store
            .claim_recompute(i64::MAX / 2, 1)
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_purged_metric_is_empty_and_newer(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    commit_cells(store, &dataset, 1, &[cell("{}", 0, "x")]).await;
    assert_eq!(store.purge(WS, "tester", "one").await.unwrap(), 2);
    assert!(read(store, "one").await.is_empty());
    assert!(matches!(
        store.purge(WS, "t", "no").await,
        Err(Error::NotFound { .. })
    ));
}

async fn the_state_of_a_metric_is_read_at_once(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    assert!(store.metric_state(WS, "none").await.unwrap().is_none());
    let state = store.metric_state(WS, "one").await.unwrap().unwrap();
    assert_eq!(
        (state.version, state.last_success_at, state.coverage.len()),
        (0, None, 0)
    );
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    let piece = |start| Coverage {
        start,
        end: start + 1,
        as_of: 1,
        run: run.clone(),
        revision: 1,
        complete: true,
    };
    commit
        .set_coverage("one", &[piece(5), piece(1)])
        .await
        .unwrap();
    commit.bump_version("one").unwrap();
    let outcome = MetricOutcome {
        metric: "one".into(),
        revision: 1,
        ..MetricOutcome::default()
    };
    commit.metric_outcome(&outcome, &[]).await.unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    let state = store.metric_state(WS, "one").await.unwrap().unwrap();
    assert_eq!(state.coverage, [piece(1), piece(5)]);
    assert_eq!((state.version, state.dataset), (1, Some(dataset)));
    assert_eq!(
        (state.last_run, state.last_outcome),
        (Some(run), Some(Outcome::Applied))
    );
    assert!(state.last_success_at.is_some());
}

async fn a_deleted_metrics_points_are_swept_in_batches(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let cells: Vec<Cell> = (0..10_001).map(|n| cell("{}", n, "x")).collect();
    commit_cells(store, &dataset, 1, &cells).await;
    apply(store, &[delete(store::Kind::Metric, "one")]).await;
    apply(store, &[metric("one", "api", "/things")]).await;
    assert!(
        read(store, "one").await.is_empty(),
        "the new metric starts empty"
    );
    let now = store.now().await.unwrap();
    let mut batches = Vec::new();
    loop {
        let swept = store.sweep(now).await.unwrap();
        batches.push(swept.cells);
        if !swept.more {
            break;
        }
    }
    assert_eq!(batches, [10_000, 1, 0, 0]);
}

async fn text_with_nul_is_kept_readable(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let end = RunEnd {
        error: Some("a\0b".into()),
        ..RunEnd::default()
    };
    assert!(store.fail_run(WS, &run, &end).await.unwrap());
    let run = store.run(WS, &run).await.unwrap().unwrap();
    assert_eq!(run.error.as_deref(), Some("a\u{fffd}b"));
}
