use definition::{Aggregation, Definition, MetricType, Name, Trend, Weekday};
use jiff::tz::TimeZone;

use super::*;
use crate::coverage::Coverage;
use crate::fold::fold;
use crate::row::{Row, RowValue};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rules(metric_type: MetricType) -> Rules {
    Rules {
        metric_type,
        aggregation: Aggregation::Sum,
        over_time: None,
        resolution: Granularity::Hour,
        zone: TimeZone::UTC,
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: true,
    }
}

/// Sums of one record each, covered up to `end`.
fn input(rules: &Rules, records: &[(&str, &str)], end: &str) -> SeriesInput {
    let rows: Vec<Row> = records
        .iter()
        .enumerate()
        .map(|(place, (date, value))| Row {
            value: RowValue::Number(value.parse().unwrap()),
            at: Some(at(date)),
            dimensions: crate::row::Dimensions::NONE,
            unit: None,
            key: None,
            page: 1,
            index: u32::try_from(place).unwrap(),
        })
        .collect();
    let folded = fold(rows, rules, at(end));
    SeriesInput {
        series: folded
            .cells
            .into_iter()
            .map(|(key, cells)| {
                let cells = cells
                    .into_iter()
                    .map(|(start, state)| (start, state, false))
                    .collect();
                (key, cells)
            })
            .collect(),
        coverage: vec![Coverage {
            start: at("2026-01-01T00:00:00Z"),
            end: at(end),
            as_of: at(end),
            run: "r_1".into(),
            revision: 1,
            complete: true,
        }],
        ..SeriesInput::default()
    }
}

fn see(records: &[(&str, &str)], covered: &str, range: &str, now: &str) -> Sight {
    let rules = rules(MetricType::Events);
    let input = input(&rules, records, covered);
    let watched = Watched {
        rules: &rules,
        accumulates: true,
        known: None,
    };
    let name = RangeName::parse(range).unwrap();
    let against = Some(Against::PreviousPeriod);
    let query = watched.question(&name, &Where::new(), against, at(now));
    watched.see(&input, &query, at(now)).unwrap()
}

#[test]
fn a_day_without_rows_is_nothing_known_until_it_is_covered_and_then_zero() {
    let records = [("2026-01-02T10:00:00Z", "5")];
    // Just after midnight the last sync was at half past eleven: yesterday is not known to its end.
    let early = see(
        &records,
        "2026-01-03T23:30:00Z",
        "yesterday",
        "2026-01-04T00:01:00Z",
    );
    assert_eq!((early.is_known, early.value), (false, None));
    let later = see(
        &records,
        "2026-01-04T00:30:00Z",
        "yesterday",
        "2026-01-04T00:31:00Z",
    );
    assert_eq!((later.is_known, later.value), (true, Some(Decimal::ZERO)));
    assert_eq!(later.base, Some("5".parse().unwrap()));
    assert_eq!(later.percent, Some("-100".parse().unwrap()));
    assert_eq!(later.direction, Some(Direction::Worse));
}

#[test]
fn an_open_day_is_known_as_far_as_the_newest_sync() {
    let records = [("2026-01-04T10:00:00Z", "5")];
    let open = see(
        &records,
        "2026-01-04T11:00:00Z",
        "today",
        "2026-01-04T12:00:00Z",
    );
    assert_eq!(
        (open.is_known, open.value),
        (true, Some("5".parse().unwrap()))
    );
    let unknown = see(
        &records,
        "2026-01-03T11:00:00Z",
        "today",
        "2026-01-04T12:00:00Z",
    );
    assert!(!unknown.is_known);
}

#[test]
fn a_dimension_that_nothing_has_is_no_rows() {
    let rules = rules(MetricType::Events);
    let input = input(
        &rules,
        &[("2026-01-02T10:00:00Z", "5")],
        "2026-01-04T00:00:00Z",
    );
    let watched = Watched {
        rules: &rules,
        accumulates: true,
        known: None,
    };
    let text = "kind: alert\nname: a\nmetric: m\nrange: yesterday\nwhere: { state: active }\nwhen: { value: { below: 1 } }";
    let (bundle, _) = definition::read(text, "test.yaml");
    let Some(Definition::Alert(alert)) = bundle
        .definitions
        .into_iter()
        .map(|one| one.definition)
        .next()
    else {
        panic!("an alert");
    };
    assert_eq!(alert.name, Name::parse("a").unwrap());
    let (seen, _) = watched
        .see_alert(&alert, &input, at("2026-01-03T12:00:00Z"))
        .unwrap();
    assert_eq!(seen.value, Some(Decimal::ZERO));
}
