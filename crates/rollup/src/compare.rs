//! One range against another: change, percent, ratio, and whether that is good.

use std::cmp::Ordering;

use definition::{Interval, Trend};
use jiff::Timestamp;

use crate::answer::{AnswerPoint, AnswerSeries};
use crate::decimal::Decimal;
use crate::query::Query;
use crate::range;
use crate::row::Dimensions;
use crate::series::Rules;

/// What to compare a range with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The range just before, of the same kind; see [`range::previous`].
    PreviousPeriod,
    /// The same range a year earlier; see [`range::last_year`].
    LastYear,
    /// Any other range.
    Range(Interval),
}

/// An answer's other half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The first instant compared with.
    pub from: Timestamp,
    /// The first instant after.
    pub to: Timestamp,
    /// Every series that is in either range, in the order of the answer.
    pub series: Vec<SeriesComparison>,
}

/// One series in both ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesComparison {
    /// The dimensions split by.
    pub dimensions: Dimensions,
    /// The unit.
    pub unit: Option<Box<str>>,
    /// The points of the range compared with. With each comes the start of the step of the answer that it
    /// stands beside, the nth by the nth; absent, where the answer has fewer steps.
    pub points: Vec<(Option<Timestamp>, AnswerPoint)>,
    /// The total of the answer's range.
    pub current: Option<Decimal>,
    /// The total of the range compared with.
    pub base: Option<Decimal>,
    /// `current − base`.
    pub change: Option<Decimal>,
    /// `(current − base) / |base| × 100`; undefined when the base is 0.
    pub percent: Option<Decimal>,
    /// `current / base`; undefined when the base is 0.
    pub ratio: Option<Decimal>,
    /// Whether the change is for the better.
    pub direction: Direction,
    /// How many series are joined in this one, as in [`AnswerSeries::rest`].
    pub rest: Option<u32>,
}

/// What a change means, by the metric's favourable trend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In the favourable direction.
    Better,
    /// In the other.
    Worse,
    /// No change.
    Same,
    /// One of the two values is missing.
    Unknown,
}

impl Query {
    /// Returns the range to compare `range` with, if the query asks for one.
    pub(crate) fn base(&self, rules: &Rules, range: Interval) -> Option<Interval> {
        let zone = self.zone(rules);
        // A range until now is shifted as it was asked for; whole buckets come from the shifted one.
        let asked = Interval::new(self.from, self.to);
        let base = match self.compare? {
            Compare::PreviousPeriod if self.range.is_some() => {
                range::previous(self.range.as_deref(), asked, zone, rules.week_start)
            }
            Compare::PreviousPeriod => range::previous(None, range, zone, rules.week_start),
            Compare::LastYear => range::last_year(asked, self.granularity, zone),
            Compare::Range(base) => base,
        };
        Some(base)
    }
}

/// Compares two values of one metric.
pub(crate) fn values(
    current: Option<Decimal>,
    base: Option<Decimal>,
    trend: Trend,
) -> (Option<Decimal>, Option<Decimal>, Option<Decimal>, Direction) {
    let (Some(current), Some(base)) = (current, base) else {
        return (None, None, None, Direction::Unknown);
    };
    let change = current.minus(base);
    let percent = change
        .times(Decimal::from(100_i64))
        .and_then(|change| change.divided_by(base.abs()));
    let direction = match (change.cmp(&Decimal::ZERO), trend) {
        (Ordering::Equal, _) => Direction::Same,
        (Ordering::Greater, Trend::Up) | (Ordering::Less, Trend::Down) => Direction::Better,
        (Ordering::Greater, Trend::Down) | (Ordering::Less, Trend::Up) => Direction::Worse,
    };
    (Some(change), percent, current.divided_by(base), direction)
}

/// Puts a range beside another; both hold the same groups in the same order.
pub(crate) fn compare(
    rules: &Rules,
    query: &Query,
    (range, current): (Interval, &[AnswerSeries]),
    (base_range, base): (Interval, Vec<AnswerSeries>),
) -> Comparison {
    let steps = |range: Interval| -> Vec<Timestamp> { query.steps(rules, range).collect() };
    let (own_steps, base_steps) = (steps(range), steps(base_range));
    let beside = |start: Timestamp| {
        own_steps
            .get(base_steps.binary_search(&start).ok()?)
            .copied()
    };
    let series = current
        .iter()
        .zip(base)
        .filter(|(current, base)| {
            current.total.is_some() || base.total.is_some() || !base.points.is_empty()
        })
        .map(|(current, base)| {
            let (change, percent, ratio, direction) =
                values(current.total, base.total, rules.favourable_trend);
            SeriesComparison {
                dimensions: base.dimensions,
                unit: base.unit,
                points: base
                    .points
                    .into_iter()
                    .map(|point| (beside(point.start), point))
                    .collect(),
                current: current.total,
                base: base.total,
                change,
                percent,
                ratio,
                direction,
                rest: current.rest,
            }
        })
        .collect();
    Comparison {
        from: base_range.start,
        to: base_range.end,
        series,
    }
}
