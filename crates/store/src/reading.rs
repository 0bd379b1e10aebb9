//! Stored text and instants back as what they mean, in one place for everybody who reads them.

use definition::{Connection, Dataset, Definition, Fetch, Metric};
use jiff::{SignedDuration, Timestamp};

use crate::datasets::StoredDataset;
use crate::definitions::{Kind, Stored, StoredMetric};
use crate::runs::Interval;

/// What is stored cannot be read by this version; the text says which definition and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored {kind} `{name}` cannot be read: {problem}")]
pub struct Unreadable {
    kind: &'static str,
    name: String,
    problem: String,
}

impl Stored {
    /// Reads the definition.
    pub fn definition(&self) -> Result<Definition, Unreadable> {
        read(self.kind.as_str(), &self.name, &self.document)
    }

    /// Reads the definition of a connection.
    pub fn connection(&self) -> Result<Connection, Unreadable> {
        match self.definition()? {
            Definition::Connection(connection) => Ok(connection),
            _ => Err(other_kind(self.kind.as_str(), &self.name)),
        }
    }

    /// Reads the definition of a metric.
    pub fn metric(&self) -> Result<Metric, Unreadable> {
        match self.definition()? {
            Definition::Metric(metric) => Ok(metric),
            _ => Err(other_kind(self.kind.as_str(), &self.name)),
        }
    }

    /// Reads the definition of a named dataset.
    pub fn dataset_definition(&self) -> Result<Dataset, Unreadable> {
        match self.definition()? {
            Definition::Dataset(dataset) => Ok(dataset),
            _ => Err(other_kind(self.kind.as_str(), &self.name)),
        }
    }
}

impl StoredMetric {
    /// Reads the definition.
    pub fn metric(&self) -> Result<Metric, Unreadable> {
        let kind = Kind::Metric.as_str();
        match read(kind, &self.name, &self.document)? {
            Definition::Metric(metric) => Ok(metric),
            _ => Err(other_kind(kind, &self.name)),
        }
    }
}

impl StoredDataset {
    /// Reads what it fetches.
    pub fn fetch(&self) -> Result<Fetch, Unreadable> {
        let unreadable = |problem: String| Unreadable {
            kind: Kind::Dataset.as_str(),
            name: self.id.clone(),
            problem,
        };
        let document =
            serde_json::from_str(&self.document).map_err(|error| unreadable(error.to_string()))?;
        Fetch::from_document(&document).map_err(|problems| unreadable(first(&problems)))
    }
}

impl From<definition::Interval> for Interval {
    fn from(interval: definition::Interval) -> Self {
        Self {
            start: interval.start.as_millisecond(),
            end: interval.end.as_millisecond(),
        }
    }
}

impl From<Interval> for definition::Interval {
    fn from(interval: Interval) -> Self {
        Self::new(instant(interval.start), instant(interval.end))
    }
}

/// Reads an instant of the store; one out of range is the nearest there is.
pub fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Reads an instant of a message, cut to the store's milliseconds; `None` when it is none.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    let beyond = i64::from(at.subsec_nanosecond() % 1_000_000);
    at.checked_sub(SignedDuration::from_nanos(beyond)).ok()
}

fn read(kind: &'static str, name: &str, document: &str) -> Result<Definition, Unreadable> {
    let unreadable = |problem: String| Unreadable {
        kind,
        name: name.to_owned(),
        problem,
    };
    let document = serde_json::from_str(document).map_err(|error| unreadable(error.to_string()))?;
    Definition::from_document(&document).map_err(|problems| unreadable(first(&problems)))
}

fn other_kind(kind: &'static str, name: &str) -> Unreadable {
    Unreadable {
        kind,
        name: name.to_owned(),
        problem: "it is of another kind".into(),
    }
}

fn first(problems: &[definition::Problem]) -> String {
    problems
        .first()
        .map_or_else(|| "unknown problem".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_out_of_range_are_the_nearest_there_are() {
        assert_eq!(instant(0), Timestamp::UNIX_EPOCH);
        assert_eq!(instant(i64::MIN), Timestamp::MIN);
        assert_eq!(instant(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn instants_of_messages_have_the_stores_precision() {
        let at = parse_instant("2026-01-02T03:04:05.678901234Z").unwrap();
        assert_eq!(at.to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(parse_instant("tomorrow"), None);
    }
}
