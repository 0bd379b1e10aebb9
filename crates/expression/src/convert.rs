//! From a result of the engine to rows, or to the reason why a row cannot be used.

use jiff::tz::TimeZone;
use rollup::{Decimal, Dimensions, Row, RowValue};

use crate::budget::{REJECTED_SAMPLES, SAMPLE_BYTES};
use crate::mask::{excerpt, mask};
use crate::read_date::DateReader;
use crate::read_number::{NotANumber, NumberReader};
use crate::result::{RejectedRow, TaskResult};
use crate::task::Reading;
use crate::tree::{Field, Piece, Tree, Value};

/// Longest text of a dimension, in characters.
pub(crate) const DIMENSION_CHARACTERS: usize = 256;

/// Most dimensions of one row.
pub(crate) const DIMENSIONS: usize = 16;

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
    declared: Vec<String>,
    calculated: bool,
    recent: RecentDimensions,
}

/// Why a row is rejected: a stable code and a sentence.
type Refusal = (&'static str, String);

impl RowReader {
    pub(crate) fn new(reading: &Reading, zone: TimeZone, calculated: bool) -> Self {
        Self {
            number: NumberReader::new(reading.number, reading.scale),
            date: DateReader::new(reading.date.clone(), zone),
            text_values: reading.text_values,
            dated: reading.dated,
            unit: reading.unit.as_deref().map(Into::into),
            declared: reading.dimensions.clone(),
            calculated,
            recent: RecentDimensions::default(),
        }
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
                Ok(row) => into.rows.push(row),
                Err((code, reason)) => reject(into, tree, *value, page, index, code, reason),
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
    ) -> Result<Row, Refusal> {
        let Value::Object(piece) = value else {
            return Err(not_a_row(tree, value));
        };
        let fields = tree.fields(piece);
        let (mut number, mut date, mut dimensions, mut unit, mut key) =
            (None, None, None, None, None);
        for (field, value) in fields {
            match field {
                Field::Value => number = Some(*value),
                Field::Date => date = Some(*value),
                Field::Dimensions => dimensions = Some(*value),
                Field::Unit => unit = Some(*value),
                Field::Key => key = Some(*value),
                Field::Other(_) => {}
            }
        }
        let Some(number) = number else {
            let is_other_object = !fields.is_empty()
                && fields
                    .iter()
                    .all(|(field, _)| matches!(field, Field::Other(_)));
            return Err(if is_other_object {
                not_a_row(tree, value)
            } else {
                ("value.missing", "the record has no value".to_owned())
            });
        };
        Ok(Row {
            value: self.value(tree, number)?,
            at: self.instant(tree, date, now_ms)?,
            dimensions: self.dimensions(tree, dimensions)?,
            unit: self.unit(tree, unit)?,
            key: key_text(tree, key)?,
            page,
            index,
        })
    }

    fn value(&self, tree: &Tree, value: Value) -> Result<RowValue, Refusal> {
        let read = match value {
            Value::Number(number) => self.number.number(number, self.calculated),
            Value::Text(piece) if self.text_values => {
                return Ok(RowValue::Text(tree.text(piece).into()));
            }
            Value::Text(piece) => self.number.text(tree.text(piece)),
            Value::Bool(truth) if self.text_values => {
                return Ok(RowValue::Text(if truth { "true" } else { "false" }.into()));
            }
            Value::Null if self.calculated => {
                let text =
                    "the value is null: there is none, or a calculation such as 0/0 gave no number";
                return Err(("value.missing", text.to_owned()));
            }
            Value::Null => return Err(("value.missing", NULL_VALUE.to_owned())),
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
            NotANumber::Text => (
                "value.not_number",
                format!(
                    "the value is {}, not a number: say how it is written with \
                     `number: \"1,234.56\"` (or \"1.234,56\", or percent), or use $number()",
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
            None | Some(Value::Null) if self.dated => {
                return Err(("date.missing", "the record has no date".to_owned()));
            }
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Text(piece)) => {
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

    fn dimensions(&mut self, tree: &Tree, value: Option<Value>) -> Result<Dimensions, Refusal> {
        let fields = match value {
            None | Some(Value::Null) => &[][..],
            Some(Value::Object(piece)) => tree.fields(piece),
            Some(other) => {
                let text = format!(
                    "`dimensions` is {}, not names with texts",
                    kind(tree, other)
                );
                return Err(("value.dimension_shape", text));
            }
        };
        if fields.is_empty() && self.declared.is_empty() {
            return Ok(Dimensions::NONE);
        }
        if fields.len() > DIMENSIONS {
            let text = format!("the row has more than the limit of {DIMENSIONS} dimensions");
            return Err(("value.too_many_dimensions", text));
        }
        let text = self.recent.begin();
        for (field, value) in fields {
            let name = tree.name(*field);
            push_name(text, name)?;
            push_dimension(text, tree, name, *value)?;
        }
        for name in &self.declared {
            if !fields.iter().any(|(field, _)| tree.name(*field) == name) {
                text.push_str(name);
                text.push(NAME_END);
                text.push(TEXT_END);
            }
        }
        Ok(self.recent.finish())
    }

    fn unit(&self, tree: &Tree, value: Option<Value>) -> Result<Option<Box<str>>, Refusal> {
        match value {
            None | Some(Value::Null) => Ok(self.unit.clone()),
            Some(Value::Text(piece)) => {
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

fn key_text(tree: &Tree, value: Option<Value>) -> Result<Option<Box<str>>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(piece)) => {
            let text = tree.text(piece);
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
fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return (number as i64).to_string();
    }
    Decimal::from_f64(number).map_or_else(|_| number.to_string(), |decimal| decimal.to_string())
}

const NAME_END: char = '\u{1f}';
const TEXT_END: char = '\u{1e}';

fn push_name(text: &mut String, name: &str) -> Result<(), Refusal> {
    let mut letters = name.bytes();
    let sound = letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 63;
    if !sound {
        let reason = format!(
            "the dimension \"{}\" needs a name of lower-case letters, digits and `_`",
            excerpt(name, 40)
        );
        return Err(("value.dimension_name", reason));
    }
    text.push_str(name);
    text.push(NAME_END);
    Ok(())
}

fn push_dimension(text: &mut String, tree: &Tree, name: &str, value: Value) -> Result<(), Refusal> {
    match value {
        Value::Null => {}
        Value::Bool(truth) => text.push_str(if truth { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number_text(number)),
        Value::Text(piece) => {
            let own = tree.text(piece);
            if own.len() > DIMENSION_CHARACTERS && own.chars().nth(DIMENSION_CHARACTERS).is_some() {
                let reason = format!(
                    "the dimension `{name}` has more than the limit of {DIMENSION_CHARACTERS} characters"
                );
                return Err(("value.dimension_too_long", reason));
            }
            if own.chars().any(char::is_control) {
                let reason = format!("the dimension `{name}` holds a control character");
                return Err(("value.dimension_control", reason));
            }
            text.push_str(own);
        }
        Value::List(_) => {
            let reason = format!(
                "the dimension `{name}` is a list: take one item (`{name}[0]`), join them \
                 ($join), or make a record of each"
            );
            return Err(("value.dimension_list", reason));
        }
        Value::Object(_) => {
            let reason = format!("the dimension `{name}` is an object: take one of its fields");
            return Err(("value.dimension_object", reason));
        }
    }
    text.push(TEXT_END);
    Ok(())
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

fn kind(tree: &Tree, value: Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => format!("the truth value {truth}"),
        Value::Number(_) => "a number".to_owned(),
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
    into.rejected_count += 1;
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

/// Dimensions made recently, so that the rows of a series share theirs.
#[derive(Debug)]
struct RecentDimensions {
    slots: Vec<Option<(Box<str>, Dimensions)>>,
    text: String,
}

impl Default for RecentDimensions {
    fn default() -> Self {
        Self {
            slots: vec![None; Self::SLOTS],
            text: String::new(),
        }
    }
}

impl RecentDimensions {
    /// A power of two; a metric has a few hundred series, and a collision costs one allocation.
    const SLOTS: usize = 512;

    fn begin(&mut self) -> &mut String {
        self.text.clear();
        &mut self.text
    }

    fn finish(&mut self) -> Dimensions {
        let text = self.text.as_str();
        let slot = &mut self.slots[place_of(text.as_bytes()) & (Self::SLOTS - 1)];
        if let Some((known, dimensions)) = slot
            && **known == *text
        {
            return dimensions.clone();
        }
        let pairs = text
            .split_terminator(TEXT_END)
            .filter_map(|pair| pair.split_once(NAME_END));
        let dimensions = Dimensions::of(pairs);
        *slot = Some((text.into(), dimensions.clone()));
        dimensions
    }
}

/// FNV over words of eight bytes: the slot only has to be cheap and spread, not safe.
fn place_of(bytes: &[u8]) -> usize {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        hash = (hash ^ word).wrapping_mul(PRIME);
    }
    for byte in words.remainder() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    usize::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).unwrap_or_default()
}
