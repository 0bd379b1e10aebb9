//! The dimensions of a row: short plain texts by name, shared among the rows of a series.

use rollup::Dimensions;

use crate::convert::{Refusal, kind, number_text};
use crate::mask::excerpt;
use crate::tree::{Tree, Value};

/// Longest text of a dimension, in characters.
const DIMENSION_CHARACTERS: usize = 256;

/// Most dimensions of one row.
const DIMENSIONS: usize = 16;

const NAME_END: char = '\u{1f}';
const TEXT_END: char = '\u{1e}';

/// Reads the dimensions of the rows of one task.
#[derive(Debug)]
pub(crate) struct DimensionReader {
    declared: Vec<String>,
    recent: RecentDimensions,
}

impl DimensionReader {
    /// Reads rows that have these dimensions at least.
    pub(crate) fn new(declared: Vec<String>) -> Self {
        Self {
            declared,
            recent: RecentDimensions::default(),
        }
    }

    /// Reads the dimensions of one row.
    pub(crate) fn read(
        &mut self,
        tree: &Tree,
        value: Option<Value>,
    ) -> Result<Dimensions, Refusal> {
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
}

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
        Value::Text(piece) | Value::Long(piece) => {
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
