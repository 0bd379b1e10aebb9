//! What an answer holds outside of its records, by names that forget case and punctuation.

use definition::Source;
use expression::field_path;
use serde_json::Value;

/// Fields deeper than this are not about pages.
const DEPTH: usize = 6;

/// Fields beyond this count are not looked at.
const FIELDS: usize = 2_000;

/// One field outside of the records.
pub(super) struct Field<'a> {
    path: Vec<&'a str>,
    /// Its value: no list, and an object only where it is empty.
    pub(super) value: &'a Value,
}

impl Field<'_> {
    /// Its path as JSONata.
    pub(super) fn path(&self) -> String {
        field_path(self.path.iter().copied())
    }

    /// Where it is, as a definition says it.
    pub(super) fn source(&self) -> Source {
        Source::Body(self.path())
    }

    /// Its own name as it is written.
    pub(super) fn name(&self) -> &str {
        self.path.last().copied().unwrap_or_default()
    }

    /// Its own name without case and punctuation.
    pub(super) fn plain(&self) -> String {
        plain_name(self.name())
    }

    /// The name of the object it is in, without case and punctuation.
    pub(super) fn parent(&self) -> String {
        let parent = self.path.len().checked_sub(2).map(|at| self.path[at]);
        plain_name(parent.unwrap_or_default())
    }

    /// Whether another field is in the same object.
    pub(super) fn is_beside(&self, other: &Field<'_>) -> bool {
        self.path.len() == other.path.len()
            && self.path[..self.path.len() - 1] == other.path[..other.path.len() - 1]
    }

    /// The whole number it holds, as a number or as text.
    pub(super) fn whole(&self) -> Option<u64> {
        match self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.len() < 16 => text.parse().ok(),
            _ => None,
        }
    }
}

/// The fields of an answer, nearest to the root first, and its records.
pub(super) struct Fields<'a> {
    all: Vec<Field<'a>>,
    records: Option<(Vec<&'a str>, &'a [Value])>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Value) -> Self {
        let mut fields = Fields {
            all: Vec::new(),
            records: None,
        };
        let mut level = vec![(Vec::new(), body)];
        // Level by level, so that what stands nearest to the root is found first.
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for (path, value) in level {
                fields.look(&path, value, &mut below);
            }
            level = below;
        }
        fields
    }

    fn look(
        &mut self,
        path: &[&'a str],
        value: &'a Value,
        below: &mut Vec<(Vec<&'a str>, &'a Value)>,
    ) {
        match value {
            Value::Array(items) => {
                let longest = self.records.as_ref().map_or(0, |(_, known)| known.len());
                if self.records.is_none() || items.len() > longest {
                    self.records = Some((path.to_vec(), items));
                }
            }
            Value::Object(members) => {
                for (name, value) in members {
                    if self.all.len() >= FIELDS {
                        return;
                    }
                    let mut path = path.to_vec();
                    path.push(name);
                    if !value.is_array() && !value.is_object() {
                        self.all.push(Field { path, value });
                    } else {
                        below.push((path, value));
                    }
                }
            }
            _ => {}
        }
    }

    /// How many records the answer holds, where it holds a list.
    pub(super) fn record_count(&self) -> Option<u64> {
        self.records
            .as_ref()
            .map(|(_, records)| records.len() as u64)
    }

    /// The path of the records as JSONata, and the records.
    pub(super) fn records(&self) -> Option<(String, &'a [Value])> {
        let (path, records) = self.records.as_ref()?;
        let text = if path.is_empty() {
            "$".to_owned()
        } else {
            field_path(path.iter().copied())
        };
        Some((text, records))
    }

    /// The name of the list of records, without case and punctuation.
    pub(super) fn records_name(&self) -> String {
        let last = self.records.as_ref().and_then(|(path, _)| path.last());
        plain_name(last.copied().unwrap_or_default())
    }

    /// Every field.
    pub(super) fn all(&self) -> &[Field<'a>] {
        &self.all
    }

    /// The first field with one of these names, in the order of the names, for which `fits` holds.
    pub(super) fn find(
        &self,
        names: &[&str],
        fits: impl Fn(&Field<'a>) -> bool,
    ) -> Option<&Field<'a>> {
        names.iter().find_map(|name| {
            self.all
                .iter()
                .find(|field| field.plain() == *name && fits(field))
        })
    }
}

/// A name without case and punctuation: `hasNextPage`, `has_next_page` and `has-next-page` are one.
pub(super) fn plain_name(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Calls `found` with every value of `body` that is neither object nor list, and its path; lists are passed over.
pub(super) fn leaves<'a>(
    body: &'a Value,
    path: &mut Vec<&'a str>,
    found: &mut impl FnMut(&[&'a str], &'a Value),
) {
    match body {
        Value::Object(members) if path.len() < DEPTH => {
            for (name, value) in members {
                path.push(name);
                leaves(value, path, found);
                path.pop();
            }
        }
        Value::Object(_) | Value::Array(_) => {}
        value => found(path, value),
    }
}
