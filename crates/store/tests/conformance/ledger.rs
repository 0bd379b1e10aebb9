//! The run ledger: slots, joining, superseding, fairness, caps, ends.

use std::collections::BTreeSet;

use store::{DueSlot, Error, NewRuns, RunEnd, RunKind, RunState, Store};

use crate::fixture::{DAY, WS, apply, connection, days, metric, metrics, open, open_window};
use crate::on_both;

on_both!(
    a_slot_is_opened_once,
    a_manual_sync_joins_the_run_that_is_open,
    missed_slots_collapse_into_the_newest,
    a_throttled_slot_hands_its_pause_to_the_next,
    a_run_with_a_resume_point_is_not_superseded,
    a_scheduled_slot_joins_what_a_person_asked_for,
    first_steps_outlive_a_short_look_back,
    due_slots_open_in_one_transaction_and_move_the_schedule,
    an_unknown_dataset_opens_nothing,
    workspaces_take_turns,
    caps_count_what_is_in_flight,
    a_greedy_dataset_holds_up_nobody,
    the_past_neither_starves_nor_is_starved,
    two_runs_of_one_window_are_never_in_flight_together,
    a_claim_hands_each_run_to_one_caller,
    a_dispatch_is_marked_once,
    a_released_run_waits_and_keeps_its_resume_point,
    overdue_runs_are_found,
    evaluations_are_counted_and_refunded,
    a_run_ends_once,
    a_failure_that_needs_a_person_is_marked_until_a_success,
    runs_are_listed_newest_first_in_pages,
);

async fn a_slot_is_opened_once(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let new = NewRuns {
        workspace: WS.into(),
        dataset: dataset.clone(),
        slot: 1_000,
        kind: RunKind::Scheduled,
        windows: vec![Some(days(30, 60)), Some(days(0, 30))],
        reason: Some("because".into()),
    };
    let first = store.open_runs(&new).await.unwrap();
    assert!(first.iter().all(|opened| !opened.joined));
    assert!(
        first[0].run < first[1].run,
        "ids keep the order of the windows"
    );
    let again = store.open_runs(&new).await.unwrap();
    assert!(again.iter().all(|opened| opened.joined));
    assert_eq!(first[0].run, again[0].run);
    // Ended or not.
    assert!(
        store
            .fail_run(WS, &first[0].run, &RunEnd::default())
            .await
            .unwrap()
    );
    let again = store.open_runs(&new).await.unwrap();
    assert_eq!((&again[0].run, again[0].joined), (&first[0].run, true));
    let run = store.run(WS, &first[1].run).await.unwrap().unwrap();
    assert_eq!(run.window, Some(days(0, 30)));
    assert_eq!(
        (run.state, run.attempt, run.connection.as_str()),
        (RunState::Waiting, 0, "api")
    );
    assert_eq!(run.reason.as_deref(), Some("because"));
    assert!(store.run("other", &first[1].run).await.unwrap().is_none());
}

async fn a_manual_sync_joins_the_run_that_is_open(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let scheduled = open(store, &dataset, 1_000, RunKind::Scheduled).await;
    assert_eq!(
        open(store, &dataset, 1_234, RunKind::Manual).await,
        scheduled
    );
    store
        .mark_dispatched(WS, &scheduled, 1, 1_500)
        .await
        .unwrap();
    assert_eq!(
        open(store, &dataset, 1_600, RunKind::Manual).await,
        scheduled
    );
    assert!(
        store
            .fail_run(WS, &scheduled, &RunEnd::default())
            .await
            .unwrap()
    );
    assert_ne!(
        open(store, &dataset, 1_700, RunKind::Manual).await,
        scheduled
    );
}

async fn missed_slots_collapse_into_the_newest(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let mut ids = Vec::new();
    for slot in 1..=4 {
        ids.push(open(store, &dataset, slot * 1_000, RunKind::Scheduled).await);
    }
    for id in &ids[..3] {
        assert_eq!(
            store.run(WS, id).await.unwrap().unwrap().state,
            RunState::Superseded
        );
    }
    assert_eq!(
        store.run(WS, &ids[3]).await.unwrap().unwrap().state,
        RunState::Waiting
    );
    // One in flight is left alone, and the next waits behind it.
    store.mark_dispatched(WS, &ids[3], 1, 4_100).await.unwrap();
    let next = open(store, &dataset, 5_000, RunKind::Scheduled).await;
    assert_eq!(
        store.run(WS, &ids[3]).await.unwrap().unwrap().state,
        RunState::Dispatched
    );
    assert!(
        store
            .dispatchable(9_000, 10, 10, 10)
            .await
            .unwrap()
            .is_empty()
    );
    store
        .fail_run(WS, &ids[3], &RunEnd::default())
        .await
        .unwrap();
    let ready = store.dispatchable(9_000, 10, 10, 10).await.unwrap();
    assert_eq!(ready.iter().map(|run| &run.id).collect::<Vec<_>>(), [&next]);
}

async fn a_throttled_slot_hands_its_pause_to_the_next(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let first = open(store, &dataset, 1_000, RunKind::Scheduled).await;
    store.mark_dispatched(WS, &first, 1, 1_100).await.unwrap();
    assert!(
        store
            .release(WS, &first, 50_000, Some("throttled"))
            .await
            .unwrap()
    );
    let second = open(store, &dataset, 2_000, RunKind::Scheduled).await;
    assert_ne!(first, second);
    assert_eq!(
        store.run(WS, &second).await.unwrap().unwrap().not_before,
        50_000
    );
    assert!(
        store
            .dispatchable(49_999, 10, 10, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store.dispatchable(50_000, 10, 10, 10).await.unwrap().len(),
        1
    );
}

async fn a_run_with_a_resume_point_is_not_superseded(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let long = open(store, &dataset, 1_000, RunKind::Scheduled).await;
    store.mark_dispatched(WS, &long, 1, 1_100).await.unwrap();
    assert!(
        store
            .checkpoint(WS, &long, r#"{"next":7}"#, 0)
            .await
            .unwrap()
    );
    assert_eq!(open(store, &dataset, 2_000, RunKind::Scheduled).await, long);
    let run = store.run(WS, &long).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.resume.as_deref()),
        (RunState::Waiting, Some(r#"{"next":7}"#))
    );
}

async fn a_scheduled_slot_joins_what_a_person_asked_for(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let manual = open(store, &dataset, 1_000, RunKind::Manual).await;
    assert_eq!(
        open(store, &dataset, 2_000, RunKind::Scheduled).await,
        manual
    );
    assert_eq!(
        store.run(WS, &manual).await.unwrap().unwrap().state,
        RunState::Waiting
    );
}

async fn first_steps_outlive_a_short_look_back(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let oldest = open_window(store, &dataset, 1, RunKind::Scheduled, Some(days(0, 30))).await;
    let newest = open_window(store, &dataset, 1, RunKind::Scheduled, Some(days(30, 60))).await;
    let again = open_window(store, &dataset, 2, RunKind::Scheduled, Some(days(58, 61))).await;
    for id in [&oldest, &newest, &again] {
        assert_eq!(
            store.run(WS, id).await.unwrap().unwrap().state,
            RunState::Waiting
        );
    }
    let slid = open_window(store, &dataset, 3, RunKind::Scheduled, Some(days(59, 62))).await;
    assert_eq!(
        store.run(WS, &again).await.unwrap().unwrap().state,
        RunState::Superseded
    );
    assert_eq!(
        store.run(WS, &slid).await.unwrap().unwrap().state,
        RunState::Waiting
    );
}

async fn due_slots_open_in_one_transaction_and_move_the_schedule(store: &Store) {
    let mut changes = vec![connection("api", "https://a:443")];
    changes.extend((0..500).map(|n| metric(&format!("m{n}"), "api", &format!("/{n}"))));
    apply(store, &changes).await;
    let now = store.now().await.unwrap();
    let due = store.due_datasets(now, 1_000).await.unwrap();
    assert_eq!(due.len(), 500);
    let batch: Vec<DueSlot> = due
        .iter()
        .map(|dataset| DueSlot {
            workspace: dataset.workspace.clone(),
            dataset: dataset.id.clone(),
            slot: now,
            windows: vec![],
            next_due: Some(now + 60_000),
        })
        .chain([DueSlot {
            workspace: WS.into(),
            dataset: "d_0000000000000000".into(),
            slot: now,
            windows: vec![],
            next_due: None,
        }])
        .collect();
    let opened = store.open_due(&batch).await.unwrap();
    assert_eq!(opened.len(), 500, "the dataset that is gone is passed over");
    assert!(store.due_datasets(now, 1_000).await.unwrap().is_empty());
    assert_eq!(
        store.due_datasets(now + 60_000, 1_000).await.unwrap().len(),
        500
    );
    // A second scheduler that read the same list changes nothing.
    let again = store.open_due(&batch).await.unwrap();
    assert!(again.iter().all(|opened| opened.joined));
    assert_eq!(
        store
            .dispatchable(now, 1_000, 1_000, 1_000)
            .await
            .unwrap()
            .len(),
        500
    );
}

async fn an_unknown_dataset_opens_nothing(store: &Store) {
    let new = NewRuns {
        workspace: WS.into(),
        dataset: "d_0000000000000000".into(),
        slot: 1,
        kind: RunKind::Manual,
        windows: vec![],
        reason: None,
    };
    let error = store.open_runs(&new).await.expect_err("no such dataset");
    assert!(
        matches!(
            error,
            Error::NotFound {
                kind: "dataset",
                ..
            }
        ),
        "{error}"
    );
}

/// `count` datasets on one connection of a workspace, each with an open run of `kind`.
async fn open_many(store: &Store, ws: &str, connection_name: &str, count: usize) -> Vec<String> {
    store.create_workspace("tester", ws).await.unwrap();
    let mut changes = vec![connection(connection_name, "https://a:443")];
    changes.extend((0..count).map(|n| {
        metric(
            &format!("{connection_name}_{n}"),
            connection_name,
            &format!("/{n}"),
        )
    }));
    let applied = store.apply(ws, "tester", &changes).await.unwrap();
    let mut runs = Vec::new();
    for dataset in applied.into_iter().filter_map(|applied| applied.dataset) {
        let new = NewRuns {
            workspace: ws.into(),
            dataset,
            slot: 1,
            kind: RunKind::Scheduled,
            windows: vec![],
            reason: None,
        };
        runs.push(store.open_runs(&new).await.unwrap().remove(0).run);
    }
    runs
}

async fn workspaces_take_turns(store: &Store) {
    open_many(store, "big", "api", 12).await;
    open_many(store, "small", "api", 2).await;
    let ready = store.dispatchable(10, 6, 100, 100).await.unwrap();
    let order: Vec<&str> = ready.iter().map(|run| run.workspace.as_str()).collect();
    assert_eq!(order, ["big", "small", "big", "small", "big", "big"]);
}

async fn caps_count_what_is_in_flight(store: &Store) {
    open_many(store, "one", "busy", 10).await;
    open_many(store, "one", "calm", 3).await;
    let claimed = store.claim(10, 100, 100, 4).await.unwrap();
    assert_eq!(
        claimed
            .iter()
            .filter(|run| run.connection == "busy")
            .count(),
        4
    );
    assert_eq!(
        claimed
            .iter()
            .filter(|run| run.connection == "calm")
            .count(),
        3
    );
    assert!(
        store.claim(10, 100, 100, 4).await.unwrap().is_empty(),
        "the cap is used up"
    );
    let busy = claimed.iter().find(|run| run.connection == "busy").unwrap();
    store
        .fail_run("one", &busy.id, &RunEnd::default())
        .await
        .unwrap();
    assert_eq!(store.claim(10, 100, 100, 4).await.unwrap().len(), 1);
    assert!(
        store.claim(10, 100, 7, 100).await.unwrap().is_empty(),
        "the workspace has seven"
    );
    assert_eq!(store.claim(10, 100, 9, 100).await.unwrap().len(), 2);
}

async fn a_greedy_dataset_holds_up_nobody(store: &Store) {
    let greedy = metrics(store, &["one"]).await;
    for day in 0..20 {
        let window = Some(days(day, day + 1));
        open_window(store, &greedy, 1, RunKind::Scheduled, window).await;
    }
    let mut modest = Vec::new();
    for name in ["two", "three"] {
        let applied = apply(store, &[metric(name, "api", name)]).await;
        let dataset = applied[0].dataset.clone().unwrap();
        open(store, &dataset, 1, RunKind::Scheduled).await;
        modest.push(dataset);
    }
    let claimed = store.claim(10, 100, 100, 4).await.unwrap();
    let datasets: Vec<&String> = claimed.iter().map(|run| &run.dataset).collect();
    assert_eq!(claimed.len(), 4);
    assert!(
        modest.iter().all(|dataset| datasets.contains(&dataset)),
        "{datasets:?}"
    );
    // What is in flight counts: the next place goes to whoever has none.
    store.release(WS, &claimed[3].id, 10, None).await.unwrap();
    let applied = apply(store, &[metric("four", "api", "four")]).await;
    let fourth = applied[0].dataset.clone().unwrap();
    open(store, &fourth, 1, RunKind::Scheduled).await;
    let next = store.claim(10, 100, 100, 4).await.unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].dataset, fourth);
}

async fn the_past_neither_starves_nor_is_starved(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    for day in 0..20 {
        let window = Some(days(day, day + 1));
        open_window(store, &dataset, 1, RunKind::Backfill, window).await;
    }
    for number in 0..20 {
        let name = format!("m{number}");
        let applied = apply(store, &[metric(&name, "api", &name)]).await;
        let dataset = applied[0].dataset.clone().unwrap();
        open(store, &dataset, 1, RunKind::Scheduled).await;
    }
    let past = |runs: &[store::Run]| {
        let past = runs.iter().filter(|run| run.kind == RunKind::Backfill);
        past.count()
    };
    let claimed = store.claim(10, 100, 100, 8).await.unwrap();
    assert_eq!(
        (claimed.len(), past(&claimed)),
        (8, 2),
        "a quarter is for the past"
    );
    // Whatever comes back one by one keeps the share.
    for run in claimed.iter().filter(|run| run.kind == RunKind::Backfill) {
        store
            .fail_run(WS, &run.id, &RunEnd::default())
            .await
            .unwrap();
        let next = store.claim(10, 100, 100, 8).await.unwrap();
        assert_eq!((next.len(), past(&next)), (1, 1));
    }
    for run in claimed.iter().filter(|run| run.kind == RunKind::Scheduled) {
        store
            .fail_run(WS, &run.id, &RunEnd::default())
            .await
            .unwrap();
    }
    let rest = store.claim(10, 1_000, 1_000, 1_000).await.unwrap();
    assert!(rest.len() > 20, "{}", rest.len());
}

async fn two_runs_of_one_window_are_never_in_flight_together(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let window = Some(days(0, 30));
    let first = open_window(store, &dataset, 1, RunKind::Backfill, window).await;
    let other = open_window(store, &dataset, 1, RunKind::Backfill, Some(days(30, 60))).await;
    store.mark_dispatched(WS, &first, 1, 2).await.unwrap();
    let next = open_window(store, &dataset, 2, RunKind::Scheduled, window).await;
    assert_ne!(first, next);
    let ready = store.dispatchable(10, 10, 10, 10).await.unwrap();
    assert_eq!(
        ready.iter().map(|run| &run.id).collect::<Vec<_>>(),
        [&other]
    );
}

async fn a_claim_hands_each_run_to_one_caller(store: &Store) {
    open_many(store, "one", "api", 40).await;
    let callers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.claim(10, 5, 100, 100).await })
    });
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        for run in caller.await.unwrap().unwrap() {
            assert_eq!((run.state, run.attempt), (RunState::Dispatched, 1));
            assert_eq!(run.dispatched_at, Some(10));
            ids.insert(run.id);
            count += 1;
        }
    }
    assert_eq!((ids.len(), count), (40, 40));
}

async fn a_dispatch_is_marked_once(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Scheduled).await;
    assert!(
        !store.mark_dispatched(WS, &run, 2, 5).await.unwrap(),
        "the first attempt is 1"
    );
    assert!(store.mark_dispatched(WS, &run, 1, 5).await.unwrap());
    assert!(!store.mark_dispatched(WS, &run, 1, 5).await.unwrap());
    assert!(
        !store.mark_dispatched(WS, &run, 2, 5).await.unwrap(),
        "it is in flight"
    );
}

async fn a_released_run_waits_and_keeps_its_resume_point(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Scheduled).await;
    assert!(
        !store.release(WS, &run, 9, None).await.unwrap(),
        "it is not in flight"
    );
    store.mark_dispatched(WS, &run, 1, 5).await.unwrap();
    assert!(store.checkpoint(WS, &run, "{}", 9).await.unwrap());
    store.mark_dispatched(WS, &run, 2, 10).await.unwrap();
    assert!(store.release(WS, &run, 20, Some("drained")).await.unwrap());
    let run = store.run(WS, &run).await.unwrap().unwrap();
    assert_eq!(
        (run.state, run.attempt, run.not_before),
        (RunState::Waiting, 2, 20)
    );
    assert_eq!(
        (run.resume.as_deref(), run.reason.as_deref()),
        (Some("{}"), Some("drained"))
    );
}

async fn overdue_runs_are_found(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let dispatched = open_window(store, &dataset, 1, RunKind::Backfill, Some(days(0, 1))).await;
    let fetched = open_window(store, &dataset, 1, RunKind::Backfill, Some(days(1, 2))).await;
    open_window(store, &dataset, 1, RunKind::Backfill, Some(days(2, 3))).await;
    store
        .mark_dispatched(WS, &dispatched, 1, 100)
        .await
        .unwrap();
    store.mark_dispatched(WS, &fetched, 1, 100).await.unwrap();
    store.begin_evaluation(WS, &fetched).await.unwrap().unwrap();
    let ids = |runs: Vec<store::Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert!(ids(store.overdue(100, 100, 10).await.unwrap()).is_empty());
    assert_eq!(
        ids(store.overdue(101, 100, 10).await.unwrap()),
        std::slice::from_ref(&dispatched)
    );
    let later = store.now().await.unwrap() + 60_000;
    assert_eq!(
        ids(store.overdue(101, later, 10).await.unwrap()),
        [dispatched, fetched]
    );
}

async fn evaluations_are_counted_and_refunded(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Scheduled).await;
    store.mark_dispatched(WS, &run, 1, 5).await.unwrap();
    for expected in 1..=3 {
        let begun = store.begin_evaluation(WS, &run).await.unwrap().unwrap();
        assert_eq!(
            (begun.attempts, begun.run.state),
            (expected, RunState::Fetched)
        );
    }
    store.refund_evaluation(WS, &run).await.unwrap();
    assert_eq!(
        store
            .begin_evaluation(WS, &run)
            .await
            .unwrap()
            .unwrap()
            .attempts,
        3
    );
    assert!(store.dead_run(WS, &run, &RunEnd::default()).await.unwrap());
    assert!(store.begin_evaluation(WS, &run).await.unwrap().is_none());
    assert!(
        store
            .begin_evaluation(WS, "r_unknown")
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_run_ends_once(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Scheduled).await;
    let end = RunEnd {
        manifest: Some(r#"{"pages":[]}"#.into()),
        pages: 7,
        partial: true,
        ended: Some("failed".into()),
        error: Some(r#"{"code":"http.401"}"#.into()),
        ..RunEnd::default()
    };
    assert!(store.fail_run(WS, &run, &end).await.unwrap());
    assert!(!store.fail_run(WS, &run, &RunEnd::default()).await.unwrap());
    assert!(!store.dead_run(WS, &run, &RunEnd::default()).await.unwrap());
    assert!(!store.cancel_run(WS, &run, "no").await.unwrap());
    let detail = store.run_detail(WS, &run).await.unwrap().unwrap();
    assert_eq!(detail.manifest, end.manifest);
    assert_eq!((detail.run.state, detail.run.pages), (RunState::Failed, 7));
    assert_eq!((detail.run.ended, detail.run.error), (end.ended, end.error));
    assert!(detail.run.ended_at.is_some() && detail.run.partial);
}

async fn a_failure_that_needs_a_person_is_marked_until_a_success(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let run = open(store, &dataset, 1, RunKind::Manual).await;
    let end = RunEnd {
        needs_attention: Some("401".into()),
        ..RunEnd::default()
    };
    store.fail_run(WS, &run, &end).await.unwrap();
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(
        (stored.needs_attention, stored.last_success_at),
        (true, None)
    );
    assert_eq!(stored.attention_reason.as_deref(), Some("401"));
    let run = open_window(store, &dataset, 2, RunKind::Manual, Some(days(0, 30))).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert!(!stored.needs_attention && stored.last_success_at.is_some());
    assert_eq!(stored.last_window_end, Some(30 * DAY));
    let run = open_window(store, &dataset, 3, RunKind::Backfill, Some(days(0, 10))).await;
    let mut commit = store
        .begin_commit(WS, &dataset, &run)
        .await
        .unwrap()
        .unwrap();
    commit
        .finish(RunState::Final, &RunEnd::default())
        .await
        .unwrap();
    commit.commit().await.unwrap();
    let stored = store.dataset(WS, &dataset).await.unwrap().unwrap();
    assert_eq!(
        stored.last_window_end,
        Some(30 * DAY),
        "a backfill moves it not back"
    );
}

async fn runs_are_listed_newest_first_in_pages(store: &Store) {
    let dataset = metrics(store, &["one"]).await;
    let mut ids = Vec::new();
    for slot in 1..=5 {
        ids.push(
            open_window(
                store,
                &dataset,
                slot,
                RunKind::Backfill,
                Some(days(slot, slot + 1)),
            )
            .await,
        );
    }
    ids.reverse();
    let page = store.runs_of_metric(WS, "one", 2, None).await.unwrap();
    assert_eq!(
        page.iter().map(|one| &one.run.id).collect::<Vec<_>>(),
        [&ids[0], &ids[1]]
    );
    let next = store
        .runs_of_dataset(WS, &dataset, 9, Some(&ids[1]))
        .await
        .unwrap();
    assert_eq!(
        next.iter().map(|run| &run.id).collect::<Vec<_>>(),
        [&ids[2], &ids[3], &ids[4]]
    );
    assert!(
        store
            .runs_of_metric(WS, "other", 9, None)
            .await
            .unwrap()
            .is_empty()
    );
}
