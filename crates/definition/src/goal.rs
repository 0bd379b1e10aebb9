use jiff::civil::Date;
use serde::Serialize;

use crate::about::{About, Where};
use crate::aggregation::{Aggregation, MetricType};
use crate::connection::is_false;
use crate::dataset::Dataset;
use crate::deliver::Target;
use crate::granularity::Granularity;
use crate::metric::Metric;
use crate::name::Name;

/// A number that a metric should come to, or stay on one side of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// Its name.
    pub name: Name,
    /// Title, description, owner, tags.
    #[serde(flatten)]
    pub about: About,
    /// The metric.
    pub metric: Name,
    /// The members of dimensions that count.
    #[serde(rename = "where", skip_serializing_if = "Where::is_empty")]
    pub where_: Where,
    /// What is wanted.
    #[serde(flatten)]
    pub aim: Aim,
    /// The last day, for a goal by a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Date>,
    /// The period in which it begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Granularity>,
    /// The first day that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Where the straight line begins; absent, the value that the metric had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    /// Who is told when it is reached or broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliver: Vec<Target>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// What a goal wants of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// Come to this number: from below, or from above where less is better.
    Reach(f64),
    /// Never be below it.
    StayAbove(f64),
    /// Never be above it.
    StayBelow(f64),
}

impl Aim {
    /// The words of a definition.
    pub const WORDS: &'static [&'static str] = &["reach", "stay_above", "stay_below"];

    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reach(_) => "reach",
            Self::StayAbove(_) => "stay_above",
            Self::StayBelow(_) => "stay_below",
        }
    }

    /// Returns the number.
    pub const fn target(self) -> f64 {
        match self {
            Self::Reach(target) | Self::StayAbove(target) | Self::StayBelow(target) => target,
        }
    }
}

impl Metric {
    /// Tells whether its value over a range grows from nothing with the range, such as a sum of events; others
    /// (averages, levels) have a value at any time.
    pub fn accumulates(&self, dataset: Option<&Dataset>) -> bool {
        match self.metric_type(dataset) {
            MetricType::RunningTotal => true,
            MetricType::Events => matches!(
                self.aggregation,
                Aggregation::Sum | Aggregation::Count | Aggregation::CountDistinct
            ),
            MetricType::Levels | MetricType::Periods => false,
        }
    }
}
