//! Values that join over time by a rule of their own: levels, periods and running totals.

use std::collections::{BTreeMap, BTreeSet};

use definition::{Interval, MetricType, OverTime};

use crate::accumulator::Tally;
use crate::answer::{AnswerPoint, Cell, SeriesInput, Steps, StoredCell, within};
use crate::bucket::{Finder, instant, millis};
use crate::decimal::{Decimal, Sum};
use crate::query::QueryError;
use crate::series::Rules;

/// One sync (or period) of a group: its instant, and the value of all members together.
struct Sample {
    at: i64,
    value: Option<Decimal>,
    count: u64,
    partial: bool,
}

/// Returns the instants of all syncs (or starts of all periods) in `range`, of every series of the metric:
/// a member that is absent from the last of them is gone.
pub(crate) fn instants(input: &SeriesInput, rules: &Rules, range: Interval) -> Vec<i64> {
    let (from, to) = (millis(range.start), millis(range.end));
    let mut instants = BTreeSet::new();
    match rules.metric_type {
        MetricType::Events | MetricType::RunningTotal => return Vec::new(),
        MetricType::Levels => {
            instants.extend(
                input
                    .syncs
                    .iter()
                    .copied()
                    .filter(|at| (from..to).contains(at)),
            );
        }
        MetricType::Periods => {}
    }
    for (_, cells) in &input.series {
        instants.extend(within(cells, range).iter().map(|cell| cell.0));
    }
    instants.into_iter().collect()
}

/// Returns the points and the total of a group of levels or periods. In each sync `aggregation` joins the
/// members, over syncs `over_time` does.
pub(crate) fn points(
    cells: &[Cell<'_>],
    instants: &[i64],
    rules: &Rules,
    steps: &mut Steps<'_>,
    is_cumulative: bool,
) -> Result<(Vec<AnswerPoint>, Option<Decimal>), QueryError> {
    let samples = samples(cells, rules);
    let is_periods = rules.metric_type == MetricType::Periods;
    let rule = match rules.over_time {
        Some(rule) => Some(rule),
        None if is_periods => None,
        None => Some(OverTime::Last),
    };
    if rule.is_none() && (is_cumulative || !steps.are_cells()) {
        return Err(QueryError::PeriodsNotJoined);
    }
    let rule = rule.unwrap_or(OverTime::Last);
    let mut points = Vec::new();
    let mut joined = Joined::default();
    let mut rest = samples.as_slice();
    while let Some(first) = rest.first() {
        let (start, end) = steps.bucket(first.at);
        let size = rest
            .iter()
            .position(|sample| sample.at >= end)
            .unwrap_or(rest.len())
            .max(1);
        let (inside, after) = rest.split_at(size);
        rest = after;
        let newest = instants[..instants.partition_point(|at| *at < end)]
            .last()
            .copied();
        if !is_cumulative {
            joined = Joined::default();
        }
        for sample in inside {
            joined.add(sample);
        }
        points.extend(joined.point(start, rule, newest));
    }
    // Periods without a rule have a total only where there is nothing to join.
    let joinable = rules.over_time.is_some() || !is_periods || samples.len() <= 1;
    let mut all = Joined::default();
    for sample in &samples {
        all.add(sample);
    }
    let total = joinable
        .then(|| all.point(0, rule, instants.last().copied()))
        .flatten()
        .and_then(|point| point.value);
    Ok((points, total))
}

/// Joins the cells of each instant.
fn samples(cells: &[Cell<'_>], rules: &Rules) -> Vec<Sample> {
    cells
        .chunk_by(|left, right| left.0 == right.0)
        .map(|members| {
            let mut tally = Tally::new(rules.aggregation);
            for (_, state, _) in members {
                tally.add(state);
            }
            // A sample of no rows says that there was nothing.
            let is_nothing = tally.count() == 0 && rules.nothing_there_is_zero();
            Sample {
                at: members.first().map_or(0, |member| member.0),
                value: if is_nothing {
                    Some(Decimal::ZERO)
                } else {
                    tally.finish()
                },
                count: tally.count(),
                partial: members.iter().any(|member| member.2),
            }
        })
        .collect()
}

/// Samples joined one after the other, for any rule.
#[derive(Default)]
struct Joined {
    sum: Sum,
    seen: u64,
    min: Option<Decimal>,
    max: Option<Decimal>,
    last: Option<(i64, Option<Decimal>, u64, bool)>,
    count: u64,
    partial: bool,
}

impl Joined {
    fn add(&mut self, sample: &Sample) {
        self.count += sample.count;
        self.partial |= sample.partial;
        self.last = Some((sample.at, sample.value, sample.count, sample.partial));
        if let Some(value) = sample.value {
            self.sum.add(value);
            self.seen += 1;
            self.min = Some(self.min.map_or(value, |min| min.min(value)));
            self.max = Some(self.max.map_or(value, |max| max.max(value)));
        }
    }

    /// Returns what the samples come to; `newest` is the last instant at which anything was seen.
    fn point(&self, start: i64, rule: OverTime, newest: Option<i64>) -> Option<AnswerPoint> {
        let (mut count, mut partial) = (self.count, self.partial);
        let value = match rule {
            OverTime::Last => {
                let last = self
                    .last
                    .filter(|last| newest.is_none_or(|newest| last.0 >= newest))?;
                (count, partial) = (last.2, last.3);
                last.1
            }
            OverTime::Average => self.sum.to_decimal().divided_by(Decimal::from(self.seen)),
            OverTime::Sum => (self.seen > 0).then(|| self.sum.to_decimal()),
            OverTime::Min => self.min,
            OverTime::Max => self.max,
        };
        value.map(|value| AnswerPoint {
            start: instant(start),
            value: Some(value),
            count,
            partial,
            outdated: false,
        })
    }
}

/// Returns the points that the samples of one series of levels or running totals come to, by the start of their buckets
/// of the metric's resolution, in unix milliseconds; `samples` are sorted by instant.
///
/// A running total needs the sample before the first bucket of interest. Where the samples of a bucket say nothing, as
/// the first of a running total, it has no point.
pub fn sample_points(samples: &[StoredCell], rules: &Rules) -> BTreeMap<i64, Decimal> {
    let mut finder = Finder::of(rules);
    let mut bucket = |at: i64| millis(finder.bucket(instant(at)).start);
    let mut points = BTreeMap::new();
    if rules.metric_type == MetricType::RunningTotal {
        let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
        for (at, increase, _, _) in rises(samples, rules) {
            sums.entry(bucket(at)).or_default().add(increase);
        }
        points.extend(
            sums.into_iter()
                .map(|(start, sum)| (start, sum.to_decimal())),
        );
        return points;
    }
    let cells: Vec<Cell<'_>> = samples
        .iter()
        .map(|(at, state, partial)| (*at, state, *partial))
        .collect();
    let rule = rules.over_time.unwrap_or(OverTime::Last);
    let mut joined: BTreeMap<i64, Joined> = BTreeMap::new();
    for sample in self::samples(&cells, rules) {
        joined.entry(bucket(sample.at)).or_default().add(&sample);
    }
    let values = joined
        .into_iter()
        .filter_map(|(start, joined)| Some((start, joined.point(start, rule, None)?.value?)));
    points.extend(values);
    points
}

/// The increase from sample to sample of one running total: at the later one, with its rows, and whether either is partial.
fn rises<'a>(
    samples: impl IntoIterator<Item = &'a StoredCell>,
    rules: &Rules,
) -> Vec<(i64, Decimal, u64, bool)> {
    let mut found = Vec::new();
    let mut before: Option<(Decimal, bool)> = None;
    for (at, state, partial) in samples {
        let Some(value) = state.finish(rules.aggregation) else {
            continue;
        };
        if let Some((earlier, was_partial)) = before {
            let increase = if value < earlier {
                value
            } else {
                value.minus(earlier)
            };
            found.push((*at, increase, state.count(), *partial || was_partial));
        }
        before = Some((value, *partial));
    }
    found
}

/// Returns the points and the total of a group of running totals: for each member the increase from sample
/// to sample, in the step of the later one. A drop means that the counter began again from 0, so the
/// increase is the new value; the first sample of all has no increase.
pub(crate) fn increases(
    parts: &[&[StoredCell]],
    range: Interval,
    rules: &Rules,
    steps: &mut Steps<'_>,
    is_cumulative: bool,
) -> (Vec<AnswerPoint>, Option<Decimal>) {
    let (from, to) = (millis(range.start), millis(range.end));
    let mut found: Vec<(i64, Decimal, u64, bool)> = Vec::new();
    for part in parts {
        let until = part.iter().take_while(|cell| cell.0 < to);
        found.extend(
            rises(until, rules)
                .into_iter()
                .filter(|rise| rise.0 >= from),
        );
    }
    found.sort_by_key(|increase| increase.0);
    let mut points: Vec<AnswerPoint> = Vec::new();
    let mut total = Sum::default();
    let mut rest = found.as_slice();
    while let Some(first) = rest.first() {
        let (start, end) = steps.bucket(first.0);
        let size = rest
            .iter()
            .position(|increase| increase.0 >= end)
            .unwrap_or(rest.len())
            .max(1);
        let (inside, after) = rest.split_at(size);
        rest = after;
        let mut sum = Sum::default();
        for increase in inside {
            sum.add(increase.1);
        }
        total.merge(&sum);
        let mut point = AnswerPoint {
            start: instant(start),
            value: Some(sum.to_decimal()),
            count: inside.iter().map(|increase| increase.2).sum(),
            partial: inside.iter().any(|increase| increase.3),
            outdated: false,
        };
        if let Some(before) = points.last().filter(|_| is_cumulative) {
            point.value = Some(total.to_decimal());
            point.count += before.count;
            point.partial |= before.partial;
        }
        points.push(point);
    }
    let total = (!points.is_empty()).then(|| total.to_decimal());
    (points, total)
}
