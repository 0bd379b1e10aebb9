//! Points from stored states: split, filtered, joined, filled, totalled.

use std::collections::BTreeMap;

use definition::{Granularity, Interval, MetricType};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::accumulator::{State, Tally};
use crate::bucket::{Finder, buckets, instant, millis};
use crate::compare::{self, Comparison};
use crate::coverage::{Coverage, is_covered};
use crate::decimal::Decimal;
use crate::levels;
use crate::query::{Fill, Query, QueryError};
use crate::row::Dimensions;
use crate::series::{Rules, SeriesKey};

/// What is stored, decoded: everything that starts in [`Query::reads`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesInput {
    /// The cells of each series: start in unix milliseconds, state, and whether it is partial; sorted by
    /// start.
    pub series: Vec<(SeriesKey, Vec<StoredCell>)>,
    /// The metric's coverage.
    pub coverage: Vec<Coverage>,
    /// Levels: the instants of all syncs in unix milliseconds, those without rows too. Instants of cells
    /// are added by themselves.
    pub syncs: Vec<i64>,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The first instant answered for.
    pub from: Timestamp,
    /// The first instant after.
    pub to: Timestamp,
    /// The step between points.
    pub granularity: Granularity,
    /// The zone whose calendar the points follow.
    pub zone: TimeZone,
    /// The series, sorted by dimensions and unit.
    pub series: Vec<AnswerSeries>,
    /// How this compares with another range, when asked for.
    pub comparison: Option<Comparison>,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSeries {
    /// The dimensions split by.
    pub dimensions: Dimensions,
    /// The unit of all values.
    pub unit: Option<Box<str>>,
    /// The points, oldest first.
    pub points: Vec<AnswerPoint>,
    /// The value of the whole range, from states and not from points.
    pub total: Option<Decimal>,
}

/// One bucket of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerPoint {
    /// The first instant of the bucket.
    pub start: Timestamp,
    /// Its value.
    pub value: Option<Decimal>,
    /// How many rows the value was made from.
    pub count: u64,
    /// Whether a run that did not see everything brought part of it. A bucket that is still open is not
    /// partial for that.
    pub partial: bool,
}

/// A cell of a stored series: its start in unix milliseconds, its state, whether it is partial.
pub type StoredCell = (i64, State, bool);

/// A stored cell, borrowed.
pub(crate) type Cell<'a> = (i64, &'a State, bool);

/// Answers `query` from what is stored.
///
/// # Errors
/// Questions that have no right answer; the error says why. See the README for what each aggregation and
/// type means over longer ranges.
pub fn answer(input: &SeriesInput, rules: &Rules, query: &Query) -> Result<Answer, QueryError> {
    let range = query.effective(rules)?;
    let groups = group(input, query)?;
    let series = evaluate(input, &groups, rules, query, range)?;
    let comparison = match query.base(rules, range) {
        Some(base) => {
            let base = query.effective_of(rules, base)?;
            let before = evaluate(input, &groups, rules, query, base)?;
            Some(compare::compare(
                rules,
                query,
                (range, &series),
                (base, before),
            ))
        }
        None => None,
    };
    let series = series
        .into_iter()
        .filter(|series| !series.points.is_empty() || series.total.is_some())
        .collect();
    Ok(Answer {
        from: range.start,
        to: range.end,
        granularity: query.granularity,
        zone: query.zone(rules).clone(),
        series,
        comparison,
    })
}

/// The stored series of each series of the answer.
pub(crate) type Groups<'a> = BTreeMap<SeriesKey, Vec<&'a [StoredCell]>>;

fn group<'a>(input: &'a SeriesInput, query: &Query) -> Result<Groups<'a>, QueryError> {
    let asked = query
        .group_by
        .iter()
        .chain(query.filters.iter().map(|(name, _)| name));
    for name in asked {
        if !input.series.is_empty()
            && input
                .series
                .iter()
                .all(|(key, _)| key.dimensions.get(name).is_none())
        {
            return Err(QueryError::UnknownDimension { name: name.clone() });
        }
    }
    let mut groups = Groups::new();
    for (key, cells) in &input.series {
        let wanted = query.filters.iter().all(|(name, texts)| {
            key.dimensions
                .get(name)
                .is_some_and(|text| texts.iter().any(|wanted| wanted == text))
        });
        if wanted {
            let kept = query
                .group_by
                .iter()
                .filter_map(|name| Some((name, key.dimensions.get(name)?)));
            let group = SeriesKey {
                dimensions: Dimensions::of(kept),
                unit: key.unit.clone(),
            };
            groups.entry(group).or_default().push(cells);
        }
    }
    Ok(groups)
}

/// Returns every group's points and total in one range, empty ones included.
fn evaluate(
    input: &SeriesInput,
    groups: &Groups<'_>,
    rules: &Rules,
    query: &Query,
    range: Interval,
) -> Result<Vec<AnswerSeries>, QueryError> {
    let mut steps = Steps::new(rules, query, range);
    let instants = levels::instants(input, rules, range);
    let slots = match query.fill {
        Fill::None => Vec::new(),
        Fill::Zero | Fill::Previous => fillable(input, rules, query, range),
    };
    let mut series = Vec::with_capacity(groups.len());
    for (key, parts) in groups {
        let (mut points, total) = match rules.metric_type {
            MetricType::Events => events(&cells_in(parts, range), rules, &mut steps),
            MetricType::Levels | MetricType::Periods => {
                levels::points(&cells_in(parts, range), &instants, rules, &mut steps)?
            }
            MetricType::RunningTotal => levels::increases(parts, range, rules, &mut steps),
        };
        mark_incomplete(&mut points, input, &mut steps);
        if !points.is_empty() || query.group_by.is_empty() {
            points = filled(points, &slots, query.fill);
        }
        series.push(AnswerSeries {
            dimensions: key.dimensions.clone(),
            unit: key.unit.clone(),
            points,
            total,
        });
    }
    Ok(series)
}

/// Returns the cells of all parts that start in `range`, sorted by start.
fn cells_in<'a>(parts: &[&'a [StoredCell]], range: Interval) -> Vec<Cell<'a>> {
    let mut cells: Vec<Cell<'a>> = Vec::new();
    for part in parts {
        cells.extend(
            within(part, range)
                .iter()
                .map(|(start, state, partial)| (*start, state, *partial)),
        );
    }
    if parts.len() > 1 {
        // Stable: finds the sorted runs and merges them.
        cells.sort_by_key(|cell| cell.0);
    }
    cells
}

pub(crate) fn within(cells: &[StoredCell], range: Interval) -> &[StoredCell] {
    let (from, to) = (millis(range.start), millis(range.end));
    let first = cells.partition_point(|cell| cell.0 < from);
    let end = cells.partition_point(|cell| cell.0 < to);
    cells.get(first..end).unwrap_or(&[])
}

fn events(
    cells: &[Cell<'_>],
    rules: &Rules,
    steps: &mut Steps<'_>,
) -> (Vec<AnswerPoint>, Option<Decimal>) {
    let mut points = Vec::new();
    let mut total = Tally::new(rules.aggregation);
    let mut rest = cells;
    while let Some((start, _, _)) = rest.first() {
        let bucket = steps.bucket(*start);
        let size = rest
            .iter()
            .position(|cell| cell.0 >= bucket.1)
            .unwrap_or(rest.len())
            .max(1);
        let (inside, after) = rest.split_at(size);
        rest = after;
        let mut tally = Tally::new(rules.aggregation);
        for (_, state, _) in inside {
            tally.add(state);
            total.add(state);
        }
        points.push(AnswerPoint {
            start: instant(bucket.0),
            value: tally.finish(),
            count: tally.count(),
            partial: inside.iter().any(|cell| cell.2),
        });
    }
    (points, total.finish())
}

/// Finds the step of the answer that a cell is in, in unix milliseconds.
pub(crate) struct Steps<'a> {
    finder: Finder<'a>,
    range: (i64, i64),
    /// Cells are steps: nothing needs to be found.
    same: bool,
    whole: bool,
}

impl<'a> Steps<'a> {
    fn new(rules: &'a Rules, query: &'a Query, range: Interval) -> Self {
        Self {
            finder: Finder::new(query.granularity, query.zone(rules), rules.week_start),
            range: (millis(range.start), millis(range.end)),
            same: !rules.samples()
                && query.granularity == rules.resolution
                && query.is_zone_of(rules),
            whole: query.granularity == Granularity::All,
        }
    }

    /// Returns the start and end of the step that contains `start`.
    pub(crate) fn bucket(&mut self, start: i64) -> (i64, i64) {
        if self.whole {
            return self.range;
        }
        if self.same {
            return (start, start + 1);
        }
        let bucket = self.finder.bucket(instant(start));
        (millis(bucket.start), millis(bucket.end))
    }

    /// Returns the same with the real end, where cells are steps.
    fn whole_bucket(&mut self, start: i64) -> Interval {
        if self.whole {
            return Interval::new(instant(self.range.0), instant(self.range.1));
        }
        self.finder.bucket(instant(start))
    }

    /// Whether every cell is one step.
    pub(crate) const fn are_cells(&self) -> bool {
        self.same
    }
}

/// Marks points over ranges that only a truncated run covers.
fn mark_incomplete(points: &mut [AnswerPoint], input: &SeriesInput, steps: &mut Steps<'_>) {
    let incomplete: Vec<Interval> = input
        .coverage
        .iter()
        .filter(|one| !one.complete)
        .map(Coverage::interval)
        .collect();
    if incomplete.is_empty() {
        return;
    }
    for point in points.iter_mut().filter(|point| !point.partial) {
        let bucket = steps.whole_bucket(millis(point.start));
        point.partial = incomplete
            .iter()
            .any(|part| part.start < bucket.end && bucket.start < part.end);
    }
}

/// The steps to fill, with whether nothing or too little is known of each. Steps that begin after the last
/// slot are in the future and stay empty.
fn fillable(
    input: &SeriesInput,
    rules: &Rules,
    query: &Query,
    range: Interval,
) -> Vec<(Timestamp, bool)> {
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

fn filled(points: Vec<AnswerPoint>, slots: &[(Timestamp, bool)], fill: Fill) -> Vec<AnswerPoint> {
    if fill == Fill::None {
        return points;
    }
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
        match (fill, previous) {
            (Fill::Zero, _) => {
                result.push(AnswerPoint {
                    start: *start,
                    value: Some(Decimal::ZERO),
                    count: 0,
                    partial: *unknown,
                });
            }
            (Fill::Previous, Some(before)) => {
                result.push(AnswerPoint {
                    start: *start,
                    value: before.value,
                    count: 0,
                    partial: before.partial,
                });
            }
            (Fill::Previous | Fill::None, _) => {}
        }
    }
    result.extend(known);
    result
}

#[cfg(test)]
mod tests;
