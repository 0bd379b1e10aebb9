//! From a result of the engine to rows, or to the reason why a row cannot be used.

use jiff::tz::TimeZone;
use rollup::{Decimal, Row, RowValue};

use crate::budget::{REJECTED_SAMPLES, SAMPLE_BYTES};
use crate::calculation::Calculation;
use crate::dimensions::DimensionReader;
use crate::fields::Labels;
use crate::mask::{excerpt, mask};
use crate::missing::told;
use crate::read_date::DateReader;
use crate::read_number::{NotANumber, NumberReader};
use crate::result::{DeletedRow, RejectedRow, TaskResult};
use crate::task::Reading;
use crate::tree::{Field, Piece, Tree, Value};

/// Longest key, in characters.
const KEY_CHARACTERS: usize = 512;

/// Longest unit, in characters.
const UNIT_CHARACTERS: usize = 32;

const NULL_VALUE: &str = "the value is null";

/// Turns results into rows for one task.
#[derive(Debug)]
pub(crate) struct RowReader {
    number: NumberReader,
    date: DateReader,
    text_values: bool,
    dated: bool,
    unit: Option<Box<str>>,
    dimensions: DimensionReader,
    calculation: Calculation,
    keyed: bool,
    labels: Labels,
    /// The fields that records have, as a list for people.
    there: String,
}

/// What became of a row.
enum Became {
    Row(Row),
    /// Its record, of this key, counts no more.
    Deleted(Box<str>),
}

/// Why a row is rejected: a stable code and a sentence.
pub(crate) type Refusal = (&'static str, String);

impl RowReader {
    pub(crate) fn new(
        reading: &Reading,
        zone: TimeZone,
        calculation: Calculation,
        labels: Labels,
    ) -> Self {
        Self {
            number: NumberReader::new(reading.number, reading.scale),
            date: DateReader::new(reading.date.clone(), zone),
            text_values: reading.text_values,
            dated: reading.dated,
            unit: reading.unit.as_deref().map(Into::into),
            dimensions: DimensionReader::new(reading.dimensions.clone()),
            calculation,
            keyed: reading.keyed,
            labels,
            there: String::new(),
        }
    }

    /// Learns which fields records have, to tell them where one is missing.
    pub(crate) fn know(&mut self, keys: &[String]) {
        self.there = told(keys.iter().map(String::as_str));
    }

    /// Says that a part of the row is not in the record, and what is.
    fn absent(&self, what: &str, label: Option<&str>) -> String {
        let Some(label) = label else {
            return format!("the record has no {what}");
        };
        if self.there.is_empty() {
            return format!("the record has no {what}: `{label}` gives none");
        }
        format!(
            "the record has no {what}: `{label}` gives none; records here have {}",
            self.there
        )
    }

    /// Reads the rows of a result: nothing for undefined and null, one for an object, many for a list.
    pub(crate) fn read(
        &mut self,
        tree: &Tree,
        result: Option<Value>,
        page: u32,
        now_ms: i64,
        into: &mut TaskResult,
    ) {
        let single;
        let rows = match result {
            None | Some(Value::Null) => return,
            Some(Value::List(piece)) => tree.items(piece),
            Some(other) => {
                single = [other];
                &single
            }
        };
        into.rows.reserve(rows.len());
        for (index, value) in rows.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            match self.row(tree, *value, page, index, now_ms) {
                Ok(Became::Row(row)) => into.rows.push(row),
                Ok(Became::Deleted(key)) => into.deleted.push(DeletedRow { key, page, index }),
                Err((code, reason)) => {
                    // As in a full read, a row that cannot be used counts for nothing, nor what it was before.
                    if let Some(key) = self.key_of(tree, *value) {
                        into.deleted.push(DeletedRow { key, page, index });
                    }
                    reject(into, tree, *value, page, index, code, reason);
                }
            }
        }
    }

    fn row(
        &mut self,
        tree: &Tree,
        value: Value,
        page: u32,
        index: u32,
        now_ms: i64,
    ) -> Result<Became, Refusal> {
        let Value::Object(piece) = value else {
            return Err(not_a_row(tree, value));
        };
        let fields = tree.fields(piece);
        let (mut number, mut date, mut dimensions, mut unit, mut key, mut deleted) =
            (None, None, None, None, None, None);
        for (field, value) in fields {
            match field {
                Field::Value => number = Some(*value),
                Field::Date => date = Some(*value),
                Field::Dimensions => dimensions = Some(*value),
                Field::Unit => unit = Some(*value),
                Field::Key => key = Some(*value),
                Field::Deleted => deleted = Some(*value),
                Field::Other(_) => {}
            }
        }
        let key = key_text(tree, key)?;
        if let (None, Some(label)) = (&key, &self.labels.key) {
            return Err(("key.missing", self.absent("key", Some(label))));
        }
        if self.keyed {
            let Some(key) = &key else {
                let text = "the record has no key, by which `mode: upsert` follows it".to_owned();
                return Err(("key.missing", text));
            };
            if deleted.is_some_and(|deleted| is_true(tree, deleted)) {
                return Ok(Became::Deleted(key.clone()));
            }
        }
        let Some(number) = number else {
            let is_other_object = !fields.is_empty()
                && fields
                    .iter()
                    .all(|(field, _)| matches!(field, Field::Other(_) | Field::Deleted));
            return Err(if is_other_object {
                not_a_row(tree, value)
            } else {
                (
                    "value.missing",
                    self.absent("value", self.labels.value.as_deref()),
                )
            });
        };
        Ok(Became::Row(Row {
            value: self.value(tree, number)?,
            at: self.instant(tree, date, now_ms)?,
            dimensions: self.dimensions.read(tree, dimensions)?,
            unit: self.unit(tree, unit)?,
            key,
            page,
            index,
        }))
    }

    /// The key of a row that cannot be used, where records are followed by their keys.
    fn key_of(&self, tree: &Tree, value: Value) -> Option<Box<str>> {
        let Value::Object(piece) = value else {
            return None;
        };
        let mut fields = tree.fields(piece).iter().filter(|_| self.keyed);
        let (_, key) = fields.find(|(field, _)| *field == Field::Key)?;
        key_text(tree, Some(*key)).ok().flatten()
    }

    fn value(&self, tree: &Tree, value: Value) -> Result<RowValue, Refusal> {
        let read = match value {
            Value::Number(number) => self.number.number(number, self.calculation.is_any()),
            Value::Text(piece) | Value::Long(piece) if self.text_values => {
                return Ok(RowValue::Text(tree.text(piece).into()));
            }
            Value::Long(piece) => self.number.long(tree.text(piece)),
            Value::Text(piece) => self.number.text(tree.text(piece)),
            Value::Bool(truth) if self.text_values => {
                return Ok(RowValue::Text(if truth { "true" } else { "false" }.into()));
            }
            Value::Null if self.calculation == Calculation::Every => {
                let text = "the calculation gave no number, as 0/0 does: leave such records out with \
                            `where`, or say what is meant with `? :`";
                return Err(("value.not_finite", text.to_owned()));
            }
            Value::Null if self.calculation.is_any() => {
                let text =
                    "the value is null: there is none, or a calculation such as 0/0 gave no number";
                return Err(("value.missing", text.to_owned()));
            }
            Value::Null => {
                let text = match &self.labels.value {
                    Some(label) => format!("{NULL_VALUE}: `{label}`"),
                    None => NULL_VALUE.to_owned(),
                };
                return Err(("value.missing", text));
            }
            Value::List(_) => {
                let text = "the value is a list: take one item, or join them with $sum or $count";
                return Err(("value.list", text.to_owned()));
            }
            Value::Bool(_) | Value::Object(_) => {
                return Err((
                    "value.not_number",
                    format!("the value is {}, not a number", kind(tree, value)),
                ));
            }
        };
        read.map(RowValue::Number).map_err(|reason| match reason {
            NotANumber::Text => {
                let text = match value {
                    Value::Text(piece) | Value::Long(piece) => Some(tree.text(piece)),
                    _ => None,
                };
                let advice = self.number.advice(text);
                let what = kind(tree, value);
                (
                    "value.not_number",
                    format!("the value is {what}, not a number: {advice}"),
                )
            }
            NotANumber::Percent => (
                "value.not_number",
                format!(
                    "the value is {}, a percentage: write `number: percent`, with `scale: 0.01` if 12.5 % is to be 0.125",
                    kind(tree, value)
                ),
            ),
            NotANumber::NotFinite => (
                "value.not_finite",
                format!("the value is {}, which is not finite", kind(tree, value)),
            ),
            NotANumber::OutOfRange => (
                "value.out_of_range",
                "the value is larger than any number that can be kept".to_owned(),
            ),
        })
    }

    fn instant(
        &self,
        tree: &Tree,
        date: Option<Value>,
        now_ms: i64,
    ) -> Result<Option<jiff::Timestamp>, Refusal> {
        let read = match date {
            None if self.dated => {
                let text = self.absent("date", self.labels.date.as_deref());
                return Err(("date.missing", text));
            }
            Some(Value::Null) if self.dated => {
                let text = match &self.labels.date {
                    Some(label) => format!("the record has no date: `{label}` is null"),
                    None => "the record has no date: it is null".to_owned(),
                };
                return Err(("date.missing", text));
            }
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Text(piece) | Value::Long(piece)) => {
                let text = tree.text(piece);
                if text.trim().is_empty() {
                    return Err(("date.missing", "the date is an empty text".to_owned()));
                }
                self.date.text(text, now_ms).map_err(|(code, reason)| {
                    (code, format!("{reason}; got \"{}\"", excerpt(text, 40)))
                })
            }
            Some(Value::Number(number)) => self
                .date
                .number(number, now_ms)
                .map_err(|(code, reason)| (code, format!("{reason}; got {number}"))),
            Some(other) => {
                return Err((
                    "date.unreadable",
                    format!("the date is {}", kind(tree, other)),
                ));
            }
        };
        read.map(Some)
    }

    fn unit(&self, tree: &Tree, value: Option<Value>) -> Result<Option<Box<str>>, Refusal> {
        match value {
            None | Some(Value::Null) => Ok(self.unit.clone()),
            Some(Value::Text(piece) | Value::Long(piece)) => {
                let text = tree.text(piece).trim();
                if text.is_empty() {
                    Ok(self.unit.clone())
                } else if text.chars().nth(UNIT_CHARACTERS).is_some()
                    || text.chars().any(char::is_control)
                {
                    let text = format!(
                        "the unit is longer than {UNIT_CHARACTERS} characters or not plain text"
                    );
                    Err(("unit.unusable", text))
                } else {
                    Ok(Some(text.into()))
                }
            }
            Some(other) => Err((
                "unit.unusable",
                format!("the unit is {}, not a text", kind(tree, other)),
            )),
        }
    }
}

/// Whether JSONata takes a value for true.
fn is_true(tree: &Tree, value: Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => truth,
        Value::Number(number) => number != 0.0,
        Value::Text(piece) | Value::Long(piece) => !tree.text(piece).is_empty(),
        Value::List(piece) => tree.items(piece).iter().any(|item| is_true(tree, *item)),
        Value::Object(piece) => !tree.fields(piece).is_empty(),
    }
}

fn key_text(tree: &Tree, value: Option<Value>) -> Result<Option<Box<str>>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(piece) | Value::Long(piece)) => {
            let text = tree.text(piece);
            if text.is_empty() {
                let text = "the key is empty: records that have none would count as one";
                return Err(("key.missing", text.to_owned()));
            }
            if text.len() > KEY_CHARACTERS && text.chars().nth(KEY_CHARACTERS).is_some() {
                let text = format!("the key is longer than {KEY_CHARACTERS} characters");
                return Err(("key.too_long", text));
            }
            Ok(Some(text.into()))
        }
        Some(Value::Number(number)) => Ok(Some(number_text(number).into())),
        Some(Value::Bool(truth)) => Ok(Some(if truth { "true" } else { "false" }.into())),
        Some(other) => Err((
            "key.not_text",
            format!("the key is {}: join its parts with `&`", kind(tree, other)),
        )),
    }
}

/// A number as people write it: whole numbers without a point, nothing in powers below 10^40.
pub(crate) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return (number as i64).to_string();
    }
    Decimal::from_f64(number).map_or_else(|_| number.to_string(), |decimal| decimal.to_string())
}

fn not_a_row(tree: &Tree, value: Value) -> Refusal {
    let got = kind(tree, value);
    match value {
        Value::Null => ("value.missing", NULL_VALUE.to_owned()),
        Value::List(_) => (
            "value.list",
            "the row is a list: an expression returns rows such as { \"value\": 1 }".to_owned(),
        ),
        Value::Number(number) => (
            "value.not_a_row",
            format!("got {got}, not a row: write {{ \"value\": … }} around it; got {number}"),
        ),
        _ => (
            "value.not_number",
            format!(
                "got {got}, not a row with a number: an expression returns rows such as {{ \"value\": 1 }}"
            ),
        ),
    }
}

/// Says what a value is, for reasons.
pub(crate) fn kind(tree: &Tree, value: Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => format!("the truth value {truth}"),
        Value::Number(_) => "a number".to_owned(),
        Value::Long(piece) => format!("the number {}", excerpt(tree.text(piece), 40)),
        Value::Text(piece) => format!("the text \"{}\"", excerpt(tree.text(piece), 40)),
        Value::List(_) => "a list".to_owned(),
        Value::Object(piece) => object_kind(tree, piece),
    }
}

fn object_kind(tree: &Tree, piece: Piece) -> String {
    let names: Vec<&str> = tree
        .fields(piece)
        .iter()
        .take(5)
        .map(|(field, _)| tree.name(*field))
        .collect();
    if names.is_empty() {
        "an empty object".to_owned()
    } else {
        format!("an object of `{}`", excerpt(&names.join("`, `"), 80))
    }
}

fn reject(
    into: &mut TaskResult,
    tree: &Tree,
    value: Value,
    page: u32,
    index: u32,
    code: &'static str,
    reason: String,
) {
    into.count_rejected(code);
    if into.rejected.len() >= REJECTED_SAMPLES {
        return;
    }
    let mut sample = String::new();
    tree.write_json(value, &mut sample, &|text| {
        mask(&text.chars().take(SAMPLE_BYTES).collect::<String>())
    });
    if sample.len() > SAMPLE_BYTES {
        let mut end = SAMPLE_BYTES - '…'.len_utf8();
        while !sample.is_char_boundary(end) {
            end -= 1;
        }
        sample.truncate(end);
        sample.push('…');
    }
    into.rejected.push(RejectedRow {
        page,
        index,
        code: code.to_owned(),
        reason,
        sample,
    });
}
