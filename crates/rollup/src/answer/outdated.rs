//! Which points an earlier revision of the metric had a part in.

use std::collections::BTreeSet;

use definition::Interval;

use super::{AnswerPoint, SeriesInput, Steps};
use crate::bucket::{instant, millis};
use crate::series::Rules;

/// What was made with an earlier revision, sorted and apart.
pub(super) struct Outdated(Vec<Interval>);

impl Outdated {
    /// Finds it: what such a revision covers, empty buckets too; of samples the samples themselves, since what lies
    /// between two of them says nothing.
    pub(super) fn of(input: &SeriesInput, rules: &Rules) -> Self {
        if input.outdated.is_empty() || !rules.accumulates() {
            return Self(input.outdated.clone());
        }
        let cells = input.series.iter().flat_map(|(_, cells)| cells);
        let mut instants: BTreeSet<i64> = cells.map(|cell| cell.0).collect();
        instants.extend(&input.syncs);
        let of_old = |at: &i64| {
            let (at, next) = (instant(*at), instant(*at + 1));
            touches(&input.outdated, Interval::new(at, next))
        };
        let samples = instants.into_iter().filter(of_old);
        Self(
            samples
                .map(|at| Interval::new(instant(at), instant(at + 1)))
                .collect(),
        )
    }

    /// Marks the points that any of it is in; what runs on from the start of the range keeps the mark.
    pub(super) fn mark(&self, points: &mut [AnswerPoint], steps: &mut Steps<'_>, runs_on: bool) {
        if self.0.is_empty() {
            return;
        }
        let range = steps.range();
        for point in points {
            let bucket = steps.whole_bucket(millis(point.start));
            let start = if runs_on { range.start } else { bucket.start };
            let part = Interval::new(start.max(range.start), bucket.end.min(range.end));
            point.outdated |= touches(&self.0, part);
        }
    }
}

fn touches(ranges: &[Interval], part: Interval) -> bool {
    let place = ranges.partition_point(|range| range.end <= part.start);
    ranges
        .get(place)
        .is_some_and(|range| range.start < part.end)
}
