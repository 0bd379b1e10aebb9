use serde_json::{Number, Value};

/// A value of a definition and where it was written; YAML and JSON both become this.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    /// A number, and its text as it was written.
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map and its value; keys may repeat until the decoder has refused it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) value: Node,
}

/// The deepest nesting that is read.
pub(crate) const MAX_DEPTH: usize = 128;
/// The most values a bundle may hold, aliases included.
pub(crate) const MAX_NODES: usize = 500_000;

impl Node {
    /// Says what it is, for "expected …, got …".
    pub(crate) fn describe(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "true or false",
            Content::Number(..) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "an array",
            Content::Map(_) => "an object",
        }
    }

    /// Tells whether it is a whole number too large to be kept as one: only its text is exact.
    pub(crate) fn is_inexact(&self) -> bool {
        let Content::Number(number, text) = &self.content else {
            return false;
        };
        let is_whole =
            text.starts_with("0x") || text.starts_with("0o") || !text.contains(['.', 'e', 'E']);
        number.is_f64() && is_whole
    }

    /// Counts the values in it, itself included.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.content {
            Content::List(items) => items.iter().map(Self::count).sum(),
            Content::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
            _ => 0,
        }
    }

    /// Returns it as JSON, without places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(flag) => Value::Bool(*flag),
            Content::Number(number, _) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()))
                    .collect(),
            ),
        }
    }

    /// Makes a tree without places from JSON that is already trusted to be bounded.
    pub(crate) fn from_value(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(flag) => Content::Bool(*flag),
            Value::Number(number) => Content::Number(number.clone(), number.to_string()),
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(Self::from_value).collect()),
            Value::Object(fields) => Content::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        line: 0,
                        column: 0,
                        value: Self::from_value(value),
                    })
                    .collect(),
            ),
        };
        Self {
            content,
            line: 0,
            column: 0,
        }
    }
}

/// Paths longer than this are not written out further: no definition is that deep.
const MAX_PATH: usize = 400;

/// Appends a key to a path: `a.b`, or `a["x y"]` when the key is no plain word.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.len() > MAX_PATH {
        return path.to_owned();
    }
    let plain = !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => {
            let shown = crate::problem::quoted(key);
            format!("{path}[\"{}\"]", shown.trim_matches('`'))
        }
    }
}

/// Appends a position in a list to a path.
pub(crate) fn item(path: &str, index: usize) -> String {
    if path.len() > MAX_PATH {
        return path.to_owned();
    }
    format!("{path}[{index}]")
}
