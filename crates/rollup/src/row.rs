//! What an expression returned: one value, where it belongs, and when.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;

/// One row of a run: a value with its date, dimensions, unit and key, and its place in the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The number (or, for `count_distinct`, the text) the row carries.
    pub value: RowValue,
    /// The row's own date; absent, the row belongs to the time of the sync.
    pub at: Option<Timestamp>,
    /// The attributes that split the metric.
    pub dimensions: Dimensions,
    /// The unit of the value, where rows differ in it.
    pub unit: Option<Box<str>>,
    /// What makes the record one: of several rows with one key the last counts.
    pub key: Option<Box<str>>,
    /// The page the row came from, counted from 0 in the order of the run.
    pub page: u32,
    /// The row's place in its page.
    pub index: u32,
}

/// The value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowValue {
    /// A number; every aggregation takes it.
    Number(Decimal),
    /// A text, which only `count_distinct` takes.
    Text(Box<str>),
}

impl RowValue {
    /// Returns the number, if it is one.
    pub const fn number(&self) -> Option<Decimal> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    /// Returns the text that tells values apart: the number as printed, or the text itself, so that the
    /// number 7 and the text `7` are one value.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// A row's dimensions: names with texts, sorted by name, each name once. Cloning is counting.
///
/// Kept as one text of length-prefixed parts (`5:state6:active`), so that a row costs one allocation and
/// comparing for equality is comparing bytes.
#[derive(Clone, Default)]
pub struct Dimensions(Option<Arc<str>>);

impl Dimensions {
    /// No dimensions.
    pub const NONE: Self = Self(None);

    /// Returns the dimensions of these pairs; of two with one name the later stays.
    pub fn of<N: AsRef<str>, T: AsRef<str>>(pairs: impl IntoIterator<Item = (N, T)>) -> Self {
        let mut pairs: Vec<(N, T)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Self(None);
        }
        // Stable, so the later of two equal names comes later and wins below.
        pairs.sort_by(|left, right| left.0.as_ref().cmp(right.0.as_ref()));
        let mut text = String::with_capacity(
            pairs
                .iter()
                .map(|(name, value)| name.as_ref().len() + value.as_ref().len() + 8)
                .sum(),
        );
        for (place, (name, value)) in pairs.iter().enumerate() {
            if pairs
                .get(place + 1)
                .is_some_and(|next| next.0.as_ref() == name.as_ref())
            {
                continue;
            }
            push_part(&mut text, name.as_ref());
            push_part(&mut text, value.as_ref());
        }
        Self(Some(text.into()))
    }

    /// Returns the names with their texts, in the order of names.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs(self.as_encoded())
    }

    /// Returns the text of the dimension `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| *own == name)
            .map(|(_, text)| text)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn as_encoded(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }

    /// Reads the length-prefixed form back, refusing what [`Dimensions::of`] would not write.
    fn from_encoded(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(None));
        }
        let mut rest = text;
        let mut pairs = Vec::new();
        while !rest.is_empty() {
            let (name, tail) = split_part(rest)?;
            let (value, tail) = split_part(tail)?;
            pairs.push((name, value));
            rest = tail;
        }
        let ordered = pairs.windows(2).all(|two| two[0].0 < two[1].0);
        ordered.then(|| Self(Some(text.into())))
    }
}

fn push_part(text: &mut String, part: &str) {
    use fmt::Write as _;
    // Writing to a String does not fail.
    let _ = write!(text, "{}:", part.len());
    text.push_str(part);
}

fn split_part(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let length: usize = length.parse().ok()?;
    Some((rest.get(..length)?, rest.get(length..)?))
}

/// The names and texts of [`Dimensions`].
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = split_part(self.0)?;
        let (value, rest) = split_part(rest)?;
        self.0 = rest;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Dimensions {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl<N: AsRef<str>, T: AsRef<str>> FromIterator<(N, T)> for Dimensions {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Self {
        Self::of(pairs)
    }
}

impl PartialEq for Dimensions {
    fn eq(&self, other: &Self) -> bool {
        self.as_encoded() == other.as_encoded()
    }
}

impl Eq for Dimensions {}

impl Hash for Dimensions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_encoded().hash(state);
    }
}

impl Ord for Dimensions {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Dimensions {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Dimensions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Dimensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(self.as_encoded());
        }
        let mut map = serializer.serialize_map(Some(self.iter().count()))?;
        for (name, value) in self {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_map(Reader)
        } else {
            deserializer.deserialize_str(Reader)
        }
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Dimensions;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("dimension names with their texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Dimensions, E> {
        Dimensions::from_encoded(text).ok_or_else(|| E::custom("malformed dimensions"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dimensions, A::Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Dimensions::of(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_sorted_and_the_later_of_two_equal_names_stays() {
        let dimensions = Dimensions::of([("state", "active"), ("plan", "pro"), ("state", "gone")]);
        assert_eq!(
            dimensions.iter().collect::<Vec<_>>(),
            [("plan", "pro"), ("state", "gone")]
        );
        assert_eq!(dimensions.get("state"), Some("gone"));
        assert_eq!(dimensions.get("none"), None);
    }

    #[test]
    fn dimensions_order_by_name_and_text_not_by_length() {
        let of = |text: &str| Dimensions::of([("team", text)]);
        assert!(of("zebra") > of("alligator"));
        assert!(Dimensions::NONE < of(""));
    }

    #[test]
    fn dimensions_survive_json_and_binary_whatever_the_text() {
        let dimensions = Dimensions::of([("a", "1:x"), ("b", ""), ("c", "ü\u{1f}\"")]);
        let json = serde_json::to_string(&dimensions).unwrap();
        assert_eq!(
            serde_json::from_str::<Dimensions>(&json).unwrap(),
            dimensions
        );
        let bytes = postcard::to_stdvec(&dimensions).unwrap();
        assert_eq!(
            postcard::from_bytes::<Dimensions>(&bytes).unwrap(),
            dimensions
        );
    }

    #[test]
    fn malformed_binary_dimensions_are_refused() {
        for text in [
            "x",
            "1:a",
            "9:a1:b",
            "1:b1:x1:a1:y",
            "1:a1:x1:a1:y",
            "1:é1:a",
        ] {
            let bytes = postcard::to_stdvec(text).unwrap();
            assert!(
                postcard::from_bytes::<Dimensions>(&bytes).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_row_survives_binary_with_every_digit() {
        let row = Row {
            value: RowValue::Number(Decimal::parse("12345678901234567890.125").unwrap()),
            at: Some("2024-02-29T12:00:00.5Z".parse().unwrap()),
            dimensions: Dimensions::of([("state", "active")]),
            unit: Some("USD".into()),
            key: Some("9007199254740993".into()),
            page: 3,
            index: 7,
        };
        let bytes = postcard::to_stdvec(&row).unwrap();
        assert_eq!(postcard::from_bytes::<Row>(&bytes).unwrap(), row);
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    }
}
