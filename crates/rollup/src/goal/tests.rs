use definition::{Aggregation, Definition, MetricType, Weekday};
use jiff::civil::date;

use super::*;

fn rules(trend: Trend, zone: &str) -> Rules {
    Rules {
        metric_type: MetricType::Events,
        aggregation: Aggregation::Sum,
        over_time: None,
        resolution: Granularity::Hour,
        zone: definition::zone::find(zone).unwrap(),
        week_start: Weekday::Monday,
        favourable_trend: trend,
        dated: true,
    }
}

fn goal(rest: &str) -> Goal {
    let text = format!("kind: goal\nname: g\nmetric: m\n{rest}");
    let (bundle, problems) = definition::read(&text, "test.yaml");
    assert!(problems.is_empty(), "{problems:?}");
    match bundle.definitions.into_iter().next().unwrap().definition {
        Definition::Goal(goal) => goal,
        other => panic!("{other:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn point(start: &str, value: &str) -> AnswerPoint {
    AnswerPoint {
        start: at(start),
        value: Some(number(value)),
        count: 1,
        partial: false,
        outdated: false,
    }
}

/// Phase, percent, ahead and forecast of a goal with this value at this moment.
fn told(
    goal: &Goal,
    trend: Trend,
    accumulates: bool,
    value: &str,
    points: &[AnswerPoint],
    now: &str,
) -> String {
    let rules = rules(trend, "UTC");
    let known = Some(Interval::new(at("2026-01-01T00:00:00Z"), at(now)));
    let now = at(now);
    let range = goal_range(goal, &rules, known, now);
    let seen = GoalSeen {
        value: (!value.is_empty()).then(|| number(value)),
        points: points.to_vec(),
        is_covered: true,
    };
    let progress = progress(goal, &rules, accumulates, range, &seen, now);
    let show = |value: Option<Decimal>| value.map_or("-".to_owned(), |value| value.to_string());
    format!(
        "{} {}% ahead {} forecast {}",
        progress.phase.as_str(),
        show(progress.percent),
        show(progress.ahead),
        show(progress.forecast)
    )
}

#[test]
fn a_sum_to_reach_by_a_date_is_held_against_the_straight_line() {
    // 1 January to 31 December, 365 days; noon of 2 July is the middle.
    let goal = goal("reach: 1000\nfrom: 2026-01-01\nby: 2026-12-31");
    let middle = "2026-07-02T12:00:00Z";
    for (value, now, expected) in [
        ("400", middle, "behind 40% ahead -100 forecast 800"),
        ("500", middle, "on_track 50% ahead 0 forecast 1000"),
        ("600", middle, "on_track 60% ahead 100 forecast 1200"),
        ("1000", middle, "reached 100% ahead 500 forecast 2000"),
        (
            "999",
            "2027-01-01T00:00:00Z",
            "missed 99.9% ahead -1 forecast 999",
        ),
        (
            "1001",
            "2027-01-01T00:00:00Z",
            "reached 100.1% ahead 1 forecast 1001",
        ),
        ("", middle, "unknown -% ahead - forecast -"),
        ("0", "2025-12-31T23:00:00Z", "waiting -% ahead - forecast -"),
    ] {
        assert_eq!(
            told(&goal, Trend::Up, true, value, &[], now),
            expected,
            "{value}"
        );
    }
}

#[test]
fn a_sum_where_less_is_better_is_a_budget() {
    // Half of April has passed at the 16th.
    let now = "2026-04-16T00:00:00Z";
    for (rest, value, now, expected) in [
        (
            "stay_below: 300",
            "100",
            now,
            "on_track 33.3333333333% ahead 50 forecast 200",
        ),
        (
            "stay_below: 300",
            "200",
            now,
            "behind 66.6666666667% ahead -50 forecast 400",
        ),
        (
            "stay_below: 300",
            "301",
            now,
            "broken 100.333333333% ahead -151 forecast 602",
        ),
        (
            "reach: 300",
            "100",
            now,
            "on_track 33.3333333333% ahead 50 forecast 200",
        ),
        (
            "reach: 300",
            "301",
            now,
            "broken 100.333333333% ahead -151 forecast 602",
        ),
        (
            "stay_above: 300",
            "100",
            now,
            "behind 33.3333333333% ahead -50 forecast 200",
        ),
        (
            "stay_above: 300",
            "300",
            now,
            "kept 100% ahead 150 forecast 600",
        ),
    ] {
        let goal = goal(&format!("{rest}\nper: month"));
        let trend = if rest.starts_with("stay_above") {
            Trend::Up
        } else {
            Trend::Down
        };
        assert_eq!(
            told(&goal, trend, true, value, &[], now),
            expected,
            "{rest} {value}"
        );
    }
}

#[test]
fn a_level_comes_to_its_goal_from_where_it_was() {
    let up = goal("reach: 200\nfrom: 2026-01-01\nby: 2026-12-31\nstart: 100");
    let middle = "2026-07-02T12:00:00Z";
    assert_eq!(
        told(&up, Trend::Up, false, "140", &[], middle),
        "behind 40% ahead -10 forecast -"
    );
    assert_eq!(
        told(&up, Trend::Up, false, "200", &[], middle),
        "reached 100% ahead 50 forecast -"
    );
    // Down: open tickets from 80 to 20; the first point says where it began.
    let down = goal("reach: 20\nfrom: 2026-01-01\nby: 2026-12-31");
    let points = [
        point("2026-01-01T00:00:00Z", "80"),
        point("2026-07-01T00:00:00Z", "44"),
    ];
    assert_eq!(
        told(&down, Trend::Down, false, "44", &points, middle),
        "on_track 60% ahead 6 forecast -"
    );
    assert_eq!(
        told(&down, Trend::Down, false, "60", &points[..1], middle),
        "behind 33.3333333333% ahead -10 forecast -"
    );
    assert_eq!(
        told(&down, Trend::Down, false, "20", &points, middle),
        "reached 100% ahead 30 forecast -"
    );
    // Once there is there, though it went back since.
    let touched = [points[0], point("2026-03-01T00:00:00Z", "19")];
    assert!(told(&down, Trend::Down, false, "50", &touched, middle).starts_with("reached"));
}

#[test]
fn a_level_that_should_stay_is_broken_by_one_point_of_its_period() {
    let month = goal("stay_above: 99\nper: month");
    let points = [
        point("2026-04-01T00:00:00Z", "99.5"),
        point("2026-04-02T00:00:00Z", "98"),
        point("2026-04-03T00:00:00Z", "100"),
    ];
    let now = "2026-04-03T12:00:00Z";
    assert!(told(&month, Trend::Up, false, "100", &points[..1], now).starts_with("kept"));
    assert!(told(&month, Trend::Up, false, "100", &points, now).starts_with("broken"));
    // One that goes on for ever is about now.
    let always = goal("stay_above: 99");
    assert!(told(&always, Trend::Up, false, "100", &points, now).starts_with("kept"));
    assert!(told(&always, Trend::Up, false, "98", &points, now).starts_with("broken"));
}

#[test]
fn periods_follow_the_calendar_of_the_metric_through_a_year_with_both_clock_changes() {
    for (zone, lengths) in [
        ("Europe/Berlin", (23, 25)),
        ("America/New_York", (23, 25)),
        ("UTC", (24, 24)),
    ] {
        let rules = rules(Trend::Up, zone);
        let daily = goal("reach: 1\nper: day");
        let mut now = date(2026, 1, 1)
            .to_zoned(rules.zone.clone())
            .unwrap()
            .timestamp();
        let mut hours = Vec::new();
        for _ in 0..365 {
            let range = goal_range(&daily, &rules, None, now);
            assert!(range.from <= now && now < range.to.unwrap());
            let to = range.to.unwrap();
            hours.push((to.as_second() - range.from.as_second()) / 3600);
            now = to;
        }
        let end = now.to_zoned(rules.zone.clone());
        assert_eq!(end.date(), date(2027, 1, 1), "{zone}: no day is left out");
        assert_eq!(
            (*hours.iter().min().unwrap(), *hours.iter().max().unwrap()),
            lengths,
            "{zone}"
        );
    }
}

#[test]
fn the_last_day_of_a_goal_counts_to_its_end_in_the_metrics_zone() {
    let rules = rules(Trend::Up, "America/New_York");
    let goal = goal("reach: 1\nfrom: 2026-03-08\nby: 2026-03-08");
    let range = goal_range(&goal, &rules, None, at("2026-03-08T12:00:00Z"));
    assert_eq!(range.from, at("2026-03-08T05:00:00Z"));
    // The day on which the clocks go forward has 23 hours.
    assert_eq!(range.to, Some(at("2026-03-09T04:00:00Z")));
}

#[test]
fn the_line_of_a_goal_ends_at_its_target() {
    let goal = goal("reach: 100\nfrom: 2026-04-01\nby: 2026-04-10");
    let rules = rules(Trend::Up, "UTC");
    let now = at("2026-04-02T00:00:00Z");
    let range = goal_range(&goal, &rules, None, now);
    let seen = GoalSeen {
        value: Some(number("5")),
        ..GoalSeen::default()
    };
    let progress = progress(&goal, &rules, true, range, &seen, now);
    let steps = [
        at("2026-03-31T00:00:00Z"),
        at("2026-04-01T00:00:00Z"),
        at("2026-04-06T00:00:00Z"),
        at("2026-04-11T00:00:00Z"),
    ];
    let line: Vec<String> = goal_line(&progress, &steps)
        .iter()
        .map(|(_, value)| value.to_string())
        .collect();
    assert_eq!(line, ["0", "50", "100"]);
}
