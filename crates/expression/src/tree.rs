//! A result of the engine in a few flat buffers, reused from page to page.
//!
//! Rows are made from this and not from `serde_json` values: a result of a hundred rows costs no
//! allocation once the buffers have grown.

use jlens_core::output::Builder;

use crate::budget::OUTPUT_DEPTH;
use crate::mask::is_private;
use crate::page::long_number;

/// A piece of one of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    start: u32,
    length: u32,
}

impl Piece {
    fn of(start: usize, length: usize) -> Self {
        // Results are bounded far below 4 GiB; past it pieces are empty rather than wrong.
        match (u32::try_from(start), u32::try_from(length)) {
            (Ok(start), Ok(length)) => Self { start, length },
            _ => Self {
                start: 0,
                length: 0,
            },
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

/// One value of a result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    /// The digits of a number that a double would change.
    Long(Piece),
    Text(Piece),
    List(Piece),
    Object(Piece),
}

/// What a field of a row is called; anything else is a place in the table of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Value,
    Date,
    Dimensions,
    Unit,
    Key,
    Deleted,
    Other(u32),
}

/// The buffers of one result.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    text: String,
    items: Vec<Value>,
    fields: Vec<(Field, Value)>,
    open_items: Vec<Value>,
    open_fields: Vec<(Field, Value)>,
    names: Vec<Box<str>>,
    /// Where the next name probably is: records repeat theirs in order.
    expected: usize,
    depth: usize,
    too_deep: bool,
}

/// Past this many names of dimensions, they are not looked for before adding one.
const FEW_NAMES: usize = 32;

impl Tree {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
        self.fields.clear();
        self.open_items.clear();
        self.open_fields.clear();
        self.depth = 0;
        self.too_deep = false;
        if self.names.len() > FEW_NAMES {
            self.names.clear();
        }
    }

    pub(crate) fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    pub(crate) fn text(&self, piece: Piece) -> &str {
        self.text.get(piece.range()).unwrap_or_default()
    }

    pub(crate) fn items(&self, piece: Piece) -> &[Value] {
        self.items.get(piece.range()).unwrap_or_default()
    }

    pub(crate) fn fields(&self, piece: Piece) -> &[(Field, Value)] {
        self.fields.get(piece.range()).unwrap_or_default()
    }

    pub(crate) fn name(&self, field: Field) -> &str {
        match field {
            Field::Value => "value",
            Field::Date => "date",
            Field::Dimensions => "dimensions",
            Field::Unit => "unit",
            Field::Key => "key",
            Field::Deleted => "deleted",
            Field::Other(place) => self.names.get(place as usize).map_or("", |name| name),
        }
    }

    fn field(&mut self, name: &str) -> Field {
        match name {
            "value" => return Field::Value,
            "date" => return Field::Date,
            "dimensions" => return Field::Dimensions,
            "unit" => return Field::Unit,
            "key" => return Field::Key,
            "deleted" => return Field::Deleted,
            _ => {}
        }
        let count = self.names.len().min(FEW_NAMES);
        for step in 0..count {
            let place = (self.expected + step) % count;
            if &*self.names[place] == name {
                self.expected = place + 1;
                return Field::Other(u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
        self.names.push(name.into());
        Field::Other(u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX))
    }

    fn deeper(&mut self) {
        self.depth += 1;
        self.too_deep |= self.depth > OUTPUT_DEPTH;
    }

    /// The value as JSON, with texts changed by `mask`.
    pub(crate) fn write_json(&self, value: Value, out: &mut String, mask: &dyn Fn(&str) -> String) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
            Value::Number(number) => {
                out.push_str(&serde_json::Value::from(number).to_string());
                if number.fract() == 0.0 && out.ends_with(".0") {
                    out.truncate(out.len() - 2);
                }
            }
            Value::Long(piece) => out.push_str(self.text(piece)),
            Value::Text(piece) => {
                out.push_str(&serde_json::Value::from(mask(self.text(piece))).to_string());
            }
            Value::List(piece) => {
                out.push('[');
                for (place, item) in self.items(piece).iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    if out.len() > crate::budget::SAMPLE_BYTES {
                        break;
                    }
                    self.write_json(*item, out, mask);
                }
                out.push(']');
            }
            Value::Object(piece) => {
                out.push('{');
                for (place, (field, item)) in self.fields(piece).iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    if out.len() > crate::budget::SAMPLE_BYTES {
                        break;
                    }
                    out.push_str(&serde_json::Value::from(self.name(*field)).to_string());
                    out.push(':');
                    if *item != Value::Null && is_private(self.name(*field)) {
                        out.push_str("\"***\"");
                    } else {
                        self.write_json(*item, out, mask);
                    }
                }
                out.push('}');
            }
        }
    }
}

impl Builder for Tree {
    type Value = Value;
    /// Where the container's parts begin among the open ones.
    type Array = usize;
    type Object = usize;

    fn null(&mut self) -> Value {
        Value::Null
    }

    fn bool(&mut self, value: bool) -> Value {
        Value::Bool(value)
    }

    fn number(&mut self, value: f64) -> Value {
        Value::Number(value)
    }

    fn string(&mut self, value: &str) -> Value {
        let start = self.text.len();
        if let Some(digits) = long_number(value) {
            self.text.push_str(digits);
            return Value::Long(Piece::of(start, digits.len()));
        }
        self.text.push_str(value);
        Value::Text(Piece::of(start, value.len()))
    }

    fn array(&mut self, _: usize) -> usize {
        self.deeper();
        self.open_items.len()
    }

    fn push(&mut self, _: &mut usize, item: Value) {
        self.open_items.push(item);
    }

    fn end_array(&mut self, start: usize) -> Value {
        self.depth -= 1;
        let from = self.items.len();
        self.items.extend(self.open_items.drain(start..));
        Value::List(Piece::of(from, self.items.len() - from))
    }

    fn object(&mut self, _: usize) -> usize {
        self.deeper();
        self.open_fields.len()
    }

    fn insert(&mut self, _: &mut usize, key: &str, value: Value) {
        let field = self.field(key);
        self.open_fields.push((field, value));
    }

    fn end_object(&mut self, start: usize) -> Value {
        self.depth -= 1;
        let from = self.fields.len();
        self.fields.extend(self.open_fields.drain(start..));
        Value::Object(Piece::of(from, self.fields.len() - from))
    }
}
