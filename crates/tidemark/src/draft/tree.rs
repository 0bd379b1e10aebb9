//! An answer as a tree with types: arrays by their first items, long texts cut.

use serde_json::Value;

/// Deeper levels are not drawn.
const DEPTH: usize = 8;
/// Fields of one object that are drawn.
const FIELDS: usize = 60;
/// Characters of a text that are shown.
const TEXT: usize = 40;

/// Draws the tree, one line for each field.
pub(crate) fn lines(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    draw("answer", body, 0, &mut lines);
    lines
}

fn draw(name: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{name}  {}", kind(value)));
    if depth == DEPTH {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().take(FIELDS) {
                draw(name, value, depth + 1, lines);
            }
            if fields.len() > FIELDS {
                lines.push(format!("{indent}  … {} more fields", fields.len() - FIELDS));
            }
        }
        Value::Array(items) => {
            if let Some(first @ (Value::Object(_) | Value::Array(_))) = items.first() {
                draw("[0]", first, depth + 1, lines);
            }
        }
        _ => {}
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => format!("boolean  {flag}"),
        Value::Number(number) => format!("number  {number}"),
        Value::String(text) => {
            // Control characters would leave the comment that the tree is written in.
            let shown: String = text
                .chars()
                .take(TEXT)
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let more = if text.chars().count() > TEXT {
                "…"
            } else {
                ""
            };
            if super::find::is_date(text) {
                format!("date  {shown}")
            } else {
                format!("text  \"{shown}{more}\"")
            }
        }
        Value::Array(items) => format!("array of {}", items.len()),
        Value::Object(fields) => format!("object of {}", fields.len()),
    }
}
