//! What of a body speaks of pages, read in one pass: everything but the members of its lists, which are counted.
//!
//! A page may be 32 MiB; as a tree it would be ten times that. Of each list the first few members are kept, and the
//! others' places up to a bound, so that the longest list is still the longest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and lists deeper than this are not about pages.
const DEPTH: usize = 8;

/// Members of a list that are read; they are alike.
const MEMBERS: usize = 3;

/// Members whose places are kept, as nulls.
const PLACES: usize = 1_000;

/// Values kept in all: 2 MiB.
const VALUES: usize = 40_000;

/// Returns the outline of a body; nothing where it is not JSON.
pub fn outline(body: &[u8]) -> Option<Value> {
    let mut left = VALUES;
    let mut reading = serde_json::Deserializer::from_slice(body);
    Part {
        depth: 0,
        left: &mut left,
    }
    .deserialize(&mut reading)
    .ok()
}

/// A value that is being read at a depth, with the values that may still be kept.
struct Part<'a> {
    depth: usize,
    left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reading: D) -> Result<Value, D::Error> {
        // What stands at the root is told also behind something large.
        if self.depth > DEPTH || (*self.left == 0 && self.depth > 1) {
            reading.deserialize_ignored_any(IgnoredAny)?;
            return Ok(Value::Null);
        }
        *self.left = self.left.saturating_sub(1);
        reading.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < MEMBERS {
            let part = Part {
                depth: self.depth + 1,
                left: &mut *self.left,
            };
            let Some(member) = list.next_element_seed(part)? else {
                return Ok(Value::Array(members));
            };
            members.push(member);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            if members.len() < PLACES && *self.left > 0 {
                *self.left -= 1;
                members.push(Value::Null);
            }
        }
        Ok(Value::Array(members))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let part = Part {
                depth: self.depth + 1,
                left: &mut *self.left,
            };
            let value = object.next_value_seed(part)?;
            if *self.left > 0 || (self.depth == 0 && fields.len() < PLACES) {
                fields.insert(name, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_keep_their_first_members_and_their_length() {
        let items: Vec<Value> = (0..50).map(|id| json!({ "id": id })).collect();
        let body = json!({ "meta": { "total": 400, "next": null }, "items": items, "tags": ["a"] });
        let read = outline(body.to_string().as_bytes()).unwrap();
        assert_eq!(read["meta"], body["meta"]);
        assert_eq!(read["tags"], body["tags"]);
        let kept = read["items"].as_array().unwrap();
        assert_eq!((kept.len(), &kept[2]), (50, &json!({ "id": 2 })));
        assert!(kept[3..].iter().all(Value::is_null));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_no_json_gives_nothing() {
        let wide: Map<String, Value> = (0..VALUES * 2)
            .map(|at| (format!("f{at}"), Value::from(at)))
            .collect();
        let body = json!({ "rows": vec![0; 5_000], "wide": wide, "total": 1 });
        let read = outline(body.to_string().as_bytes()).unwrap();
        assert_eq!(read["rows"].as_array().unwrap().len(), PLACES);
        assert!(read["wide"].as_object().unwrap().len() <= VALUES);
        assert_eq!(read["total"], 1, "what stands behind is there all the same");
        assert_eq!(outline(b"{\"a\": [1,"), None);
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert!(outline(deep.as_bytes()).is_some());
    }
}
