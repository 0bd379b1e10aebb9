//! Walks over pages and remembers, for each place in them, what stood there; bounded in every direction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::looks::Evidence;
use super::{Field, Kind, Length, Profile};
use crate::EvaluationError;
use crate::generate::field_path;
use crate::page::{parse_error, prepare, with_numbers};

/// Places remembered of one request; a form with more fields is not clicked through.
const PLACES: usize = 1_500;

/// Fields of one object; more of them are keys of a map, of which these are examples.
const FIELDS: usize = 120;

/// Levels walked down.
const DEPTH: usize = 12;

/// Items of one list that are looked into; all are counted.
const ITEMS: usize = 1_000;

/// Collects what pages hold.
#[derive(Debug)]
pub struct Survey {
    root: Node,
    pages: u32,
    places: usize,
    cut: bool,
    now_ms: i64,
}

#[derive(Debug, Default)]
struct Node {
    kinds: BTreeMap<Kind, u64>,
    fields: Vec<(String, Node)>,
    item: Option<Box<Node>>,
    length: Option<Length>,
    evidence: Evidence,
}

impl Survey {
    /// Begins with nothing seen; `now` is the clock by which dates are plausible.
    pub fn new(now: Timestamp) -> Self {
        Self {
            root: Node::default(),
            pages: 0,
            places: 1,
            cut: false,
            now_ms: now.as_millisecond(),
        }
    }

    /// Looks at a page.
    ///
    /// # Errors
    /// A page that is not one JSON document within the bounds of pages.
    pub fn page(&mut self, bytes: &[u8]) -> Result<(), EvaluationError> {
        let text = prepare(bytes)?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| parse_error(&error, &text))?;
        let value = with_numbers(value);
        let mut walk = Walk {
            places: self.places,
            cut: self.cut,
            now_ms: self.now_ms,
        };
        walk.see(&mut self.root, &value, 0);
        (self.places, self.cut) = (walk.places, walk.cut);
        self.pages += 1;
        Ok(())
    }

    /// Returns what was seen.
    pub fn profile(&self) -> Profile {
        Profile {
            pages: self.pages,
            cut: self.cut,
            root: field(&self.root, "$", &mut Vec::new()),
        }
    }
}

struct Walk {
    places: usize,
    cut: bool,
    now_ms: i64,
}

impl Walk {
    fn see(&mut self, node: &mut Node, value: &Value, depth: usize) {
        *node.kinds.entry(kind(value)).or_default() += 1;
        if depth >= DEPTH && (value.is_object() || value.is_array()) {
            self.cut = true;
            return;
        }
        match value {
            Value::Object(fields) => {
                for (place, (name, value)) in fields.iter().enumerate() {
                    if let Some(own) = self.field(node, place, name) {
                        self.see(own, value, depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                let long = items.len() as u64;
                let length = node.length.get_or_insert(Length {
                    shortest: long,
                    ..Length::default()
                });
                length.shortest = length.shortest.min(long);
                length.longest = length.longest.max(long);
                length.total += long;
                if !items.is_empty() {
                    self.cut |= items.len() > ITEMS;
                    let item = node.item.get_or_insert_default();
                    for value in items.iter().take(ITEMS) {
                        self.see(item, value, depth + 1);
                    }
                }
            }
            Value::Null => {}
            scalar => node.evidence.see(scalar, self.now_ms),
        }
    }

    /// The field's own node; nothing when there are too many.
    fn field<'n>(&mut self, node: &'n mut Node, place: usize, name: &str) -> Option<&'n mut Node> {
        // Records of one list mostly have their fields in the same order.
        let at = match node.fields.get(place) {
            Some((own, _)) if own == name => Some(place),
            _ => node.fields.iter().position(|(own, _)| own == name),
        };
        let at = match at {
            Some(at) => at,
            None if node.fields.len() >= FIELDS || self.places >= PLACES => {
                self.cut = true;
                return None;
            }
            None => {
                self.places += 1;
                node.fields.push((name.to_owned(), Node::default()));
                node.fields.len() - 1
            }
        };
        Some(&mut node.fields[at].1)
    }
}

const fn kind(value: &Value) -> Kind {
    match value {
        Value::Object(_) => Kind::Object,
        Value::Array(_) => Kind::Array,
        Value::String(_) => Kind::Text,
        Value::Number(_) => Kind::Number,
        Value::Bool(_) => Kind::Boolean,
        Value::Null => Kind::Null,
    }
}

fn field(node: &Node, name: &str, path: &mut Vec<String>) -> Field {
    let mut fields = Vec::new();
    for (name, own) in &node.fields {
        path.push(name.clone());
        fields.push(field(own, name, path));
        path.pop();
    }
    if let Some(item) = &node.item {
        let of_items = field(item, "[]", path);
        if of_items
            .kinds
            .keys()
            .all(|kind| matches!(kind, Kind::Object | Kind::Null))
        {
            fields.extend(of_items.fields);
        } else {
            fields.push(of_items);
        }
    }
    Field {
        name: name.to_owned(),
        path: if path.is_empty() {
            "$".to_owned()
        } else {
            field_path(path.iter().map(String::as_str))
        },
        kinds: node.kinds.clone(),
        sample: node.evidence.sample(),
        length: node.length,
        looks: node.evidence.looks(path.last().map_or("", String::as_str)),
        fields,
    }
}
