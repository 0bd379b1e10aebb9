//! What tells the series of one metric apart, and the rules they all obey.

use definition::{Aggregation, Dataset, Granularity, Metric, MetricType, OverTime, Trend, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::row::Dimensions;

/// One series of a metric: its dimensions and its unit. Units are never mixed, so they split series too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The attributes of the series.
    pub dimensions: Dimensions,
    /// The unit of its values.
    pub unit: Option<Box<str>>,
}

impl SeriesKey {
    /// Returns the one JSON text of this key: `{"dimensions":{"state":"active"},"unit":null}`, names sorted.
    pub fn canonical(&self) -> String {
        // Maps of strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads [`SeriesKey::canonical`] back.
    ///
    /// # Errors
    /// Text of another shape.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The part of a metric's definition that rollups obey.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What a row stands for.
    pub metric_type: MetricType,
    /// How the rows of a bucket (or of one sync) become one value.
    pub aggregation: Aggregation,
    /// How syncs (levels) or periods join in a longer range. Not stated: levels take the last, periods are
    /// not joined at all.
    pub over_time: Option<OverTime>,
    /// The smallest bucket kept.
    pub resolution: Granularity,
    /// The zone whose calendar buckets follow.
    pub zone: TimeZone,
    /// The first day of a week.
    pub week_start: Weekday,
    /// Which way is good.
    pub favourable_trend: Trend,
    /// Whether rows carry dates of their own by definition.
    pub dated: bool,
}

impl Rules {
    /// Returns the rules of `metric`, reading `dataset` where the metric leaves things to it.
    pub fn of(metric: &Metric, dataset: Option<&Dataset>) -> Self {
        Self {
            metric_type: metric.metric_type(dataset),
            aggregation: metric.aggregation,
            over_time: metric.over_time,
            resolution: metric.resolution,
            zone: metric.zone(),
            week_start: metric.week_start,
            favourable_trend: metric.favourable_trend,
            dated: metric.is_pushed() || metric.selection(dataset).date.is_some(),
        }
    }

    /// Whether every sync adds one sample instead of restating buckets: levels, and running totals that
    /// carry no dates.
    pub const fn accumulates(&self) -> bool {
        match self.metric_type {
            MetricType::Levels => true,
            MetricType::RunningTotal => !self.dated,
            MetricType::Events | MetricType::Periods => false,
        }
    }

    /// Whether a bucket that is known and holds no row is worth 0: sums and counts of events. Of all else
    /// nothing can be said where there is nothing.
    pub const fn counts_nothing_as_zero(&self) -> bool {
        matches!(self.metric_type, MetricType::Events)
            && matches!(
                self.aggregation,
                Aggregation::Sum | Aggregation::Count | Aggregation::CountDistinct
            )
    }

    /// Whether a complete sync that found nothing is worth 0: sums and counts of levels.
    pub const fn nothing_there_is_zero(&self) -> bool {
        matches!(self.metric_type, MetricType::Levels)
            && matches!(
                self.aggregation,
                Aggregation::Sum | Aggregation::Count | Aggregation::CountDistinct
            )
    }

    /// Whether a value over a range grows from nothing with the range, such as a sum of events; others have a value
    /// at any time.
    pub const fn grows_from_nothing(&self) -> bool {
        match self.metric_type {
            MetricType::RunningTotal => true,
            MetricType::Events => matches!(
                self.aggregation,
                Aggregation::Sum | Aggregation::Count | Aggregation::CountDistinct
            ),
            MetricType::Levels | MetricType::Periods => false,
        }
    }

    /// Whether cells are kept at the instants of samples, not at bucket starts.
    pub const fn samples(&self) -> bool {
        matches!(
            self.metric_type,
            MetricType::Levels | MetricType::RunningTotal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_text_and_reads_back() {
        let key = SeriesKey {
            dimensions: Dimensions::of([("state", "active"), ("plan", "p\"ro")]),
            unit: Some("USD".into()),
        };
        assert_eq!(
            key.canonical(),
            r#"{"dimensions":{"plan":"p\"ro","state":"active"},"unit":"USD"}"#
        );
        assert_eq!(SeriesKey::parse(&key.canonical()).unwrap(), key);
        assert_eq!(
            SeriesKey::default().canonical(),
            r#"{"dimensions":{},"unit":null}"#
        );
    }
}
