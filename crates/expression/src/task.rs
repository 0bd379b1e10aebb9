//! What a worker is told about one metric: its expression, and how to read the rows.

use definition::{
    Aggregation, Dataset, DateFormat, Metric, MetricType, Missing, Mode, NumberFormat, Records,
    Scope, ValuePage, ValueSelect,
};
use serde::{Deserialize, Serialize};

use crate::generate::{generate, generate_keyed, places_of_records};

/// One metric's evaluation, self-contained, so that a worker needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Names the results of this task among those of its neighbours.
    pub id: u32,
    /// The JSONata: what the user wrote, or what was generated from the selection.
    pub expression: String,
    /// Whether it sees each page, or all pages of the run as one array.
    pub whole_run: bool,
    /// How its rows are read.
    pub reading: Reading,
}

/// How the rows of one task are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// How a value in text is written.
    pub number: NumberStyle,
    /// What every value is multiplied with.
    pub scale: Option<f64>,
    /// Whether any text is a value (`count_distinct`).
    pub text_values: bool,
    /// How a date is written.
    pub date: DateForm,
    /// The zone of a date that has none of its own; an IANA name, empty for UTC.
    pub zone: String,
    /// Whether a row without a date is rejected; else it belongs to the time of the sync.
    pub dated: bool,
    /// The unit of rows that state none.
    pub unit: Option<String>,
    /// Dimensions that every row has; one that is missing is the empty text.
    pub dimensions: Vec<String>,
    /// Where the records are, to tell "no records" from "no such field"; absent: not looked at.
    pub records: Option<RecordsAt>,
    /// Whether "no such field" means that there are no records (`missing: empty`).
    pub missing_is_empty: bool,
    /// Whether only the first page is evaluated (`page: first`).
    pub first_page_only: bool,
    /// Whether records are followed by their keys: a row needs one, and may say that its record is `deleted`.
    pub keyed: bool,
    /// Whether only the dates of the rows are of use.
    pub only_dates: bool,
}

/// Where the records of a task are: paths from the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordsAt {
    /// A list of them, or one.
    Path(String),
    /// An object whose fields are the records.
    Entries(String),
    /// Lists whose items belong together by their place.
    Zip(Vec<String>),
}

/// How a value that is text is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberStyle {
    /// Text is refused, unless it is a number that a double cannot hold.
    #[default]
    Plain,
    /// `1,234.56`
    PointDecimal,
    /// `1.234,56`
    CommaDecimal,
    /// `12.5 %`, which is 12.5.
    Percent,
}

/// How a date is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateForm {
    /// Text in ISO 8601; a number is refused, since it could be seconds or milliseconds.
    #[default]
    Iso,
    /// Text that begins with a calendar date; the rest of it is ignored.
    Date,
    /// Seconds since 1970, as number or text.
    Unix,
    /// Milliseconds since 1970, as number or text.
    UnixMs,
    /// Text by a strptime pattern.
    Pattern(String),
}

impl Task {
    /// Returns the evaluation of `metric`, with the defaults of its dataset filled in.
    pub fn of(metric: &Metric, dataset: Option<&Dataset>, id: u32) -> Self {
        let select = metric.selection(dataset);
        let metric_type = metric.metric_type(dataset);
        let written = metric
            .expression
            .as_deref()
            .filter(|text| !text.trim().is_empty());
        let keyed = metric.mode == Mode::Upsert;
        let expression = match written {
            Some(written) => written.to_owned(),
            None if keyed => generate_keyed(&select),
            None => generate(&select, metric_type),
        };
        let (number, scale, first_page_only) = match &select.value {
            Some(ValueSelect::Path {
                page,
                number,
                scale,
                ..
            }) => (
                number.map_or(NumberStyle::Plain, |format| match format {
                    NumberFormat::Point => NumberStyle::PointDecimal,
                    NumberFormat::Comma => NumberStyle::CommaDecimal,
                    NumberFormat::Percent => NumberStyle::Percent,
                }),
                *scale,
                *page == Some(ValuePage::First),
            ),
            _ => (NumberStyle::Plain, None, false),
        };
        let shape = crate::shape::row_shape(&expression);
        let date = select.date.as_ref().and_then(|date| date.format.as_ref());
        let zone = select.date.as_ref().and_then(|date| date.zone.clone());
        let reading = Reading {
            number,
            scale,
            text_values: metric.aggregation == Aggregation::CountDistinct,
            date: date.map_or(DateForm::Iso, |format| match format {
                DateFormat::Iso => DateForm::Iso,
                DateFormat::Date => DateForm::Date,
                DateFormat::Unix => DateForm::Unix,
                DateFormat::UnixMs => DateForm::UnixMs,
                DateFormat::Pattern(pattern) => DateForm::Pattern(pattern.clone()),
            }),
            zone: zone.or_else(|| metric.timezone.clone()).unwrap_or_default(),
            dated: shape.has_date
                || select.date.is_some()
                || (written.is_some() && metric_type == MetricType::Periods),
            unit: metric.unit.clone(),
            dimensions: shape.dimensions,
            records: match written {
                Some(_) => shape.records,
                // A total is taken from the answer itself, whatever became of its records.
                None if first_page_only => None,
                None => Some(places_of_records(select.records.as_ref())),
            },
            missing_is_empty: select.missing == Missing::Empty,
            first_page_only: first_page_only && written.is_none(),
            keyed,
            only_dates: false,
        };
        Self {
            id,
            expression,
            whole_run: metric.scope == Scope::Run,
            reading,
        }
    }
}

/// Whether records are the answer itself.
pub(crate) fn is_root(records: Option<&Records>) -> bool {
    match records {
        None => true,
        Some(Records::Path(path)) => matches!(path.trim(), "" | "$" | "$$"),
        Some(_) => false,
    }
}
