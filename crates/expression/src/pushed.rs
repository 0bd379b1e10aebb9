//! Rows that come as JSON and not from an expression, read as those are.

use jlens_core::output::Builder as _;
use rollup::{Row, SeriesKey};

use crate::calculation::Calculation;
use crate::convert::{Refusal, RowReader};
use crate::fields::Labels;
use crate::page::{parse_error, prepare};
use crate::result::{DeletedRow, TaskResult};
use crate::task::Reading;
use crate::tree::{Tree, Value};
use crate::{EvaluationError, RejectedRow};

/// The longest text of series and date that may stand for a key.
const DERIVED_KEY: usize = 400;
/// All that a row may have.
const FIELDS: [&str; 6] = ["value", "date", "dimensions", "unit", "key", "deleted"];
const UNKNOWABLE: &str = "it has neither `date` nor `key`, so that it would count again when it is sent again: \
     give it one, or send the batch with an `Idempotency-Key`";

/// Reads a list of rows, or one row: `{value, date?, dimensions?, unit?, key?, deleted?}`.
///
/// A row without a key is known by its date and its series, so that the same point sent again replaces the earlier
/// one; one without a date belongs to `now_ms`, and without either it is known by its place in `batch`, or rejected:
/// sent again it would count again. One that says `deleted` takes its point away.
///
/// # Errors
/// Text that is not JSON, or not a list of objects.
pub fn read_rows(
    text: &str,
    reading: &Reading,
    now_ms: i64,
    batch: Option<&str>,
) -> Result<TaskResult, EvaluationError> {
    let prepared = prepare(text.as_bytes())?;
    let parsed: serde_json::Value =
        serde_json::from_str(&prepared).map_err(|error| parse_error(&error, &prepared))?;
    let rows = match parsed {
        serde_json::Value::Array(rows) => rows,
        one @ serde_json::Value::Object(_) => vec![one],
        _ => {
            return Err(EvaluationError::new(
                "rows.shape",
                "rows are a list of objects such as { \"value\": 1, \"date\": \"2026-01-31\" }",
            ));
        }
    };
    let zone = definition::zone::find(&reading.zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let mut reader = RowReader::new(reading, zone, Calculation::None, Labels::default());
    let mut result = TaskResult::default();
    let mut tree = Tree::default();
    for (index, row) in rows.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let (row, is_deleted) = match split(row) {
            Ok(split) => split,
            Err((code, reason)) => {
                result.refuse(index, code, reason);
                continue;
            }
        };
        tree.clear();
        let value = write(&mut tree, &row);
        let mut one = TaskResult::default();
        reader.read(&tree, Some(value), 0, now_ms, &mut one);
        result.rejected_count += one.rejected_count;
        for (code, count) in one.rejected_by {
            *result.rejected_by.entry(code).or_default() += count;
        }
        let rejected = one.rejected.into_iter();
        result
            .rejected
            .extend(rejected.map(|row| RejectedRow { index, ..row }));
        for mut row in one.rows {
            let key = match key(&row, index, batch) {
                Ok(key) => key,
                Err(reason) => {
                    result.refuse(index, "key.missing", reason.to_owned());
                    continue;
                }
            };
            if is_deleted {
                result.deleted.push(DeletedRow {
                    key,
                    page: 0,
                    index,
                });
                continue;
            }
            let now = || jiff::Timestamp::from_millisecond(now_ms).ok();
            row.index = index;
            row.at = row.at.or_else(now);
            row.key = Some(key);
            result.rows.push(row);
        }
    }
    Ok(result)
}

/// Takes `deleted` off a row; one that is deleted needs no value.
fn split(mut row: serde_json::Value) -> Result<(serde_json::Value, bool), Refusal> {
    let Some(fields) = row.as_object_mut() else {
        return Ok((row, false));
    };
    if let Some(stray) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let reason = format!(
            "a row has no `{}`; it has {}",
            crate::mask::excerpt(stray, 60),
            FIELDS.join(", ")
        );
        return Err(("row.field_unknown", reason));
    }
    let is_deleted = match fields.remove("deleted") {
        Some(serde_json::Value::Bool(truth)) => truth,
        Some(serde_json::Value::Null) | None => false,
        Some(_) => return Err(("row.deleted", "`deleted` is true or false".to_owned())),
    };
    if is_deleted {
        fields.insert("value".to_owned(), 0.into());
    }
    Ok((row, is_deleted))
}

/// The row's own key, else its date and series, else its place in the batch.
fn key(row: &Row, index: u32, batch: Option<&str>) -> Result<Box<str>, &'static str> {
    if let Some(key) = &row.key {
        return Ok(key.clone());
    }
    let Some(at) = row.at else {
        return batch
            .map(|batch| format!("#{batch} {index}").into())
            .ok_or(UNKNOWABLE);
    };
    let series = SeriesKey {
        dimensions: row.dimensions.clone(),
        unit: row.unit.clone(),
    };
    let text = format!("@{at} {}", series.canonical());
    if text.len() > DERIVED_KEY {
        return Err("its dimensions are too long to know the row by them: give it a `key`");
    }
    Ok(text.into())
}

fn write(tree: &mut Tree, value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => tree.null(),
        serde_json::Value::Bool(truth) => tree.bool(*truth),
        serde_json::Value::Number(number) => tree.number(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => tree.string(text),
        serde_json::Value::Array(items) => {
            let mut array = tree.array(items.len());
            for item in items {
                let item = write(tree, item);
                tree.push(&mut array, item);
            }
            tree.end_array(array)
        }
        serde_json::Value::Object(fields) => {
            let mut object = tree.object(fields.len());
            for (name, value) in fields {
                let value = write(tree, value);
                tree.insert(&mut object, name, value);
            }
            tree.end_object(object)
        }
    }
}

impl TaskResult {
    fn refuse(&mut self, index: u32, code: &str, reason: String) {
        self.count_rejected(code);
        self.rejected.push(RejectedRow {
            page: 0,
            index,
            code: code.to_owned(),
            reason,
            sample: String::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;

    fn read(text: &str) -> TaskResult {
        read_rows(text, &Reading::default(), NOW, None).unwrap()
    }

    fn keys(result: &TaskResult) -> Vec<String> {
        result
            .rows
            .iter()
            .map(|row| row.key.as_deref().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn rows_are_read_as_an_expressions_rows_are() {
        let result = read(
            r#"[{"value": 0.1, "date": "2026-01-31", "dimensions": {"shop": "north"}, "unit": "EUR"},
                {"value": "x", "key": "b"}, {"date": "2026-01-31"}, 7, {"value": 12345678901234567890, "key": "a"}]"#,
        );
        assert_eq!(result.rows.len(), 2, "{:?}", result.rejected);
        assert_eq!(result.rows[0].value.text(), "0.1");
        assert_eq!(result.rows[1].value.text(), "12345678901234567890");
        assert_eq!(result.rows[1].at.unwrap().as_millisecond(), NOW);
        assert_eq!(result.rejected_count, 3);
        let places: Vec<u32> = result.rejected.iter().map(|row| row.index).collect();
        assert_eq!(places, [1, 2, 3]);
    }

    #[test]
    fn a_point_is_known_by_its_date_and_series_or_by_its_key() {
        let text = r#"[{"value": 1, "date": "2026-01-31", "dimensions": {"b": "y", "a": "x"}},
                       {"value": 2, "date": "2026-01-31T00:00:00Z", "dimensions": {"a": "x", "b": "y"}},
                       {"value": 3, "date": "2026-02-01", "dimensions": {"a": "x", "b": "y"}}, {"value": 4, "key": "k"}]"#;
        let found = keys(&read(text));
        assert_eq!(found[0], found[1]);
        assert_ne!(found[0], found[2]);
        assert_eq!(found[3], "k");
    }

    #[test]
    fn a_deleted_row_needs_no_value_and_is_the_point_that_it_was() {
        let point = r#""date": "2026-01-31", "dimensions": {"a": "x"}"#;
        let there = read(&format!("{{\"value\": 1, {point}}}"));
        let gone = read(&format!(
            "[{{\"deleted\": true, {point}}}, {{\"key\": 7, \"deleted\": true}}]"
        ));
        assert_eq!(*gone.deleted[0].key, keys(&there)[0]);
        assert_eq!(&*gone.deleted[1].key, "7");
        assert!(gone.rows.is_empty());
    }

    #[test]
    fn a_row_that_would_count_twice_or_has_a_stray_field_is_rejected() {
        let text =
            r#"[{"value": 1}, {"value": 1, "day": "2026-01-31"}, {"key": "a", "deleted": "no"}]"#;
        let codes = |result: &TaskResult| -> Vec<String> {
            let rejected = result.rejected.iter();
            rejected.map(|row| row.code.clone()).collect()
        };
        let alone = read(text);
        assert_eq!(
            codes(&alone),
            ["key.missing", "row.field_unknown", "row.deleted"]
        );
        assert_eq!((alone.rejected_count, alone.rows.len()), (3, 0));
        let batch = read_rows(text, &Reading::default(), NOW, Some("b-1")).unwrap();
        assert_eq!(codes(&batch), ["row.field_unknown", "row.deleted"]);
        assert_eq!(keys(&batch), ["#b-1 0"]);
    }

    #[test]
    fn what_is_no_list_of_rows_is_refused() {
        for (text, code) in [
            ("7", "rows.shape"),
            ("[", "upstream.not_json"),
            ("", "upstream.not_json"),
        ] {
            let error = read_rows(text, &Reading::default(), NOW, None).unwrap_err();
            assert_eq!(error.code, code, "{text}");
        }
        let long = format!(
            r#"{{"value":1,"date":"2026-01-31","dimensions":{{"a":"{}"}}}}"#,
            "x".repeat(500)
        );
        assert_eq!(read(&long).rejected_count, 1);
    }
}
