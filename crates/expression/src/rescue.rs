//! Saves a page from one record on which the evaluation fails.
//!
//! JSONata has no way to catch an error: `$number(total)` on one odd record ends the evaluation of
//! them all. Where an expression is records and one object made of each, the record is found by
//! tracing, rejected with the error as its reason, and the others are evaluated without it.

use jlens_core::ast::{Node, NodeId, NodeKind, Stage};
use jlens_core::audit::{CaptureLimits, Outcome, Tracer, ValueRef};
use jlens_core::{Ast, Expression};

use crate::EvaluationError;
use crate::mask::masked_json;

/// More failing records than this on one page are a failure of the expression.
pub(crate) const MOST_RECORDS: usize = 20;

/// An expression of the form `records.{ … }`, and where it is cut.
#[derive(Debug)]
pub(crate) struct Split {
    dot: usize,
}

impl Split {
    /// Returns where to cut; nothing when the object looks beyond its record.
    pub(crate) fn of(ast: &Ast) -> Option<Self> {
        let NodeKind::Path { steps, .. } = &ast.root.kind else {
            return None;
        };
        let (object, records) = steps.split_last()?;
        if records.is_empty() || !matches!(object.kind, NodeKind::Object { .. }) {
            return None;
        }
        let mut stands_alone = true;
        ast.root.walk(&mut |node| {
            let binds = node.attrs.focus.is_some()
                || node.attrs.index.is_some()
                || node
                    .attrs
                    .stages
                    .iter()
                    .any(|stage| matches!(stage, Stage::Index { .. }));
            stands_alone &= !binds && !matches!(node.kind, NodeKind::Parent { .. });
        });
        let before = ast
            .source
            .get(..object.span.start)?
            .trim_end()
            .strip_suffix('.')?;
        stands_alone.then_some(Self { dot: before.len() })
    }

    /// The expression without the records at these places.
    pub(crate) fn without(&self, source: &str, places: &[usize]) -> Option<Expression> {
        let (records, rest) = source.split_at_checked(self.dot)?;
        let places = places
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let text =
            format!("({records}\n)#$tidemark_place[$not($tidemark_place in [{places}])]{rest}");
        Expression::compile(&text).ok()
    }
}

/// Counts the records an object was made of, until one fails.
pub(crate) struct Search {
    object: NodeId,
    entered: usize,
    depth: usize,
    record: Option<serde_json::Value>,
    failed: bool,
}

impl Search {
    /// A tracer that finds the record on which the evaluation of `records.{ … }` ends.
    pub(crate) fn in_tree(ast: &Ast) -> Option<Self> {
        let NodeKind::Path { steps, .. } = &ast.root.kind else {
            return None;
        };
        let object = steps.last()?.id;
        Some(Self {
            object,
            entered: 0,
            depth: 0,
            record: None,
            failed: false,
        })
    }

    /// The place of the record that failed, and the record as a sample.
    pub(crate) fn found(self) -> Option<(usize, String)> {
        if !self.failed {
            return None;
        }
        let sample = masked_json(self.record.unwrap_or_default());
        Some((self.entered.checked_sub(1)?, sample))
    }
}

impl Tracer for Search {
    fn enter(&mut self, node: &Node, input: ValueRef<'_>) {
        if node.id != self.object || self.failed {
            return;
        }
        self.depth += 1;
        if self.depth == 1 {
            self.entered += 1;
            // Only the last record entered is kept, and only as much of it as a sample shows.
            self.record = input.capture(&CaptureLimits::default());
        }
    }

    fn exit(&mut self, node: &Node, outcome: Outcome<'_>) {
        if node.id != self.object || self.failed {
            return;
        }
        self.depth = self.depth.saturating_sub(1);
        self.failed = matches!(outcome, Outcome::Error(_));
    }
}

/// Whether an error comes from the data of one record, and not from a limit or the engine.
pub(crate) fn is_of_one_record(error: &EvaluationError) -> bool {
    matches!(
        error.code.as_str(),
        "value.not_finite"
            | "expression.type"
            | "expression.cast"
            | "expression.date"
            | "expression.raised"
            | "expression.failed"
    )
}
