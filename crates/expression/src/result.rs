//! What one task got out of one page.

use std::collections::BTreeMap;

use rollup::{Row, RowValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::mask::mask;
use crate::{EvaluationError, FieldsSeen};

/// The rows of one task on one page, or of the whole run for `scope: run`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskResult {
    /// The task's id.
    pub id: u32,
    /// The rows that can be used, in the order of the records.
    pub rows: Vec<Row>,
    /// Records that count no more, where records are followed by their keys: those said to be deleted, and those
    /// whose row could not be used.
    pub deleted: Vec<DeletedRow>,
    /// How many rows could not be used.
    pub rejected_count: u64,
    /// How many of them there are for each reason's code.
    pub rejected_by: BTreeMap<String, u64>,
    /// The first of them, at most [`budget::REJECTED_SAMPLES`](crate::budget::REJECTED_SAMPLES).
    pub rejected: Vec<RejectedRow>,
    /// Why the place of the records is not in the first page, where nothing says that this is fine.
    pub records_missing: Option<String>,
    /// What the records of the run have shown so far of the fields that the expression names, where this page brought
    /// news.
    pub fields: Option<FieldsSeen>,
    /// Why there is nothing at all.
    pub error: Option<EvaluationError>,
}

impl TaskResult {
    /// How many rows the expression returned, usable or not.
    pub fn returned(&self) -> u64 {
        self.rows.len() as u64 + self.rejected_count
    }

    /// Counts a row that could not be used.
    pub(crate) fn count_rejected(&mut self, code: &str) {
        self.rejected_count += 1;
        match self.rejected_by.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.rejected_by.insert(code.to_owned(), 1);
            }
        }
    }

    pub(crate) fn failed(id: u32, error: EvaluationError) -> Self {
        Self {
            id,
            error: Some(error),
            ..Self::default()
        }
    }
}

/// A record that counts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedRow {
    /// What makes the record itself.
    pub key: Box<str>,
    /// The page it came from.
    pub page: u32,
    /// Its place among the rows of that page, from 0.
    pub index: u32,
}

/// A row that cannot be used, with the reason and what it looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// The page it came from.
    pub page: u32,
    /// Its place among the rows of that page, from 0.
    pub index: u32,
    /// Stable code, such as `value.not_number`.
    pub code: String,
    /// The reason in one sentence, with a hint where there is a cure.
    pub reason: String,
    /// The row as JSON: e-mail addresses and long tokens masked, at most 1 KiB.
    pub sample: String,
}

/// Returns a row as [`row_json`] does, with addresses and long tokens in its key and its value masked.
pub fn masked_row_json(row: &Row) -> Value {
    let mut shown = row_json(row);
    for field in ["key", "value"] {
        if let Some(Value::String(text)) = shown.get_mut(field) {
            *text = mask(text);
        }
    }
    shown
}

/// Returns a row as people read it: value, and date, dimensions, unit and key where it has them.
pub fn row_json(row: &Row) -> Value {
    let mut shown = Map::new();
    shown.insert(
        "value".to_owned(),
        match &row.value {
            RowValue::Number(number) => json!(number),
            RowValue::Text(text) => json!(text),
        },
    );
    if let Some(at) = row.at {
        shown.insert("date".to_owned(), json!(at.to_string()));
    }
    if !row.dimensions.is_empty() {
        shown.insert("dimensions".to_owned(), json!(row.dimensions));
    }
    if let Some(unit) = &row.unit {
        shown.insert("unit".to_owned(), json!(unit));
    }
    if let Some(key) = &row.key {
        shown.insert("key".to_owned(), json!(key));
    }
    Value::Object(shown)
}
