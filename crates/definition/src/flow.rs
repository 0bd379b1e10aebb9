use serde_json::Value;

/// Words that YAML readers take for something other than text.
const TAKEN: [&str; 10] = [
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan",
];

/// Writes a value as YAML on one line, the way people write short definitions by hand.
///
/// ```
/// let value = serde_json::json!({ "page": { "param": "page", "start": 0 }, "tags": ["a b"] });
/// assert_eq!(definition::flow(&value), "{ page: { param: page, start: 0 }, tags: [\"a b\"] }");
/// ```
pub fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => flow_text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", flow_text(key), flow(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Writes a text as YAML: as it is where nothing could be misread, else in double quotes.
fn flow_text(text: &str) -> String {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-' | b'$'));
    let begins =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '$' | '_'));
    let taken = TAKEN.iter().any(|word| word.eq_ignore_ascii_case(text));
    if plain && begins && !taken {
        text.to_owned()
    } else {
        // JSON's quoted texts are YAML's too.
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let value = serde_json::json!({
            "plain": "a.b-c/d_$", "empty": "", "word": "Yes", "number": "12", "colon": "a: b",
            "hash": "a #b", "quote": "say \"hi\"\n", "template": "{{ window.start | date }}",
            "list": [1, -2.5, true, null, "x"], "map": {}, "a key": { "deep": ["y", {}] },
        });
        let read: Value = serde_saphyr::from_str(&flow(&value)).unwrap();
        assert_eq!(read, value);
    }
}
