//! Random metrics, syncs and questions, answered twice: by folding, storing, merging and asking, and by
//! going through the raw rows once for every bucket.

use std::collections::{BTreeMap, BTreeSet};

use definition::{Aggregation, Granularity, Interval, MetricType, OverTime, Trend, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rollup::{
    Decimal, Dimensions, Query, Row, RowValue, Rules, Running, SeriesInput, SeriesKey, State,
    answer, bucket, fold,
};

const ZONES: [&str; 10] = [
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
    "Europe/Paris",
    "America/St_Johns",
    "Etc/UTC",
];

const AGGREGATIONS: [Aggregation; 12] = [
    Aggregation::Sum,
    Aggregation::Average,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Count,
    Aggregation::CountDistinct,
    Aggregation::First,
    Aggregation::Last,
    Aggregation::Median,
    Aggregation::P90,
    Aggregation::P95,
    Aggregation::P99,
];

/// A row as the oracle sees it: when it counts, its place, its members, its value.
type Raw = (Timestamp, (u32, u32), [usize; 2], Decimal);

/// A metric, what it was given (one list of rows a sync), and a question.
#[derive(Clone, Debug)]
struct Case {
    rules: Rules,
    syncs: Vec<(Timestamp, Vec<Raw>)>,
    query: Query,
}

fn case() -> impl Strategy<Value = Case> {
    let rules = (
        0_usize..4,
        0_usize..12,
        0_usize..6,
        0_usize..7,
        0_usize..10,
        any::<bool>(),
    )
        .prop_map(|(kind, aggregation, over_time, resolution, zone, sunday)| {
            use Granularity::{All, Day, Hour, Month, Quarter, Week, Year};
            let metric_type = [
                MetricType::Events,
                MetricType::Levels,
                MetricType::Periods,
                MetricType::RunningTotal,
            ][kind];
            Rules {
                metric_type,
                aggregation: AGGREGATIONS[aggregation],
                over_time: [
                    None,
                    Some(OverTime::Last),
                    Some(OverTime::Average),
                    Some(OverTime::Min),
                    Some(OverTime::Max),
                    Some(OverTime::Sum),
                ][over_time],
                resolution: [
                    Hour,
                    Hour,
                    Day,
                    Day,
                    Week,
                    Month,
                    [Quarter, Year, All][over_time % 3],
                ][resolution],
                zone: TimeZone::get(ZONES[zone]).unwrap(),
                week_start: if sunday {
                    Weekday::Sunday
                } else {
                    Weekday::Monday
                },
                favourable_trend: Trend::Up,
                dated: matches!(metric_type, MetricType::Events | MetricType::Periods),
            }
        });
    let value = prop_oneof![
        (-1000_i64..1000, -3_i32..1).prop_map(|(mantissa, exponent)| (mantissa, exponent)),
        (0_i64..4).prop_map(|small| (small, 0)),
    ];
    // Rows lie within some days, weeks or years.
    let row = (0_i64..1_000_000, 0_u32..3, 0_usize..3, 0_usize..2, value);
    let syncs = prop::collection::vec(prop::collection::vec(row, 0..14), 1..6);
    let base = 1_262_304_000_i64..1_735_689_600;
    let scale = prop::sample::select(vec![1_i64, 20, 200]);
    let question = (
        0_i64..1_200_000,
        1_i64..1_200_000,
        0_usize..7,
        any::<[bool; 2]>(),
        prop::option::of(0_usize..3),
    );
    (rules, syncs, base, scale, question).prop_map(
        |(rules, syncs, base, scale, (from, length, step, split, filter))| {
            use Granularity::{All, Day, Hour, Month, Quarter, Week, Year};
            let instant = |offset: i64| Timestamp::from_second(base + offset * scale).unwrap();
            let syncs: Vec<(Timestamp, Vec<Raw>)> = syncs
                .into_iter()
                .zip(0..)
                .map(|(rows, number)| {
                    let slot = instant(i64::from(number) * 190_000);
                    let rows = rows.into_iter().zip(0..).map(
                        |((offset, page, team, plan, (mantissa, exponent)), index)| {
                            let at = if rules.dated { instant(offset) } else { slot };
                            (
                                at,
                                (page + 10 * number, index),
                                [team, plan],
                                Decimal::new(i128::from(mantissa), exponent).unwrap(),
                            )
                        },
                    );
                    (slot, rows.collect())
                })
                .collect();
            let range = Interval::new(instant(from - 100_000), instant(from - 100_000 + length));
            let mut query = Query::over(range, [Hour, Day, Week, Month, Quarter, Year, All][step]);
            query.group_by = ["team", "plan"]
                .iter()
                .zip(split)
                .filter(|(_, split)| *split)
                .map(|(name, _)| (*name).to_owned())
                .collect();
            if let Some(filter) = filter {
                query.filters = vec![("team".to_owned(), vec![filter.to_string(), "9".to_owned()])];
            }
            Case {
                rules,
                syncs,
                query,
            }
        },
    )
}

fn dimensions(members: [usize; 2]) -> Dimensions {
    Dimensions::of([
        ("team", members[0].to_string()),
        ("plan", members[1].to_string()),
    ])
}

/// Folds each sync by itself; merges what falls into one bucket, as if each brought its own records.
fn stored(case: &Case) -> SeriesInput {
    let mut series: BTreeMap<SeriesKey, BTreeMap<i64, State>> = BTreeMap::new();
    for (slot, rows) in &case.syncs {
        let rows = rows.iter().map(|(at, (page, index), members, value)| Row {
            value: RowValue::Number(*value),
            at: case.rules.dated.then_some(*at),
            dimensions: dimensions(*members),
            unit: None,
            key: None,
            page: *page,
            index: *index,
        });
        let mut folded = fold(rows, &case.rules, *slot);
        folded.nothing_there(&case.rules, *slot, [None]);
        for (key, cells) in folded.cells {
            for (start, state) in cells {
                let own = series.entry(key.clone()).or_default();
                own.entry(start)
                    .and_modify(|before| before.merge(&state))
                    .or_insert(state);
            }
        }
    }
    let series = series
        .into_iter()
        .map(|(key, cells)| {
            // Through the bytes, as a store keeps them.
            let cells = cells
                .into_iter()
                .map(|(start, state)| (start, State::decode(&state.encode()).unwrap(), false));
            (key, cells.collect())
        })
        .collect();
    SeriesInput {
        series,
        coverage: Vec::new(),
        syncs: case
            .syncs
            .iter()
            .map(|(slot, _)| slot.as_millisecond())
            .collect(),
        outdated: Vec::new(),
    }
}

/// The textbook, on a list of values with their places in time.
fn aggregate(aggregation: Aggregation, rows: &[Raw]) -> Option<Decimal> {
    if rows.is_empty() {
        return None;
    }
    let mut values: Vec<Decimal> = rows.iter().map(|row| row.3).collect();
    let in_time = |row: &&Raw| (row.0, row.1, row.3);
    let sum = |values: &[Decimal]| {
        values
            .iter()
            .fold(Decimal::ZERO, |sum, value| sum.plus(*value))
    };
    let count = Decimal::from(values.len() as u64);
    values.sort_unstable();
    let quantile = |percent: i64| {
        let position = Decimal::from(i64::try_from(values.len()).unwrap() - 1)
            .times(Decimal::new(i128::from(percent), -2).unwrap())
            .unwrap();
        let below = (values.len() - 1) * usize::try_from(percent).unwrap() / 100;
        let fraction = position.minus(Decimal::from(below as u64));
        let step = values
            .get(below + 1)
            .unwrap_or(&values[below])
            .minus(values[below]);
        values[below].plus(step.times(fraction).unwrap())
    };
    match aggregation {
        Aggregation::Sum => Some(sum(&values)),
        Aggregation::Average => sum(&values).divided_by(count),
        Aggregation::Min => values.first().copied(),
        Aggregation::Max => values.last().copied(),
        Aggregation::Count => Some(count),
        Aggregation::CountDistinct => Some(Decimal::from(
            values.iter().collect::<BTreeSet<_>>().len() as u64,
        )),
        Aggregation::First => rows.iter().min_by_key(in_time).map(|row| row.3),
        Aggregation::Last => rows.iter().max_by_key(in_time).map(|row| row.3),
        Aggregation::Median => Some(quantile(50)),
        Aggregation::P90 => Some(quantile(90)),
        Aggregation::P95 => Some(quantile(95)),
        Aggregation::P99 => Some(quantile(99)),
    }
}

/// The value of a list of values that stand for one instant each.
fn over_time(
    rule: OverTime,
    samples: &[(Timestamp, Vec<Raw>)],
    aggregation: Aggregation,
    newest: Option<Timestamp>,
) -> Option<Decimal> {
    let values: Vec<Decimal> = samples
        .iter()
        .filter_map(|(_, rows)| {
            if rows.is_empty() {
                // A sync that found nothing.
                return Some(Decimal::ZERO);
            }
            aggregate(aggregation, rows)
        })
        .collect();
    let sum = values
        .iter()
        .fold(Decimal::ZERO, |sum, value| sum.plus(*value));
    match rule {
        OverTime::Last => samples
            .last()
            .filter(|last| Some(last.0) >= newest)
            .and(values.last().copied()),
        OverTime::Average => sum.divided_by(Decimal::from(values.len() as u64)),
        OverTime::Min => values.iter().min().copied(),
        OverTime::Max => values.iter().max().copied(),
        OverTime::Sum => (!values.is_empty()).then_some(sum),
    }
}

/// The points and the total of one group, straight from the rows.
fn brute(
    case: &Case,
    wanted: &dyn Fn([usize; 2]) -> bool,
    range: Interval,
) -> (BTreeMap<Timestamp, Decimal>, Option<Decimal>) {
    let Case {
        rules,
        syncs,
        query,
    } = case;
    let stored_start = |at| bucket::start_of(at, rules.resolution, &rules.zone, rules.week_start);
    // Where a row counts: its stored bucket, or its own instant.
    let place = |at| if rules.dated { stored_start(at) } else { at };
    let inside = |at: Timestamp| range.contains(place(at).max(Timestamp::MIN));
    let step = |at: Timestamp| match query.granularity {
        Granularity::All => range.start,
        granularity => bucket::start_of(place(at), granularity, &rules.zone, rules.week_start),
    };
    let rows: Vec<Raw> = syncs
        .iter()
        .flat_map(|(_, rows)| rows.iter().copied())
        .filter(|row| wanted(row.2))
        .collect();
    match rules.metric_type {
        MetricType::Events => {
            let mut steps: BTreeMap<Timestamp, Vec<Raw>> = BTreeMap::new();
            for row in rows.iter().filter(|row| inside(row.0)) {
                steps.entry(step(row.0)).or_default().push(*row);
            }
            let all: Vec<Raw> = steps.values().flatten().copied().collect();
            let points = steps
                .iter()
                .filter_map(|(start, rows)| Some((*start, aggregate(rules.aggregation, rows)?)))
                .collect();
            (points, aggregate(rules.aggregation, &all))
        }
        MetricType::Levels | MetricType::Periods => {
            let mut instants: BTreeSet<Timestamp> = syncs
                .iter()
                .flat_map(|(_, rows)| rows)
                .map(|row| place(row.0))
                .collect();
            if rules.metric_type == MetricType::Levels {
                instants.extend(syncs.iter().map(|(slot, _)| *slot));
            }
            let mut samples: BTreeMap<Timestamp, Vec<Raw>> = BTreeMap::new();
            for row in rows.iter().filter(|row| inside(row.0)) {
                samples.entry(place(row.0)).or_default().push(*row);
            }
            let is_zero = rules.metric_type == MetricType::Levels
                && matches!(
                    rules.aggregation,
                    Aggregation::Sum | Aggregation::Count | Aggregation::CountDistinct
                );
            let is_whole = query.group_by.is_empty() && query.filters.is_empty();
            if is_zero && is_whole {
                let empty = syncs
                    .iter()
                    .filter(|(slot, rows)| rows.is_empty() && inside(*slot));
                samples.extend(empty.map(|(slot, _)| (*slot, Vec::new())));
            }
            let samples: Vec<(Timestamp, Vec<Raw>)> = samples.into_iter().collect();
            let rule = rules.over_time.unwrap_or(OverTime::Last);
            let newest = |until: &dyn Fn(Timestamp) -> bool| {
                instants
                    .iter()
                    .filter(|at| range.contains(**at) && until(**at))
                    .max()
                    .copied()
            };
            let mut points = BTreeMap::new();
            for start in samples
                .iter()
                .map(|(at, _)| step(*at))
                .collect::<BTreeSet<_>>()
            {
                let own: Vec<_> = samples
                    .iter()
                    .filter(|(at, _)| step(*at) == start)
                    .cloned()
                    .collect();
                if let Some(value) = over_time(
                    rule,
                    &own,
                    rules.aggregation,
                    newest(&|at| step(at) == start),
                ) {
                    points.insert(start, value);
                }
            }
            let unstated = rules.metric_type == MetricType::Periods
                && rules.over_time.is_none()
                && samples.len() > 1;
            let total = if unstated {
                None
            } else {
                over_time(rule, &samples, rules.aggregation, newest(&|_| true))
            };
            (points, total)
        }
        MetricType::RunningTotal => {
            let mut points: BTreeMap<Timestamp, Decimal> = BTreeMap::new();
            let members: BTreeSet<[usize; 2]> = rows.iter().map(|row| row.2).collect();
            for member in members {
                let own: Vec<(Timestamp, Decimal)> = syncs
                    .iter()
                    .filter_map(|(slot, rows)| {
                        let rows: Vec<Raw> =
                            rows.iter().filter(|row| row.2 == member).copied().collect();
                        Some((*slot, aggregate(rules.aggregation, &rows)?))
                    })
                    .collect();
                for two in own.windows(2).filter(|two| inside(two[1].0)) {
                    let increase = if two[1].1 < two[0].1 {
                        two[1].1
                    } else {
                        two[1].1.minus(two[0].1)
                    };
                    let point = points.entry(step(two[1].0)).or_default();
                    *point = point.plus(increase);
                }
            }
            let total = (!points.is_empty()).then(|| {
                points
                    .values()
                    .fold(Decimal::ZERO, |sum, value| sum.plus(*value))
            });
            (points, total)
        }
    }
}

fn nests(resolution: Granularity, step: Granularity) -> bool {
    use Granularity::{All, Week};
    if resolution == Week {
        step == Week || step == All
    } else {
        step >= resolution && !(step == Week && resolution > Week)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_equal_brute_force_over_the_raw_rows(mut case in case()) {
        // Of a period one row stays for good: give each its own, as the oracle knows nothing of replacing.
        if case.rules.metric_type == MetricType::Periods {
            let mut seen = BTreeSet::new();
            let rules = case.rules.clone();
            for (_, rows) in &mut case.syncs {
                rows.retain(|row| seen.insert((row.2, bucket::start_of(row.0, rules.resolution, &rules.zone, rules.week_start))));
            }
        }
        let input = stored(&case);
        let found = answer(&input, &case.rules, &case.query);
        let samples = matches!(case.rules.metric_type, MetricType::Levels | MetricType::RunningTotal);
        if !samples && !nests(case.rules.resolution, case.query.granularity) {
            prop_assert_eq!(found.unwrap_err().code(), "query.granularity");
            return Ok(());
        }
        if case.query.from.until(case.query.to).unwrap().get_seconds() / 3600 > 10_000 && case.query.granularity == Granularity::Hour {
            prop_assert_eq!(found.unwrap_err().code(), "query.too_many_points");
            return Ok(());
        }
        let unstated = case.rules.metric_type == MetricType::Periods && case.rules.over_time.is_none();
        let known = ["team", "plan"].iter().all(|name| {
            let asked = case.query.group_by.iter().any(|asked| asked == name) || case.query.filters.iter().any(|(asked, _)| asked == name);
            let has_rows = case.syncs.iter().any(|(_, rows)| !rows.is_empty());
            !asked || !has_rows || input.series.iter().any(|(key, _)| key.dimensions.get(name).is_some())
        });
        prop_assert!(known);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                prop_assert!(unstated && case.query.granularity != case.rules.resolution, "{error}");
                return Ok(());
            }
        };
        let range = Interval::new(found.from, found.to);
        if samples {
            prop_assert_eq!(range, Interval::new(case.query.from, case.query.to));
        } else if case.rules.resolution != Granularity::All {
            prop_assert_eq!(range, Interval::new(case.query.from, case.query.to).snap_outward(case.rules.resolution, &case.rules.zone, case.rules.week_start));
        }
        let split = |name: &str| case.query.group_by.iter().any(|own| own == name);
        let filtered = |member: [usize; 2]| case.query.filters.iter().all(|(_, texts)| texts.contains(&member[0].to_string()));
        let mut groups: BTreeMap<Dimensions, Vec<[usize; 2]>> = BTreeMap::new();
        for member in (0..3).flat_map(|team| (0..2).map(move |plan| [team, plan])).filter(|member| filtered(*member)) {
            let both = dimensions(member);
            groups.entry(Dimensions::of(both.iter().filter(|(name, _)| split(name)))).or_default().push(member);
        }
        prop_assert!(found.series.iter().all(|series| groups.contains_key(&series.dimensions)));
        for (dimensions, members) in groups {
            let (points, total) = brute(&case, &|member| members.contains(&member), range);
            let series = found.series.iter().find(|series| series.dimensions == dimensions);
            let own: BTreeMap<Timestamp, Decimal> = series
                .map(|series| series.points.iter().filter_map(|point| Some((point.start, point.value?))).collect())
                .unwrap_or_default();
            prop_assert_eq!(&own, &points, "{:?}", dimensions);
            prop_assert_eq!(series.and_then(|series| series.total), total);
        }
    }

    #[test]
    fn coarse_points_are_merges_of_fine_ones(mut case in case()) {
        case.rules.metric_type = MetricType::Events;
        case.rules.dated = true;
        case.rules.resolution = Granularity::Hour;
        case.rules.aggregation = Aggregation::Sum;
        (case.query.from, case.query.to) = {
            let from = bucket::start_of(case.query.from, Granularity::Year, &case.rules.zone, case.rules.week_start);
            (from, from.checked_add((24 * 365 * 9).hours()).unwrap())
        };
        let input = stored(&case);
        let mut ask = |granularity| {
            case.query.granularity = granularity;
            answer(&input, &case.rules, &case.query).unwrap().series
        };
        let coarse = ask(Granularity::Year);
        for finer in [Granularity::Day, Granularity::Month, Granularity::Quarter] {
            for (fine, coarse) in ask(finer).iter().zip(&coarse) {
                let sum = |points: &[rollup::AnswerPoint]| points.iter().filter_map(|point| point.value).fold(Decimal::ZERO, Decimal::plus);
                prop_assert_eq!(sum(&fine.points), sum(&coarse.points));
                prop_assert_eq!(fine.total, coarse.total);
                prop_assert_eq!(fine.points.iter().map(|point| point.count).sum::<u64>(), coarse.points.iter().map(|point| point.count).sum::<u64>());
            }
        }
    }
}

/// The question behind a cumulative point: everything from the start of the range to the end of its step.
fn so_far(query: &Query, rules: &Rules, range: Interval, start: Timestamp) -> Query {
    let end = match query.granularity {
        Granularity::All => range.end,
        step => bucket::next(start, step, &rules.zone, rules.week_start).min(range.end),
    };
    Query {
        from: range.start,
        to: end,
        granularity: Granularity::All,
        running: None,
        ..query.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cumulative_point_is_the_total_so_far(mut case in case()) {
        case.query.running = Some(Running::Cumulative);
        let input = stored(&case);
        let Ok(found) = answer(&input, &case.rules, &case.query) else { return Ok(()) };
        let range = Interval::new(found.from, found.to);
        for series in &found.series {
            // Asking anew for each point takes its time; the ends and some between tell.
            let places = [0, 1, 2, series.points.len() / 2, series.points.len().saturating_sub(1)];
            for point in places.iter().filter_map(|place| series.points.get(*place)) {
                let so_far = answer(&input, &case.rules, &so_far(&case.query, &case.rules, range, point.start)).unwrap();
                let same = so_far.series.iter().find(|one| one.dimensions == series.dimensions);
                prop_assert_eq!(same.and_then(|one| one.total), point.value, "{:?}", point);
            }
            if case.rules.metric_type == MetricType::Events {
                prop_assert_eq!(series.points.last().and_then(|last| last.value), series.total);
            }
        }
    }

    #[test]
    fn the_rest_is_what_asking_without_the_largest_gives(mut case in case(), most in 1_u32..4) {
        case.query.group_by = vec!["team".to_owned()];
        case.query.filters.clear();
        let input = stored(&case);
        let Ok(all) = answer(&input, &case.rules, &case.query) else { return Ok(()) };
        case.query.top = Some(most);
        let found = answer(&input, &case.rules, &case.query).unwrap();
        let named: Vec<_> = found.series.iter().filter(|one| one.rest.is_none()).collect();
        // The largest, in their order, just as they are among all.
        prop_assert!(named.windows(2).all(|two| two[0].total >= two[1].total));
        for one in &named {
            prop_assert!(all.series.contains(one));
        }
        let shown: Vec<String> = named.iter().filter_map(|one| one.dimensions.get("team")).map(str::to_owned).collect();
        prop_assert!(all.series.iter().filter(|one| one.total.is_some() && !named.contains(one)).all(|one| named.len() as u64 >= u64::from(most) && named.iter().all(|two| two.total >= one.total)));
        let rest = found.series.iter().find(|one| one.rest.is_some());
        case.query.top = None;
        case.query.group_by.clear();
        case.query.without = vec![("team".to_owned(), shown)];
        let without = answer(&input, &case.rules, &case.query).unwrap();
        prop_assert_eq!(rest.map(|one| (&one.points, one.total)), without.series.first().map(|one| (&one.points, one.total)));
    }

    #[test]
    fn a_moving_average_is_the_mean_of_the_points_behind_it(mut case in case(), length in 2_u32..9) {
        case.rules.metric_type = MetricType::Events;
        case.rules.dated = true;
        let input = stored(&case);
        case.query.running = Some(Running::MovingAverage(length));
        let Ok(found) = answer(&input, &case.rules, &case.query) else { return Ok(()) };
        case.query.running = None;
        // Nothing is covered here, so empty steps are unknown; what lies before the range is looked up.
        let mut back = bucket::start_of(found.from, case.query.granularity, &case.rules.zone, case.rules.week_start);
        if case.query.granularity != Granularity::All {
            for _ in 1..length {
                back = bucket::start_of(back.checked_sub(1.nanosecond()).unwrap(), case.query.granularity, &case.rules.zone, case.rules.week_start);
            }
            case.query.from = back;
        }
        let plain = answer(&input, &case.rules, &case.query).unwrap();
        for series in &found.series {
            let own = plain.series.iter().find(|one| one.dimensions == series.dimensions).unwrap();
            for point in &series.points {
                let mut first = point.start;
                if case.query.granularity != Granularity::All {
                    for _ in 1..length {
                        first = bucket::start_of(first.checked_sub(1.nanosecond()).unwrap(), case.query.granularity, &case.rules.zone, case.rules.week_start);
                    }
                }
                let window: Vec<Decimal> = own.points.iter().filter(|one| one.start >= first && one.start <= point.start).filter_map(|one| one.value).collect();
                let sum = window.iter().fold(Decimal::ZERO, |sum, value| sum.plus(*value));
                prop_assert_eq!(point.value, sum.divided_by(Decimal::from(window.len() as u64)));
            }
        }
    }
}
