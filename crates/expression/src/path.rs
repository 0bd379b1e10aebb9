//! One value out of a page, for pagination: `meta.next_cursor`, `links[0].href`, or any JSONata.

use std::fmt;

use jiff::Timestamp;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::budget::Limits;
use crate::evaluate::evaluate_json_within;
use crate::page::{parse_error, prepare};
use crate::{PathError, check};

/// Returns the value that `path` has in a page, or nothing when it has none.
///
/// A plain path of names and indexes takes a fast way that skips everything else in the page;
/// anything more is evaluated as JSONata within tight limits. Whole numbers of a plain path keep
/// all their digits, up to 64 bits.
pub fn select_path(path: &str, body: &[u8]) -> Result<Option<Value>, PathError> {
    if let Some(steps) = plain_steps(path) {
        let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
        if let Ok(text) = text {
            let mut json = serde_json::Deserializer::from_str(text);
            let found = Seek(&steps)
                .deserialize(&mut json)
                .and_then(|found| json.end().map(|()| found))
                .map_err(|error| parse_error(&error, text))?;
            if let Found::Value(value) = found {
                return Ok(value);
            }
        }
    }
    let checked = check(path)?;
    Ok(evaluate_json_within(
        &checked,
        body,
        Timestamp::UNIX_EPOCH,
        &Limits::for_path(),
    )?)
}

/// Returns the value that `path` has in a page already parsed: several paths, one parse.
pub fn select_value(path: &str, page: &Value) -> Result<Option<Value>, PathError> {
    if let Some(steps) = plain_steps(path)
        && let Found::Value(value) = follow(&steps, page)
    {
        return Ok(value.cloned());
    }
    let checked = check(path)?;
    let text = page.to_string();
    prepare(text.as_bytes())?;
    Ok(evaluate_json_within(
        &checked,
        text.as_bytes(),
        Timestamp::UNIX_EPOCH,
        &Limits::for_path(),
    )?)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// A value, or a path that means more on this page than a plain walk.
enum Found<T> {
    Value(Option<T>),
    NeedsEngine,
}

/// Reads `a.b[0].`odd name``; nothing when the path is more than that.
fn plain_steps(path: &str) -> Option<Vec<Step>> {
    const MOST: usize = 32;
    let mut steps = Vec::new();
    let mut rest = path.trim();
    loop {
        if let Some(quoted) = rest.strip_prefix('`') {
            let (name, tail) = quoted.split_once('`')?;
            steps.push(Step::Name(name.to_owned()));
            rest = tail;
        } else {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            let begins_well = name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            if !begins_well
                || matches!(
                    name,
                    "and" | "or" | "in" | "true" | "false" | "null" | "function"
                )
            {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = tail;
        }
        while let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']')?;
            let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
            steps.push(Step::Index(if digits {
                index.parse().ok()?
            } else {
                return None;
            }));
            rest = tail;
        }
        if rest.is_empty() {
            return (steps.len() <= MOST).then_some(steps);
        }
        rest = rest.strip_prefix('.')?;
    }
}

fn follow<'v>(steps: &[Step], value: &'v Value) -> Found<&'v Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Found::Value(Some(value));
    };
    match (step, value) {
        (Step::Name(name), Value::Object(fields)) => match fields.get(name) {
            Some(field) => follow(rest, field),
            None => Found::Value(None),
        },
        (Step::Index(index), Value::Array(items)) => match items.get(*index) {
            Some(item) => follow(rest, item),
            None => Found::Value(None),
        },
        (Step::Name(_), Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Found::Value(None)
        }
        // JSONata maps names over arrays and takes `x[0]` of one thing for the thing.
        _ => Found::NeedsEngine,
    }
}

/// Walks a path while the page is being read, and skips the rest of it.
struct Seek<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Found<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<Value>, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer)
                .map(|value| Found::Value(Some(value)));
        }
        deserializer.deserialize_any(self)
    }
}

impl Seek<'_> {
    fn scalar(&self) -> Found<Value> {
        match self.0.first() {
            Some(Step::Name(_)) => Found::Value(None),
            _ => Found::NeedsEngine,
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Found<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_str<E>(self, _: &str) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_unit<E>(self) -> Result<Found<Value>, E> {
        Ok(self.scalar())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<Value>, A::Error> {
        let Some((Step::Name(name), rest)) = self.0.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::NeedsEngine);
        };
        let mut found = Found::Value(None);
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == name.as_str() {
                // A repeated key takes the last value.
                found = map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<Value>, A::Error> {
        let Some((Step::Index(index), rest)) = self.0.split_first() else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Found::NeedsEngine);
        };
        let mut found = Found::Value(None);
        let mut place = 0;
        loop {
            if place == *index {
                match seq.next_element_seed(Seek(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_gives_the_same_by_either_way() {
        let page = json!({
            "total_pages": 12,
            "id": 9_007_199_254_740_993_u64,
            "meta": { "next": "c2", "none": null, "more": false, "odd name": 1 },
            "links": [{ "rel": "self", "href": "/a" }, { "rel": "next", "href": "/b" }],
            "items": [],
        });
        let body = page.to_string();
        for (path, expected) in [
            ("total_pages", Some(json!(12))),
            ("id", Some(json!(9_007_199_254_740_993_u64))),
            ("meta.next", Some(json!("c2"))),
            ("meta.none", Some(Value::Null)),
            ("meta.none.x", None),
            ("meta.more", Some(json!(false))),
            ("meta.`odd name`", Some(json!(1))),
            ("links[1].href", Some(json!("/b"))),
            ("links[7].href", None),
            ("links.href", Some(json!(["/a", "/b"]))),
            ("links[-1].href", Some(json!("/b"))),
            ("links[rel = \"next\"].href", Some(json!("/b"))),
            ("meta[0].next", Some(json!("c2"))),
            ("$count(items) = 0", Some(json!(true))),
            ("missing", None),
            ("total_pages.x", None),
        ] {
            assert_eq!(
                select_path(path, body.as_bytes()).unwrap(),
                expected,
                "{path}"
            );
            assert_eq!(select_value(path, &page).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_used_says_why() {
        assert!(matches!(
            select_path("a.", b"{}"),
            Err(PathError::Refused(_))
        ));
        assert!(matches!(
            select_path("$eval(\"1\")", b"{}"),
            Err(PathError::Refused(_))
        ));
        assert!(matches!(
            select_path("a", b"{\"a\":1}}"),
            Err(PathError::Evaluation(_))
        ));
        assert!(matches!(
            select_path("a", b"{\"a\":"),
            Err(PathError::Evaluation(_))
        ));
        let endless = "($f := function($x) { $f($x + 1) + 1 }; $f(1))";
        assert!(matches!(
            select_path(endless, b"{}"),
            Err(PathError::Evaluation(_))
        ));
    }

    proptest! {
        #[test]
        fn the_fast_way_agrees_with_the_engine(
            names in proptest::collection::vec("[ab]", 1..4),
            index in proptest::option::of(0_usize..3),
            page in "[\\[\\]{}ab\":,0-2 ]{0,30}",
            deep in 0_usize..4,
        ) {
            let mut path = names.join(".");
            if let Some(index) = index {
                path = format!("{path}[{index}]");
            }
            let shaped = [
                json!({"a": {"a": [1, {"b": 2}], "b": {"a": {"b": 3}}}, "b": [[1], [2, 3]]}),
                json!({"a": [{"b": [4, 5]}, {"b": 6}], "b": "text"}),
                json!([{"a": 1}, {"a": [2]}]),
                json!({"a": null, "b": {"a": null, "b": []}}),
            ];
            let engine = |body: &str| {
                let checked = check(&path).unwrap();
                evaluate_json_within(&checked, body.as_bytes(), Timestamp::UNIX_EPOCH, &Limits::for_path())
            };
            let body = shaped[deep].to_string();
            prop_assert_eq!(select_path(&path, body.as_bytes()).unwrap(), engine(&body).unwrap(), "{} {}", path, body);
            prop_assert_eq!(select_value(&path, &shaped[deep]).unwrap(), engine(&body).unwrap(), "{} {}", path, body);
            let _ = select_path(&path, page.as_bytes());
        }
    }
}
