//! The points and the total of each group of stored series, in one range.

use std::collections::BTreeMap;

use definition::{Granularity, Interval, MetricType};

use super::fill::{self, Slot};
use super::outdated::Outdated;
use super::top::Kept;
use super::{AnswerPoint, AnswerSeries, Cell, SeriesInput, StoredCell, running};
use crate::accumulator::Tally;
use crate::bucket::{Finder, instant, millis};
use crate::coverage::Coverage;
use crate::decimal::Decimal;
use crate::levels;
use crate::query::{Fill, Query, QueryError, Running};
use crate::row::Dimensions;
use crate::series::{Rules, SeriesKey};

/// The stored series that one series of the answer is made of.
struct Group<'a> {
    key: SeriesKey,
    parts: Vec<&'a [StoredCell]>,
    /// These are all that are not shown by themselves.
    is_rest: bool,
}

/// Returns every group's points and total in one range, empty ones included. All members but those `kept`
/// are joined, where that is given.
pub(crate) fn evaluate(
    input: &SeriesInput,
    rules: &Rules,
    query: &Query,
    range: Interval,
    kept: Option<&Kept>,
) -> Result<Vec<AnswerSeries>, QueryError> {
    let groups = group(input, query, kept)?;
    let read = query.with_lead(rules, range)?;
    let mut frame = Frame::new(input, rules, query, read);
    let mut total = (read != range).then(|| Frame::new(input, rules, query, range));
    let moving = match query.running {
        Some(Running::MovingAverage(length)) => Some(length),
        Some(Running::Cumulative) | None => None,
    };
    let slots = if query.fill == Fill::None && moving.is_none() {
        Vec::new()
    } else {
        fill::slots(input, rules, query, read)
    };
    let outdated = Outdated::of(input, rules);
    let first = query.first_step(rules, range);
    let shown: Vec<Slot> = slots
        .iter()
        .copied()
        .filter(|slot| slot.0 >= first)
        .collect();
    let mut series = Vec::with_capacity(groups.len());
    for group in groups {
        let (mut points, mut whole) = frame.points(&group.parts)?;
        if let Some(total) = &mut total {
            whole = total.points(&group.parts)?.1;
        }
        mark_incomplete(&mut points, input, &mut frame.steps);
        outdated.mark(&mut points, &mut frame.steps, frame.is_cumulative);
        if let Some(length) = moving {
            let zero = rules.counts_nothing_as_zero();
            let steps = query.steps(rules, read);
            points = running::moving_average(&points, steps, &slots, length, zero);
            points.retain(|point| point.start >= first);
        }
        if query.fill != Fill::None && (!points.is_empty() || query.group_by.is_empty()) {
            points = fill::filled(points, &shown, query);
            outdated.mark(&mut points, &mut frame.steps, frame.is_cumulative);
        }
        series.push(AnswerSeries {
            dimensions: group.key.dimensions,
            unit: group.key.unit,
            points,
            total: whole,
            rest: group.is_rest.then_some(0),
        });
    }
    Ok(series)
}

/// Sorts the stored series into those of the answer.
fn group<'a>(
    input: &'a SeriesInput,
    query: &Query,
    kept: Option<&Kept>,
) -> Result<Vec<Group<'a>>, QueryError> {
    let filters = query.filters.iter().chain(&query.without);
    let asked = query.group_by.iter().chain(filters.map(|(name, _)| name));
    for name in asked {
        let mut of_rows = input
            .series
            .iter()
            .filter(|(key, cells)| !says_nothing_was_there(key, cells))
            .peekable();
        if of_rows.peek().is_some() && of_rows.all(|(key, _)| key.dimensions.get(name).is_none()) {
            return Err(QueryError::UnknownDimension { name: name.clone() });
        }
    }
    let is_split =
        !query.group_by.is_empty() || !query.filters.is_empty() || !query.without.is_empty();
    let mut groups: BTreeMap<(bool, SeriesKey), Vec<&'a [StoredCell]>> = BTreeMap::new();
    for (key, cells) in &input.series {
        // Where nothing was there, no member was.
        if is_split && says_nothing_was_there(key, cells) {
            continue;
        }
        let has = |(name, texts): &(String, Vec<String>)| {
            key.dimensions
                .get(name)
                .is_some_and(|text| texts.iter().any(|wanted| wanted == text))
        };
        if !query.filters.iter().all(has) || query.without.iter().any(has) {
            continue;
        }
        let split = query
            .group_by
            .iter()
            .filter_map(|name| Some((name, key.dimensions.get(name)?)));
        let mut dimensions = Dimensions::of(split);
        let is_rest = kept.is_some_and(|kept| !kept.contains(&dimensions));
        if is_rest {
            dimensions = Dimensions::NONE;
        }
        let unit = key.unit.clone();
        let group = (is_rest, SeriesKey { dimensions, unit });
        groups.entry(group).or_default().push(cells);
    }
    let groups = groups.into_iter().map(|((is_rest, key), parts)| Group {
        key,
        parts,
        is_rest,
    });
    Ok(groups.collect())
}

/// Whether a series only says of some syncs that they found nothing.
fn says_nothing_was_there(key: &SeriesKey, cells: &[StoredCell]) -> bool {
    key.dimensions == Dimensions::NONE && cells.iter().all(|(_, state, _)| state.count() == 0)
}

/// What all groups of one range share.
struct Frame<'a> {
    rules: &'a Rules,
    range: Interval,
    steps: Steps<'a>,
    instants: Vec<i64>,
    /// Whether each point holds all from the start of the range on.
    is_cumulative: bool,
}

impl<'a> Frame<'a> {
    fn new(input: &SeriesInput, rules: &'a Rules, query: &'a Query, range: Interval) -> Self {
        Self {
            rules,
            range,
            steps: Steps::new(rules, query, range),
            instants: levels::instants(input, rules, range),
            is_cumulative: query.running == Some(Running::Cumulative),
        }
    }

    fn points(
        &mut self,
        parts: &[&[StoredCell]],
    ) -> Result<(Vec<AnswerPoint>, Option<Decimal>), QueryError> {
        let (rules, steps, runs_on) = (self.rules, &mut self.steps, self.is_cumulative);
        Ok(match rules.metric_type {
            MetricType::Events => events(&cells_in(parts, self.range), rules, steps, runs_on),
            MetricType::Levels | MetricType::Periods => {
                let cells = cells_in(parts, self.range);
                levels::points(&cells, &self.instants, rules, steps, runs_on)?
            }
            MetricType::RunningTotal => levels::increases(parts, self.range, rules, steps, runs_on),
        })
    }
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
    is_cumulative: bool,
) -> (Vec<AnswerPoint>, Option<Decimal>) {
    let mut points = Vec::new();
    let mut total = Tally::new(rules.aggregation);
    let mut was_partial = false;
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
        let mut own = Tally::new(rules.aggregation);
        for (_, state, _) in inside {
            if !is_cumulative {
                own.add(state);
            }
            total.add(state);
        }
        let partial = inside.iter().any(|cell| cell.2);
        was_partial = is_cumulative && (was_partial || partial);
        let tally = if is_cumulative { &total } else { &own };
        points.push(AnswerPoint {
            start: instant(bucket.0),
            value: tally.finish(),
            count: tally.count(),
            partial: partial || was_partial,
            outdated: false,
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
    pub(crate) fn whole_bucket(&mut self, start: i64) -> Interval {
        if self.whole {
            return Interval::new(instant(self.range.0), instant(self.range.1));
        }
        self.finder.bucket(instant(start))
    }

    /// The range that is answered for.
    pub(crate) fn range(&self) -> Interval {
        Interval::new(instant(self.range.0), instant(self.range.1))
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
