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
/// Without `last_success`, or without a lookback, it reaches back `last` from `now`. Otherwise it
/// starts the lookback before `last_success`, the end of the last window that was fetched. That
/// end lies at the end of a bucket, which may have been open when it was fetched: its last bucket
/// is always asked for again. All edges are bucket starts of `coarsest`, so the newest window ends
/// with the bucket that is open now.
pub fn plan(
    window: &Window,
    last_success: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
    coarsest: Granularity,
    week_start: Weekday,
) -> Vec<Interval> {
    let from = match (last_success, window.lookback) {
        (Some(end), Some(lookback)) => {
            let last_instant = end.checked_sub(1.nanosecond()).unwrap_or(end).min(now);
            lookback
                .before(&last_instant.to_zoned(zone.clone()))
                .timestamp()
        }
        _ => window.last.before(&now.to_zoned(zone.clone())).timestamp(),
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
