//! The rules of restating one by one, then its laws over a model of the store.

use std::cell::RefCell;

use definition::{Aggregation, MetricType, Trend, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::accumulator::State;
use crate::decimal::Decimal;
use crate::fold::fold;
use crate::row::{Dimensions, Row, RowValue};
use crate::series::SeriesKey;

const DAY: i64 = 86_400;

fn rules(metric_type: MetricType) -> Rules {
    Rules {
        metric_type,
        aggregation: Aggregation::Sum,
        over_time: None,
        resolution: Granularity::Day,
        zone: TimeZone::UTC,
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: metric_type == MetricType::Events,
    }
}

/// Noon of a day counted from 1970.
fn noon(day: i64) -> Timestamp {
    Timestamp::from_second(day * DAY + DAY / 2).unwrap()
}

fn days(from: i64, to: i64) -> Interval {
    Interval::new(
        Timestamp::from_second(from * DAY).unwrap(),
        Timestamp::from_second(to * DAY).unwrap(),
    )
}

fn run(slot: i64) -> RunFacts {
    RunFacts {
        records_before: None,
        run: format!("r_{slot:04}"),
        revision: 1,
        window: None,
        as_of: noon(slot),
        now: noon(slot),
        ended: Ended::Complete,
        covers: Covers::Recent,
        rules: rules(MetricType::Events),
        recompute: false,
    }
}

/// Rows of value `value`, one for each day named.
fn rows(at: &[i64], value: i64) -> Vec<Row> {
    let row = |(day, index): (&i64, u32)| Row {
        value: RowValue::Number(Decimal::from(value)),
        at: Some(noon(*day)),
        dimensions: Dimensions::NONE,
        unit: None,
        key: None,
        page: 0,
        index,
    };
    at.iter().zip(0..).map(row).collect()
}

/// A store of one metric.
#[derive(Clone, Default, PartialEq, Debug)]
struct Store {
    cells: BTreeMap<(SeriesKey, i64), (State, bool)>,
    coverage: Vec<Coverage>,
}

impl Store {
    fn apply(&mut self, run: &RunFacts, rows: Vec<Row>) -> Restatement {
        self.apply_seen(run, rows, &[])
    }

    /// Applies what is left of the records seen on these days.
    fn apply_seen(&mut self, run: &RunFacts, rows: Vec<Row>, seen: &[i64]) -> Restatement {
        let mut folded = fold(rows, &run.rules, run.as_of);
        let seen: Vec<Timestamp> = seen.iter().map(|day| noon(*day)).collect();
        folded.saw(&seen, &run.rules);
        let count = |range: Interval| {
            let inside = |start: i64| range.contains(instant(start));
            self.cells
                .iter()
                .filter(|((_, start), _)| inside(*start))
                .map(|(_, (state, _))| state.count())
                .sum()
        };
        let result = restate(run, &self.coverage, &folded, &count);
        self.cells.retain(|(_, start), _| !result.writes(*start));
        for (key, cells) in folded.cells {
            for (start, state) in cells {
                if result.writes(start) {
                    self.cells
                        .insert((key.clone(), start), (state, result.is_partial(start)));
                }
            }
        }
        self.coverage.clone_from(&result.coverage);
        result
    }

    /// `day=sum` of each bucket, `?` where partial.
    fn text(&self) -> String {
        let one = |((_, start), (state, partial)): (&(SeriesKey, i64), &(State, bool))| {
            let sum = state.finish(Aggregation::Sum).unwrap();
            format!(
                "{}={sum}{}",
                start.div_euclid(DAY * 1000),
                if *partial { "?" } else { "" }
            )
        };
        self.cells.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// `from-to@slot` in half days, `?` where incomplete.
    fn covered(&self) -> String {
        let half = |at: Timestamp| {
            let halves = at.as_second() / (DAY / 2);
            if halves % 2 == 0 {
                format!("{}", halves / 2)
            } else {
                format!("{}.5", halves / 2)
            }
        };
        let one = |one: &Coverage| {
            format!(
                "{}-{}@{}{}",
                half(one.start),
                half(one.end),
                one.as_of.as_second() / DAY,
                if one.complete { "" } else { "?" }
            )
        };
        self.coverage.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_run_without_a_window_restates_from_its_earliest_bucket_until_now() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[3, 5, 9], 1));
    assert_eq!(
        (store.text().as_str(), store.covered().as_str()),
        ("3=1 5=1 9=1", "3-10.5@10")
    );
    // Day 3 rolled out of the API, day 5 lost its record, day 11 is new.
    store.apply(&run(11), rows(&[4, 9, 11], 2));
    assert_eq!(
        (store.text().as_str(), store.covered().as_str()),
        ("3=1 4=2 9=2 11=2", "3-4@10 4-11.5@11")
    );
}

#[test]
fn rows_ahead_of_now_extend_the_range() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[9, 14], 1));
    assert_eq!(store.text(), "9=1 14=1");
    store.apply(&run(11), rows(&[9, 12], 1));
    // The range of the second run ends with its latest row: day 14 is beyond it.
    assert_eq!(store.text(), "9=1 12=1 14=1");
}

#[test]
fn the_earliest_bucket_is_replaced_only_by_at_least_as_many_records_of_the_same_revision() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[3, 3, 3, 5], 1));
    let cut = store.apply(&run(11), rows(&[3, 3, 5], 2));
    assert_eq!((store.text().as_str(), cut.left_out_rows), ("3=3 5=2", 2));
    assert_eq!(store.covered(), "3-4@10 4-11.5@11");
    let mut as_many = store.clone();
    as_many.apply(&run(12), rows(&[3, 3, 3, 5], 8));
    assert_eq!(as_many.text(), "3=24 5=8");
    store.apply(&run(12), rows(&[3, 3, 3, 3, 5], 4));
    assert_eq!(store.text(), "3=16 5=4");
    let mut edited = run(13);
    edited.revision = 2;
    store.apply(&edited, rows(&[3, 3, 3, 3, 5], 8));
    assert_eq!(store.text(), "3=16 5=8");
    // A recompute of the run that wrote the bucket ignores the rule.
    let mut recomputed = run(12);
    (recomputed.revision, recomputed.recompute) = (2, true);
    store.apply(&recomputed, rows(&[3], 32));
    assert_eq!(store.text(), "3=32 5=8");
}

#[test]
fn a_recompute_replaces_all_that_its_run_covers() {
    let mut store = Store::default();
    store.apply(&run(12), rows(&[3, 4, 6], 1));
    let total = |store: &Store| {
        store
            .cells
            .values()
            .map(|(state, _)| state.count())
            .sum::<u64>()
    };
    assert_eq!(total(&store), 3);
    let edited = |revision: i64| RunFacts {
        revision,
        recompute: true,
        ..run(12)
    };
    // Fewer rows meet the edited filter, then none.
    store.apply(&edited(2), rows(&[6], 1));
    assert_eq!(total(&store), 1, "{}", store.text());
    store.apply(&edited(3), Vec::new());
    assert_eq!(total(&store), 0, "{}", store.text());
    // Another date: nobody counts twice, forth and back.
    for (revision, at) in [(4, [3, 4, 6]), (5, [5, 6, 8]), (6, [3, 4, 6])] {
        store.apply(&edited(revision), rows(&at, 1));
        assert_eq!(total(&store), 3, "{}", store.text());
    }
    // Another zone.
    let mut elsewhere = edited(7);
    elsewhere.rules.zone = TimeZone::get("Asia/Tokyo").unwrap();
    store.apply(&elsewhere, rows(&[3, 4, 6], 1));
    assert_eq!(total(&store), 3, "{}", store.text());
}

#[test]
fn records_that_a_condition_leaves_out_are_seen_and_count_no_more() {
    let mut store = Store::default();
    let seen = [3, 3, 5, 8];
    store.apply_seen(&run(10), rows(&seen, 1), &seen);
    let again = |slot| RunFacts {
        records_before: Some(2),
        ..run(slot)
    };
    store.apply_seen(&again(11), rows(&[3, 8], 1), &seen);
    assert_eq!(store.text(), "3=1 8=1");
    store.apply_seen(&again(12), Vec::new(), &seen);
    assert_eq!(store.text(), "");
    // A record of the earliest bucket is no longer in the answer: it may have been cut.
    let mut store = Store::default();
    store.apply_seen(&run(10), rows(&seen, 1), &seen);
    let cut = store.apply_seen(&again(11), rows(&[5], 1), &[3, 5, 8]);
    assert_eq!(store.text(), "3=2 5=1");
    assert_eq!(cut.coverage[0].run, "r_0010");
    // So may those of a bucket of which nobody knows how many were seen.
    let mut store = Store::default();
    store.apply_seen(&run(10), rows(&seen, 1), &seen);
    store.apply_seen(&run(11), rows(&[8], 1), &seen);
    assert_eq!(store.text(), "3=2 8=1");
}

#[test]
fn a_recompute_does_not_cut_a_bucket_that_another_run_keeps() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[3, 3, 3, 5], 1));
    store.apply(&run(11), rows(&[3, 5], 2));
    let mut recomputed = run(11);
    (recomputed.revision, recomputed.recompute) = (2, true);
    store.apply(&recomputed, rows(&[3, 5], 4));
    assert_eq!(store.text(), "3=3 5=4");
}

#[test]
fn what_a_run_that_covers_all_does_not_hold_is_gone() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[1, 3, 14], 1));
    let mut all = run(11);
    all.covers = Covers::All;
    store.apply(&all, rows(&[5], 2));
    assert_eq!(
        (store.text().as_str(), store.covered().as_str()),
        ("5=2", "1-14.5@11")
    );
    let mut none = run(12);
    none.covers = Covers::All;
    store.apply(&none, Vec::new());
    assert_eq!(store.text(), "");
}

#[test]
fn an_empty_run_erases_nothing_unless_it_covers() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[3, 5], 1));
    let before = store.clone();
    store.apply(&run(11), Vec::new());
    assert_eq!(store, before);
    let mut cut = run(12);
    cut.ended = Ended::Truncated;
    (cut.window, cut.covers) = (Some(days(0, 20)), Covers::All);
    store.apply(&cut, Vec::new());
    assert_eq!(store, before);
    let mut window = run(13);
    window.window = Some(days(4, 6));
    store.apply(&window, Vec::new());
    assert_eq!(
        (store.text().as_str(), store.covered().as_str()),
        ("3=1", "3-4@10 4-6@13 6-10.5@10")
    );
}

#[test]
fn a_window_restates_only_buckets_wholly_inside_or_open_now() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[3, 4, 5, 6, 10], 1));
    let mut inside = run(11);
    inside.window = Some(Interval::new(noon(3), noon(6)));
    let result = store.apply(&inside, rows(&[3, 4, 5, 6, 9], 2));
    assert_eq!(
        (
            store.text().as_str(),
            result.outside_rows,
            result.left_out_rows
        ),
        ("3=1 4=2 5=2 6=1 10=1", 3, 0)
    );
    let mut until_now = run(12);
    until_now.window = Some(Interval::new(noon(9), noon(12)));
    store.apply(&until_now, rows(&[10, 12], 4));
    assert_eq!(store.text(), "3=1 4=2 5=2 6=1 10=4 12=4");
    assert!(store.covered().ends_with("10-12.5@12"));
}

#[test]
fn a_window_that_ends_in_the_open_bucket_does_not_take_back_what_is_known_further() {
    let mut store = Store::default();
    let mut whole = run(10);
    whole.window = Some(days(9, 11));
    store.apply(&whole, rows(&[9, 10, 10], 1));
    let mut early = run(10);
    early.run = "r_later".to_owned();
    early.window = Some(Interval::new(
        days(9, 10).start,
        Timestamp::from_second(10 * DAY + 60).unwrap(),
    ));
    store.apply(&early, rows(&[9], 2));
    assert_eq!(store.text(), "9=2 10=2");
}

#[test]
fn an_older_slot_never_overwrites_what_a_newer_one_covered() {
    let mut store = Store::default();
    let window = |slot, from, to| RunFacts {
        window: Some(days(from, to)),
        ..run(slot)
    };
    store.apply(&window(12, 4, 8), rows(&[4, 7], 2));
    let result = store.apply(&window(11, 2, 10), rows(&[2, 4, 5, 9], 1));
    assert_eq!(
        (store.text().as_str(), result.left_out_rows),
        ("2=1 4=2 7=2 9=1", 2)
    );
    assert_eq!(
        result.kept,
        [Kept {
            buckets: days(4, 8),
            rows: 2,
            because: Because::Newer
        }]
    );
    assert_eq!(store.covered(), "2-4@11 4-8@12 8-10@11");
}

#[test]
fn a_truncated_run_in_no_order_brings_partial_buckets_where_nothing_complete_is() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[5, 6], 1));
    let mut cut = run(11);
    cut.ended = Ended::Truncated;
    let result = store.apply(&cut, rows(&[6, 3, 11, 1], 2));
    // Day 11 was not covered at all, day 10 was open.
    assert_eq!(
        (store.text().as_str(), result.left_out_rows),
        ("1=2? 3=2? 5=1 6=1 11=2?", 1)
    );
    assert_eq!(
        result.kept,
        [Kept {
            buckets: days(6, 7),
            rows: 1,
            because: Because::Complete
        }]
    );
    assert_eq!(store.covered(), "1-2@11? 3-4@11? 5-10.5@10 11-11.5@11?");
    // A complete run makes all of it whole, even one of an older slot.
    let mut whole = run(9);
    whole.window = Some(days(0, 4));
    store.apply(&whole, rows(&[1, 1, 3], 4));
    assert_eq!(store.text(), "1=8 3=4 5=1 6=1 11=2?");
}

#[test]
fn a_truncated_run_with_dates_in_order_is_whole_inside() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[5, 6, 7, 8, 9], 1));
    let mut newest_first = run(11);
    newest_first.ended = Ended::Truncated;
    store.apply(&newest_first, rows(&[11, 9, 8, 7], 2));
    // Day 7 is where it was cut.
    assert_eq!(store.text(), "5=1 6=1 7=1 8=2 9=2 11=2");
    assert_eq!(store.covered(), "5-8@10 8-11.5@11");
    let mut oldest_first = run(12);
    (oldest_first.ended, oldest_first.window) = (Ended::Truncated, Some(days(5, 13)));
    store.apply(&oldest_first, rows(&[5, 6, 8], 4));
    assert_eq!(store.text(), "5=4 6=4 8=2 9=2 11=2");
    let mut fresh = Store::default();
    fresh.apply(&newest_first, rows(&[11, 9, 8, 7], 2));
    assert_eq!(fresh.text(), "7=2? 8=2 9=2 11=2");
    assert_eq!(fresh.covered(), "7-8@11? 8-11.5@11");
}

#[test]
fn a_doubtful_run_is_partial_everywhere_whatever_the_order_of_its_dates() {
    let mut store = Store::default();
    store.apply(&run(10), rows(&[5, 6], 1));
    let mut doubtful = run(12);
    doubtful.ended = Ended::Doubtful;
    store.apply(&doubtful, rows(&[12, 11, 6, 5, 4], 2));
    assert_eq!(store.text(), "4=2? 5=1 6=1 11=2? 12=2?");
    store.apply(&run(13), rows(&[12, 11, 6, 5, 4], 3));
    assert_eq!(store.text(), "4=3 5=3 6=3 11=3 12=3");
}

#[test]
fn levels_add_one_sample_a_sync_and_repeat_safely() {
    let level = |slot| RunFacts {
        rules: rules(MetricType::Levels),
        ..run(slot)
    };
    let mut store = Store::default();
    for slot in [10, 11, 12] {
        let result = store.apply(&level(slot), rows(&[1], slot));
        assert!(result.add_samples);
    }
    assert_eq!(store.text(), "10=10 11=11 12=12");
    assert_eq!(store.coverage.len(), 1);
    let before = store.clone();
    store.apply(&level(12), rows(&[1], 12));
    assert_eq!(store, before);
    // A sync without rows, and a late one.
    store.apply(&level(13), Vec::new());
    store.apply(&level(9), rows(&[1], 9));
    assert_eq!(store.text(), "9=9 10=10 11=11 12=12");
    let mut recomputed = level(11);
    (recomputed.recompute, recomputed.revision) = (true, 2);
    store.apply(&recomputed, rows(&[1], 99));
    assert_eq!(store.text(), "9=9 10=10 11=99 12=12");
}

#[test]
fn a_recomputed_sample_leaves_the_revision_of_the_others_as_it_was() {
    let level = |slot, revision| RunFacts {
        rules: rules(MetricType::Levels),
        revision,
        recompute: revision > 1,
        ..run(slot)
    };
    let mut store = Store::default();
    for slot in [9, 10, 11, 12] {
        store.apply(&level(slot, 1), rows(&[1], slot));
    }
    for slot in [11, 12] {
        store.apply(&level(slot, 2), rows(&[1], slot));
        let before = store.clone();
        store.apply(&level(slot, 2), rows(&[1], slot));
        assert_eq!(store, before, "again, the same");
    }
    let revisions: Vec<i64> = [9, 10, 11, 12]
        .map(|slot| {
            let mut list = store.coverage.iter();
            let own = list.find(|one| one.interval().contains(noon(slot)));
            own.unwrap().revision
        })
        .into();
    assert_eq!(revisions, [1, 1, 2, 2]);
    store.apply(&level(13, 2), rows(&[1], 13));
    let last = store.coverage.last().unwrap();
    assert_eq!((last.revision, &last.run), (2, &level(13, 2).run));
}

#[test]
fn repeated_commits_ask_the_store_once_for_the_earliest_bucket_only() {
    let asked = RefCell::new(Vec::new());
    let folded = fold(rows(&[3, 5], 1), &rules(MetricType::Events), noon(10));
    let existing = [Coverage {
        start: noon(1),
        end: noon(9),
        as_of: noon(9),
        run: "r".into(),
        revision: 1,
        complete: true,
    }];
    let count = |range: Interval| {
        asked.borrow_mut().push(range);
        0
    };
    restate(&run(10), &existing, &folded, &count);
    assert_eq!(*asked.borrow(), [days(3, 4)]);
}

/// A run with a window over days 0 to 30, in half days, and the days of its rows.
fn window_run() -> impl Strategy<Value = (i64, i64, bool, Vec<i64>)> {
    (
        0_i64..56,
        1_i64..30,
        prop::bool::weighted(0.7),
        prop::collection::vec(0_i64..30, 0..12),
    )
}

proptest! {
    #[test]
    fn runs_in_any_order_give_the_newest_slots(parts in prop::collection::vec(window_run(), 1..8), turn in 0_usize..8, hours in any::<bool>()) {
        let runs: Vec<(RunFacts, Vec<Row>)> = parts
            .iter()
            .zip(100..)
            .map(|((from, length, complete, at), slot)| {
                let half = |half: i64| Timestamp::from_second(half * DAY / 2).unwrap();
                let mut run = run(slot);
                run.window = Some(Interval::new(half(*from), half(from + length)));
                run.ended = if *complete { Ended::Complete } else { Ended::Truncated };
                run.rules.resolution = if hours { Granularity::Hour } else { Granularity::Day };
                (run, rows(at, slot))
            })
            .collect();
        let apply = |runs: &[(RunFacts, Vec<Row>)]| {
            let mut store = Store::default();
            for (run, rows) in runs {
                store.apply(run, rows.clone());
            }
            store
        };
        let store = apply(&runs);
        let mut turned = runs.clone();
        turned.rotate_left(turn % runs.len());
        prop_assert_eq!(&apply(&turned), &store);
        turned.reverse();
        prop_assert_eq!(&apply(&turned), &store);
        // Every run again changes nothing, whichever.
        let mut again = store.clone();
        for (run, rows) in &turned {
            again.apply(run, rows.clone());
            prop_assert_eq!(&again, &store);
        }
        // Each day is as the newest complete run that holds all of it says.
        for day in 0..30 {
            let holds = |run: &RunFacts| {
                let window = run.window.unwrap();
                window.start <= days(day, day + 1).start && days(day, day + 1).end <= window.end
            };
            let newest = runs.iter().filter(|(run, _)| run.ended == Ended::Complete && holds(run)).max_by_key(|(run, _)| run.as_of);
            let Some((run, rows)) = newest else { continue };
            let later_in_order = runs.iter().any(|(other, _)| other.ended == Ended::Truncated && other.as_of > run.as_of);
            if later_in_order || hours {
                continue;
            }
            let count = rows.iter().filter(|row| row.at == Some(noon(day))).count();
            let sum = Decimal::from(i64::try_from(count).unwrap() * run.as_of.as_second().div_euclid(DAY));
            let stored = store.cells.get(&(SeriesKey::default(), day * DAY * 1000));
            prop_assert_eq!(stored.and_then(|(state, _)| state.finish(Aggregation::Sum)).unwrap_or_default(), sum);
        }
    }

    #[test]
    fn restating_twice_is_restating_once(
        parts in prop::collection::vec((prop::collection::vec(0_i64..20, 0..12), any::<bool>(), any::<bool>()), 1..6),
    ) {
        let mut store = Store::default();
        for ((at, complete, all), slot) in parts.iter().zip(20..) {
            let mut run = run(slot);
            run.ended = if *complete { Ended::Complete } else { Ended::Truncated };
            run.covers = if *all { Covers::All } else { Covers::Recent };
            store.apply(&run, rows(at, slot));
            let once = store.clone();
            store.apply(&run, rows(at, slot));
            prop_assert_eq!(&store, &once);
        }
    }

    #[test]
    fn every_stored_bucket_is_covered_and_partial_only_where_incomplete(
        parts in prop::collection::vec((prop::collection::vec(0_i64..20, 0..12), any::<bool>(), any::<bool>()), 1..6),
    ) {
        let mut store = Store::default();
        for ((at, complete, windowed), slot) in parts.iter().zip(20..) {
            let mut run = run(slot);
            run.ended = if *complete { Ended::Complete } else { Ended::Truncated };
            run.window = windowed.then(|| days(5, 15));
            store.apply(&run, rows(at, slot));
            for ((_, start), (_, partial)) in &store.cells {
                let owner = store.coverage.iter().find(|one| one.interval().contains(instant(*start)));
                prop_assert_eq!(owner.map(|owner| !owner.complete), Some(*partial));
            }
        }
    }
}
