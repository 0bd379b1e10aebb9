//! The law of points: after any sequence of commits, the cells equal a map that was told the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::{Cell, Interval, RunEnd, RunKind, RunState, Store};

use crate::fixture::{self, WS, metrics, open};
use crate::points::read;

/// One commit: what it replaces, what it brings, and whether the process lives to finish it.
#[derive(Debug, Clone)]
struct Step {
    intervals: Vec<(i64, i64)>,
    cells: Vec<(u8, i64, u8)>,
    is_finished: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let intervals = prop::collection::vec((0i64..20, 1i64..8), 1..3);
    let cells = prop::collection::vec((0u8..4, 0i64..28, 0u8..3), 0..20);
    (intervals, cells, prop::bool::weighted(0.8)).prop_map(|(intervals, cells, is_finished)| Step {
        intervals: intervals
            .into_iter()
            .map(|(start, length)| (start, start + length))
            .collect(),
        cells,
        is_finished,
    })
}

type Model = BTreeMap<(String, i64), String>;

async fn follow(store: &Store, steps: &[Step]) -> (Model, Model) {
    let dataset = metrics(store, &["one"]).await;
    store.purge(WS, "tester", "one").await.unwrap();
    let mut model = Model::new();
    for step in steps {
        let slot = store.now().await.unwrap();
        let run = open(store, &dataset, slot, RunKind::Manual).await;
        let Some(mut commit) = store.begin_commit(WS, &dataset, &run).await.unwrap() else {
            // Two runs within one millisecond are one slot, and that one has ended.
            continue;
        };
        let intervals: Vec<Interval> = step
            .intervals
            .iter()
            .map(|&(start, end)| Interval { start, end })
            .collect();
        let is_inside = |start: i64| intervals.iter().any(|i| i.start <= start && start < i.end);
        let fresh: Model = step
            .cells
            .iter()
            .filter(|(_, start, _)| is_inside(*start))
            .map(|(series, start, state)| ((format!("{{{series}}}"), *start), format!("s{state}")))
            .collect();
        let cells: Vec<Cell> = fresh
            .iter()
            .map(|((series, start), state)| crate::points::cell(series, *start, state))
            .collect();
        let replaced = commit.replace("one", &intervals, &cells).await.unwrap();
        let mut next = model.clone();
        next.retain(|(_, start), _| !is_inside(*start));
        next.extend(fresh);
        let differences = next
            .iter()
            .filter(|(key, state)| model.get(*key) != Some(*state))
            .count()
            + model.keys().filter(|key| !next.contains_key(*key)).count();
        assert_eq!(replaced.changes.len(), differences);
        for change in &replaced.changes {
            let key = (change.series.clone(), change.start);
            let text = |state: &Option<Vec<u8>>| {
                state.clone().map(|state| String::from_utf8(state).unwrap())
            };
            assert_eq!(text(&change.old), model.get(&key).cloned());
            assert_eq!(text(&change.new), next.get(&key).cloned());
        }
        commit
            .finish(RunState::Final, &RunEnd::default())
            .await
            .unwrap();
        if step.is_finished {
            commit.commit().await.unwrap();
            model = next;
        } else {
            drop(commit);
            store.cancel_run(WS, &run, "dropped").await.unwrap();
        }
    }
    let stored = read(store, "one").await;
    (
        model,
        stored
            .into_iter()
            .map(|(series, start, state)| ((series, start), state))
            .collect(),
    )
}

fn check(store: impl Future<Output = fixture::Fixture>, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(store);
    let mut runner = TestRunner::new(Config {
        cases,
        ..Config::default()
    });
    runner
        .run(&prop::collection::vec(step(), 1..8), |steps| {
            let (model, stored) = runtime.block_on(follow(&fixture.store, &steps));
            prop_assert_eq!(model, stored);
            Ok(())
        })
        .unwrap();
}

#[test]
fn cells_equal_a_model_on_sqlite() {
    check(fixture::sqlite(), 40);
}

#[test]
fn cells_equal_a_model_on_postgres() {
    check(fixture::postgres(), 40);
}
