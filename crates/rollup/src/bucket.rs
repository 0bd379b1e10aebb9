//! Calendar buckets: which one an instant is in, and which ones a range holds.
//!
//! The arithmetic itself is [`Granularity`]'s; this adds memory, so that a run of rows pays for each
//! bucket once and not for each row.

use std::collections::BTreeMap;

use definition::{Granularity, Interval, Weekday};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::series::Rules;

/// Returns the first instant of the bucket that contains `at`.
pub fn start_of(
    at: Timestamp,
    granularity: Granularity,
    zone: &TimeZone,
    week_start: Weekday,
) -> Timestamp {
    granularity.start_of(at, zone, week_start)
}

/// Returns the first instant after the bucket that begins at `start`.
pub fn next(
    start: Timestamp,
    granularity: Granularity,
    zone: &TimeZone,
    week_start: Weekday,
) -> Timestamp {
    granularity.next(start, zone, week_start)
}

/// Returns `range` widened to whole buckets; an empty range stays empty.
pub fn snap_outward(
    range: Interval,
    granularity: Granularity,
    zone: &TimeZone,
    week_start: Weekday,
) -> Interval {
    if range.end <= range.start {
        return range;
    }
    range.snap_outward(granularity, zone, week_start)
}

/// Returns the buckets that share an instant with `range`, oldest first.
pub fn buckets(
    range: Interval,
    granularity: Granularity,
    zone: &TimeZone,
    week_start: Weekday,
) -> impl Iterator<Item = Interval> {
    let mut start = granularity.start_of(range.start, zone, week_start);
    std::iter::from_fn(move || {
        if start >= range.end {
            return None;
        }
        let bucket = Interval::new(start, granularity.next(start, zone, week_start));
        start = bucket.end;
        // At the end of time a bucket may not advance.
        (bucket.end > bucket.start).then_some(bucket)
    })
}

/// Returns the unix milliseconds of `at`, rounded down.
pub(crate) fn millis(at: Timestamp) -> i64 {
    let millis = at.as_millisecond();
    // `as_millisecond` cuts towards zero.
    millis - i64::from(at.subsec_nanosecond() % 1_000_000 < 0)
}

/// Returns the instant of unix milliseconds, held within the years that instants have.
pub(crate) fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Finds buckets fast: the last one found is tried first, then all found before, and only then the
/// calendar is asked.
#[derive(Clone, Debug)]
pub struct Finder<'a> {
    granularity: Granularity,
    zone: &'a TimeZone,
    week_start: Weekday,
    last: Interval,
    known: BTreeMap<Timestamp, Timestamp>,
}

/// Buckets remembered; beyond that the memory starts anew.
const KNOWN_BUCKETS: usize = 65_536;

impl<'a> Finder<'a> {
    /// Finds the buckets of `granularity`.
    pub fn new(granularity: Granularity, zone: &'a TimeZone, week_start: Weekday) -> Self {
        let nothing = Interval::new(Timestamp::MAX, Timestamp::MAX);
        Self {
            granularity,
            zone,
            week_start,
            last: nothing,
            known: BTreeMap::new(),
        }
    }

    /// Finds the buckets that a metric keeps.
    pub fn of(rules: &'a Rules) -> Self {
        Self::new(rules.resolution, &rules.zone, rules.week_start)
    }

    /// Returns the bucket that contains `at`.
    pub fn bucket(&mut self, at: Timestamp) -> Interval {
        if self.last.contains(at) {
            return self.last;
        }
        if let Some((start, end)) = self.known.range(..=at).next_back()
            && at < *end
        {
            self.last = Interval::new(*start, *end);
            return self.last;
        }
        let start = self.granularity.start_of(at, self.zone, self.week_start);
        self.last = Interval::new(
            start,
            self.granularity.next(start, self.zone, self.week_start),
        );
        if self.known.len() >= KNOWN_BUCKETS {
            self.known.clear();
        }
        self.known.insert(self.last.start, self.last.end);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_cut_into_touching_buckets() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let range = Interval::new(at("2024-03-09T12:00:00Z"), at("2024-03-11T12:00:00Z"));
        let found: Vec<String> = buckets(range, Granularity::Day, &zone, Weekday::Monday)
            .map(|b| b.start.to_string())
            .collect();
        assert_eq!(
            found,
            [
                "2024-03-09T05:00:00Z",
                "2024-03-10T05:00:00Z",
                "2024-03-11T04:00:00Z"
            ]
        );
    }

    #[test]
    fn the_finder_agrees_with_the_calendar() {
        let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
        for granularity in [
            Granularity::Hour,
            Granularity::Day,
            Granularity::Week,
            Granularity::Month,
        ] {
            let mut finder = Finder::new(granularity, &zone, Weekday::Sunday);
            for step in 0..5_000_i64 {
                let instant =
                    Timestamp::from_second(1_700_000_000 + (step * 7_919 % 5_000) * 1_800).unwrap();
                let bucket = finder.bucket(instant);
                assert_eq!(
                    bucket.start,
                    start_of(instant, granularity, &zone, Weekday::Sunday)
                );
                assert!(bucket.contains(instant));
            }
        }
    }

    #[test]
    fn milliseconds_round_down_before_1970_too() {
        assert_eq!(millis(at("1969-12-31T23:59:59.9999Z")), -1);
        assert_eq!(millis(at("1970-01-01T00:00:00.0019Z")), 1);
        assert_eq!(millis(at("1969-12-31T23:59:59.999Z")), -1);
    }
}
