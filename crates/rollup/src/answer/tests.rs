//! Answers one by one: zones, fill, limits, types over time, comparison. Random ones are compared with
//! brute force in `tests/brute_force.rs`.

use std::collections::BTreeMap;

use definition::{Aggregation, MetricType, OverTime, Trend, Weekday};

use super::*;
use crate::bucket::millis;
use crate::compare::{Compare, Direction};
use crate::fold::fold;
use crate::query::{Fill, Running};
use crate::row::{Row, RowValue};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn rules(metric_type: MetricType, aggregation: Aggregation) -> Rules {
    Rules {
        metric_type,
        aggregation,
        over_time: None,
        resolution: Granularity::Hour,
        zone: TimeZone::UTC,
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: metric_type == MetricType::Events || metric_type == MetricType::Periods,
    }
}

fn row(value: &str, date: Option<&str>, team: &str) -> Row {
    Row {
        value: RowValue::Number(decimal(value)),
        at: date.map(at),
        dimensions: if team.is_empty() {
            Dimensions::NONE
        } else {
            Dimensions::of([("team", team)])
        },
        unit: None,
        key: None,
        page: 0,
        index: 0,
    }
}

/// What is stored after syncs, each with its rows.
fn stored(rules: &Rules, syncs: &[(&str, Vec<Row>)]) -> SeriesInput {
    let mut series: BTreeMap<SeriesKey, BTreeMap<i64, State>> = BTreeMap::new();
    for (sync, rows) in syncs {
        let mut folded = fold(rows.clone(), rules, at(sync));
        folded.nothing_there(rules, at(sync), [None]);
        for (key, cells) in folded.cells {
            series.entry(key).or_default().extend(cells);
        }
    }
    let series = series
        .into_iter()
        .map(|(key, cells)| {
            (
                key,
                cells
                    .into_iter()
                    .map(|(start, state)| (start, state, false))
                    .collect(),
            )
        })
        .collect();
    SeriesInput {
        series,
        coverage: Vec::new(),
        syncs: syncs.iter().map(|(sync, _)| millis(at(sync))).collect(),
        outdated: Vec::new(),
    }
}

fn query(from: &str, to: &str, granularity: Granularity) -> Query {
    Query::over(Interval::new(at(from), at(to)), granularity)
}

fn text(series: &AnswerSeries) -> String {
    let day = |point: &AnswerPoint| {
        let start = point
            .start
            .to_string()
            .replace(":00:00Z", "")
            .replace("T00", "");
        let value = point
            .value
            .map_or("none".to_owned(), |value| value.to_string());
        format!("{start}={value}{}", if point.partial { "?" } else { "" })
    };
    let points: Vec<String> = series.points.iter().map(day).collect();
    format!(
        "{} total {}",
        points.join(" "),
        series
            .total
            .map_or("none".to_owned(), |total| total.to_string())
    )
}

fn only(answer: &Answer) -> String {
    assert_eq!(answer.series.len(), 1);
    text(&answer.series[0])
}

fn three_days(rules: &Rules) -> SeriesInput {
    let rows = vec![
        row("0.1", Some("2024-03-01T10:00:00Z"), "a"),
        row("0.2", Some("2024-03-01T10:30:00Z"), "b"),
        row("4", Some("2024-03-03T00:00:00Z"), "a"),
        row("8", Some("2024-04-01T00:00:00Z"), "a"),
    ];
    stored(rules, &[("2024-04-02T00:00:00Z", rows)])
}

/// The starts of the points that are outdated.
fn outdated(answer: &Answer) -> Vec<String> {
    let points = answer.series.iter().flat_map(|series| &series.points);
    let old = points.filter(|point| point.outdated);
    old.map(|point| point.start.to_string()[..10].to_owned())
        .collect()
}

#[test]
fn a_point_is_outdated_where_any_part_of_it_is() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let day = |from: &str, to: &str| Interval::new(at(from), at(to));
    let input = SeriesInput {
        // The 2nd has no rows: had the present revision read it, it might.
        outdated: vec![day("2024-03-02T00:00:00Z", "2024-03-03T00:00:00Z")],
        ..three_days(&rules)
    };
    let asked = |granularity, change: &dyn Fn(&mut Query)| {
        let mut query = query("2024-03-01T00:00:00Z", "2024-04-02T00:00:00Z", granularity);
        change(&mut query);
        outdated(&answer(&input, &rules, &query).unwrap())
    };
    assert!(asked(Granularity::Day, &|_| ()).is_empty());
    assert_eq!(asked(Granularity::Month, &|_| ()), ["2024-03-01"]);
    assert_eq!(asked(Granularity::All, &|_| ()), ["2024-03-01"]);
    let filled = asked(Granularity::Day, &|query| query.fill = Fill::Zero);
    assert_eq!(filled, ["2024-03-02"]);
    let runs_on = asked(Granularity::Day, &|query| {
        query.running = Some(Running::Cumulative);
    });
    assert_eq!(runs_on, ["2024-03-03", "2024-04-01"]);
    // What is not asked for marks nothing.
    let later = query(
        "2024-03-03T00:00:00Z",
        "2024-04-01T00:00:00Z",
        Granularity::Month,
    );
    assert!(outdated(&answer(&input, &rules, &later).unwrap()).is_empty());
}

#[test]
fn a_moving_average_over_an_outdated_point_is_outdated() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let input = SeriesInput {
        outdated: vec![Interval::new(
            at("2024-03-01T00:00:00Z"),
            at("2024-03-02T00:00:00Z"),
        )],
        ..three_days(&rules)
    };
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-04-02T00:00:00Z",
        Granularity::Day,
    );
    query.running = Some(Running::MovingAverage(2));
    let found = outdated(&answer(&input, &rules, &query).unwrap());
    assert_eq!(found.first().map(String::as_str), Some("2024-03-01"));
    assert!(!found.contains(&"2024-03-03".to_owned()), "{found:?}");
}

#[test]
fn of_levels_the_samples_are_outdated_and_not_the_time_between_them() {
    let rules = rules(MetricType::Levels, Aggregation::Sum);
    let sample = |value: &str| vec![row(value, None, "")];
    let input = SeriesInput {
        outdated: vec![Interval::new(
            at("2024-03-01T00:00:00Z"),
            at("2024-03-03T11:59:00Z"),
        )],
        ..stored(
            &rules,
            &[
                ("2024-03-01T12:00:00Z", sample("1")),
                ("2024-03-02T12:00:00Z", sample("2")),
                ("2024-03-03T12:00:00Z", sample("3")),
            ],
        )
    };
    let query = query(
        "2024-03-01T00:00:00Z",
        "2024-03-04T00:00:00Z",
        Granularity::Day,
    );
    let found = answer(&input, &rules, &query).unwrap();
    assert_eq!(outdated(&found), ["2024-03-01", "2024-03-02"]);
}

#[test]
fn an_average_of_a_month_is_that_of_its_records_not_of_its_days() {
    let rules = rules(MetricType::Events, Aggregation::Average);
    let rows = vec![
        row("1", Some("2024-03-01T00:00:00Z"), ""),
        row("1", Some("2024-03-01T01:00:00Z"), ""),
        row("10", Some("2024-03-02T00:00:00Z"), ""),
    ];
    let input = stored(&rules, &[("2024-04-02T00:00:00Z", rows)]);
    let found = answer(
        &input,
        &rules,
        &query(
            "2024-03-01T00:00:00Z",
            "2024-04-01T00:00:00Z",
            Granularity::Month,
        ),
    )
    .unwrap();
    assert_eq!(only(&found), "2024-03-01=4 total 4");
}

#[test]
fn everything_is_joined_unless_split_or_filtered() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let input = three_days(&rules);
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-04-01T00:00:00Z",
        Granularity::Day,
    );
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-03-01=0.3 2024-03-03=4 total 4.3"
    );
    query.group_by = vec!["team".to_owned()];
    let split = answer(&input, &rules, &query).unwrap();
    assert_eq!(
        split.series.iter().map(text).collect::<Vec<_>>(),
        [
            "2024-03-01=0.1 2024-03-03=4 total 4.1",
            "2024-03-01=0.2 total 0.2"
        ]
    );
    query.filters = vec![("team".to_owned(), vec!["b".to_owned(), "c".to_owned()])];
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-03-01=0.2 total 0.2"
    );
    query.group_by = vec!["taem".to_owned()];
    assert_eq!(
        answer(&input, &rules, &query).unwrap_err().code(),
        "query.dimension_unknown"
    );
}

#[test]
fn a_range_cuts_coarse_buckets_and_widens_to_stored_ones() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let input = three_days(&rules);
    let found = answer(
        &input,
        &rules,
        &query(
            "2024-03-01T10:20:00Z",
            "2024-03-02T00:00:00Z",
            Granularity::Month,
        ),
    )
    .unwrap();
    assert_eq!(
        (only(&found).as_str(), found.from),
        ("2024-03-01=0.3 total 0.3", at("2024-03-01T10:00:00Z"))
    );
    let found = answer(
        &input,
        &rules,
        &query(
            "2024-03-02T00:00:00Z",
            "2024-05-01T00:00:00Z",
            Granularity::All,
        ),
    )
    .unwrap();
    assert_eq!(only(&found), "2024-03-02=12 total 12");
}

#[test]
fn units_are_never_mixed() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let mut rows = vec![
        row("1", Some("2024-03-01T10:00:00Z"), ""),
        row("2", Some("2024-03-01T10:00:00Z"), ""),
    ];
    rows[0].unit = Some("EUR".into());
    rows[1].unit = Some("USD".into());
    let input = stored(&rules, &[("2024-04-02T00:00:00Z", rows)]);
    let found = answer(
        &input,
        &rules,
        &query(
            "2024-03-01T00:00:00Z",
            "2024-03-02T00:00:00Z",
            Granularity::Day,
        ),
    )
    .unwrap();
    let units: Vec<_> = found
        .series
        .iter()
        .map(|series| (series.unit.as_deref(), series.total))
        .collect();
    assert_eq!(
        units,
        [
            (Some("EUR"), Some(decimal("1"))),
            (Some("USD"), Some(decimal("2")))
        ]
    );
}

#[test]
fn another_zone_is_answered_where_its_boundaries_are_stored_and_refused_elsewhere() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let input = three_days(&rules);
    let in_zone = |name: &str, granularity, day: &str| {
        let zone = TimeZone::get(name).unwrap();
        let from = crate::range::parse_instant(day, &zone).unwrap();
        let to = crate::range::parse_instant("2024-04-03", &zone).unwrap();
        let mut query = Query::over(Interval::new(from, to), granularity);
        query.zone = Some(zone);
        answer(&input, &rules, &query)
    };
    // Midnight in New York is a whole hour in UTC.
    let found = in_zone("America/New_York", Granularity::Day, "2024-02-28").unwrap();
    assert_eq!(
        only(&found),
        "2024-03-01T05=0.3 2024-03-02T05=4 2024-03-31T04=8 total 12.3"
    );
    // Midnight in India is half past an hour in UTC.
    let refused = in_zone("Asia/Kolkata", Granularity::Day, "2024-02-28").unwrap_err();
    assert_eq!(refused.code(), "query.timezone");
    assert!(
        refused.to_string().contains("Asia/Kolkata")
            && refused.to_string().contains("2024-02-27T18:30:00Z"),
        "{refused}"
    );
    let mut daily = rules.clone();
    daily.resolution = Granularity::Day;
    let mut query = query(
        "2024-03-01T05:00:00Z",
        "2024-03-04T05:00:00Z",
        Granularity::Day,
    );
    query.zone = Some(TimeZone::get("America/New_York").unwrap());
    assert_eq!(
        answer(&input, &daily, &query).unwrap_err().code(),
        "query.timezone"
    );
}

#[test]
fn ranges_until_now_end_in_any_zone_where_the_stored_bucket_does() {
    let mut rules = rules(MetricType::Events, Aggregation::Sum);
    rules.zone = TimeZone::get("America/New_York").unwrap();
    rules.resolution = Granularity::Hour;
    let rows = vec![
        row("2", Some("2024-01-01T01:30:00Z"), "a"),
        row("3", Some("2024-04-02T17:10:00Z"), "a"),
    ];
    let input = stored(&rules, &[("2024-04-02T17:58:22.140139428Z", rows)]);
    let now = at("2024-04-02T17:58:22.140139428Z");
    let ask = |name: &str, zone: &str, granularity, compare| {
        let zone = TimeZone::get(zone).unwrap();
        let known = Interval::new(at("2024-01-01T01:00:00Z"), now);
        let range = crate::range::resolve(name, now, &zone, Weekday::Monday, Some(known)).unwrap();
        let mut query = Query::over(range, granularity);
        query.zone = Some(zone);
        query.range = Some(name.to_owned());
        query.compare = compare;
        answer(&input, &rules, &query)
    };
    for name in ["ytd", "qtd", "mtd", "wtd", "all_time"] {
        for granularity in [Granularity::Day, Granularity::Month, Granularity::All] {
            for compare in [None, Some(crate::Compare::PreviousPeriod)] {
                let answered = ask(name, "UTC", granularity, compare)
                    .unwrap_or_else(|error| panic!("{name} by {granularity:?}: {error}"));
                assert_eq!(answered.to, at("2024-04-02T18:00:00Z"), "{name}");
            }
        }
    }
    let total = |name| {
        let answered = ask(name, "Europe/Berlin", Granularity::All, None).unwrap();
        only(&answered)
    };
    assert!(total("all_time").contains('5'), "{}", total("all_time"));
    // A calendar that begins inside a stored hour is still refused.
    let refused = ask("mtd", "Asia/Kolkata", Granularity::Day, None).unwrap_err();
    assert_eq!(refused.code(), "query.timezone");
}

#[test]
fn steps_that_stored_buckets_cannot_make_are_refused() {
    let mut rules = rules(MetricType::Events, Aggregation::Sum);
    let input = SeriesInput::default();
    for (resolution, step, fine) in [
        (Granularity::Day, Granularity::Hour, false),
        (Granularity::Day, Granularity::Week, true),
        (Granularity::Week, Granularity::Month, false),
        (Granularity::Week, Granularity::All, true),
        (Granularity::Month, Granularity::Quarter, true),
        (Granularity::Quarter, Granularity::Month, false),
    ] {
        rules.resolution = resolution;
        let found = answer(
            &input,
            &rules,
            &query("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", step),
        );
        assert_eq!(found.is_ok(), fine, "{step:?} of {resolution:?}");
    }
}

#[test]
fn more_points_than_the_limit_are_refused_by_name() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let input = SeriesInput::default();
    let ask = |to| {
        answer(
            &input,
            &rules,
            &query("2024-01-01T00:00:00Z", to, Granularity::Hour),
        )
    };
    assert!(ask("2025-02-20T16:00:00Z").is_ok());
    let refused = ask("2025-02-20T17:00:00Z").unwrap_err();
    assert_eq!(refused.code(), "query.too_many_points");
    assert!(refused.to_string().contains("10000"), "{refused}");
    assert_eq!(
        answer(
            &input,
            &rules,
            &query(
                "2024-01-02T00:00:00Z",
                "2024-01-02T00:00:00Z",
                Granularity::Hour
            )
        ),
        Err(QueryError::Empty)
    );
}

#[test]
fn empty_buckets_are_left_out_or_filled() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let mut input = three_days(&rules);
    let mut query = query(
        "2024-02-29T00:00:00Z",
        "2024-03-05T00:00:00Z",
        Granularity::Day,
    );
    query.fill = Fill::Previous;
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-03-01=0.3 2024-03-02=0.3 2024-03-03=4 2024-03-04=4 total 4.3"
    );
    query.fill = Fill::Zero;
    // Where nothing is known, a zero is marked; nothing is filled in after the last slot.
    let coverage = |start, end| Coverage {
        start: at(start),
        end: at(end),
        as_of: at(end),
        run: "r".into(),
        revision: 1,
        complete: true,
    };
    input.coverage = vec![coverage("2024-03-01T00:00:00Z", "2024-03-04T09:00:00Z")];
    query.to = at("2024-03-08T00:00:00Z");
    let found = only(&answer(&input, &rules, &query).unwrap());
    assert_eq!(
        found,
        "2024-02-29=0? 2024-03-01=0.3 2024-03-02=0 2024-03-03=4 2024-03-04=0 total 4.3"
    );
}

#[test]
fn points_of_truncated_runs_are_partial() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let mut input = three_days(&rules);
    input.series[0].1[0].2 = true;
    let days = query(
        "2024-03-01T00:00:00Z",
        "2024-03-05T00:00:00Z",
        Granularity::Day,
    );
    assert_eq!(
        only(&answer(&input, &rules, &days).unwrap()),
        "2024-03-01=0.3? 2024-03-03=4 total 4.3"
    );
    let (start, end) = (at("2024-03-03T05:00:00Z"), at("2024-03-03T06:00:00Z"));
    input.coverage = vec![Coverage {
        start,
        end,
        as_of: end,
        run: "r".into(),
        revision: 1,
        complete: false,
    }];
    assert_eq!(
        only(&answer(&input, &rules, &days).unwrap()),
        "2024-03-01=0.3? 2024-03-03=4? total 4.3"
    );
}

fn tickets(over_time: Option<OverTime>) -> (Rules, SeriesInput) {
    let mut rules = rules(MetricType::Levels, Aggregation::Sum);
    rules.over_time = over_time;
    let input = stored(
        &rules,
        &[
            (
                "2024-03-01T08:00:00Z",
                vec![row("5", None, "a"), row("3", None, "b")],
            ),
            (
                "2024-03-01T20:00:00Z",
                vec![row("7", None, "a"), row("2", None, "b")],
            ),
            ("2024-03-02T08:00:00Z", vec![row("4", None, "a")]),
            ("2024-03-03T08:00:00Z", Vec::new()),
        ],
    );
    (rules, input)
}

#[test]
fn levels_join_members_within_a_sync_and_syncs_by_over_time() {
    let days = |to| query("2024-03-01T00:00:00Z", to, Granularity::Day);
    for (over_time, expected) in [
        (None, "2024-03-01=9 2024-03-02=4 total 4"),
        (Some(OverTime::Max), "2024-03-01=9 2024-03-02=4 total 9"),
        (Some(OverTime::Min), "2024-03-01=8 2024-03-02=4 total 4"),
        (
            Some(OverTime::Average),
            "2024-03-01=8.5 2024-03-02=4 total 7",
        ),
        (Some(OverTime::Sum), "2024-03-01=17 2024-03-02=4 total 21"),
    ] {
        let (rules, input) = tickets(over_time);
        assert_eq!(
            only(&answer(&input, &rules, &days("2024-03-03T00:00:00Z")).unwrap()),
            expected,
            "{over_time:?}"
        );
    }
}

#[test]
fn members_absent_from_the_last_sync_are_gone() {
    let (rules, input) = tickets(None);
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-03-03T00:00:00Z",
        Granularity::All,
    );
    query.group_by = vec!["team".to_owned()];
    let found = answer(&input, &rules, &query).unwrap();
    assert_eq!(
        found.series.iter().map(text).collect::<Vec<_>>(),
        ["2024-03-01=4 total 4"]
    );
    // And after a sync without rows all are.
    query.to = at("2024-03-04T00:00:00Z");
    assert_eq!(answer(&input, &rules, &query).unwrap().series, []);
}

#[test]
fn a_sync_that_found_nothing_is_worth_zero_and_counts_over_time() {
    let whole = query(
        "2024-03-01T00:00:00Z",
        "2024-03-04T00:00:00Z",
        Granularity::All,
    );
    for (over_time, expected) in [
        (None, "0"),
        (Some(OverTime::Min), "0"),
        (Some(OverTime::Max), "9"),
        (Some(OverTime::Average), "5.25"),
        (Some(OverTime::Sum), "21"),
    ] {
        let (rules, input) = tickets(over_time);
        let found = answer(&input, &rules, &whole).unwrap();
        assert_eq!(
            only(&found),
            format!("2024-03-01={expected} total {expected}"),
            "{over_time:?}"
        );
    }
    // Nothing was of any team, so none of them has a value.
    let (rules, input) = tickets(None);
    let mut of_a = whole.clone();
    of_a.filters = vec![("team".to_owned(), vec!["a".to_owned()])];
    assert_eq!(answer(&input, &rules, &of_a).unwrap().series, []);
    of_a.from = at("2024-03-03T00:00:00Z");
    assert_eq!(answer(&input, &rules, &of_a).unwrap().series, []);
    // Of an average nothing can be said.
    let mut average = rules;
    average.aggregation = Aggregation::Average;
    let input = stored(&average, &[("2024-03-01T08:00:00Z", Vec::new())]);
    assert_eq!(answer(&input, &average, &whole).unwrap().series, []);
}

#[test]
fn levels_answer_in_any_zone() {
    let (rules, input) = tickets(None);
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-03-03T00:00:00Z",
        Granularity::Day,
    );
    query.zone = Some(TimeZone::get("Asia/Kathmandu").unwrap());
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-02-29T18:15:00Z=8 2024-03-01T18:15:00Z=4 total 4"
    );
}

#[test]
fn periods_are_joined_by_a_stated_rule_or_not_at_all() {
    let mut rules = rules(MetricType::Periods, Aggregation::Sum);
    rules.resolution = Granularity::Month;
    let rows = vec![
        row("100", Some("2024-01-01T00:00:00Z"), "eu"),
        row("50", Some("2024-01-01T00:00:00Z"), "us"),
        row("120", Some("2024-02-01T00:00:00Z"), "eu"),
    ];
    let input = stored(&rules, &[("2024-03-01T00:00:00Z", rows)]);
    let ask = |rules: &Rules, granularity| {
        answer(
            &input,
            rules,
            &query("2024-01-01T00:00:00Z", "2024-04-01T00:00:00Z", granularity),
        )
    };
    assert_eq!(
        only(&ask(&rules, Granularity::Month).unwrap()),
        "2024-01-01=150 2024-02-01=120 total none"
    );
    assert_eq!(
        ask(&rules, Granularity::Quarter).unwrap_err(),
        QueryError::PeriodsNotJoined
    );
    for (rule, expected) in [
        (OverTime::Last, "2024-01-01=120 total 120"),
        (OverTime::Average, "2024-01-01=135 total 135"),
        (OverTime::Max, "2024-01-01=150 total 150"),
        (OverTime::Sum, "2024-01-01=270 total 270"),
    ] {
        rules.over_time = Some(rule);
        assert_eq!(
            only(&ask(&rules, Granularity::Quarter).unwrap()),
            expected,
            "{rule:?}"
        );
    }
}

#[test]
fn running_totals_are_differences_and_survive_resets() {
    let rules = rules(MetricType::RunningTotal, Aggregation::Sum);
    let sample = |sync, a: &str, b: &str| (sync, vec![row(a, None, "a"), row(b, None, "b")]);
    let input = stored(
        &rules,
        &[
            sample("2024-03-01T08:00:00Z", "100", "10"),
            sample("2024-03-01T20:00:00Z", "130", "10"),
            // The counter of a began again: 5 since then.
            sample("2024-03-02T08:00:00Z", "5", "11.5"),
            sample("2024-03-03T08:00:00Z", "6", "12"),
        ],
    );
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-03-04T00:00:00Z",
        Granularity::Day,
    );
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-03-01=30 2024-03-02=6.5 2024-03-03=1.5 total 38"
    );
    // The sample before the range counts as the one before.
    query.from = at("2024-03-02T00:00:00Z");
    assert_eq!(
        only(&answer(&input, &rules, &query).unwrap()),
        "2024-03-02=6.5 2024-03-03=1.5 total 8"
    );
    assert_eq!(query.reads(&rules).unwrap().start, Timestamp::MIN);
    query.group_by = vec!["team".to_owned()];
    let split = answer(&input, &rules, &query).unwrap();
    assert_eq!(
        split.series.iter().map(text).collect::<Vec<_>>(),
        [
            "2024-03-02=5 2024-03-03=1 total 6",
            "2024-03-02=1.5 2024-03-03=0.5 total 2"
        ]
    );
}

#[test]
fn comparison_gives_change_percent_ratio_and_direction() {
    let mut rules = rules(MetricType::Events, Aggregation::Sum);
    let rows = vec![
        row("40", Some("2024-02-03T00:00:00Z"), "a"),
        row("10", Some("2024-02-29T00:00:00Z"), "b"),
        row("50", Some("2024-03-03T00:00:00Z"), "a"),
        row("10", Some("2024-03-31T00:00:00Z"), "a"),
        row("7", Some("2024-03-31T00:00:00Z"), "c"),
    ];
    let input = stored(&rules, &[("2024-04-02T00:00:00Z", rows)]);
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-04-01T00:00:00Z",
        Granularity::Day,
    );
    query.compare = Some(Compare::PreviousPeriod);
    query.group_by = vec!["team".to_owned()];
    assert_eq!(
        query.reads(&rules).unwrap(),
        Interval::new(at("2024-02-01T00:00:00Z"), at("2024-04-01T00:00:00Z"))
    );
    let found = answer(&input, &rules, &query).unwrap().comparison.unwrap();
    assert_eq!(
        (found.from, found.to),
        (at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z"))
    );
    let [a, b, c] = found.series.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (a.change, a.percent, a.ratio),
        (
            Some(decimal("20")),
            Some(decimal("50")),
            Some(decimal("1.5"))
        )
    );
    assert_eq!(
        (a.direction, a.points[0].0),
        (Direction::Better, Some(at("2024-03-03T00:00:00Z")))
    );
    assert_eq!(
        (b.current, b.base, b.change, b.direction),
        (None, Some(decimal("10")), None, Direction::Unknown)
    );
    assert_eq!(
        (c.current, c.base, c.percent),
        (Some(decimal("7")), None, None)
    );
    rules.favourable_trend = Trend::Down;
    assert_eq!(
        answer(&input, &rules, &query)
            .unwrap()
            .comparison
            .unwrap()
            .series[0]
            .direction,
        Direction::Worse
    );
}

#[test]
fn percent_and_ratio_are_undefined_against_zero_and_signed_against_loss() {
    let values =
        |current, base| compare::values(Some(decimal(current)), Some(decimal(base)), Trend::Up);
    assert_eq!(
        values("5", "0"),
        (Some(decimal("5")), None, None, Direction::Better)
    );
    assert_eq!(
        values("-5", "-10"),
        (
            Some(decimal("5")),
            Some(decimal("50")),
            Some(decimal("0.5")),
            Direction::Better
        )
    );
    assert_eq!(values("0.3", "0.3").3, Direction::Same);
}

#[test]
fn an_answer_of_nothing_is_empty_and_not_an_error() {
    let rules = rules(MetricType::Events, Aggregation::Sum);
    let mut query = query(
        "2024-03-01T00:00:00Z",
        "2024-04-01T00:00:00Z",
        Granularity::Day,
    );
    query.group_by = vec!["team".to_owned()];
    query.fill = Fill::Zero;
    assert_eq!(
        answer(&SeriesInput::default(), &rules, &query)
            .unwrap()
            .series,
        []
    );
}

#[test]
fn what_samples_come_to_is_what_the_series_shows() {
    let rules_of = |metric_type, over_time| Rules {
        over_time,
        resolution: Granularity::Day,
        ..rules(metric_type, Aggregation::Sum)
    };
    let values = ["7", "9", "9", "2", "0", "5", "6"];
    let instants = [
        "2024-03-01T01:00:00Z",
        "2024-03-01T09:00:00Z",
        "2024-03-02T00:00:00Z",
        "2024-03-02T23:59:59Z",
        "2024-03-05T12:00:00Z",
        "2024-03-05T13:00:00Z",
        "2024-03-06T00:00:00Z",
    ];
    let syncs: Vec<(&str, Vec<Row>)> = instants
        .into_iter()
        .zip(values)
        .map(|(at, value)| (at, vec![row(value, None, "a")]))
        .collect();
    let average = Some(OverTime::Average);
    for (metric_type, over_time) in [
        (MetricType::RunningTotal, None),
        (MetricType::Levels, None),
        (MetricType::Levels, average),
        (MetricType::Levels, Some(OverTime::Min)),
        (MetricType::Levels, Some(OverTime::Max)),
        (MetricType::Levels, Some(OverTime::Sum)),
    ] {
        let rules = rules_of(metric_type, over_time);
        let input = stored(&rules, &syncs);
        let days = query(
            "2024-03-01T00:00:00Z",
            "2024-03-08T00:00:00Z",
            Granularity::Day,
        );
        let answered = answer(&input, &rules, &days).unwrap();
        let shown: Vec<(i64, Decimal)> = answered.series[0]
            .points
            .iter()
            .filter_map(|point| Some((point.start.as_millisecond(), point.value?)))
            .collect();
        let told: Vec<(i64, Decimal)> = crate::sample_points(&input.series[0].1, &rules)
            .into_iter()
            .collect();
        assert_eq!(told, shown, "{metric_type:?} {over_time:?}");
        assert!(told.len() >= 4, "{told:?}");
    }
}
