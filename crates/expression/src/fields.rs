//! Which fields that an expression names are in the records at all: where one was renamed, a filter that nothing
//! meets looks like a filter that is doing its work.

use std::fmt;

use jlens_core::ast::{Node, NodeKind, Stage};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Records at the start of a run that are looked at whole.
const LOOKED: u64 = 50;
/// Field names of records that are remembered for messages.
const KEYS: usize = 24;
/// Fields that are looked for.
const SOUGHT: usize = 32;

/// What the records of a run have shown of the fields that an expression names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldsSeen {
    /// Fields that every record looked at has: the first 50 of the run.
    pub everywhere: Vec<String>,
    /// Fields that no record of the run has so far.
    pub nowhere: Vec<NamedField>,
    /// The names of fields that records have, in their order.
    pub keys: Vec<String>,
}

/// A field, and what of an expression names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedField {
    /// `where`, `value`, `date`, `key`, `unit`, or the name of a dimension.
    pub part: String,
    /// The field, as a path from the record.
    pub path: String,
}

/// Looks for fields in the records of one task, page by page.
#[derive(Debug)]
pub(crate) struct Fields {
    /// The names that lead to the records.
    records: Vec<String>,
    sought: Vec<Sought>,
    looked: u64,
    keys: Vec<String>,
    changed: bool,
}

#[derive(Debug)]
struct Sought {
    part: String,
    path: Vec<String>,
    /// Records that have it, of those looked at.
    found: u64,
    is_seen: bool,
}

/// What the parts of a row are called in its expression, for the reasons of rejected rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) value: Option<String>,
    pub(crate) date: Option<String>,
    pub(crate) key: Option<String>,
}

impl Fields {
    /// Collects the fields that an expression of the form `records[where].{ … }` names.
    pub(crate) fn of(root: &Node) -> Option<Self> {
        let mut fields = Self {
            records: Vec::new(),
            sought: Vec::new(),
            looked: 0,
            keys: Vec::new(),
            changed: false,
        };
        let steps = match &root.kind {
            NodeKind::Object { .. } => std::slice::from_ref(root),
            NodeKind::Path { steps, .. } => steps,
            _ => return None,
        };
        let (last, before) = steps.split_last()?;
        let (pairs, condition) = row_of(last)?;
        let mut named = Named::default();
        if let Some(condition) = condition {
            named.collect("where", condition);
        }
        for (place, step) in before.iter().enumerate() {
            match &step.kind {
                NodeKind::Variable { name } if place == 0 && matches!(name.as_str(), "" | "$") => {}
                NodeKind::Name { name } => fields.records.push(name.clone()),
                NodeKind::Sort { .. } => continue,
                _ => return None,
            }
            let is_last = before[place + 1..]
                .iter()
                .all(|step| matches!(step.kind, NodeKind::Sort { .. }));
            for stage in step.attrs.stages.iter().chain(&step.attrs.predicate) {
                if let Stage::Filter { expr, .. } = stage
                    && is_last
                {
                    named.collect("where", expr);
                }
            }
        }
        for (key, value) in pairs {
            match (&key.kind, &value.kind) {
                (NodeKind::String { value: part }, NodeKind::Object { pairs })
                    if part == "dimensions" =>
                {
                    for (name, value) in pairs {
                        if let NodeKind::String { value: name } = &name.kind {
                            named.collect(name, value);
                        }
                    }
                }
                (NodeKind::String { value: part }, _) => named.collect(part, value),
                _ => {}
            }
        }
        let Named { found, optional } = named;
        for (part, path) in found {
            let is_known = fields.sought.iter().any(|known| known.path == path);
            if !is_known && !optional.contains(&path) && fields.sought.len() < SOUGHT {
                fields.sought.push(Sought {
                    part,
                    path,
                    found: 0,
                    is_seen: false,
                });
            }
        }
        Some(fields)
    }

    /// Looks at the records of a page, as long as there is something to find out.
    pub(crate) fn look(&mut self, page: &str) {
        if self.looked >= LOOKED && self.sought.iter().all(|one| one.is_seen) {
            return;
        }
        let records = std::mem::take(&mut self.records);
        let mut json = serde_json::Deserializer::from_str(page);
        // An error says that enough was seen, or that the page is none: the evaluation tells that.
        let _ = At(self, &records).deserialize(&mut json);
        self.records = records;
    }

    /// What was found out, where a page brought news.
    pub(crate) fn news(&mut self) -> Option<FieldsSeen> {
        std::mem::take(&mut self.changed).then(|| self.seen())
    }

    /// The names of fields that records have.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    fn seen(&self) -> FieldsSeen {
        let written = |one: &Sought| crate::field_path(one.path.iter().map(String::as_str));
        let nowhere = self.sought.iter().filter(|one| !one.is_seen);
        FieldsSeen {
            everywhere: self
                .sought
                .iter()
                .filter(|one| one.found == self.looked)
                .map(written)
                .collect(),
            nowhere: nowhere
                .map(|one| NamedField {
                    part: one.part.clone(),
                    path: written(one),
                })
                .collect(),
            keys: self.keys.clone(),
        }
    }

    /// Whether nothing more can be found out.
    fn is_done(&self) -> bool {
        self.looked >= LOOKED && self.sought.iter().all(|one| one.is_seen)
    }

    fn record(&mut self, found: &[bool]) {
        let is_looked_at = self.looked < LOOKED;
        if is_looked_at {
            self.looked += 1;
            self.changed = true;
        }
        for (one, found) in self.sought.iter_mut().zip(found) {
            one.found += u64::from(*found && is_looked_at);
            self.changed |= *found && !one.is_seen;
            one.is_seen |= *found;
        }
    }
}

impl Labels {
    /// Reads off the text of an expression where a row's value and date come from.
    pub(crate) fn of(root: &Node, source: &str) -> Self {
        let last = match &root.kind {
            NodeKind::Path { steps, .. } => steps.last(),
            _ => Some(root),
        };
        let Some((pairs, _)) = last.and_then(row_of) else {
            return Self::default();
        };
        let written = |wanted: &str| {
            let (_, value) = pairs.iter().find(
                |(key, _)| matches!(&key.kind, NodeKind::String { value } if value == wanted),
            )?;
            let text = source.get(value.span.start..value.span.end)?.trim();
            Some(crate::mask::excerpt(text, 60))
        };
        Self {
            value: written("value"),
            date: written("date"),
            key: written("key"),
        }
    }
}

/// Keys and values of a row, and the condition it stands under.
type RowParts<'n> = (&'n [(Node, Node)], Option<&'n Node>);

/// The parts of a row, and the condition of `(condition ? { … } : { … })`, which is how records followed by their keys are
/// written.
fn row_of(step: &Node) -> Option<RowParts<'_>> {
    match &step.kind {
        NodeKind::Object { pairs } => Some((pairs, None)),
        NodeKind::Block { exprs, .. } => match exprs.as_slice() {
            [one] => match &one.kind {
                NodeKind::Condition {
                    condition, then, ..
                } => match &then.kind {
                    NodeKind::Object { pairs } => Some((pairs, Some(condition))),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The field that a node is and nothing more, brackets aside.
fn bare(node: &Node) -> Option<Vec<String>> {
    match &node.kind {
        NodeKind::Path { .. } | NodeKind::Name { .. } => Some(leading_names(node)),
        NodeKind::Block { exprs, .. } => match exprs.as_slice() {
            [one] => bare(one),
            _ => None,
        },
        _ => None,
    }
}

/// The fields that parts of an expression name.
#[derive(Default)]
struct Named {
    found: Vec<(String, Vec<String>)>,
    /// Those that it says may be missing.
    optional: Vec<Vec<String>>,
}

impl Named {
    /// Collects the fields of a record that an expression cannot do without.
    fn collect(&mut self, part: &str, node: &Node) {
        match &node.kind {
            NodeKind::Path { .. } | NodeKind::Name { .. } => {
                let path = leading_names(node);
                if !path.is_empty() {
                    self.found.push((part.to_owned(), path));
                }
            }
            NodeKind::Binary { lhs, rhs, .. } => {
                self.collect(part, lhs);
                self.collect(part, rhs);
            }
            NodeKind::Negate { expr } => self.collect(part, expr),
            NodeKind::Block { exprs, .. } => exprs.iter().for_each(|one| self.collect(part, one)),
            NodeKind::Array { items } => items.iter().for_each(|one| self.collect(part, one)),
            NodeKind::Apply { lhs, .. } => self.collect(part, lhs),
            // What comes after a test may never be needed, and a bare field as a test is one that may be missing.
            NodeKind::Condition {
                condition,
                then,
                otherwise,
            } => {
                match bare(condition) {
                    Some(names) => self.optional.push(names),
                    None => self.collect(part, condition),
                }
                // `deleted ? false : paid` asks both.
                if let (NodeKind::Bool { .. }, Some(otherwise)) = (&then.kind, otherwise) {
                    self.collect(part, otherwise);
                }
            }
            NodeKind::Fallback { lhs, .. } => self.optional.push(leading_names(lhs)),
            NodeKind::Function { procedure, args } => {
                let may_miss =
                    matches!(&procedure.kind, NodeKind::Variable { name } if name == "exists");
                for argument in args {
                    if may_miss {
                        self.optional.push(leading_names(argument));
                    } else {
                        self.collect(part, argument);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The plain names that a path begins with, on a record.
fn leading_names(node: &Node) -> Vec<String> {
    let steps = match &node.kind {
        NodeKind::Path { steps, .. } => steps.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut names = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        match &step.kind {
            NodeKind::Variable { name } if place == 0 && name.is_empty() => {}
            NodeKind::Name { name } => names.push(name.clone()),
            _ => break,
        }
        if !step.attrs.stages.is_empty() {
            break;
        }
    }
    names
}

/// Whether a path is in a value; where null, an empty list or nothing tells, it may well be.
fn is_in(value: &Value, path: &[String]) -> bool {
    match (path, value) {
        ([], _) | (_, Value::Null) => true,
        (_, Value::Array(items)) => items.is_empty() || items.iter().any(|item| is_in(item, path)),
        ([name, rest @ ..], Value::Object(fields)) => {
            fields.get(name).is_some_and(|value| is_in(value, rest))
        }
        _ => false,
    }
}

/// Follows the names to the records.
struct At<'f>(&'f mut Fields, &'f [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! pass_over {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<(), E> {
            Ok(())
        })*

        fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
            Ok(())
        }
    };
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    pass_over!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(fields, names) = self;
        while seq.next_element_seed(At(&mut *fields, names))?.is_some() {
            if fields.is_done() {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(fields, names) = self;
        let Some((wanted, rest)) = names.split_first() else {
            let mut found = vec![false; fields.sought.len()];
            while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                if fields.keys.len() < KEYS
                    && fields.looked < LOOKED
                    && !fields.keys.iter().any(|known| **known == *key)
                {
                    fields.keys.push(key.clone().into_owned());
                }
                if fields.sought.iter().any(|one| one.path[0] == *key) {
                    let value: Value = map.next_value()?;
                    for (one, found) in fields.sought.iter().zip(&mut found) {
                        *found |= one.path[0] == *key && is_in(&value, &one.path[1..]);
                    }
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            fields.record(&found);
            return Ok(());
        };
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if *key == **wanted {
                map.next_value_seed(At(&mut *fields, rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(source: &str) -> Fields {
        Fields::of(&jlens_core::parse(source).unwrap().root).unwrap()
    }

    fn sought(source: &str) -> String {
        let fields = fields(source);
        let one = |one: &Sought| format!("{}:{}", one.part, one.path.join("."));
        fields.sought.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn fields_that_an_expression_cannot_do_without_are_sought() {
        for (source, expected) in [
            (
                "a[s = \"x\" and $not(gone)].{ \"value\": v.n, \"date\": d, \"dimensions\": { \"p\": plan }, \"key\": id }[]",
                "where:s where:gone value:v.n date:d p:plan key:id",
            ),
            (
                "a.{ \"value\": $count(tags), \"key\": shop & \"-\" & id }",
                "value:tags key:shop key:id",
            ),
            ("a[$exists(s) and s = 1].{ \"value\": 1 }", ""),
            ("a.{ \"value\": b ? b : c, \"date\": d ?? e }", ""),
            ("a.{ \"value\": kind = \"x\" ? n : m }", "value:kind"),
            ("a.{ \"value\": $sum(lines[q > 1].price) }", "value:lines"),
            (
                "a.(((gone) ? false : (s = 1)) ? { \"value\": v, \"key\": id } : { \"key\": id, \"deleted\": true })[]",
                "where:s value:v key:id",
            ),
            ("$[s = 1].{ \"value\": $.v }", "where:s value:v"),
        ] {
            assert_eq!(sought(source), expected, "{source}");
        }
    }

    #[test]
    fn what_every_record_has_and_what_none_has_is_told() {
        let mut fields = fields("d.a[s = 1].{ \"value\": v, \"key\": c.id, \"date\": t }");
        fields.look(r#"{"d":{"a":[{"s":1,"c":{"id":1}},{"s":null,"c":null,"x":1}]}}"#);
        let seen = fields.news().unwrap();
        assert_eq!(seen.everywhere, ["s", "c.id"]);
        let nowhere: Vec<&str> = seen.nowhere.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(nowhere, ["v", "t"]);
        assert_eq!(seen.keys, ["s", "c", "x"]);
        fields.look(r#"{"d":{"a":[{"s":1,"c":{"nr":2},"v":3}]}}"#);
        let seen = fields.news().unwrap();
        assert_eq!(
            (seen.everywhere, seen.nowhere.len()),
            (vec!["s".to_owned()], 1)
        );
        fields.look(r#"{"d":{"a":[]}}"#);
        assert_eq!(fields.news(), None);
    }

    #[test]
    fn once_everything_is_seen_pages_are_no_longer_read() {
        let mut fields = fields("a.{ \"value\": v }");
        let page = format!("{{\"a\":[{}]}}", ["{\"v\":1}"; 60].join(","));
        fields.look(&page);
        assert_eq!(fields.looked, LOOKED);
        assert!(fields.news().is_some());
        fields.look(&page);
        assert_eq!(fields.news(), None);
    }
}
