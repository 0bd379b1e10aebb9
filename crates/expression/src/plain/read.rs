//! Reads a page's records while it is parsed, and writes their rows.

use std::fmt;

use jlens_core::output::Builder;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Entry, Level, Part, Plan};
use crate::tree::{Tree, Value};

/// A page half read.
pub(super) struct Walk<'p> {
    pub(super) plan: &'p Plan,
    pub(super) tree: &'p mut Tree,
    pub(super) rows: &'p mut usize,
    pub(super) slots: &'p mut [Option<Value>],
    /// Rows that may still be made.
    pub(super) left: usize,
}

impl Walk<'_> {
    fn row(&mut self) {
        let row = self.object(&self.plan.row);
        self.tree.push(self.rows, row);
    }

    fn object(&mut self, parts: &[(String, Part)]) -> Value {
        let mut object = self.tree.object(parts.len());
        for (name, part) in parts {
            let value = match part {
                Part::Slot(slot) => self.slots[*slot],
                Part::Number(number) => Some(Value::Number(*number)),
                Part::Text(text) => Some(self.tree.string(text)),
                Part::Object(parts) => Some(self.object(parts)),
            };
            if let Some(value) = value {
                self.tree.insert(&mut object, name, value);
            }
        }
        self.tree.end_object(object)
    }
}

macro_rules! refuse {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom("not plain"))
        })*

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Err(E::custom("not plain"))
        }
    };
}

/// Follows the names to the records, and reads them; tells whether they were there.
pub(super) struct Records<'w, 'p>(pub(super) &'w mut Walk<'p>, pub(super) &'w [String]);

impl<'de> DeserializeSeed<'de> for Records<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }

    refuse!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self(walk, names) = self;
        let Some((name, rest)) = names.split_first() else {
            // The records are one object: one record.
            Record(walk).visit_map(map)?;
            return Ok(true);
        };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Name(name))? {
            if !is_it {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_none() {
                found = Some(map.next_value_seed(Records(walk, rest))?);
            } else {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(found.unwrap_or(false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let Self(walk, names) = self;
        if !names.is_empty() {
            return Err(A::Error::custom("names map over a list"));
        }
        while seq.next_element_seed(Record(walk))?.is_some() {}
        Ok(true)
    }
}

/// Reads one record, and writes its row.
struct Record<'w, 'p>(&'w mut Walk<'p>);

impl<'de> DeserializeSeed<'de> for Record<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Record<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    refuse!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(walk) = self;
        walk.left = walk
            .left
            .checked_sub(1)
            .ok_or_else(|| A::Error::custom("too many"))?;
        walk.slots.fill(None);
        Fields(&mut *walk.tree, &walk.plan.fields, &mut *walk.slots).visit_map(map)?;
        walk.row();
        Ok(())
    }
}

/// Reads the fields of an object into their slots.
struct Fields<'w>(&'w mut Tree, &'w Level, &'w mut [Option<Value>]);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(tree, level, slots) = self;
        while let Some(entry) = map.next_key_seed(Key(level))? {
            match entry {
                Some(entry) => map.next_value_seed(Scalar(&mut *tree, entry, &mut *slots))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a scalar into its slot, or the fields of an object that is only passed through.
struct Scalar<'w>(&'w mut Tree, &'w Entry, &'w mut [Option<Value>]);

impl Scalar<'_> {
    fn set(self, value: Value) {
        if let Some(slot) = self.1.slot {
            self.2[slot] = Some(value);
        }
        // Of a repeated name the last value counts, and this one has no fields.
        self.1.inner.forget(self.2);
    }
}

impl<'de> DeserializeSeed<'de> for Scalar<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.set(Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.set(Value::Bool(value));
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers are doubles, as in the engine"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.set(Value::Number(value as f64));
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers are doubles, as in the engine"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.set(Value::Number(value as f64));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.set(Value::Number(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let value = self.0.string(value);
        self.set(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("not plain"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self(tree, entry, slots) = self;
        if entry.slot.is_some() {
            return Err(A::Error::custom("not plain"));
        }
        entry.inner.forget(slots);
        Fields(tree, &entry.inner, slots).visit_map(map)
    }
}

/// Whether a key is the one looked for.
struct Name<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// The entry of a key, where it is read.
struct Key<'l>(&'l Level);

impl<'de, 'l> DeserializeSeed<'de> for Key<'l> {
    type Value = Option<&'l Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'l> Visitor<'_> for Key<'l> {
    type Value = Option<&'l Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|entry| entry.name == key))
    }
}
