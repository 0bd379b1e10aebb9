//! A selection as YAML that people would write.

use serde_json::Value;

use super::yaml::{key, path, quoted};

/// Writes the parts of a selection, one line each.
pub(crate) fn lines(select: &Value) -> Vec<String> {
    select
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}: {}", flow(value)))
        .collect()
}

/// A value on one line; `{ path: x }` alone is `x`.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => path(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => match fields.get("path") {
            Some(Value::String(only)) if fields.len() == 1 => path(only),
            _ => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| {
                        // Formats look like paths and are none.
                        let written = match (name.as_str(), value) {
                            ("number" | "format", Value::String(text)) if !is_word(text) => {
                                quoted(text)
                            }
                            _ => flow(value),
                        };
                        format!("{}: {written}", key(name))
                    })
                    .collect();
                format!("{{ {} }}", fields.join(", "))
            }
        },
        other => other.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selection_is_written_as_people_write_it_and_reads_back() {
        let select = json!({ "records": "purchases", "value": { "path": "total", "number": "1.234,56", "scale": 0.01 },
            "dimensions": { "state": "state", "first": "`odd name`" }, "unit": "currency",
            "date": { "path": "created_at" }, "key": "id" });
        let written = lines(&select);
        assert_eq!(
            written,
            [
                "records: purchases",
                "value: { path: total, number: \"1.234,56\", scale: 0.01 }",
                "dimensions: { state: state, first: \"`odd name`\" }",
                "unit: currency",
                "date: created_at",
                "key: id",
            ]
        );
        let text = format!(
            "kind: metric\nname: m\nconnection: c\nrequest: {{ path: /x }}\nselect:\n  {}\n",
            written.join("\n  ")
        );
        let bundle = definition::parse(&text, "draft").unwrap();
        assert_eq!(
            bundle.definitions[0].definition.to_document()["select"],
            select
        );
    }
}
