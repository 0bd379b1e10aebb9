use serde::Serialize;

use crate::about::{About, Where};
use crate::alert::Against;
use crate::connection::is_false;
use crate::deliver::Target;
use crate::name::Name;
use crate::range_name::RangeName;
use crate::schedule::Schedule;

/// A digest of several metrics, sent at its times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scorecard {
    /// Its name.
    pub name: Name,
    /// Title, description, owner, tags.
    #[serde(flatten)]
    pub about: About,
    /// What it tells, in order.
    pub metrics: Vec<Entry>,
    /// The range of entries that have none of their own.
    #[serde(skip_serializing_if = "is_yesterday")]
    pub range: RangeName,
    /// What each value is compared with.
    #[serde(skip_serializing_if = "Against::is_previous_period")]
    pub compare: Against,
    /// When it is sent.
    pub schedule: Schedule,
    /// The zone of its schedule and ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Who gets it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliver: Vec<Target>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

impl Scorecard {
    /// The most metrics a person reads in one message.
    pub const MAX_METRICS: usize = 15;

    /// The range of a scorecard that says none.
    pub fn default_range() -> RangeName {
        RangeName::parse("yesterday").unwrap_or_else(RangeName::today)
    }
}

fn is_yesterday(range: &RangeName) -> bool {
    *range == Scorecard::default_range()
}

impl Against {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_previous_period(&self) -> bool {
        *self == Self::PreviousPeriod
    }
}

/// One metric of a scorecard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The metric.
    pub metric: Name,
    /// What it is called there; the metric's title when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its own range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeName>,
    /// The members of dimensions that count.
    #[serde(rename = "where", skip_serializing_if = "Where::is_empty")]
    pub where_: Where,
    /// A goal to tell the progress of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Name>,
}
