//! What an answer seems to hold: records, dates, numbers, dimensions, keys, and how it pages.

use std::collections::HashSet;

use expression::field_path;
use fetcher::detect::{Candidate, FirstAnswer, detect};
use serde_json::{Map, Value};

use super::Answer;

/// Records looked at.
const LOOKED_AT: usize = 200;
/// A field with more different texts than this is no dimension.
const MEMBERS: usize = 20;
/// Arrays deeper than this are not taken for the records.
const DEPTH: usize = 4;

/// What was found in an answer.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The path of the records; none when the answer is one object.
    pub(crate) records: Option<String>,
    /// How many there are on this page.
    pub(crate) count: usize,
    /// The field that says when, and its format.
    pub(crate) date: Option<(String, &'static str)>,
    /// Numeric fields that could be summed.
    pub(crate) values: Vec<String>,
    /// Fields with few different texts.
    pub(crate) dimensions: Vec<(String, usize)>,
    /// The field that makes a record itself.
    pub(crate) key: Option<String>,
    /// The field that holds a currency.
    pub(crate) unit: Option<String>,
    /// How the next page may be found, the best first.
    pub(crate) pagination: Vec<Candidate>,
}

impl Findings {
    /// Looks at an answer.
    pub(crate) fn of(answer: &Answer<'_>) -> Self {
        let mut found = Self::default();
        if let Some((path, records)) = largest_list(answer.body, &mut Vec::new(), 0) {
            found.records = Some(if path.is_empty() {
                "$".into()
            } else {
                field_path(path.iter().map(String::as_str))
            });
            found.count = records.len();
            let records: Vec<&Map<String, Value>> = records
                .iter()
                .take(LOOKED_AT)
                .filter_map(Value::as_object)
                .collect();
            found.look_at_records(&records);
        } else if let Value::Object(fields) = answer.body {
            numbers(fields, &mut Vec::new(), &mut found.values);
        }
        found.pagination = detect(&FirstAnswer {
            url: answer.url,
            sent: None,
            headers: answer.answered,
            body: answer.body,
        });
        found
    }

    fn look_at_records(&mut self, records: &[&Map<String, Value>]) {
        let Some(first) = records.first() else { return };
        for name in first.keys() {
            let values: Vec<&Value> = records
                .iter()
                .filter_map(|record| record.get(name))
                .collect();
            let present: Vec<&Value> = values
                .iter()
                .copied()
                .filter(|value| !value.is_null())
                .collect();
            let path = field_path([name.as_str()]);
            if present.is_empty() {
                continue;
            }
            let different: HashSet<String> = present.iter().map(ToString::to_string).collect();
            let is_unique = different.len() == records.len();
            if let Some(format) = date_format(name, &present) {
                let better = self
                    .date
                    .as_ref()
                    .is_none_or(|(old, _)| date_rank(&path) < date_rank(old));
                if better {
                    self.date = Some((path, format));
                }
            } else if is_id(name) {
                if is_unique
                    && present
                        .iter()
                        .all(|value| value.is_string() || value.is_number())
                    && self.key.is_none()
                {
                    self.key = Some(path);
                }
            } else if name.eq_ignore_ascii_case("currency") {
                self.unit = Some(path);
            } else if present.iter().all(|value| value.is_number()) {
                self.values.push(path);
            } else if present
                .iter()
                .all(|value| value.is_string() || value.is_boolean())
                && different.len() <= MEMBERS
                && (different.len() < records.len().max(2) || present[0].is_boolean())
                && !name.contains("email")
                && !name.contains("url")
            {
                self.dimensions.push((path, different.len()));
            }
        }
        self.values.sort_by_key(|path| value_rank(path));
        self.dimensions
            .sort_by_key(|(path, _)| dimension_rank(path));
    }

    /// What was found, for people.
    pub(crate) fn suggestions(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.records {
            Some(path) => lines.push(format!("records: {path} ({} on this page)", self.count)),
            None => lines.push("records: none; the answer itself is one record".into()),
        }
        if !self.values.is_empty() {
            let shown: Vec<&str> = self.values.iter().take(8).map(String::as_str).collect();
            lines.push(format!("value: count the records, or {}", shown.join(", ")));
        }
        if let Some((path, format)) = &self.date {
            lines.push(format!("date: {path} ({format})"));
        }
        for (path, members) in self.dimensions.iter().take(8) {
            lines.push(format!(
                "dimension: {path} ({members} different on this page)"
            ));
        }
        if let Some(key) = &self.key {
            lines.push(format!("key: {key} (each record counts once)"));
        }
        match self.pagination.split_first() {
            Some((best, others)) => {
                let how = best.pagination.as_str();
                let seen = best.reasons.join("; ");
                lines.push(format!(
                    "pagination: {how} ({}): {seen}",
                    best.certainty.as_str()
                ));
                for doubt in &best.doubts {
                    lines.push(format!("  to be checked: {doubt}"));
                }
                for other in others {
                    let written = super::yaml::pagination(other);
                    lines.push(format!("  or {written}: {}", other.reasons.join("; ")));
                }
            }
            None if self.records.is_some() => {
                lines.push(
                    "pagination: none was recognised; look into the API's documentation".into(),
                );
            }
            None => {}
        }
        lines
    }
}

/// Finds the longest array of objects, nearest to the root.
fn largest_list<'a>(
    value: &'a Value,
    path: &mut Vec<String>,
    depth: usize,
) -> Option<(Vec<String>, &'a Vec<Value>)> {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            Some((path.clone(), items))
        }
        Value::Object(fields) if depth < DEPTH => {
            let mut best: Option<(Vec<String>, &Vec<Value>)> = None;
            for (name, value) in fields {
                path.push(name.clone());
                let found = largest_list(value, path, depth + 1);
                path.pop();
                if let Some(found) = found
                    && best
                        .as_ref()
                        .is_none_or(|(_, items)| found.1.len() > items.len())
                {
                    best = Some(found);
                }
            }
            best
        }
        _ => None,
    }
}

fn numbers(fields: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<String>) {
    for (name, value) in fields {
        path.push(name.clone());
        match value {
            Value::Number(_) if !is_id(name) => {
                found.push(field_path(path.iter().map(String::as_str)));
            }
            Value::Object(fields) if path.len() < DEPTH => numbers(fields, path, found),
            _ => {}
        }
        path.pop();
    }
}

fn is_id(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "id" || name == "uuid" || name.ends_with("_id") || name == "key"
}

/// Whether a text looks like a date in ISO 8601.
pub(crate) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes.len() <= 40
        && [0, 1, 2, 3, 5, 6, 8, 9]
            .iter()
            .all(|place| bytes[*place].is_ascii_digit())
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes.get(10).is_none_or(|byte| matches!(byte, b'T' | b' '))
}

/// The format of a field of dates; none when it holds no dates.
fn date_format(name: &str, values: &[&Value]) -> Option<&'static str> {
    if values
        .iter()
        .all(|value| value.as_str().is_some_and(is_date))
    {
        return Some("iso");
    }
    let named = ["_at", "date", "time", "created", "timestamp"]
        .iter()
        .any(|part| name.contains(part));
    let within = |from: f64, to: f64| {
        values.iter().all(|value| {
            value
                .as_f64()
                .is_some_and(|number| (from..to).contains(&number))
        })
    };
    match named {
        true if within(5e8, 5e9) => Some("unix"),
        true if within(5e11, 5e12) => Some("unix_ms"),
        _ => None,
    }
}

fn rank(path: &str, words: &[&str]) -> usize {
    words
        .iter()
        .position(|word| path.contains(word))
        .unwrap_or(words.len())
}

fn date_rank(path: &str) -> usize {
    rank(
        path,
        &[
            "created",
            "transaction",
            "date",
            "timestamp",
            "time",
            "updated",
        ],
    )
}

fn value_rank(path: &str) -> usize {
    rank(
        path,
        &["total", "amount", "revenue", "price", "value", "sum"],
    )
}

fn dimension_rank(path: &str) -> usize {
    rank(
        path,
        &[
            "state", "status", "type", "category", "plan", "country", "source",
        ],
    )
}
