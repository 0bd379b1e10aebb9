//! What the text of an expression says about the numbers it makes.

use jlens_core::ast::{BinaryOp, Node, NodeKind};

/// Where the numbers of rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calculation {
    /// From the page, as they are there.
    None,
    /// Some may be made here.
    Some,
    /// Every value is a sum, difference, product or quotient: one that is null was no number.
    Every,
}

impl Calculation {
    /// Reads it off an expression.
    pub(crate) fn of(root: &Node) -> Self {
        const CALCULATING: [&str; 5] = ["sum", "average", "power", "sqrt", "reduce"];
        let mut found = false;
        let (mut values, mut quotients) = (0, 0);
        root.walk(&mut |node| {
            found |= is_arithmetic(node)
                || matches!(&node.kind, NodeKind::Variable { name } if CALCULATING.contains(&name.as_str()));
            let NodeKind::Object { pairs } = &node.kind else {
                return;
            };
            let value = pairs
                .iter()
                .find(|(key, _)| matches!(&key.kind, NodeKind::String { value } if value == "value"));
            if let Some((_, value)) = value {
                values += 1;
                quotients += usize::from(is_arithmetic(inner(value)));
            }
        });
        if values > 0 && values == quotients {
            Self::Every
        } else if found {
            Self::Some
        } else {
            Self::None
        }
    }

    pub(crate) fn is_any(self) -> bool {
        self != Self::None
    }
}

fn is_arithmetic(node: &Node) -> bool {
    matches!(
        &node.kind,
        NodeKind::Binary {
            op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod,
            ..
        }
    )
}

/// What stands in brackets.
fn inner(node: &Node) -> &Node {
    match &node.kind {
        NodeKind::Block { exprs, .. } if exprs.len() == 1 => inner(&exprs[0]),
        NodeKind::Path { steps, .. } if steps.len() == 1 => inner(&steps[0]),
        _ => node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_which_values_are_calculated() {
        let of =
            |source: &str| Calculation::of(&crate::check(source).unwrap().expression.ast().root);
        assert_eq!(of("a.{ \"value\": b }"), Calculation::None);
        assert_eq!(of("a.{ \"value\": (b / c) }"), Calculation::Every);
        assert_eq!(of("{ \"value\": a * 2 }"), Calculation::Every);
        assert_eq!(of("a.{ \"value\": b ? c / d : null }"), Calculation::Some);
        assert_eq!(of("{ \"value\": $sum(a) }"), Calculation::Some);
    }
}
