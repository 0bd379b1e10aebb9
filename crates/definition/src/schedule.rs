use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, JobType};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use crate::span::{Span, SpanUnit};

/// When a dataset is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// `{ every: 1h }`, from 60 s to 31 d; datasets are spread over the period.
    Every(Span),
    /// `{ cron: "0 3 * * *" }`, five fields, in the metric's zone.
    Cron(String),
}

impl Default for Schedule {
    /// Every hour.
    fn default() -> Self {
        Self::Every(Span::new(1, SpanUnit::Hour))
    }
}

/// Says why a cron is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
    /// There is no such date, as in 30 February.
    #[error("never fires")]
    Never,
}

impl Schedule {
    /// Tells whether `span` may stand between two syncs: 60 s to 31 d, in units of fixed length.
    pub fn is_interval(span: Span) -> bool {
        let seconds = span.to_duration().as_secs();
        (60..=31 * 86_400).contains(&seconds)
            && !matches!(span.unit, SpanUnit::Month | SpanUnit::Year)
    }

    /// Checks that a cron can be read and that it fires some day.
    pub fn check_cron(pattern: &str) -> Result<(), CronError> {
        let cron = read(pattern)?;
        // The calendar repeats within 28 years (40 across 2100); a leap day on a weekday is the rarest.
        let from = jiff::civil::date(2024, 1, 1).at(0, 0, 0, 0);
        cron.find_next_occurrence(&from, true)
            .map(|_| ())
            .map_err(|_| CronError::Never)
    }

    /// Returns the spread of a dataset's slots, from its id, so that it never changes.
    pub fn spread_seed(dataset: &str) -> u64 {
        // FNV-1a: short ids, an even spread, the same on every machine and in every version.
        dataset.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Returns the first instant after `after` at which it is due; `None` when there is none.
    ///
    /// `every` counts from 1970 and is shifted by `spread_seed` modulo the period, so that datasets
    /// do not all start at once. A cron at a fixed time of day fires once a day also when the
    /// clocks change: a skipped time is shifted by the jump (02:30 becomes 03:30), a repeated one
    /// counts the first time. A cron with an hour of `*` or `*/n` follows elapsed time.
    pub fn next_after(
        &self,
        after: Timestamp,
        zone: &TimeZone,
        spread_seed: u64,
    ) -> Option<Timestamp> {
        match self {
            Self::Every(span) => next_interval(*span, after, spread_seed),
            Self::Cron(pattern) => next_cron(&read(pattern).ok()?, after, zone),
        }
    }
}

fn next_interval(span: Span, after: Timestamp, spread_seed: u64) -> Option<Timestamp> {
    let period = i64::try_from(span.to_duration().as_secs().max(1)).ok()?;
    let phase = i64::try_from(spread_seed % period.unsigned_abs()).ok()?;
    // `as_second` cuts towards zero; before 1970 that is the second after.
    let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
    let slot = (second - phase).div_euclid(period) + 1;
    Timestamp::from_second(slot.checked_mul(period)?.checked_add(phase)?).ok()
}

fn read(pattern: &str) -> Result<Cron, CronError> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser
        .parse(pattern)
        .map_err(|error| CronError::Syntax(error.to_string()))
}

fn next_cron(cron: &Cron, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if cron.determine_job_type() == JobType::IntervalWildcard {
        let next = cron
            .find_next_occurrence(&after.to_zoned(zone.clone()), false)
            .ok()?;
        return Some(next.timestamp());
    }
    // On the clock of the wall, from before the longest jump there has been (a day, Samoa 2011).
    let mut civil = zone.to_datetime(after).checked_sub(25.hours()).ok()?;
    // Far more than a fixed time can fire in that: every minute of 25 hours, and one.
    for _ in 0..=25 * 60 + 1 {
        civil = cron.find_next_occurrence(&civil, false).ok()?;
        // Compatible: a skipped time is shifted by the jump, a repeated one is the first.
        let instant = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        if instant > after {
            return Some(instant);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        crate::zone::find(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn times(cron: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
        let zone = zone(zone_name);
        let schedule = Schedule::Cron(cron.to_owned());
        let mut at = at(after);
        (0..count)
            .map(|_| {
                at = schedule.next_after(at, &zone, 0).unwrap();
                at.to_zoned(zone.clone())
                    .strftime("%m-%d %H:%M %z")
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn every_is_spread_and_steady() {
        let every = Schedule::Every(Span::parse("1h").unwrap());
        let first = every
            .next_after(at("2026-01-01T00:00:00Z"), &TimeZone::UTC, 90)
            .unwrap();
        assert_eq!(first, at("2026-01-01T00:01:30Z"));
        assert_eq!(
            every.next_after(first, &TimeZone::UTC, 90).unwrap(),
            at("2026-01-01T01:01:30Z")
        );
        assert_eq!(
            every.next_after(first, &TimeZone::UTC, 90 + 3600).unwrap(),
            at("2026-01-01T01:01:30Z")
        );
        let fraction = at("2026-01-01T00:59:59.5Z");
        assert_eq!(
            every.next_after(fraction, &TimeZone::UTC, 0).unwrap(),
            at("2026-01-01T01:00:00Z")
        );
    }

    #[test]
    fn a_skipped_time_fires_once_shifted() {
        let times = times("30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", 3);
        assert_eq!(
            times,
            [
                "03-07 02:30 -0500",
                "03-08 03:30 -0400",
                "03-09 02:30 -0400"
            ]
        );
    }

    #[test]
    fn a_repeated_time_fires_once() {
        let times = times("30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3);
        assert_eq!(
            times,
            [
                "10-31 01:30 -0400",
                "11-01 01:30 -0400",
                "11-02 01:30 -0500"
            ]
        );
    }

    #[test]
    fn a_wildcard_hour_fires_in_both_repeated_hours() {
        let times = times("0 * * * *", "America/New_York", "2026-11-01T04:30:00Z", 4);
        assert_eq!(
            times,
            [
                "11-01 01:00 -0400",
                "11-01 01:00 -0500",
                "11-01 02:00 -0500",
                "11-01 03:00 -0500"
            ]
        );
        let times = self::times(
            "*/30 * * * *",
            "America/New_York",
            "2026-03-08T06:20:00Z",
            3,
        );
        assert_eq!(
            times,
            [
                "03-08 01:30 -0500",
                "03-08 03:00 -0400",
                "03-08 03:30 -0400"
            ]
        );
    }

    #[test]
    fn two_times_that_fall_together_fire_once() {
        let times = times(
            "30 2,3 * * *",
            "America/New_York",
            "2026-03-08T05:00:00Z",
            2,
        );
        assert_eq!(times, ["03-08 03:30 -0400", "03-09 02:30 -0400"]);
    }

    #[test]
    fn a_day_that_does_not_exist_does_not_stop_the_clock() {
        let times = times("0 3 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 2);
        assert_eq!(times.len(), 2);
    }

    #[test]
    fn crons_are_checked() {
        for good in [
            "0 3 * * *",
            "*/15 * * * *",
            "0 0 29 2 *",
            "0 9 * * MON-FRI",
            "0 0 L * *",
            "0 0 29 2 MON",
        ] {
            assert_eq!(Schedule::check_cron(good), Ok(()), "{good}");
        }
        assert_eq!(Schedule::check_cron("0 0 30 2 *"), Err(CronError::Never));
        assert_eq!(
            Schedule::check_cron("0 0 31 4,6,9,11 *"),
            Err(CronError::Never)
        );
        for bad in [
            "",
            "* * * *",
            "61 * * * *",
            "0 0 3 * * *",
            "every day",
            "0 25 * * *",
            "\u{661} * * * *",
        ] {
            assert!(
                matches!(Schedule::check_cron(bad), Err(CronError::Syntax(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_interval_has_limits() {
        for (text, allowed) in [
            ("60s", true),
            ("59s", false),
            ("31d", true),
            ("32d", false),
            ("1mo", false),
            ("4w", true),
        ] {
            assert_eq!(
                Schedule::is_interval(Span::parse(text).unwrap()),
                allowed,
                "{text}"
            );
        }
    }
}
