//! References of an OpenAPI document, and an example of what a schema allows.

use serde_json::{Map, Value, json};

/// References that lead to references are followed so far.
const HOPS: usize = 16;
/// Schemas are read so deep; deeper parts are left out.
const DEPTH: usize = 8;
/// Fields of one example in all; a document may describe very large answers.
const FIELDS: usize = 2_000;

/// A document whose local references can be followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'d>(pub(crate) &'d Value);

impl<'d> Document<'d> {
    /// Follows `$ref` as far as it leads inside of the document; nothing when it leads out or round.
    pub(crate) fn resolve(self, value: &'d Value) -> Option<&'d Value> {
        let mut value = value;
        for _ in 0..HOPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Some(value);
            };
            value = self.0.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    /// Makes an example of a schema: its own where it has one, else values of its types.
    ///
    /// Lists get two items that differ, so that what tells records apart can be seen.
    pub(crate) fn example(self, schema: &'d Value) -> Value {
        let mut maker = Maker {
            document: self,
            open: Vec::new(),
            left: FIELDS,
        };
        maker.make(schema, "", 1, 0)
    }
}

struct Maker<'d> {
    document: Document<'d>,
    /// References that are being made; one that comes again inside of itself is left out.
    open: Vec<&'d str>,
    left: usize,
}

impl<'d> Maker<'d> {
    fn make(&mut self, schema: &'d Value, name: &str, number: u32, depth: usize) -> Value {
        if depth > DEPTH || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            if self.open.contains(&reference) {
                return Value::Null;
            }
            let Some(target) = reference
                .strip_prefix('#')
                .and_then(|pointer| self.document.0.pointer(pointer))
            else {
                return Value::Null;
            };
            self.open.push(reference);
            let made = self.make(target, name, number, depth);
            self.open.pop();
            return made;
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            let mut whole = Map::new();
            for part in parts.iter().chain(schema.get("properties").map(|_| schema)) {
                let own = if std::ptr::eq(part, schema) {
                    self.object(part, number, depth)
                } else {
                    self.make(part, name, number, depth + 1)
                };
                if let Value::Object(fields) = own {
                    whole.extend(fields);
                }
            }
            return Value::Object(whole);
        }
        for choice in ["oneOf", "anyOf"] {
            let choices = schema.get(choice).and_then(Value::as_array);
            let chosen = choices.and_then(|all| {
                all.iter()
                    .find(|one| one.get("type") != Some(&json!("null")))
            });
            if let Some(chosen) = chosen {
                return self.make(chosen, name, number, depth + 1);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, number, depth),
            "array" => {
                let Some(items) = schema.get("items") else {
                    return json!([]);
                };
                let items = [1, 2].map(|number| self.make(items, name, number, depth + 1));
                Value::Array(items.into_iter().filter(|item| !item.is_null()).collect())
            }
            "integer" | "number" => json!(number),
            "boolean" => json!(true),
            "string" => text(schema, name, number),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &'d Value, number: u32, depth: usize) -> Value {
        let fields = schema.get("properties").and_then(Value::as_object);
        let made = fields.into_iter().flatten().map(|(name, schema)| {
            let value = self.make(schema, name, number, depth + 1);
            (name.clone(), value)
        });
        Value::Object(made.collect())
    }
}

/// The type of a schema; of several (3.1), the first that is not null.
fn kind(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    };
    named.unwrap_or_else(|| {
        if schema.get("properties").is_some() {
            "object"
        } else if schema.get("items").is_some() {
            "array"
        } else if schema.get("enum").is_some() {
            "string"
        } else {
            ""
        }
    })
}

fn text(schema: &Value, name: &str, number: u32) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    let format = schema.get("format").and_then(Value::as_str);
    let example = schema
        .get("example")
        .or_else(|| schema.pointer("/examples/0"));
    let looks = example.and_then(Value::as_str);
    match format.unwrap_or_default() {
        "date-time" => json!(format!("2026-01-0{number}T00:00:00Z")),
        "date" => json!(format!("2026-01-0{number}")),
        "uri" | "url" | "uri-reference" => {
            json!(format!("https://api.example.com/{name}/{number}"))
        }
        _ => match looks {
            Some(text) if text.starts_with("http") || super::dates::is_date(text) => json!(text),
            _ => json!(format!("{name} {number}")),
        },
    }
}
