//! Means of finished numbers, weighed by another metric.

use std::collections::BTreeMap;

use definition::{Granularity, Interval};
use jiff::Timestamp;

use super::combine::Input;
use crate::answer::{AnswerPoint, AnswerSeries};
use crate::decimal::{Decimal, Sum};
use crate::query::{Query, Running};
use crate::series::Rules;

/// The steps that values are joined into.
pub(super) struct Steps<'a> {
    rules: &'a Rules,
    query: &'a Query,
    range: Interval,
}

impl<'a> Steps<'a> {
    pub(super) const fn of(rules: &'a Rules, query: &'a Query, range: Interval) -> Self {
        Self {
            rules,
            query,
            range,
        }
    }

    fn start(&self, at: Timestamp) -> Timestamp {
        match self.query.granularity {
            Granularity::All => self.range.start,
            step => step.start_of(at, self.query.zone(self.rules), self.rules.week_start),
        }
    }
}

/// Joins values of fine steps into means, each value as heavy as the weight of its step says. A value without
/// weight counts for nothing; where all weigh nothing there is no mean.
pub(super) fn weigh(
    values: Vec<AnswerSeries>,
    weights: &Input,
    steps: &Steps<'_>,
) -> Vec<AnswerSeries> {
    let is_cumulative = steps.query.running == Some(Running::Cumulative);
    let weighed = |series: AnswerSeries| {
        let member = (series.rest.is_some(), series.dimensions.clone());
        let by: BTreeMap<Timestamp, &AnswerPoint> = weights
            .find(&member, &series.unit)
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| (point.start, point))
            .collect();
        let (mut points, mut all): (Vec<AnswerPoint>, Mean) = (Vec::new(), Mean::default());
        let mut own = Mean::default();
        for value in &series.points {
            let Some(weight) = by.get(&value.start) else {
                continue;
            };
            let start = steps.start(value.start);
            let is_next = points.last().is_none_or(|last| last.start != start);
            if is_next && !is_cumulative {
                own = Mean::default();
            }
            own.add(value, weight);
            all.add(value, weight);
            if !is_next {
                points.pop();
            }
            points.push(AnswerPoint {
                start,
                value: own.finish(),
                count: own.count,
                partial: own.partial,
                outdated: own.outdated,
            });
        }
        points.retain(|point| point.value.is_some());
        AnswerSeries {
            points,
            total: all.finish(),
            ..series
        }
    };
    values.into_iter().map(weighed).collect()
}

/// Values that are joined by their weights.
#[derive(Default)]
struct Mean {
    products: Sum,
    weights: Sum,
    /// The only value of any weight, which needs no division to be told.
    only: Option<Decimal>,
    heavy: u64,
    count: u64,
    partial: bool,
    outdated: bool,
}

impl Mean {
    fn add(&mut self, value: &AnswerPoint, weight: &AnswerPoint) {
        let (Some(number), Some(by)) = (value.value, weight.value) else {
            return;
        };
        if by.is_zero() {
            return;
        }
        let Some(product) = number.times(by) else {
            return;
        };
        self.products.add(product);
        self.weights.add(by);
        self.only = Some(number);
        self.heavy += 1;
        self.count += value.count;
        self.partial |= value.partial || weight.partial;
        self.outdated |= value.outdated || weight.outdated;
    }

    fn finish(&self) -> Option<Decimal> {
        let weights = self.weights.to_decimal();
        if weights <= Decimal::ZERO {
            return None;
        }
        match self.heavy {
            1 => self.only,
            _ => self.products.to_decimal().divided_by(weights),
        }
    }
}
