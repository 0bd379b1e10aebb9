//! What the tests share: examples, a catalogue with one entry, and a small JSON Schema checker.

use std::path::PathBuf;

use definition::{Connection, Dataset, Known};
use serde_json::Value;

/// Nothing is applied; the catalogue has `convertkit`.
pub(crate) struct Catalogue;

impl Known for Catalogue {
    fn connection(&self, _: &str) -> Option<Connection> {
        None
    }

    fn dataset(&self, _: &str) -> Option<Dataset> {
        None
    }

    fn connector(&self, name: &str) -> bool {
        name == "convertkit"
    }
}

/// The example files: name and text.
pub(crate) fn examples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "yaml"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Checks `value` against the part of JSON Schema that ours uses; returns the first failure.
pub(crate) fn check(schema: &Value, value: &Value, root: &Value) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{what}: {value} against {schema}"));
    let Value::Object(rules) = schema else {
        return if schema == &Value::Bool(false) {
            fail("never")
        } else {
            Ok(())
        };
    };
    for (rule, wanted) in rules {
        match rule.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root.pointer(pointer).expect("a definition"), value, root)?;
            }
            "const" if wanted != value => return fail("const"),
            "enum" if !wanted.as_array().unwrap().contains(value) => return fail("enum"),
            "type" => {
                let types: Vec<&str> = match wanted {
                    Value::String(one) => vec![one],
                    many => many
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|t| t.as_str().unwrap())
                        .collect(),
                };
                let is = |t: &&str| match *t {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !types.iter().any(is) {
                    return fail("type");
                }
            }
            "oneOf" | "anyOf" => {
                let branches = wanted.as_array().unwrap();
                let results: Vec<_> = branches
                    .iter()
                    .map(|branch| check(branch, value, root))
                    .collect();
                let fitting = results.iter().filter(|result| result.is_ok()).count();
                if fitting == 0 || (rule == "oneOf" && fitting > 1) {
                    return Err(format!("{rule} ({fitting} fit): {results:?}"));
                }
            }
            "required" => {
                if let Value::Object(fields) = value {
                    for key in wanted.as_array().unwrap() {
                        if !fields.contains_key(key.as_str().unwrap()) {
                            return fail("required");
                        }
                    }
                }
            }
            "properties" | "additionalProperties" => {
                let properties = rules.get("properties").and_then(Value::as_object);
                for (key, inner) in value.as_object().into_iter().flatten() {
                    match properties.and_then(|properties| properties.get(key)) {
                        Some(shape) if rule == "properties" => check(shape, inner, root)?,
                        None if rule == "additionalProperties" => check(wanted, inner, root)?,
                        _ => {}
                    }
                }
            }
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|item| check(wanted, item, root))?,
            "minimum" if value.as_f64().is_some_and(|n| n < wanted.as_f64().unwrap()) => {
                return fail("minimum");
            }
            "maximum" if value.as_f64().is_some_and(|n| n > wanted.as_f64().unwrap()) => {
                return fail("maximum");
            }
            _ => {}
        }
    }
    Ok(())
}
