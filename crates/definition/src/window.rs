use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::granularity::Granularity;
use crate::span::Span;

/// A half-open range of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant after.
    pub end: Timestamp,
}

impl Interval {
    /// Makes the range from `start` to `end`.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// Tells whether `at` is inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Returns the range widened to whole buckets.
    #[must_use]
    pub fn snap_outward(
        self,
        granularity: Granularity,
        zone: &TimeZone,
        week_start: Weekday,
    ) -> Self {
        let start = granularity.start_of(self.start, zone, week_start);
        let floor = granularity.start_of(self.end, zone, week_start);
        let end = if floor == self.end && self.end > self.start {
            self.end
        } else {
            granularity.next(floor, zone, week_start)
        };
        Self { start, end }
    }
}

/// The dates a request asks for: `{ last: 90d, step: 30d, lookback: 2d }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// How far back to ask.
    pub last: Span,
    /// How much to ask for at a time; absent: all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Span>,
    /// After a success, how far before it to ask again; absent: `last` every time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback: Option<Span>,
}

/// The most windows one plan holds; the oldest are left out beyond that.
pub const MAX_WINDOWS: usize = 10_000;

/// Returns the windows that one slot asks for, newest first; one is one run.
///
/// Without a lookback it reaches back `last` from `now`. With one it starts the lookback before the first
/// instant that is missing from any of `metrics`, of which each is the windows that one metric has whole, in
/// order and apart. Where the beginning of a metric is missing, all of `last` is asked for; what ended before
/// it, with nothing after it, counts: a sync goes on where a long outage began. Where no metric reads the
/// dataset, `fetched_until`, the end of the last window that was fetched, counts instead.
///
/// Such an end lies at the end of a bucket, which may have been open when it was fetched: its last bucket
/// is always asked for again. All edges are bucket starts of `coarsest`, so the newest window ends
/// with the bucket that is open now.
pub fn plan(
    window: &Window,
    metrics: &[Vec<Interval>],
    fetched_until: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
    coarsest: Granularity,
    week_start: Weekday,
) -> Vec<Interval> {
    let first = window.last.before(&now.to_zoned(zone.clone())).timestamp();
    let first_bucket = coarsest.start_of(first, zone, week_start);
    let of_metrics = metrics.iter().map(|whole| unbroken(whole, first_bucket));
    let whole_until = of_metrics.min().unwrap_or(fetched_until);
    let from = match (whole_until, window.lookback) {
        (Some(end), Some(lookback)) => {
            let last_instant = end.checked_sub(1.nanosecond()).unwrap_or(end).min(now);
            lookback
                .before(&last_instant.to_zoned(zone.clone()))
                .timestamp()
        }
        _ => first,
    };
    backfill(
        Interval::new(from, now),
        window.step,
        zone,
        coarsest,
        week_start,
    )
}

/// Returns the windows that fetch `range` again in steps, newest first, snapped outward to bucket
/// starts of `coarsest`. They touch and do not overlap. An empty range has none.
pub fn backfill(
    range: Interval,
    step: Option<Span>,
    zone: &TimeZone,
    coarsest: Granularity,
    week_start: Weekday,
) -> Vec<Interval> {
    if range.end < range.start {
        return Vec::new();
    }
    let whole = range.snap_outward(coarsest, zone, week_start);
    let Some(step) = step else { return vec![whole] };
    let mut windows = Vec::new();
    let mut end = whole.end;
    while end > whole.start && windows.len() < MAX_WINDOWS {
        let back = step.before(&end.to_zoned(zone.clone())).timestamp();
        let start = coarsest.start_of(back, zone, week_start).max(whole.start);
        windows.push(Interval::new(start, end));
        end = start;
    }
    windows
}

/// The end of what is whole from `first` on.
fn unbroken(whole: &[Interval], first: Timestamp) -> Option<Timestamp> {
    let (before, after) = whole.split_at(whole.partition_point(|one| one.end <= first));
    let mut until = first;
    for one in after {
        if one.start > until {
            break;
        }
        until = one.end;
    }
    if until > first {
        return Some(until);
    }
    before
        .last()
        .map(|one| one.end)
        .filter(|_| after.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn planned(
        last: &str,
        step: Option<&str>,
        lookback: Option<&str>,
        success: Option<&str>,
        coarsest: Granularity,
    ) -> Vec<String> {
        let span = |text| Span::parse(text).unwrap();
        let window = Window {
            last: span(last),
            step: step.map(span),
            lookback: lookback.map(span),
        };
        plan(
            &window,
            &[],
            success.map(at),
            at("2026-03-31T10:20:00Z"),
            &TimeZone::UTC,
            coarsest,
            Weekday::Monday,
        )
        .iter()
        .map(|interval| {
            format!(
                "{}..{}",
                interval.start.strftime("%m-%d %H"),
                interval.end.strftime("%m-%d %H")
            )
        })
        .collect()
    }

    #[test]
    fn a_hole_in_what_was_fetched_is_where_the_next_sync_begins() {
        let whole = |days: &[(&str, &str)]| {
            let day = |text: &str| at(&format!("2026-03-{text}T00:00:00Z"));
            let whole: Vec<_> = days
                .iter()
                .map(|(start, end)| Interval::new(day(start), day(end)))
                .collect();
            unbroken(&whole, day("20")).map(|until| until.strftime("%d").to_string())
        };
        assert_eq!(whole(&[]), None);
        assert_eq!(whole(&[("20", "31")]).as_deref(), Some("31"));
        assert_eq!(whole(&[("18", "31")]).as_deref(), Some("31"));
        assert_eq!(whole(&[("21", "31")]), None, "its beginning is missing");
        assert_eq!(whole(&[("20", "23"), ("26", "31")]).as_deref(), Some("23"));
        assert_eq!(whole(&[("01", "05"), ("10", "12")]).as_deref(), Some("12"));
        assert_eq!(whole(&[("01", "05"), ("26", "31")]), None);
        assert_eq!(whole(&[("01", "20"), ("26", "31")]), None);
    }

    #[test]
    fn the_first_sync_asks_for_all_of_it_newest_first() {
        assert_eq!(
            planned("3d", None, Some("1d"), None, Granularity::Day),
            ["03-28 00..04-01 00"]
        );
        assert_eq!(
            planned("70d", Some("30d"), None, None, Granularity::Day),
            [
                "03-02 00..04-01 00",
                "01-31 00..03-02 00",
                "01-20 00..01-31 00"
            ]
        );
        assert_eq!(
            planned("1mo", Some("1w"), None, None, Granularity::Month),
            ["03-01 00..04-01 00", "02-01 00..03-01 00"]
        );
    }

    #[test]
    fn later_syncs_look_back_from_the_last_success() {
        let day = Granularity::Day;
        assert_eq!(
            planned("90d", None, None, Some("2026-03-31T00:00:00Z"), day),
            ["12-31 00..04-01 00"]
        );
        assert_eq!(
            planned("90d", None, Some("2d"), Some("2026-03-31T00:00:00Z"), day),
            ["03-28 00..04-01 00"]
        );
        // The last window ended with the bucket that was open then, which is asked for again.
        assert_eq!(
            planned("90d", None, Some("1s"), Some("2026-04-01T00:00:00Z"), day),
            ["03-31 00..04-01 00"]
        );
        assert_eq!(
            planned("90d", None, Some("1s"), Some("2026-03-31T00:00:00Z"), day),
            ["03-30 00..04-01 00"]
        );
        assert_eq!(
            planned(
                "90d",
                None,
                Some("1h"),
                Some("2026-03-31T10:00:00Z"),
                Granularity::Hour
            ),
            ["03-31 08..03-31 11"]
        );
    }

    #[test]
    fn a_backfill_is_snapped_outward() {
        let range = Interval::new(at("2026-01-10T05:00:00Z"), at("2026-01-20T00:00:00Z"));
        let found = backfill(
            range,
            None,
            &TimeZone::UTC,
            Granularity::Day,
            Weekday::Monday,
        );
        assert_eq!(
            found,
            [Interval::new(
                at("2026-01-10T00:00:00Z"),
                at("2026-01-20T00:00:00Z")
            )]
        );
        let empty = Interval::new(range.end, range.start);
        assert_eq!(
            backfill(
                empty,
                None,
                &TimeZone::UTC,
                Granularity::Day,
                Weekday::Monday
            ),
            []
        );
        let long = Interval::new(Timestamp::MIN, Timestamp::MAX);
        let step = Some(Span::new(1, crate::span::SpanUnit::Second));
        assert_eq!(
            backfill(
                long,
                step,
                &TimeZone::UTC,
                Granularity::Hour,
                Weekday::Monday
            )
            .len(),
            MAX_WINDOWS
        );
    }
}
