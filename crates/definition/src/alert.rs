use jiff::civil::{Time, Weekday};
use serde::Serialize;

use crate::about::{About, Where};
use crate::connection::is_false;
use crate::deliver::Target;
use crate::metric::weekday_word;
use crate::name::Name;
use crate::range_name::RangeName;
use crate::span::Span;
use crate::words::words;

/// A condition on a metric that people want to hear of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
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
    /// The range whose value is judged.
    #[serde(skip_serializing_if = "RangeName::is_today")]
    pub range: RangeName,
    /// What must hold.
    pub when: Condition,
    /// How bad it is.
    #[serde(skip_serializing_if = "Urgency::is_default")]
    pub urgency: Urgency,
    /// When people are left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// Who is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliver: Vec<Target>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

/// What an alert waits for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The value is beyond a threshold.
    Value(Threshold),
    /// The change against another range is beyond a threshold.
    Change {
        /// The threshold.
        #[serde(flatten)]
        threshold: Threshold,
        /// In percent of the other range, or as a number.
        #[serde(rename = "in", skip_serializing_if = "ChangeIn::is_default")]
        counted: ChangeIn,
        /// The range compared with.
        #[serde(skip_serializing_if = "Against::is_default")]
        compare: Against,
    },
    /// Nothing is dated within this time.
    Missing(Span),
}

/// A number and the side of it on which an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// The side and the number.
    #[serde(flatten)]
    pub side: Side,
    /// Once firing, the alert is over only when the value is back at this number; the threshold itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
}

/// The side of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Fires above this number.
    Above(f64),
    /// Fires below this number.
    Below(f64),
}

impl Side {
    /// Returns the number.
    pub const fn number(self) -> f64 {
        match self {
            Self::Above(number) | Self::Below(number) => number,
        }
    }

    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above(_) => "above",
            Self::Below(_) => "below",
        }
    }
}

words! {
    /// What a change is counted in.
    pub enum ChangeIn {
        /// Percent of the other range (the default).
        Percent = "percent",
        /// The metric's own unit.
        Value = "value",
    }
}

words! {
    /// The range that another one is compared with.
    pub enum Against {
        /// The one just before (the default).
        PreviousPeriod = "previous_period",
        /// The same a year before.
        PreviousYear = "previous_year",
    }
}

words! {
    /// How bad an alert is.
    pub enum Urgency {
        /// Good to know.
        Info = "info",
        /// Somebody should look (the default).
        Warning = "warning",
        /// Somebody must act.
        Critical = "critical",
    }
}

macro_rules! default_word {
    ($type:ident, $default:ident) => {
        impl $type {
            fn is_default(&self) -> bool {
                *self == Self::$default
            }
        }
    };
}
default_word!(ChangeIn, Percent);
default_word!(Against, PreviousPeriod);
default_word!(Urgency, Warning);

/// The hours, and days, in which nobody is written to.
///
/// What happens then is announced on NATS all the same, and told when the quiet is over if it still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quiet {
    /// From this time of day.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "time_of_day"
    )]
    pub from: Option<Time>,
    /// To this time of day, on the next day where it is earlier than `from`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "time_of_day"
    )]
    pub to: Option<Time>,
    /// Whole days.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "day_names")]
    pub days: Vec<Weekday>,
    /// Whose clock; an IANA name, the metric's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn time_of_day<S: serde::Serializer>(
    time: &Option<Time>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => {
            serializer.collect_str(&format_args!("{:02}:{:02}", time.hour(), time.minute()))
        }
        None => serializer.serialize_none(),
    }
}

fn day_names<S: serde::Serializer>(days: &[Weekday], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(days.iter().map(|day| weekday_word(*day)))
}
