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
