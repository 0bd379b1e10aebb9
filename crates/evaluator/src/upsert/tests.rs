//! Any sequence of syncs gives what a full read gives, against an API whose records come, change, move and go.

use std::collections::BTreeMap;

use definition::{Definition, Interval, Metric};
use expression::DeletedRow;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rollup::{Decimal, Dimensions, Ended, Row, RowValue, Rules, fold};
use store::testing::TestPostgres;
use store::{Action, Change, FetchIdentity, Kind, NewRuns, Put, RunEnd, RunKind, RunState, Store};

use crate::commit::{self, RunOfMetrics};
use crate::extract::Extracted;
use crate::subjects::Subject;

const WS: &str = "default";

/// A record of the API.
#[derive(Clone, Debug)]
struct Record {
    hour: i64,
    value: i64,
    team: u8,
    changed_at: i64,
    is_gone: bool,
}

/// What happens next; times pass by a second each.
#[derive(Clone, Debug)]
enum Step {
    /// A record is made, or changed in every way.
    Put {
        key: u8,
        hour: i64,
        value: i64,
        team: u8,
    },
    /// A record is deleted.
    Delete { key: u8 },
    /// What changed since `back` seconds ago is fetched, and committed after `late` more fetches.
    Fetch {
        back: i64,
        late: usize,
        is_cut: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put =
        (0..12_u8, 0..60_i64, -5..50_i64, 0..3_u8).prop_map(|(key, hour, value, team)| Step::Put {
            key,
            hour,
            value,
            team,
        });
    let delete = (0..12_u8).prop_map(|key| Step::Delete { key });
    let fetch = (1..40_i64, 0..3_usize, any::<bool>())
        .prop_map(|(back, late, is_cut)| Step::Fetch { back, late, is_cut });
    prop::collection::vec(prop_oneof![5 => put, 2 => delete, 3 => fetch], 1..60)
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn metric(mode: &str, aggregation: &str, resolution: &str) -> Metric {
    let document = serde_json::json!({
        "kind": "metric", "name": "orders", "connection": "shop", "request": { "path": "/orders" },
        "select": { "records": "orders", "value": "total", "date": "at", "key": "id" },
        "mode": mode, "aggregation": aggregation, "resolution": resolution, "timezone": "Europe/Paris",
    });
    match Definition::from_document(&document) {
        Ok(Definition::Metric(metric)) => metric,
        other => panic!("{other:?}"),
    }
}

fn row(key: u8, record: &Record, index: usize) -> Row {
    Row {
        value: RowValue::Number(Decimal::from(record.value)),
        at: Some(instant(record.hour * 3_600 + i64::from(key))),
        dimensions: Dimensions::of([("team", record.team.to_string())]),
        unit: None,
        key: Some(key.to_string().into()),
        page: 1,
        index: u32::try_from(index).unwrap(),
    }
}

/// A store with one metric, and its dataset.
struct Fixture {
    store: Store,
    dataset: String,
    subject: Subject,
    slot: i64,
}

impl Fixture {
    async fn new(store: Store, metric: Metric) -> Self {
        store.migrate().await.unwrap();
        let change = |kind, name: &str, put| Change {
            kind,
            name: name.into(),
            action: Action::Put(put),
            if_match: None,
        };
        let fetch = FetchIdentity {
            identity: "{}".into(),
            document: "{}".into(),
            connection: "shop".into(),
        };
        let connection = Put {
            document: r#"{"kind":"connection","name":"shop","base_url":"https://shop.example"}"#
                .into(),
            ..Put::default()
        };
        let own = Put {
            document: serde_json::to_string(&metric).unwrap(),
            fetch: Some(fetch),
            ..Put::default()
        };
        let changes = [
            change(Kind::Connection, "shop", connection),
            change(Kind::Metric, "orders", own),
        ];
        let applied = store.apply(WS, "tester", &changes).await.unwrap();
        let subject = Subject {
            name: "orders".into(),
            revision: 1,
            rules: Rules::of(&metric, None),
            metric,
        };
        Self {
            store,
            dataset: applied[1].dataset.clone().unwrap(),
            subject,
            slot: 0,
        }
    }

    /// Commits a run as it was fetched.
    async fn commit(&mut self, run: Fetched) {
        self.slot += 1;
        let new = NewRuns {
            workspace: WS.into(),
            dataset: self.dataset.clone(),
            slot: self.slot,
            kind: RunKind::Manual,
            windows: Vec::new(),
            reason: None,
        };
        let id = self.store.open_runs(&new).await.unwrap().remove(0).run;
        let mut commit = self
            .store
            .begin_commit(WS, &self.dataset, &id)
            .await
            .unwrap()
            .unwrap();
        let facts = RunOfMetrics {
            workspace: WS.into(),
            run: id,
            slot: run.at,
            fetched_at: run.at,
            window: run.window,
            ended: if run.is_cut {
                Ended::Truncated
            } else {
                Ended::Complete
            },
            overlap: 0,
            recompute: false,
            changes_listed: 10,
            seen: [(1, run.at)].into(),
        };
        commit::apply(&mut commit, &facts, &self.subject, run.extracted)
            .await
            .unwrap();
        commit
            .finish(RunState::Final, &RunEnd::default())
            .await
            .unwrap();
        commit.commit().await.unwrap();
    }

    /// Every cell: start, series and state.
    async fn cells(&self) -> BTreeMap<(i64, String), Vec<u8>> {
        let rows = self
            .store
            .series(WS, "orders", i64::MIN / 2, i64::MAX / 2)
            .await
            .unwrap()
            .unwrap();
        let mut cells = BTreeMap::new();
        for series in rows.series {
            for point in series.points {
                cells.insert((point.start, series.key.clone()), point.state);
            }
        }
        cells
    }
}

/// A run that waits to be committed.
struct Fetched {
    at: Timestamp,
    window: Option<Interval>,
    is_cut: bool,
    extracted: Extracted,
}

fn folded(rules: &Rules, rows: impl IntoIterator<Item = Row>) -> BTreeMap<(i64, String), Vec<u8>> {
    // On which page a record was says nothing over several runs.
    let rows = rows.into_iter().map(|row| Row { page: 0, ..row });
    let folded = fold(rows, rules, Timestamp::UNIX_EPOCH);
    let mut cells = BTreeMap::new();
    for (key, states) in folded.cells {
        for (start, state) in states {
            cells.insert((start, key.canonical()), state.encode());
        }
    }
    cells
}

/// What changed since `from`, as a run sees it.
fn changed_since(world: &BTreeMap<u8, Record>, from: i64) -> Extracted {
    let mut extracted = Extracted::default();
    for (index, (key, record)) in world
        .iter()
        .filter(|(_, record)| record.changed_at >= from)
        .enumerate()
    {
        if record.is_gone {
            let index = u32::try_from(index).unwrap();
            extracted.deleted.push(DeletedRow {
                key: key.to_string().into(),
                page: 1,
                index,
            });
        } else {
            extracted.rows.push(row(*key, record, index));
        }
    }
    extracted
}

async fn play_upserts(store: Store, aggregation: &str, resolution: &str, steps: Vec<Step>) {
    let mut fixture = Fixture::new(store, metric("upsert", aggregation, resolution)).await;
    let mut world: BTreeMap<u8, Record> = BTreeMap::new();
    let mut waiting: Vec<(usize, Fetched)> = Vec::new();
    let mut now = 0;
    for step in steps {
        now += 1;
        match step {
            Step::Put {
                key,
                hour,
                value,
                team,
            } => {
                let record = Record {
                    hour,
                    value,
                    team,
                    changed_at: now,
                    is_gone: false,
                };
                world.insert(key, record);
            }
            Step::Delete { key } => {
                if let Some(record) = world.get_mut(&key) {
                    (record.is_gone, record.changed_at) = (true, now);
                }
            }
            Step::Fetch { back, late, is_cut } => {
                let fetched = Fetched {
                    at: instant(now),
                    window: None,
                    is_cut,
                    extracted: changed_since(&world, now - back),
                };
                waiting.push((late, fetched));
                for (left, _) in &mut waiting {
                    *left = left.saturating_sub(1);
                }
                while let Some(place) = waiting.iter().position(|(left, _)| *left == 0) {
                    let (_, fetched) = waiting.remove(place);
                    fixture.commit(fetched).await;
                }
            }
        }
    }
    // Everything that changed was seen at last; what was fetched before arrives only now.
    now += 1;
    let whole = Fetched {
        at: instant(now),
        window: None,
        is_cut: false,
        extracted: changed_since(&world, 0),
    };
    fixture.commit(whole).await;
    for (_, fetched) in waiting {
        fixture.commit(fetched).await;
    }
    let rows = world
        .iter()
        .filter(|(_, record)| !record.is_gone)
        .map(|(key, record)| row(*key, record, 0));
    assert_eq!(fixture.cells().await, folded(&fixture.subject.rules, rows));
}

/// Windows that overlap are fetched and committed in any order: each bucket is as the newest slot saw it.
async fn play_windows(store: Store, aggregation: &str, steps: Vec<Step>) {
    let mut fixture = Fixture::new(store, metric("restate", aggregation, "hour")).await;
    let mut world: BTreeMap<u8, Record> = BTreeMap::new();
    let mut waiting: Vec<(usize, Fetched)> = Vec::new();
    let mut expected: BTreeMap<(i64, String), Vec<u8>> = BTreeMap::new();
    let mut now = 100 * 3_600;
    for step in steps {
        now += 1;
        match step {
            Step::Put {
                key,
                hour,
                value,
                team,
            } => {
                world.insert(
                    key,
                    Record {
                        hour,
                        value,
                        team,
                        changed_at: now,
                        is_gone: false,
                    },
                );
            }
            Step::Delete { key } => {
                world.remove(&key);
            }
            Step::Fetch { back, late, .. } => {
                let window =
                    Interval::new(instant((60 - back) * 3_600), instant((75 - back) * 3_600));
                let inside = |row: &Row| row.at.is_some_and(|at| window.contains(at));
                let rows: Vec<Row> = world
                    .iter()
                    .map(|(key, record)| row(*key, record, 0))
                    .filter(inside)
                    .collect();
                expected.retain(|(start, _), _| {
                    let start = Timestamp::from_millisecond(*start).unwrap();
                    !window.contains(start)
                });
                expected.extend(folded(&fixture.subject.rules, rows.iter().cloned()));
                let extracted = Extracted {
                    rows,
                    ..Extracted::default()
                };
                let fetched = Fetched {
                    at: instant(now),
                    window: Some(window),
                    is_cut: false,
                    extracted,
                };
                waiting.insert(late.min(waiting.len()), (late, fetched));
                if waiting.len() > 3 {
                    let (_, fetched) = waiting.remove(0);
                    fixture.commit(fetched).await;
                }
            }
        }
    }
    for (_, fetched) in waiting {
        fixture.commit(fetched).await;
    }
    assert_eq!(fixture.cells().await, expected);
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

async fn sqlite(folder: &tempfile::TempDir) -> Store {
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    Store::open(&url).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_upserts_give_what_a_full_read_gives(
        steps in steps(),
        aggregation in prop::sample::select(vec!["sum", "average", "max", "median", "count", "last"]),
        resolution in prop::sample::select(vec!["hour", "day", "month"]),
    ) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            play_upserts(sqlite(&folder).await, aggregation, resolution, steps).await;
        });
    }

    #[test]
    fn any_windows_give_what_the_newest_of_each_saw(
        steps in steps(),
        aggregation in prop::sample::select(vec!["sum", "max"]),
    ) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            play_windows(sqlite(&folder).await, aggregation, steps).await;
        });
    }
}

#[test]
fn upserts_on_postgresql_give_what_a_full_read_gives() {
    block_on(async {
        let server = TestPostgres::start().await.unwrap();
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..6 {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            let store = Store::open(&server.database().await.unwrap())
                .await
                .unwrap();
            play_upserts(store, "sum", "hour", steps).await;
        }
    });
}

fn one(key: u8, hour: i64, value: i64) -> Extracted {
    let record = Record {
        hour,
        value,
        team: 0,
        changed_at: 0,
        is_gone: false,
    };
    Extracted {
        rows: vec![row(key, &record, 0)],
        ..Extracted::default()
    }
}

fn fetched(at: i64, extracted: Extracted) -> Fetched {
    Fetched {
        at: instant(at),
        window: None,
        is_cut: false,
        extracted,
    }
}

#[tokio::test]
async fn an_edited_resolution_places_every_record_anew_without_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::new(sqlite(&folder).await, metric("upsert", "sum", "hour")).await;
    fixture.commit(fetched(1, one(1, 3, 10))).await;
    fixture.commit(fetched(2, one(2, 9, 5))).await;
    assert_eq!(fixture.cells().await.len(), 2);
    let metric = metric("upsert", "max", "month");
    (fixture.subject.revision, fixture.subject.rules) = (2, Rules::of(&metric, None));
    fixture.subject.metric = metric;
    fixture.commit(fetched(3, one(3, 12, 7))).await;
    let rows = [(1, 3, 10), (2, 9, 5), (3, 12, 7)]
        .map(|(key, hour, value)| one(key, hour, value).rows.remove(0));
    assert_eq!(fixture.cells().await, folded(&fixture.subject.rules, rows));
}

#[tokio::test]
async fn with_covers_all_what_a_whole_read_does_not_bring_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::new(sqlite(&folder).await, metric("upsert", "sum", "hour")).await;
    fixture.subject.metric.covers = definition::Covers::All;
    fixture.commit(fetched(1, one(1, 3, 10))).await;
    fixture
        .commit(Fetched {
            is_cut: true,
            ..fetched(2, one(2, 9, 5))
        })
        .await;
    assert_eq!(
        fixture.cells().await.len(),
        2,
        "a run that was cut short takes nothing away"
    );
    fixture.commit(fetched(3, one(2, 9, 6))).await;
    let left = one(2, 9, 6).rows;
    assert_eq!(fixture.cells().await, folded(&fixture.subject.rules, left));
}

#[tokio::test]
async fn a_metric_that_becomes_keyed_begins_anew_and_going_back_forgets_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::new(sqlite(&folder).await, metric("restate", "sum", "hour")).await;
    fixture.commit(fetched(1, one(1, 3, 10))).await;
    fixture.subject.metric = metric("upsert", "sum", "hour");
    fixture.subject.revision = 2;
    fixture.commit(fetched(2, one(2, 9, 5))).await;
    let rules = fixture.subject.rules.clone();
    assert_eq!(fixture.cells().await, folded(&rules, one(2, 9, 5).rows));
    let from = instant(0).as_millisecond();
    let to = instant(0)
        .checked_add(SignedDuration::from_hours(99))
        .unwrap()
        .as_millisecond();
    let seen = || fixture.store.record_runs(WS, "orders", from, to, 9);
    assert_eq!(seen().await.unwrap().unwrap()[0].records, 1);
    let restating = metric("restate", "sum", "hour");
    fixture.subject.metric = restating;
    fixture.subject.revision = 3;
    let later = instant(0).checked_add(3.hours()).unwrap();
    fixture
        .commit(Fetched {
            at: later,
            ..fetched(3, one(3, 1, 7))
        })
        .await;
    assert_eq!(
        fixture
            .store
            .record_runs(WS, "orders", from, to, 9)
            .await
            .unwrap(),
        None
    );
}
