//! Names, instants, and what comes before.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn text(range: Interval, zone: &TimeZone) -> String {
    let local = |at: Timestamp| zone.to_datetime(at).to_string().replace(":00:00", "");
    format!("{} {}", local(range.start), local(range.end))
}

#[test]
fn names_are_ranges_of_the_zones_calendar() {
    // A Wednesday, shortly after the clocks went forward.
    let (now, zone) = (at("2024-04-03T13:30:00Z"), zone("Europe/Paris"));
    for (name, expected) in [
        ("today", "2024-04-03T00 2024-04-04T00"),
        ("yesterday", "2024-04-02T00 2024-04-03T00"),
        ("last_7_days", "2024-03-28T00 2024-04-04T00"),
        ("last_1_days", "2024-04-03T00 2024-04-04T00"),
        ("last_1_day", "2024-04-03T00 2024-04-04T00"),
        ("last_30_days", "2024-03-05T00 2024-04-04T00"),
        ("last_24_hours", "2024-04-02T16 2024-04-03T16"),
        ("this_hour", "2024-04-03T15 2024-04-03T16"),
        ("last_2_weeks", "2024-03-25T00 2024-04-08T00"),
        ("last_3_months", "2024-02-01T00 2024-05-01T00"),
        ("last_2_quarters", "2024-01-01T00 2024-07-01T00"),
        ("last_5_years", "2020-01-01T00 2025-01-01T00"),
        ("this_week", "2024-04-01T00 2024-04-08T00"),
        ("last_week", "2024-03-25T00 2024-04-01T00"),
        ("this_month", "2024-04-01T00 2024-05-01T00"),
        ("last_month", "2024-03-01T00 2024-04-01T00"),
        ("this_quarter", "2024-04-01T00 2024-07-01T00"),
        ("last_quarter", "2024-01-01T00 2024-04-01T00"),
        ("this_year", "2024-01-01T00 2025-01-01T00"),
        ("last_year", "2023-01-01T00 2024-01-01T00"),
        ("wtd", "2024-04-01T00 2024-04-03T15:30"),
        ("mtd", "2024-04-01T00 2024-04-03T15:30"),
        ("qtd", "2024-04-01T00 2024-04-03T15:30"),
        ("ytd", "2024-01-01T00 2024-04-03T15:30"),
        ("all_time", "2024-04-03T00 2024-04-04T00"),
    ] {
        let found = resolve(name, now, &zone, Weekday::Monday, None).unwrap();
        assert_eq!(
            text(found, &zone)
                .replace(":00 ", " ")
                .trim_end_matches(":00"),
            expected,
            "{name}"
        );
    }
    let known = Interval::new(at("2020-01-01T00:00:00Z"), now);
    assert_eq!(
        resolve("all_time", now, &zone, Weekday::Monday, Some(known)),
        Ok(known)
    );
    let sunday = resolve("this_week", now, &zone, Weekday::Sunday, None).unwrap();
    assert_eq!(sunday.start, at("2024-03-31T00:00:00+01:00"));
}

#[test]
fn what_is_no_name_is_refused() {
    for name in [
        "",
        "tomorrow",
        "last_",
        "last_7",
        "last_x_days",
        "last_-1_days",
        "last_7_moons",
        "this_decade",
        "last_7_dayss",
    ] {
        let found = resolve(
            name,
            at("2024-04-03T13:30:00Z"),
            &TimeZone::UTC,
            Weekday::Monday,
            None,
        );
        assert!(matches!(found, Err(RangeError::Unknown { .. })), "{name}");
    }
    for name in [
        "last_0_days",
        "last_10001_days",
        "last_99999999999999999999_days",
    ] {
        let found = resolve(
            name,
            at("2024-04-03T13:30:00Z"),
            &TimeZone::UTC,
            Weekday::Monday,
            None,
        );
        assert!(matches!(found, Err(RangeError::Units { .. })), "{name}");
    }
}

#[test]
fn instants_are_read_with_an_offset_or_in_the_zone() {
    let zone = zone("America/Sao_Paulo");
    for (text, expected) in [
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00Z"),
        ("2024-01-31T12:00:00.5Z", "2024-01-31T12:00:00.5Z"),
        ("2024-01-31", "2024-01-31T03:00:00Z"),
        ("2024-01-31T12:00", "2024-01-31T15:00:00Z"),
        ("2024-01-31T12:00:30", "2024-01-31T15:00:30Z"),
        // Midnight was skipped: the day begins at one.
        ("2018-11-04", "2018-11-04T03:00:00Z"),
    ] {
        assert_eq!(parse_instant(text, &zone), Ok(at(expected)), "{text}");
    }
    for text in [
        "",
        "yesterday",
        "2024-02-30",
        "2024-1-1",
        "20240131",
        "2024-01-31T25:00:00Z",
        "1706702400",
        "2024-01-31T12",
        "2024-01-31T12:00-99:00",
    ] {
        assert!(parse_instant(text, &zone).is_err(), "{text}");
    }
    assert!(matches!(
        between("2024-02-01", "2024-01-01", &zone),
        Err(RangeError::Backwards { .. })
    ));
    assert!(matches!(
        between("2024-01-01", "2024-01-01", &zone),
        Err(RangeError::Backwards { .. })
    ));
}

#[test]
fn the_previous_period_is_of_the_same_kind() {
    let zone = zone("Europe/Paris");
    let before = |name: &str, now: &str| {
        let range = resolve(name, at(now), &zone, Weekday::Monday, None).unwrap();
        text(previous(Some(name), range, &zone, Weekday::Monday), &zone)
            .replace(":00 ", " ")
            .trim_end_matches(":00")
            .to_owned()
    };
    for (name, now, expected) in [
        (
            "today",
            "2024-04-03T13:30:00Z",
            "2024-04-02T00 2024-04-03T00",
        ),
        (
            "last_7_days",
            "2024-04-03T13:30:00Z",
            "2024-03-21T00 2024-03-28T00",
        ),
        (
            "last_month",
            "2024-04-03T13:30:00Z",
            "2024-02-01T00 2024-03-01T00",
        ),
        (
            "this_quarter",
            "2024-04-03T13:30:00Z",
            "2024-01-01T00 2024-04-01T00",
        ),
        (
            "last_3_months",
            "2024-04-03T13:30:00Z",
            "2023-11-01T00 2024-02-01T00",
        ),
        (
            "last_year",
            "2024-04-03T13:30:00Z",
            "2022-01-01T00 2023-01-01T00",
        ),
        (
            "mtd",
            "2024-04-03T13:30:00Z",
            "2024-03-01T00 2024-03-03T15:30",
        ),
        ("mtd", "2024-03-31T10:00:00Z", "2024-02-01T00 2024-02-29T12"),
        (
            "wtd",
            "2024-04-03T13:30:00Z",
            "2024-03-25T00 2024-03-27T15:30",
        ),
        ("ytd", "2024-02-29T11:00:00Z", "2023-01-01T00 2023-02-28T12"),
    ] {
        assert_eq!(before(name, now), expected, "{name} {now}");
    }
    let written = |from: &str, to: &str| {
        let range = between(from, to, &zone).unwrap();
        text(previous(None, range, &zone, Weekday::Monday), &zone)
            .replace(":00 ", " ")
            .trim_end_matches(":00")
            .to_owned()
    };
    assert_eq!(
        written("2024-03-01", "2024-04-01"),
        "2024-02-01T00 2024-03-01T00"
    );
    assert_eq!(
        written("2024-01-01", "2025-01-01"),
        "2023-01-01T00 2024-01-01T00"
    );
    assert_eq!(
        written("2024-03-30", "2024-04-02"),
        "2024-03-27T00 2024-03-30T00"
    );
    assert_eq!(
        written("2024-03-05T06:00", "2024-03-05T12:00"),
        "2024-03-05T00 2024-03-05T06"
    );
}

#[test]
fn a_year_earlier_is_the_same_date_or_the_same_weekday() {
    let zone = zone("Europe/Paris");
    let earlier = |from: &str, to: &str, granularity| {
        let range = between(from, to, &zone).unwrap();
        text(last_year(range, granularity, &zone), &zone)
            .replace(":00 ", " ")
            .trim_end_matches(":00")
            .to_owned()
    };
    assert_eq!(
        earlier("2024-02-01", "2024-03-01", Granularity::Day),
        "2023-02-01T00 2023-03-01T00"
    );
    assert_eq!(
        earlier("2024-02-29", "2024-03-01", Granularity::Day),
        "2023-02-28T00 2023-03-01T00"
    );
    assert_eq!(
        earlier("2024-04-01", "2024-04-08", Granularity::Week),
        "2023-04-03T00 2023-04-10T00"
    );
}
