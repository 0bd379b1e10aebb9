//! The JSONata that a selection stands for, as a person would write it.

use std::fmt::Write as _;

use definition::{MetricType, Records, Select, ValuePage, ValueSelect};
use jlens_core::ast::{BinaryOp, Node, NodeKind};

use crate::task::{RecordsAt, is_root};

/// Returns the JSONata of a selection.
///
/// ```text
/// subscribers[state != "cancelled"].{ "date": created_at, "value": 1, "dimensions": { "state": state }, "key": id }[]
/// ```
///
/// Every part is JSONata on one record, with `%` for its parent. A value with `page: first` is
/// taken from the answer itself and not from its records.
pub fn generate(select: &Select, _metric_type: MetricType) -> String {
    let mut text = String::new();
    let (value, root) = match &select.value {
        None | Some(ValueSelect::Count) => ("1", false),
        Some(ValueSelect::Path { path, page, .. }) => {
            (path.trim(), *page == Some(ValuePage::First))
        }
    };
    if !root {
        push_records(&mut text, select.records.as_ref());
        if let Some(condition) = &select.where_ {
            push_condition(&mut text, condition.trim());
        }
        text.push('.');
    }
    push_row(&mut text, select, value);
    if !root {
        text.push_str("[]");
    }
    text
}

/// Returns the JSONata of a selection whose records are followed by their keys (`mode: upsert`).
///
/// A record that `where` leaves out, or that is `deleted`, is told as gone: what it counted for goes with it.
///
/// ```text
/// orders.((state = "paid") ? { "date": at, "value": total, "key": id } : { "key": id, "deleted": true })[]
/// ```
pub fn generate_keyed(select: &Select) -> String {
    let counts = match (&select.where_, &select.deleted) {
        (None, None) => return generate(select, MetricType::Events),
        (Some(condition), None) => format!("({})", condition.trim()),
        (None, Some(deleted)) => format!("(({}) ? false : true)", deleted.trim()),
        (Some(condition), Some(deleted)) => {
            let (condition, deleted) = (condition.trim(), deleted.trim());
            format!("(({deleted}) ? false : ({condition}))")
        }
    };
    let value = match &select.value {
        None | Some(ValueSelect::Count) => "1",
        Some(ValueSelect::Path { path, .. }) => path.trim(),
    };
    let mut text = String::new();
    push_records(&mut text, select.records.as_ref());
    let _ = write!(text, ".({counts} ? ");
    push_row(&mut text, select, value);
    let key = select.key.as_deref().unwrap_or("null").trim();
    let _ = write!(text, " : {{ \"key\": {key}, \"deleted\": true }})[]");
    text
}

fn push_row(text: &mut String, select: &Select, value: &str) {
    text.push_str("{ ");
    if let Some(date) = &select.date {
        let _ = write!(text, "\"date\": {}, ", date.path.trim());
    }
    let _ = write!(text, "\"value\": {value}");
    if !select.dimensions.is_empty() {
        text.push_str(", \"dimensions\": { ");
        for (place, (name, path)) in select.dimensions.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let _ = write!(text, "{comma}\"{name}\": {}", path.trim());
        }
        text.push_str(" }");
    }
    if let Some(unit) = &select.unit {
        let _ = write!(text, ", \"unit\": {}", unit.trim());
    }
    if let Some(key) = &select.key {
        let _ = write!(text, ", \"key\": {}", key.trim());
    }
    text.push_str(" }");
}

/// The JSONata of a selection's records alone, as a list.
pub(crate) fn records_of(select: &Select) -> String {
    let mut text = String::new();
    push_records(&mut text, select.records.as_ref());
    if let Some(condition) = &select.where_ {
        push_condition(&mut text, condition.trim());
    }
    format!("({text})[]")
}

/// Writes a field's name so that JSONata reads it as one: as it is, in backticks, or looked up.
///
/// ```
/// assert_eq!(expression::quote_field("created_at"), "created_at");
/// assert_eq!(expression::quote_field("first-name"), "`first-name`");
/// assert_eq!(expression::quote_field("in"), "`in`");
/// ```
pub fn quote_field(name: &str) -> String {
    const WORDS: [&str; 7] = ["and", "or", "in", "true", "false", "null", "function"];
    let mut letters = name.chars();
    let plain = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name);
    if plain {
        name.to_owned()
    } else if name.contains('`') {
        // Nothing escapes a backtick, so such a field is looked up by its text.
        format!("$lookup($, {})", serde_json::Value::from(name))
    } else {
        format!("`{name}`")
    }
}

/// Writes a path of field names as JSONata.
///
/// ```
/// assert_eq!(expression::field_path(["pagination", "end cursor"]), "pagination.`end cursor`");
/// ```
pub fn field_path<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(quote_field)
        .collect::<Vec<_>>()
        .join(".")
}

/// The places whose values tell whether the records are there at all.
pub(crate) fn places_of_records(records: Option<&Records>) -> RecordsAt {
    match records {
        Some(Records::Path(path)) if !is_root(records) => RecordsAt::Path(path.trim().to_owned()),
        Some(Records::Entries { entries }) => RecordsAt::Entries(entries.trim().to_owned()),
        Some(Records::Zip { zip }) => {
            RecordsAt::Zip(zip.iter().map(|path| path.trim().to_owned()).collect())
        }
        _ => RecordsAt::Path("$".to_owned()),
    }
}

fn push_records(text: &mut String, records: Option<&Records>) {
    match records {
        _ if is_root(records) => text.push('$'),
        Some(Records::Path(path)) => {
            let path = path.trim();
            // A predicate behind anything but a path would bind to its last operand.
            let stands_alone = parsed(path).is_none_or(|root| {
                matches!(
                    root.kind,
                    NodeKind::Path { .. }
                        | NodeKind::Block { .. }
                        | NodeKind::Variable { .. }
                        | NodeKind::Function { .. }
                )
            });
            if stands_alone {
                text.push_str(path);
            } else {
                let _ = write!(text, "({path})");
            }
        }
        Some(Records::Entries { entries }) => {
            let _ = write!(
                text,
                "$each({}, function($value, $key) {{ {{ \"key\": $key, \"value\": $value }} }})",
                entries.trim()
            );
        }
        Some(Records::Zip { zip }) => {
            let paths = zip.iter().map(|path| path.trim()).collect::<Vec<_>>();
            let _ = write!(text, "$zip({}).{{ ", paths.join(", "));
            for (place, path) in paths.iter().enumerate() {
                let comma = if place > 0 { ", " } else { "" };
                let name = serde_json::Value::from(last_name(path));
                let _ = write!(text, "{comma}{name}: $[{place}]");
            }
            text.push_str(" }");
        }
        None => {}
    }
}

/// A condition that might be a number would be an index: those are made a truth value first.
fn push_condition(text: &mut String, condition: &str) {
    let is_truth = parsed(condition).is_some_and(|root| is_truth_value(&root));
    if is_truth {
        let _ = write!(text, "[{condition}]");
    } else {
        let _ = write!(text, "[$boolean({condition})]");
    }
}

pub(crate) fn is_truth_value(node: &Node) -> bool {
    const TRUTHS: [&str; 4] = ["not", "boolean", "exists", "contains"];
    match &node.kind {
        NodeKind::Binary { op, .. } => matches!(
            op,
            BinaryOp::Eq
                | BinaryOp::Ne
                | BinaryOp::Lt
                | BinaryOp::Le
                | BinaryOp::Gt
                | BinaryOp::Ge
                | BinaryOp::And
                | BinaryOp::Or
                | BinaryOp::In
        ),
        NodeKind::Function { procedure, .. } => {
            matches!(&procedure.kind, NodeKind::Variable { name } if TRUTHS.contains(&name.as_str()))
        }
        _ => false,
    }
}

fn parsed(source: &str) -> Option<Node> {
    if source.len() > crate::MAX_SOURCE_BYTES {
        return None;
    }
    // Recovering, since a `%` has no parent before its part is put on a record.
    Some(jlens_core::parse_recover(source).root)
}

/// The name a zipped array's items get: the last field of its path.
pub(crate) fn last_name(path: &str) -> String {
    let Some(root) = parsed(path) else {
        return path.to_owned();
    };
    let mut name = path.to_owned();
    if let NodeKind::Path { steps, .. } = &root.kind
        && let Some(NodeKind::Name { name: last }) = steps.last().map(|step| &step.kind)
    {
        name.clone_from(last);
    }
    name
}
