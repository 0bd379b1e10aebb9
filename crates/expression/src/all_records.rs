//! The dates of all records that an answer holds, before a condition leaves some of them out.
//!
//! What a run without a window restates begins with the earliest record that it saw: also one that no longer counts.

use jlens_core::ast::{Node, NodeKind, Stage};

use crate::check;
use crate::generate::is_truth_value;
use crate::task::{Reading, Task};

impl Task {
    /// Returns the task that finds the dates of all records, of an expression such as
    /// `orders[paid].{ "date": at, "value": total }[]`; nothing where no condition stands before its rows.
    pub fn of_all_records(&self) -> Option<Self> {
        if !self.reading.dated || self.reading.keyed || self.reading.first_page_only {
            return None;
        }
        Some(Self {
            id: self.id,
            expression: without_conditions(&self.expression)?,
            whole_run: self.whole_run,
            reading: Reading {
                date: self.reading.date.clone(),
                zone: self.reading.zone.clone(),
                dated: true,
                missing_is_empty: true,
                only_dates: true,
                ..Reading::default()
            },
        })
    }
}

/// Takes the conditions right before the row out of an expression, and from the row all but its date.
fn without_conditions(source: &str) -> Option<String> {
    let checked = check(source).ok()?;
    let NodeKind::Path { steps, .. } = &checked.expression.ast().root.kind else {
        return None;
    };
    let (object, before) = steps.split_last()?;
    let NodeKind::Object { pairs } = &object.kind else {
        return None;
    };
    let is_date = |key: &Node| matches!(&key.kind, NodeKind::String { value } if value == "date");
    let (_, date) = pairs.iter().find(|(key, _)| is_date(key))?;
    let date = source.get(date.span.start..date.span.end)?;
    let attrs = &before.last()?.attrs;
    let mut conditions = Vec::new();
    for stage in attrs.stages.iter().chain(&attrs.predicate) {
        match stage {
            // A number would be a place in the list, and another list without it.
            Stage::Filter { expr, span, .. } if is_truth_value(expr) => conditions.push(*span),
            _ => return None,
        }
    }
    let (first, last) = (conditions.first()?, conditions.last()?);
    let records = source.get(..first.start)?;
    let dot = source.get(last.end..object.span.start)?;
    Some(format!(
        "{records}{dot}{{ \"date\": {date}, \"value\": 1 }}[]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_right_before_the_row_is_taken_out() {
        for (source, all) in [
            (
                "orders[state = \"paid\"].{ \"date\": at, \"value\": total, \"dimensions\": { \"a\": b } }[]",
                "orders.{ \"date\": at, \"value\": 1 }[]",
            ),
            (
                "data.orders[paid = true][$boolean(n)].{ \"value\": 1, \"date\": $fromMillis(at * 1000) }",
                "data.orders.{ \"date\": $fromMillis(at * 1000), \"value\": 1 }[]",
            ),
            (
                "$[a = 1].{ \"date\": `d t`, \"value\": v }[]",
                "$.{ \"date\": `d t`, \"value\": 1 }[]",
            ),
            (
                "$zip(t, v).{ \"t\": $[0], \"v\": $[1] }[v > 0].{ \"date\": t, \"value\": v }[]",
                "$zip(t, v).{ \"t\": $[0], \"v\": $[1] }.{ \"date\": t, \"value\": 1 }[]",
            ),
            (
                "lists[kind = \"a\"].items[ok = true].{ \"date\": t, \"value\": v }[]",
                "lists[kind = \"a\"].items.{ \"date\": t, \"value\": 1 }[]",
            ),
        ] {
            assert_eq!(without_conditions(source).as_deref(), Some(all));
        }
    }

    #[test]
    fn nothing_is_said_where_no_condition_is() {
        for source in [
            "orders.{ \"date\": at, \"value\": 1 }[]",
            "orders[0].{ \"date\": at, \"value\": 1 }[]",
            "orders[n].{ \"date\": at, \"value\": 1 }[]",
            "orders[state = \"paid\"].{ \"value\": 1 }[]",
            "lists[kind = \"a\"].items.{ \"date\": t, \"value\": v }[]",
            "$sum(orders[paid = true].total)",
            "(",
        ] {
            assert_eq!(without_conditions(source), None, "{source}");
        }
    }
}
