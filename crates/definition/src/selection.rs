use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::Name;
use crate::words::words;

/// What a person clicks in an answer; the expression is generated from it.
///
/// Every text but `date.format`, `date.zone` and `value.number` is JSONata.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Select {
    /// Where the records are; absent or `$`: the answer, or its items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Which records count, on one record.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub where_: Option<String>,
    /// The number of a record; absent: each record is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueSelect>,
    /// What splits the number, by name.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub dimensions: IndexMap<Name, String>,
    /// Where the unit is, such as a currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// When a record happened; absent: the time of the sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateSelect>,
    /// What makes a record itself, so that it counts once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether a record is gone (`mode: upsert`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// What it means when `records` is not in the answer.
    #[serde(skip_serializing_if = "Missing::is_default")]
    pub missing: Missing,
}

impl Select {
    /// The most dimensions of a metric.
    pub const MAX_DIMENSIONS: usize = 16;

    /// Tells whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the records of an answer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// `subscribers`: JSONata on the page.
    Path(String),
    /// `{ entries: rates }`: a map becomes `{key, value}` records.
    Entries {
        /// Where the map is.
        entries: String,
    },
    /// `{ zip: [hourly.time, hourly.rain] }`: parallel arrays become records.
    Zip {
        /// Where the arrays are.
        zip: Vec<String>,
    },
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => serializer.serialize_str(path),
            Self::Entries { entries } => serializer.collect_map([("entries", entries)]),
            Self::Zip { zip } => serializer.collect_map([("zip", zip)]),
        }
    }
}

/// The number of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueSelect {
    /// `{ count: true }`: each record is 1.
    Count,
    /// `total`, or `{ path: total, number: "1,234.56", scale: 0.01 }`
    Path {
        /// Where the number is, on the record.
        path: String,
        /// `first`: a scalar at the root, taken once, from the first page.
        page: Option<ValuePage>,
        /// How a number in text is written.
        number: Option<NumberFormat>,
        /// What the number is multiplied with.
        scale: Option<f64>,
    },
}

impl ValueSelect {
    /// Selects the number at `path`, without anything else.
    pub fn path(path: impl Into<String>) -> Self {
        Self::Path {
            path: path.into(),
            page: None,
            number: None,
            scale: None,
        }
    }
}

impl Serialize for ValueSelect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Long<'a> {
            path: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            page: Option<ValuePage>,
            #[serde(skip_serializing_if = "Option::is_none")]
            number: Option<NumberFormat>,
            #[serde(skip_serializing_if = "Option::is_none")]
            scale: Option<f64>,
        }
        match self {
            Self::Count => serializer.collect_map([("count", true)]),
            Self::Path {
                path,
                page,
                number,
                scale,
            } => Long {
                path,
                page: *page,
                number: *number,
                scale: *scale,
            }
            .serialize(serializer),
        }
    }
}

words! {
    /// Which page a value is taken from.
    pub enum ValuePage {
        /// The first page of a run.
        First = "first",
    }
}

words! {
    /// How a number in text is written.
    pub enum NumberFormat {
        /// A point before the decimals, commas between thousands.
        Point = "1,234.56",
        /// A comma before the decimals, points between thousands.
        Comma = "1.234,56",
        /// A percentage: `45 %` is 45.
        Percent = "percent",
    }
}

/// When a record happened: `date: created_at`, or `{ path, format, zone }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DateSelect {
    /// Where the date is, on the record.
    pub path: String,
    /// How it is written; absent: ISO 8601 text, with or without a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<DateFormat>,
    /// The zone of a date that has none of its own; absent: the metric's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// How a date is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DateFormat {
    /// `iso`: 2026-01-31T12:00:00Z and its relatives.
    Iso,
    /// `date`: 2026-01-31, that calendar day.
    Date,
    /// `unix`: seconds since 1970.
    Unix,
    /// `unix_ms`: milliseconds since 1970.
    UnixMs,
    /// A pattern such as `%d/%m/%Y %H:%M`.
    Pattern(String),
}

impl DateFormat {
    /// The words besides patterns.
    pub const WORDS: &'static [&'static str] = &["iso", "date", "unix", "unix_ms"];

    /// Reads a format: one of [`Self::WORDS`], or a pattern with a `%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "iso" => Some(Self::Iso),
            "date" => Some(Self::Date),
            "unix" => Some(Self::Unix),
            "unix_ms" => Some(Self::UnixMs),
            pattern if pattern.contains('%') => Some(Self::Pattern(pattern.to_owned())),
            _ => None,
        }
    }

    /// Returns the format as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Iso => "iso",
            Self::Date => "date",
            Self::Unix => "unix",
            Self::UnixMs => "unix_ms",
            Self::Pattern(pattern) => pattern,
        }
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for DateFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DateFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date format"))
    }
}

words! {
    /// What it means when `records` is not in the first page.
    #[derive(Default)]
    pub enum Missing {
        /// The metric's part of the run fails, and its earlier data stays (the default).
        #[default]
        Fail = "fail",
        /// There are no records.
        Empty = "empty",
    }
}

impl Missing {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Fail
    }
}

/// How a number is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Format {
    /// As what.
    pub style: FormatStyle,
    /// With how many decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u32>,
}

words! {
    /// As what a number is shown.
    pub enum FormatStyle {
        /// A plain number.
        Number = "number",
        /// Money, in the metric's unit.
        Currency = "currency",
        /// A percentage.
        Percent = "percent",
        /// A length of time; the value is in seconds.
        Duration = "duration",
    }
}
