//! Where an expression works with a value, and where it only passes it on.
//!
//! A long number of a page is a text with a mark before it, so that its digits reach rows as they are. What an operator
//! or a function works with must be a number again: on a page with long numbers such operands are wrapped, and
//! everything that is passed on is left alone.

use jlens_core::ast::{BinaryOp, Node, NodeKind};
use jlens_core::{Bindings, Expression, HostFunction};
use serde_json::Value;

use crate::page::{MARK, long_number};

/// Makes doubles of marked numbers.
const NUMBER: &str = "tidemark_number";
/// Makes texts of marked numbers, with their digits.
const DIGITS: &str = "tidemark_digits";

/// Functions that pass on what they are given.
const PASSING: [&str; 16] = [
    "append", "count", "distinct", "each", "exists", "filter", "keys", "lookup", "map", "merge",
    "reduce", "reverse", "sift", "single", "spread", "zip",
];
/// Functions that write what they are given.
const WRITING: [&str; 2] = ["join", "string"];
/// Functions that apply another one.
const APPLYING: [&str; 6] = ["filter", "map", "reduce", "sift", "single", "sort"];

/// An expression as it is evaluated on pages with long numbers, with the functions that it calls.
#[derive(Debug)]
pub(crate) struct Long {
    pub(crate) expression: Expression,
    pub(crate) bindings: Bindings,
}

impl Long {
    /// Wraps what an expression works with.
    pub(crate) fn of(expression: &Expression, bindings: &Bindings) -> Self {
        Self {
            // What could not be wrapped would see texts, and say so.
            expression: for_long_numbers(expression).unwrap_or_else(|| expression.clone()),
            bindings: with_functions(bindings.clone()),
        }
    }
}

/// Returns the expression with its operands wrapped; nothing when it cannot be written so.
fn for_long_numbers(expression: &Expression) -> Option<Expression> {
    let source = expression.source();
    let mut wraps = Wraps::default();
    let root = &expression.ast().root;
    root.walk(&mut |node| wraps.bound(node));
    root.walk(&mut |node| wraps.node(node));
    if wraps.found.is_empty() {
        return Some(expression.clone());
    }
    Expression::compile(&wraps.written(source)?).ok()
}

/// Adds the functions that such an expression calls.
fn with_functions(bindings: Bindings) -> Bindings {
    let number = HostFunction::new(1, |arguments, _| {
        Ok(arguments.first().cloned().flatten().map(numbers))
    });
    let digits = HostFunction::new(1, |arguments, _| {
        Ok(arguments.first().cloned().flatten().map(digits))
    });
    bindings
        .function(NUMBER, number.without_input())
        .function(DIGITS, digits.without_input())
}

/// Doubles in place of marked texts, however deep.
fn numbers(value: Value) -> Value {
    match value {
        Value::String(text) => {
            match long_number(&text).and_then(|digits| digits.parse::<f64>().ok()) {
                Some(number) => number.into(),
                None => text.into(),
            }
        }
        Value::Array(items) => items.into_iter().map(numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, numbers(value)))
            .collect(),
        other => other,
    }
}

/// Digits in place of marked texts; inside of objects doubles, since they are written as JSON.
fn digits(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix(MARK) {
            Some(digits) => digits.into(),
            None => text.into(),
        },
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            items.into_iter().map(digits).collect()
        }
        other => numbers(other),
    }
}

/// What is wrapped: start, end, and in which function.
#[derive(Default)]
struct Wraps {
    found: Vec<(usize, usize, &'static str)>,
    /// Variables that the expression binds: its functions take things as they are.
    bound: Vec<String>,
}

impl Wraps {
    fn bound(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Bind { lhs, .. } => {
                if let NodeKind::Variable { name } = &lhs.kind {
                    self.bound.push(name.clone());
                }
            }
            NodeKind::Lambda(lambda) => self.bound.extend(lambda.params.iter().cloned()),
            _ => {}
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Binary { op, lhs, rhs } => {
                let into = match op {
                    BinaryOp::And | BinaryOp::Or => return,
                    BinaryOp::Concat => DIGITS,
                    _ => NUMBER,
                };
                self.wrap(lhs, into);
                self.wrap(rhs, into);
            }
            NodeKind::Negate { expr } => self.wrap(expr, NUMBER),
            NodeKind::Sort { terms } => {
                for term in terms {
                    self.wrap(&term.expr, NUMBER);
                }
            }
            NodeKind::Function { procedure, args } | NodeKind::Partial { procedure, args } => {
                self.call(procedure, args);
            }
            NodeKind::Apply { lhs, rhs } => {
                let called = match &rhs.kind {
                    NodeKind::Function { procedure, .. } | NodeKind::Partial { procedure, .. } => {
                        procedure
                    }
                    _ => rhs,
                };
                if let Some(into) = self.taken(called, std::slice::from_ref(lhs)) {
                    self.wrap(lhs, into);
                }
            }
            NodeKind::Object { pairs } => self.keys(pairs),
            _ => {}
        }
        if let Some(group) = &node.attrs.group {
            self.keys(&group.pairs);
        }
    }

    fn keys(&mut self, pairs: &[(Node, Node)]) {
        for (key, _) in pairs {
            self.wrap(key, DIGITS);
        }
    }

    fn call(&mut self, procedure: &Node, args: &[Node]) {
        if let Some(into) = self.taken(procedure, args) {
            for argument in args {
                // A function that is handed on is no value.
                let is_function = matches!(&argument.kind, NodeKind::Lambda(_))
                    || matches!(&argument.kind, NodeKind::Variable { name }
                        if is_applying(procedure) && !name.is_empty());
                if !is_function {
                    self.wrap(argument, into);
                }
            }
        } else if let (NodeKind::Variable { name }, [_, key]) = (&procedure.kind, args)
            && name == "lookup"
        {
            self.wrap(key, DIGITS);
        }
    }

    /// What a function makes of what it is given; nothing where it takes it as it is.
    fn taken(&self, procedure: &Node, args: &[Node]) -> Option<&'static str> {
        let NodeKind::Variable { name } = &procedure.kind else {
            return None;
        };
        if self.bound.contains(name) {
            return None;
        }
        if WRITING.contains(&name.as_str()) {
            return Some(DIGITS);
        }
        let by_another = is_applying(procedure)
            && args.get(1).is_some_and(|function| {
                matches!(&function.kind, NodeKind::Variable { name } if !self.bound.contains(name))
            });
        let by_own = is_applying(procedure)
            && args
                .get(1)
                .is_some_and(|function| matches!(function.kind, NodeKind::Lambda(_)));
        if by_own || (PASSING.contains(&name.as_str()) && !by_another) {
            return None;
        }
        Some(NUMBER)
    }

    fn wrap(&mut self, node: &Node, into: &'static str) {
        let may_be_long = match &node.kind {
            NodeKind::Binary { .. }
            | NodeKind::Negate { .. }
            | NodeKind::String { .. }
            | NodeKind::Number { .. }
            | NodeKind::Bool { .. }
            | NodeKind::Null
            | NodeKind::Regex { .. }
            | NodeKind::Placeholder
            | NodeKind::Lambda(_)
            | NodeKind::Transform(_) => false,
            NodeKind::Path { steps, .. } => {
                !matches!(steps.as_slice(), [one] if matches!(one.kind, NodeKind::String { .. } | NodeKind::Number { .. }))
            }
            _ => true,
        };
        let wrap = (node.span.start, node.span.end, into);
        if may_be_long && wrap.0 < wrap.1 && !self.found.contains(&wrap) {
            self.found.push(wrap);
        }
    }

    fn written(&self, source: &str) -> Option<String> {
        // At one place, what ends comes before what begins, the inner end before the outer, the outer beginning first.
        let mut cuts: Vec<(usize, u8, usize, String)> = Vec::with_capacity(self.found.len() * 2);
        for (start, end, into) in &self.found {
            let length = end - start;
            cuts.push((*start, 1, usize::MAX - length, format!("${into}(")));
            cuts.push((*end, 0, length, ")".to_owned()));
        }
        cuts.sort();
        let mut text = String::with_capacity(source.len() + self.found.len() * 24);
        let mut at = 0;
        for (place, _, _, piece) in cuts {
            text.push_str(source.get(at..place)?);
            text.push_str(&piece);
            at = place;
        }
        text.push_str(source.get(at..)?);
        Some(text)
    }
}

fn is_applying(procedure: &Node) -> bool {
    matches!(&procedure.kind, NodeKind::Variable { name } if APPLYING.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_worked_with_is_wrapped() {
        for (source, expected) in [
            (
                "a.{ \"value\": v, \"key\": id }[]",
                "a.{ \"value\": v, \"key\": id }[]",
            ),
            (
                "a[id > 100].{ \"value\": v / 2, \"key\": shop & \"-\" & id }",
                "a[$tidemark_number(id) > 100].{ \"value\": $tidemark_number(v) / 2, \"key\": $tidemark_digits(shop) & \"-\" & $tidemark_digits(id) }",
            ),
            ("$sum(items.v)", "$sum($tidemark_number(items.v))"),
            ("$count(items)", "$count(items)"),
            ("$string(id)", "$string($tidemark_digits(id))"),
            (
                "$map(xs, function($x) { $x.n + 1 })",
                "$map(xs, function($x) { $tidemark_number($x.n) + 1 })",
            ),
            ("$map(xs, $string)", "$map($tidemark_number(xs), $string)"),
            (
                "xs^(>n).{ \"value\": n }",
                "xs^(>$tidemark_number(n)).{ \"value\": n }",
            ),
            ("xs.n ~> $sum()", "$tidemark_number(xs.n) ~> $sum()"),
            (
                "(a.b)[0] + -c",
                "$tidemark_number((a.b)[0]) + -$tidemark_number(c)",
            ),
            (
                "a[0].b * a[1].b",
                "$tidemark_number(a[0].b) * $tidemark_number(a[1].b)",
            ),
        ] {
            let expression = Expression::compile(source).unwrap();
            let wrapped = for_long_numbers(&expression).unwrap();
            assert_eq!(wrapped.source(), expected);
        }
    }
}
