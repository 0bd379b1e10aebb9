//! Values that join over time by a rule of their own: levels, periods and running totals.

use std::collections::BTreeSet;

use definition::{Interval, MetricType, OverTime};

use crate::accumulator::Tally;
use crate::answer::{AnswerPoint, Cell, SeriesInput, Steps, StoredCell, within};
use crate::bucket::{instant, millis};
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
) -> Result<(Vec<AnswerPoint>, Option<Decimal>), QueryError> {
    let samples = samples(cells, rules);
    let is_periods = rules.metric_type == MetricType::Periods;
    let rule = match rules.over_time {
        Some(rule) => Some(rule),
        None if is_periods => None,
        None => Some(OverTime::Last),
    };
    if rule.is_none() && !steps.are_cells() {
        return Err(QueryError::PeriodsNotJoined);
    }
    let rule = rule.unwrap_or(OverTime::Last);
    let mut points = Vec::new();
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
        if let Some((value, count, partial)) = over_time(inside, rule, newest) {
            points.push(AnswerPoint {
                start: instant(start),
                value: Some(value),
                count,
                partial,
            });
        }
    }
    // Periods without a rule have a total only where there is nothing to join.
    let joinable = rules.over_time.is_some() || !is_periods || samples.len() <= 1;
    let total = joinable
        .then(|| over_time(&samples, rule, instants.last().copied()))
        .flatten()
        .map(|(value, _, _)| value);
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
            Sample {
                at: members.first().map_or(0, |member| member.0),
                value: tally.finish(),
                count: tally.count(),
                partial: members.iter().any(|member| member.2),
            }
        })
        .collect()
}

/// Joins samples; `newest` is the last instant at which anything was seen.
fn over_time(
    samples: &[Sample],
    rule: OverTime,
    newest: Option<i64>,
) -> Option<(Decimal, u64, bool)> {
    if rule == OverTime::Last {
        let last = samples
            .last()
            .filter(|last| newest.is_none_or(|newest| last.at >= newest))?;
        return Some((last.value?, last.count, last.partial));
    }
    let values: Vec<Decimal> = samples.iter().filter_map(|sample| sample.value).collect();
    let sum = || {
        let mut sum = Sum::default();
        for value in &values {
            sum.add(*value);
        }
        sum.to_decimal()
    };
    let value = match rule {
        OverTime::Average => sum().divided_by(Decimal::from(values.len() as u64)),
        OverTime::Sum => (!values.is_empty()).then(sum),
        OverTime::Min => values.iter().min().copied(),
        OverTime::Max => values.iter().max().copied(),
        OverTime::Last => None,
    }?;
    Some((
        value,
        samples.iter().map(|sample| sample.count).sum(),
        samples.iter().any(|sample| sample.partial),
    ))
}

/// Returns the points and the total of a group of running totals: for each member the increase from sample
/// to sample, in the step of the later one. A drop means that the counter began again from 0, so the
/// increase is the new value; the first sample of all has no increase.
pub(crate) fn increases(
    parts: &[&[StoredCell]],
    range: Interval,
    rules: &Rules,
    steps: &mut Steps<'_>,
) -> (Vec<AnswerPoint>, Option<Decimal>) {
    let (from, to) = (millis(range.start), millis(range.end));
    let mut found: Vec<(i64, Decimal, u64, bool)> = Vec::new();
    for part in parts {
        let mut before: Option<(Decimal, bool)> = None;
        for (at, state, partial) in part.iter().take_while(|cell| cell.0 < to) {
            let Some(value) = state.finish(rules.aggregation) else {
                continue;
            };
            if let Some((earlier, was_partial)) = before
                && *at >= from
            {
                let increase = if value < earlier {
                    value
                } else {
                    value.minus(earlier)
                };
                found.push((*at, increase, state.count(), *partial || was_partial));
            }
            before = Some((value, *partial));
        }
    }
    found.sort_by_key(|increase| increase.0);
    let mut points = Vec::new();
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
        points.push(AnswerPoint {
            start: instant(start),
            value: Some(sum.to_decimal()),
            count: inside.iter().map(|increase| increase.2).sum(),
            partial: inside.iter().any(|increase| increase.3),
        });
    }
    let total = (!points.is_empty()).then(|| total.to_decimal());
    (points, total)
}
