//! Answers about a metric as they are written.

use definition::Granularity;
use jiff::tz::TimeZone;
use rollup::{Answer, AnswerPoint, Compare, Comparison, Decimal, Dimensions, Direction};
use serde::Serialize;
use utoipa::ToSchema;

use super::cache::Described;
use crate::time;

/// A metric over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesAnswer<'a> {
    /// The metric's name.
    #[schema(example = "new_subscribers")]
    metric: &'a str,
    /// What people call it.
    title: Option<&'a str>,
    /// The step between points.
    #[schema(example = "day")]
    granularity: &'static str,
    /// The zone whose calendar the points follow.
    #[schema(example = "UTC")]
    timezone: String,
    /// The first instant answered for.
    from: String,
    /// The first instant past it.
    to: String,
    /// How values are joined: an aggregation, or `calculated`.
    #[schema(example = "sum")]
    aggregation: &'static str,
    /// The version of the data that was read.
    version: i64,
    /// `up` or `down`.
    #[schema(example = "up")]
    favourable_trend: &'static str,
    /// One entry for each combination of the dimensions split by, and each unit.
    series: Vec<SeriesView<'a>>,
    /// The other range, when a comparison was asked for.
    comparison: Option<ComparisonView<'a>>,
}

/// One series of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesView<'a> {
    /// The dimensions split by.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    dimensions: &'a Dimensions,
    /// The unit of all values.
    unit: Option<&'a str>,
    /// The points, oldest first; empty buckets are left out unless `fill` asks for them.
    points: Vec<PointView>,
    /// The value of the whole range, joined from records and not from points.
    #[schema(value_type = Option<f64>)]
    total: Option<Decimal>,
    /// There is a total, and it is larger than any double: `total` is null.
    #[serde(skip_serializing_if = "is_false")]
    too_large: bool,
    /// With `top`: this is not one member but all others together, so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<u32>,
}

/// One bucket of a series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointView {
    /// The bucket's first instant, with the offset of the answer's zone.
    #[schema(example = "2026-03-01T00:00:00+00:00")]
    start: String,
    /// Its value.
    #[schema(value_type = Option<f64>)]
    value: Option<Decimal>,
    /// How many rows the value was made from.
    count: u64,
    /// Whether a run that did not see everything brought a part of it.
    partial: bool,
    /// Present and true where a part of it was made with an earlier revision of the metric: no recompute or run has
    /// reached it since.
    #[serde(skip_serializing_if = "is_false")]
    outdated: bool,
    /// There is a value, and it is larger than any double: `value` is null.
    #[serde(skip_serializing_if = "is_false")]
    too_large: bool,
}

/// A metric's value over a whole range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueAnswer<'a> {
    /// The metric's name.
    #[schema(example = "new_subscribers")]
    metric: &'a str,
    /// What people call it.
    title: Option<&'a str>,
    /// The value; null when there is none, or when there are several units.
    #[schema(value_type = Option<f64>)]
    value: Option<Decimal>,
    /// There is a value, and it is larger than any double: `value` is null.
    #[serde(skip_serializing_if = "is_false")]
    too_large: bool,
    /// Its unit.
    unit: Option<&'a str>,
    /// How many rows it was made from.
    count: u64,
    /// Whether a run that did not see everything brought a part of it.
    partial: bool,
    /// Present and true where a part of it was made with an earlier revision of the metric: no recompute or run has
    /// reached it since.
    #[serde(skip_serializing_if = "is_false")]
    outdated: bool,
    /// The zone of the range.
    timezone: String,
    /// The first instant answered for.
    from: String,
    /// The first instant past it.
    to: String,
    /// How values are joined.
    aggregation: &'static str,
    /// The version of the data that was read.
    version: i64,
    /// `up` or `down`.
    favourable_trend: &'static str,
    /// The value of each unit, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    units: Vec<UnitValue<'a>>,
    /// The other range, when a comparison was asked for.
    comparison: Option<ComparisonView<'a>>,
}

/// A value in one of several units.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnitValue<'a> {
    /// The unit.
    unit: Option<&'a str>,
    /// The value.
    #[schema(value_type = Option<f64>)]
    value: Option<Decimal>,
}

/// The range compared with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparisonView<'a> {
    /// `previous_period` or `previous_year`.
    #[schema(example = "previous_period")]
    with: &'static str,
    /// Its first instant.
    from: String,
    /// The first instant past it.
    to: String,
    /// Every series that is in either range.
    series: Vec<ComparedSeries<'a>>,
}

/// One series in both ranges.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedSeries<'a> {
    /// The dimensions split by.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    dimensions: &'a Dimensions,
    /// The unit.
    unit: Option<&'a str>,
    /// The points of the range compared with.
    points: Vec<ComparedPoint>,
    /// The total of the answer's range.
    #[schema(value_type = Option<f64>)]
    current: Option<Decimal>,
    /// The total of the range compared with.
    #[schema(value_type = Option<f64>)]
    base: Option<Decimal>,
    /// `current - base`.
    #[schema(value_type = Option<f64>)]
    change: Option<Decimal>,
    /// The change in percent of the base; null when the base is 0.
    #[schema(value_type = Option<f64>)]
    percent: Option<Decimal>,
    /// `current / base`; null when the base is 0.
    #[schema(value_type = Option<f64>)]
    ratio: Option<Decimal>,
    /// `better`, `worse`, `same` or `unknown`, by the favourable trend.
    #[schema(example = "better")]
    direction: &'static str,
    /// With `top`: this is not one member but all others together, so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<u32>,
}

/// One bucket of the range compared with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedPoint {
    /// The start of the point of the answer that it stands beside.
    beside: Option<String>,
    #[serde(flatten)]
    point: PointView,
}

impl<'a> SeriesAnswer<'a> {
    /// Writes an answer in steps.
    pub(crate) fn of(
        described: &'a Described,
        version: i64,
        answer: &'a Answer,
        compared: Option<Compare>,
    ) -> Self {
        let zone = &answer.zone;
        Self {
            metric: described.metric.name.as_str(),
            title: described.metric.title.as_deref(),
            granularity: answer.granularity.as_str(),
            timezone: zone_name(zone),
            from: time::in_zone(answer.from, zone),
            to: time::in_zone(answer.to, zone),
            aggregation: described.joined(),
            version,
            favourable_trend: described.metric.favourable_trend.as_str(),
            series: answer
                .series
                .iter()
                .map(|series| SeriesView {
                    dimensions: &series.dimensions,
                    unit: series.unit.as_deref(),
                    points: series
                        .points
                        .iter()
                        .map(|point| view(point, zone))
                        .collect(),
                    total: finite(series.total),
                    too_large: is_too_large(series.total),
                    rest: series.rest,
                })
                .collect(),
            comparison: comparison(answer, compared),
        }
    }
}

impl<'a> ValueAnswer<'a> {
    /// Writes an answer of one value.
    pub(crate) fn of(
        described: &'a Described,
        version: i64,
        answer: &'a Answer,
        compared: Option<Compare>,
    ) -> Self {
        debug_assert_eq!(answer.granularity, Granularity::All, "a value is one step");
        let zone = &answer.zone;
        let only = match answer.series.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let several = answer.series.len() > 1;
        Self {
            metric: described.metric.name.as_str(),
            title: described.metric.title.as_deref(),
            value: finite(only.and_then(|series| series.total)),
            too_large: is_too_large(only.and_then(|series| series.total)),
            unit: only.and_then(|series| series.unit.as_deref()),
            count: answer
                .series
                .iter()
                .flat_map(|series| &series.points)
                .map(|point| point.count)
                .sum(),
            partial: answer
                .series
                .iter()
                .flat_map(|series| &series.points)
                .any(|point| point.partial),
            outdated: answer
                .series
                .iter()
                .flat_map(|series| &series.points)
                .any(|point| point.outdated),
            timezone: zone_name(zone),
            from: time::in_zone(answer.from, zone),
            to: time::in_zone(answer.to, zone),
            aggregation: described.joined(),
            version,
            favourable_trend: described.metric.favourable_trend.as_str(),
            units: answer
                .series
                .iter()
                .filter(|_| several)
                .map(|series| UnitValue {
                    unit: series.unit.as_deref(),
                    value: finite(series.total),
                })
                .collect(),
            comparison: comparison(answer, compared),
        }
    }
}

fn comparison(answer: &Answer, compared: Option<Compare>) -> Option<ComparisonView<'_>> {
    let zone = &answer.zone;
    let comparison: &Comparison = answer.comparison.as_ref()?;
    Some(ComparisonView {
        with: match compared? {
            Compare::PreviousPeriod => "previous_period",
            Compare::LastYear => "previous_year",
            Compare::Range(_) => "range",
        },
        from: time::in_zone(comparison.from, zone),
        to: time::in_zone(comparison.to, zone),
        series: comparison
            .series
            .iter()
            .map(|series| ComparedSeries {
                dimensions: &series.dimensions,
                unit: series.unit.as_deref(),
                points: series
                    .points
                    .iter()
                    .map(|(beside, point)| ComparedPoint {
                        beside: beside.map(|at| time::in_zone(at, zone)),
                        point: view(point, zone),
                    })
                    .collect(),
                current: finite(series.current),
                base: finite(series.base),
                change: finite(series.change),
                percent: finite(series.percent),
                ratio: finite(series.ratio),
                direction: match series.direction {
                    Direction::Better => "better",
                    Direction::Worse => "worse",
                    Direction::Same => "same",
                    Direction::Unknown => "unknown",
                },
                rest: series.rest,
            })
            .collect(),
    })
}

fn view(point: &AnswerPoint, zone: &TimeZone) -> PointView {
    PointView {
        start: time::in_zone(point.start, zone),
        value: finite(point.value),
        too_large: is_too_large(point.value),
        count: point.count,
        partial: point.partial,
        outdated: point.outdated,
    }
}

/// Sums are exact, and may be larger than what readers of JSON can hold: those would take it for infinity.
fn is_too_large(value: Option<Decimal>) -> bool {
    value.is_some_and(|value| !value.to_f64().is_finite())
}

fn finite(value: Option<Decimal>) -> Option<Decimal> {
    value.filter(|_| !is_too_large(value))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_double_holds_is_null_and_marked() {
        let large = Decimal::parse("1e308").ok();
        let sum = large.map(|one| one.plus(one));
        assert_eq!((finite(large), is_too_large(large)), (large, false));
        assert_eq!((finite(sum), is_too_large(sum)), (None, true));
    }
}
