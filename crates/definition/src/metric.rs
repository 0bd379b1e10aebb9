use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use crate::aggregation::{Aggregation, MetricType, OverTime};
use crate::connection::is_false;
use crate::dataset::Dataset;
use crate::fetch::Fetch;
use crate::formula::{Formula, FormulaUnit};
use crate::granularity::Granularity;
use crate::name::Name;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::selection::{Format, Select};
use crate::span::Span;
use crate::window::Window;
use crate::words::words;

/// A number that is kept over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: Name,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The API of its own request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Name>,
    /// The dataset it reads, instead of a request of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Name>,
    /// What it is worth, said with other metrics: then it is calculated, and asks nothing itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<Formula>,
    /// Calculated: the metric that says how much each day weighs, where a longer range is a mean of its days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Name>,
    /// Where its values come from, when it asks nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<MetricSource>,
    /// Its own request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The dates its own request asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What is clicked in the answer.
    #[serde(skip_serializing_if = "Select::is_empty")]
    pub select: Select,
    /// JSONata that replaces what is generated from `select`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Whether the expression sees a page or a whole run.
    #[serde(skip_serializing_if = "Scope::is_default")]
    pub scope: Scope,
    /// What a row stands for in time; see [`Metric::metric_type`].
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
    /// How the values of one bucket become one number.
    #[serde(skip_serializing_if = "is_sum")]
    pub aggregation: Aggregation,
    /// How the samples of a level join over a longer range; see [`Metric::over_time`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_time: Option<OverTime>,
    /// The smallest interval that is kept.
    #[serde(skip_serializing_if = "is_hour")]
    pub resolution: Granularity,
    /// What the number is counted in, such as `USD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How the number is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Which way is good.
    #[serde(skip_serializing_if = "Trend::is_default")]
    pub favourable_trend: Trend,
    /// When it is fetched; absent: as its dataset says, else every hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The zone of its buckets; an IANA name, `UTC` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The first day of its weeks.
    #[serde(skip_serializing_if = "is_monday", serialize_with = "weekday_name")]
    pub week_start: Weekday,
    /// What it means when older records are not in a run without a window.
    #[serde(skip_serializing_if = "Covers::is_default")]
    pub covers: Covers,
    /// How runs join: by the range they cover, or record by record.
    #[serde(skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
    /// The share of rejected rows beyond which its part of a run fails.
    #[serde(skip_serializing_if = "Ratio::is_half")]
    pub reject_limit: Ratio,
    /// How long its points are kept; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

impl Metric {
    /// Returns the metrics it is calculated from, its weight last; none when it is fetched.
    pub fn inputs(&self) -> Vec<&Name> {
        let formula = self.formula.as_ref().map(Formula::metrics);
        let mut inputs = formula.unwrap_or_default();
        inputs.extend(
            self.weight
                .iter()
                .filter(|weight| !inputs.contains(weight))
                .collect::<Vec<_>>(),
        );
        inputs
    }

    /// Returns what its values are counted in, as far as its definition tells; of a calculated metric what
    /// is stated.
    pub fn counted_in(&self) -> FormulaUnit {
        match &self.unit {
            Some(unit) => FormulaUnit::Of(Some(unit.as_str().into())),
            None if self.formula.is_some() => FormulaUnit::Unknown,
            None if self.select.unit.is_some() || self.expression.is_some() => FormulaUnit::Unknown,
            None => FormulaUnit::Of(None),
        }
    }

    /// Tells whether it asks nobody, and is told its values.
    pub fn is_pushed(&self) -> bool {
        self.source == Some(MetricSource::Push)
    }

    /// Tells whether its records are kept one by one.
    pub fn keeps_records(&self) -> bool {
        self.mode == Mode::Upsert || self.is_pushed()
    }

    /// Returns what a row stands for: as written, else events when there is a date, else levels.
    pub fn metric_type(&self, dataset: Option<&Dataset>) -> MetricType {
        self.metric_type.unwrap_or_else(|| {
            if self.is_pushed() {
                return MetricType::Events;
            }
            let dated = match &self.expression {
                Some(expression) if self.select.date.is_none() => writes_dates(expression),
                _ => self.selection(dataset).date.is_some(),
            };
            if dated {
                MetricType::Events
            } else {
                MetricType::Levels
            }
        })
    }

    /// Returns how the samples of a level join over time: as written, else the last.
    pub fn over_time(&self) -> OverTime {
        self.over_time.unwrap_or(OverTime::Last)
    }

    /// Returns the zone of its buckets.
    pub fn zone(&self) -> TimeZone {
        crate::zone::find_or_utc(self.timezone.as_deref())
    }

    /// Returns when it is fetched: as written, else as its dataset says, else every hour.
    pub fn schedule(&self, dataset: Option<&Dataset>) -> Schedule {
        self.schedule
            .clone()
            .or_else(|| dataset.and_then(|dataset| dataset.schedule.clone()))
            .unwrap_or_default()
    }

    /// Returns its selection, with the dataset's defaults where it selects nothing itself.
    pub fn selection(&self, dataset: Option<&Dataset>) -> Select {
        let mut select = self.select.clone();
        if let Some(dataset) = dataset {
            select.records = select.records.or_else(|| dataset.records.clone());
            select.where_ = select.where_.or_else(|| dataset.where_.clone());
            select.date = select.date.or_else(|| dataset.date.clone());
            select.key = select.key.or_else(|| dataset.key.clone());
        }
        select
    }

    /// Returns what is fetched for it: its own request, or its dataset's.
    ///
    /// `None` when neither is there.
    pub fn fetch(&self, dataset: Option<&Dataset>) -> Option<Fetch> {
        match (&self.connection, &self.request) {
            (Some(connection), Some(request)) => Some(Fetch::new(
                connection,
                request,
                self.window,
                self.timezone.as_deref(),
                None,
            )),
            _ => dataset.map(Dataset::fetch),
        }
    }

    /// Returns the part of it whose change makes a new revision, with all defaults written out.
    pub fn evaluation_document(&self, dataset: Option<&Dataset>) -> Value {
        if let Some(formula) = &self.formula {
            return serde_json::json!({
                "formula": formula,
                "weight": self.weight,
                "resolution": self.resolution,
                "unit": self.unit,
                "timezone": self.timezone,
                "week_start": weekday_word(self.week_start),
            });
        }
        let mut document = serde_json::json!({
            "select": self.selection(dataset),
            "expression": self.expression,
            "scope": self.scope,
            "type": self.metric_type(dataset),
            "aggregation": self.aggregation,
            "over_time": self.over_time(),
            "resolution": self.resolution,
            "unit": self.unit,
            "timezone": self.timezone.as_deref().unwrap_or("UTC"),
            "week_start": weekday_word(self.week_start),
        });
        // Written only where it is not the default: what was stored before there was a mode stays as it is.
        if self.mode != Mode::Restate {
            document["mode"] = self.mode.as_str().into();
        }
        document
    }
}

/// Tells whether an expression of the user's own seems to give its rows dates.
fn writes_dates(expression: &str) -> bool {
    ["\"date\"", "'date'", "`date`"].iter().any(|key| {
        expression
            .match_indices(key)
            .any(|(at, _)| expression[at + key.len()..].trim_start().starts_with(':'))
    })
}

words! {
    /// What an expression sees.
    pub enum Scope {
        /// One page (the default).
        Page = "page",
        /// All pages of the run, as one array.
        Run = "run",
    }
}

impl Scope {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Page
    }
}

words! {
    /// Which way is good.
    pub enum Trend {
        /// More is better (the default).
        Up = "up",
        /// Less is better.
        Down = "down",
    }
}

impl Trend {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Up
    }
}

words! {
    /// What it means when older records are not in a run without a window.
    pub enum Covers {
        /// They are older than what the API still gives, and stay (the default).
        Recent = "recent",
        /// They are gone.
        All = "all",
    }
}

impl Covers {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Recent
    }
}

words! {
    /// Where the values of a metric come from that asks nobody.
    pub enum MetricSource {
        /// They are sent to it (`POST /metrics/{name}/points`, `tidemark push`).
        Push = "push",
    }
}

words! {
    /// How runs join.
    pub enum Mode {
        /// A run replaces what it covers (the default).
        Restate = "restate",
        /// A run brings records that are new or changed; each counts once, as it was seen last.
        Upsert = "upsert",
    }
}

impl Mode {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Restate
    }
}

/// A share from 0 to 1, written `"50%"` or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Ratio(f64);

impl Ratio {
    /// One half.
    pub const HALF: Self = Self(0.5);

    /// Makes a ratio; `None` outside of 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share + 0.0))
    }

    /// Reads `50%`, `12.5 %` or `0.5`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => Self::new(percent.trim_end().parse::<f64>().ok()? / 100.0),
            None => Self::new(text.parse().ok()?),
        }
    }

    /// Returns the share, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_half(&self) -> bool {
        *self == Self::HALF
    }
}

/// The days of the week as they are written.
pub(crate) const WEEKDAYS: &[(&str, Weekday)] = &[
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

pub(crate) fn weekday_word(day: Weekday) -> &'static str {
    WEEKDAYS
        .iter()
        .find(|(_, known)| *known == day)
        .map_or("monday", |(word, _)| word)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn weekday_name<S: serde::Serializer>(day: &Weekday, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(weekday_word(*day))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_monday(day: &Weekday) -> bool {
    *day == Weekday::Monday
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_sum(aggregation: &Aggregation) -> bool {
    *aggregation == Aggregation::Sum
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_hour(resolution: &Granularity) -> bool {
    *resolution == Granularity::Hour
}
