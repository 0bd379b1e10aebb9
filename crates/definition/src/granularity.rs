use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::words::words;

words! {
    /// The length of a bucket, or the step of an answer.
    pub enum Granularity {
        /// An elapsed hour on the clock of the zone (the default resolution).
        Hour = "hour",
        /// A calendar day; 23 or 25 hours long when the clocks change.
        Day = "day",
        /// Seven calendar days from `week_start`.
        Week = "week",
        /// A calendar month.
        Month = "month",
        /// A calendar quarter.
        Quarter = "quarter",
        /// A calendar year.
        Year = "year",
        /// All of time.
        All = "all",
    }
}

impl Granularity {
    /// Returns the first instant of the bucket that contains `at`.
    ///
    /// Buckets of one granularity, zone and week start divide time without gap or overlap. Hours
    /// follow the zone's offset, so they start at :30 UTC in half-hour zones. A day begins at its
    /// first instant, which is not midnight where the clocks skip it, and at the first of two
    /// midnights where they repeat it.
    pub fn start_of(self, at: Timestamp, zone: &TimeZone, week_start: Weekday) -> Timestamp {
        match self {
            Self::All => Timestamp::MIN,
            Self::Hour => hour_start(at, zone),
            _ => {
                let date = self.first_date(zone.to_datetime(at).date(), week_start);
                // Clocks that go back over midnight show the old date again after the new day began.
                let next = first_instant(self.next_date(date), zone);
                if at >= next {
                    next
                } else {
                    first_instant(date, zone)
                }
            }
        }
    }

    /// Returns the first instant after the bucket that begins at `start`.
    pub fn next(self, start: Timestamp, zone: &TimeZone, week_start: Weekday) -> Timestamp {
        match self {
            Self::All => Timestamp::MAX,
            Self::Hour => hour_end(start, zone),
            _ => {
                let mut date = self.first_date(zone.to_datetime(start).date(), week_start);
                loop {
                    let following = self.next_date(date);
                    let next = first_instant(following, zone);
                    if next > start {
                        return next;
                    }
                    if following <= date {
                        return Timestamp::MAX;
                    }
                    date = following;
                }
            }
        }
    }

    /// The first date of the bucket that `date` is in.
    fn first_date(self, date: Date, week_start: Weekday) -> Date {
        let month = match self {
            Self::Hour | Self::Day | Self::All => return date,
            Self::Week => {
                let days = i32::from(date.weekday().since(week_start));
                return date.checked_sub(days.days()).unwrap_or(Date::MIN);
            }
            Self::Month => date.month(),
            Self::Quarter => (date.month() - 1) / 3 * 3 + 1,
            Self::Year => 1,
        };
        Date::new(date.year(), month, 1).unwrap_or(date)
    }

    /// The first date of the following bucket.
    fn next_date(self, first: Date) -> Date {
        let step = match self {
            Self::Hour | Self::Day | Self::All => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Quarter => 3.months(),
            Self::Year => 1.year(),
        };
        first.checked_add(step).unwrap_or(Date::MAX)
    }
}

/// The first instant that has `date` or a later one on the zone's clock.
fn first_instant(date: Date, zone: &TimeZone) -> Timestamp {
    let midnight = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    if let AmbiguousOffset::Gap { .. } = midnight.offset() {
        // The clocks skip midnight: the day begins where they jump.
        let after = midnight.later().unwrap_or(Timestamp::MAX);
        let jump = zone
            .preceding(after.checked_add(1.nanosecond()).unwrap_or(after))
            .next();
        return jump.map_or(after, |jump| jump.timestamp());
    }
    midnight.compatible().unwrap_or(if date.year() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

const HOUR: i64 = 3600;

/// The start of the clock hour of `at`, by the offset in force at `at`.
fn hour_start(at: Timestamp, zone: &TimeZone) -> Timestamp {
    let offset = i64::from(zone.to_offset(at).seconds());
    let local = floor_seconds(at) + offset;
    let start = from_second(local - local.rem_euclid(HOUR) - offset);
    // A change by part of an hour (Lord Howe) shifts the hours: one is cut short where it happens.
    let before = i64::from(zone.to_offset(start).seconds());
    if (offset - before) % HOUR == 0 {
        return start;
    }
    let after = at.checked_add(1.nanosecond()).unwrap_or(at);
    zone.preceding(after)
        .next()
        .map_or(start, |change| change.timestamp().max(start))
}

/// The end of the clock hour that begins at `start`.
fn hour_end(start: Timestamp, zone: &TimeZone) -> Timestamp {
    let offset = i64::from(zone.to_offset(start).seconds());
    let local = floor_seconds(start) + offset;
    let end = from_second(local - local.rem_euclid(HOUR) + HOUR - offset);
    let last = end.checked_sub(1.nanosecond()).unwrap_or(end);
    if (i64::from(zone.to_offset(last).seconds()) - offset) % HOUR == 0 {
        return end;
    }
    zone.following(start)
        .next()
        .map_or(end, |change| change.timestamp().min(end))
}

fn floor_seconds(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

fn from_second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(if second < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bucket(granularity: Granularity, zone: &str, at: &str, start: &str, next: &str) {
        let zone = crate::zone::find(zone).unwrap();
        let found = granularity.start_of(at.parse().unwrap(), &zone, Weekday::Monday);
        assert_eq!(found, start.parse().unwrap(), "start of {at}");
        assert_eq!(
            granularity.next(found, &zone, Weekday::Monday),
            next.parse().unwrap(),
            "end of {at}"
        );
    }

    #[test]
    fn days_follow_the_clocks() {
        use Granularity::Day;
        // 23 and 25 hours.
        bucket(
            Day,
            "America/New_York",
            "2026-03-08T12:00:00Z",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        );
        bucket(
            Day,
            "America/New_York",
            "2026-11-01T12:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
        // Midnight is skipped (São Paulo 2018) or comes twice (Havana 2025).
        bucket(
            Day,
            "America/Sao_Paulo",
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        );
        bucket(
            Day,
            "America/Havana",
            "2025-11-02T12:00:00Z",
            "2025-11-02T04:00:00Z",
            "2025-11-03T05:00:00Z",
        );
        // Midnight falls into a jump that began before it (Toronto 1919).
        bucket(
            Day,
            "America/Toronto",
            "1919-03-31T12:00:00Z",
            "1919-03-31T04:30:00Z",
            "1919-04-01T04:00:00Z",
        );
        // A date that never was (Samoa).
        bucket(
            Day,
            "Pacific/Apia",
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
        // Clocks that go back over midnight show the old date again: the new day has begun all the same.
        bucket(
            Day,
            "America/St_Johns",
            "2010-11-07T03:00:00Z",
            "2010-11-07T02:30:00Z",
            "2010-11-08T03:30:00Z",
        );
    }

    #[test]
    fn hours_are_elapsed_hours_on_the_zone_s_clock() {
        use Granularity::Hour;
        bucket(
            Hour,
            "Asia/Kolkata",
            "2026-01-01T00:10:00Z",
            "2025-12-31T23:30:00Z",
            "2026-01-01T00:30:00Z",
        );
        bucket(
            Hour,
            "Asia/Kathmandu",
            "2026-01-01T00:10:00Z",
            "2025-12-31T23:15:00Z",
            "2026-01-01T00:15:00Z",
        );
        // The repeated hour is two buckets, the skipped one none.
        bucket(
            Hour,
            "America/New_York",
            "2026-11-01T05:30:00Z",
            "2026-11-01T05:00:00Z",
            "2026-11-01T06:00:00Z",
        );
        bucket(
            Hour,
            "America/New_York",
            "2026-11-01T06:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T07:00:00Z",
        );
        // Half an hour of summer time cuts one hour short.
        bucket(
            Hour,
            "Australia/Lord_Howe",
            "2026-10-03T15:15:00Z",
            "2026-10-03T14:30:00Z",
            "2026-10-03T15:30:00Z",
        );
        bucket(
            Hour,
            "Australia/Lord_Howe",
            "2026-10-03T15:45:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-03T16:00:00Z",
        );
        bucket(
            Hour,
            "UTC",
            "1969-12-31T23:59:59.5Z",
            "1969-12-31T23:00:00Z",
            "1970-01-01T00:00:00Z",
        );
    }

    #[test]
    fn longer_buckets_follow_the_calendar() {
        let at = "2024-02-29T12:00:00Z";
        bucket(
            Granularity::Week,
            "UTC",
            at,
            "2024-02-26T00:00:00Z",
            "2024-03-04T00:00:00Z",
        );
        bucket(
            Granularity::Month,
            "UTC",
            at,
            "2024-02-01T00:00:00Z",
            "2024-03-01T00:00:00Z",
        );
        bucket(
            Granularity::Quarter,
            "UTC",
            at,
            "2024-01-01T00:00:00Z",
            "2024-04-01T00:00:00Z",
        );
        bucket(
            Granularity::Year,
            "UTC",
            at,
            "2024-01-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
        );
        let sunday =
            Granularity::Week.start_of(at.parse().unwrap(), &TimeZone::UTC, Weekday::Sunday);
        assert_eq!(sunday, "2024-02-25T00:00:00Z".parse().unwrap());
        assert_eq!(
            Granularity::All.start_of(sunday, &TimeZone::UTC, Weekday::Sunday),
            Timestamp::MIN
        );
    }
}
