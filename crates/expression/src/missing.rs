//! Tells "no records" from "no such place" in a page.

use jlens_core::ast::{Node, NodeKind};

/// Whether the place of the records is in a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    There,
    Missing,
}

/// Follows a path of plain names; nothing when it is more than that.
///
/// The engine says undefined both for a missing field and for a field of an empty list's items,
/// and only the first means that the answer has changed.
pub(crate) fn place(root: &Node, json: &serde_json::Value) -> Option<Place> {
    let NodeKind::Path { steps, .. } = &root.kind else {
        return None;
    };
    let mut names = Vec::with_capacity(steps.len());
    for step in steps {
        match &step.kind {
            NodeKind::Name { name } if step.attrs.stages.is_empty() => names.push(name.as_str()),
            _ => return None,
        }
    }
    Some(if is_there(&names, json) {
        Place::There
    } else {
        Place::Missing
    })
}

fn is_there(names: &[&str], json: &serde_json::Value) -> bool {
    match (names, json) {
        (_, serde_json::Value::Array(items)) => {
            items.is_empty()
                || items
                    .iter()
                    .any(|item| names.is_empty() || is_there(names, item))
        }
        ([], json) => !json.is_null(),
        ([name, rest @ ..], serde_json::Value::Object(fields)) => {
            fields.get(*name).is_some_and(|value| is_there(rest, value))
        }
        _ => false,
    }
}
