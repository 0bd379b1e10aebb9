//! Buckets against an independent table: what Python's zoneinfo says of 64 zones from 1995 to 2035,
//! half-hour zones, clocks changed at midnight and skipped days among them. `data/zones.py` wrote it.

use definition::{Granularity, Interval, Weekday};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rollup::bucket;

const COLUMNS: [(Granularity, Weekday); 7] = [
    (Granularity::Hour, Weekday::Monday),
    (Granularity::Day, Weekday::Monday),
    (Granularity::Week, Weekday::Monday),
    (Granularity::Week, Weekday::Sunday),
    (Granularity::Month, Weekday::Monday),
    (Granularity::Quarter, Weekday::Monday),
    (Granularity::Year, Weekday::Monday),
];

#[test]
fn buckets_equal_an_independent_table() {
    let table = include_str!("data/zones.csv");
    let second = |second: i64| Timestamp::from_second(second).unwrap();
    let (mut zones, mut checked, mut wrong) = (std::collections::BTreeSet::new(), 0, Vec::new());
    for line in table.lines().skip(1) {
        let (name, rest) = line.split_once(',').unwrap();
        let numbers: Vec<i64> = rest.split(',').map(|text| text.parse().unwrap()).collect();
        let zone = if name == "UTC" {
            TimeZone::UTC
        } else {
            TimeZone::get(name).unwrap()
        };
        let at = second(numbers[0]);
        for ((granularity, week_start), edges) in COLUMNS.iter().zip(numbers[1..].chunks(2)) {
            let start = bucket::start_of(at, *granularity, &zone, *week_start);
            let found = Interval::new(start, bucket::next(start, *granularity, &zone, *week_start));
            let expected = Interval::new(second(edges[0]), second(edges[1]));
            if found != expected {
                wrong.push(format!(
                    "{name} {at} {granularity:?}: {found:?} for {expected:?}"
                ));
            }
            checked += 1;
        }
        zones.insert(name);
    }
    assert!(
        wrong.is_empty(),
        "{} wrong of {checked}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
    assert!(
        zones.len() >= 40 && checked > 10_000,
        "{} zones, {checked} buckets",
        zones.len()
    );
}

#[test]
fn a_skipped_day_has_no_bucket() {
    let zone = TimeZone::get("Pacific/Apia").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let range = Interval::new(
        at("2011-12-29T00:00:00-10:00"),
        at("2012-01-01T00:00:00+14:00"),
    );
    let dates: Vec<String> = bucket::buckets(range, Granularity::Day, &zone, Weekday::Monday)
        .map(|day| zone.to_datetime(day.start).date().to_string())
        .collect();
    assert_eq!(dates, ["2011-12-29", "2011-12-31"]);
}
