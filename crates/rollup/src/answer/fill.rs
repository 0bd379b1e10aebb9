//! What stands in steps without rows.

use definition::{Granularity, Interval};
use jiff::Timestamp;

use super::{AnswerPoint, SeriesInput};
use crate::bucket::buckets;
use crate::coverage::is_covered;
use crate::decimal::Decimal;
use crate::query::{Fill, Query, Running};
use crate::series::Rules;

/// A step that has begun, and whether nothing or too little is known of it.
pub(crate) type Slot = (Timestamp, bool);

/// Returns the steps of a range, with whether nothing or too little is known of each. Steps that begin after
/// the last sync are in the future and left out.
pub(crate) fn slots(
    input: &SeriesInput,
    rules: &Rules,
    query: &Query,
    range: Interval,
) -> Vec<Slot> {
    let newest = input
        .coverage
        .iter()
        .map(|one| one.as_of.max(one.end))
        .max()
        .unwrap_or(Timestamp::MAX);
    let known = |part: Interval| {
        let upto = Interval::new(part.start, part.end.min(newest));
        is_covered(&input.coverage, upto)
            && input
                .coverage
                .iter()
                .all(|one| one.complete || one.end <= part.start || part.end <= one.start)
    };
    if query.granularity == Granularity::All {
        return vec![(range.start, !known(range))];
    }
    buckets(
        range,
        query.granularity,
        query.zone(rules),
        rules.week_start,
    )
    .take_while(|bucket| bucket.start < newest)
    .map(|bucket| {
        (
            bucket.start,
            !known(Interval::new(
                bucket.start.max(range.start),
                bucket.end.min(range.end),
            )),
        )
    })
    .collect()
}

/// Puts what the question asks for into the slots that have no point. What runs on from step to step runs
/// on through empty ones too, so that a cumulative series does not fall to zero.
pub(crate) fn filled(points: Vec<AnswerPoint>, slots: &[Slot], query: &Query) -> Vec<AnswerPoint> {
    if query.fill == Fill::None {
        return points;
    }
    let carries = query.fill == Fill::Previous || query.running == Some(Running::Cumulative);
    let mut result = Vec::with_capacity(slots.len().max(points.len()));
    let mut known = points.into_iter().peekable();
    let mut previous: Option<AnswerPoint> = None;
    for (start, unknown) in slots {
        while let Some(point) = known.next_if(|point| point.start <= *start) {
            previous = Some(point);
            result.push(point);
        }
        if result
            .last()
            .is_some_and(|point: &AnswerPoint| point.start == *start)
        {
            continue;
        }
        let (value, partial, outdated) = match previous {
            Some(before) if carries => (before.value, before.partial, before.outdated),
            _ if query.fill == Fill::Zero => (Some(Decimal::ZERO), *unknown, false),
            _ => continue,
        };
        result.push(AnswerPoint {
            start: *start,
            value,
            count: 0,
            partial,
            outdated,
        });
    }
    result.extend(known);
    result
}
