//! What a formula is counted in, from what its metrics are counted in.

use super::{Formula, Function, Operator, Term};
use crate::name::Name;

/// What a value is counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormulaUnit {
    /// A number of the formula: it takes the unit of what stands beside it.
    Number,
    /// A unit, or plainly none.
    Of(Option<Box<str>>),
    /// Only the rows tell.
    Unknown,
}

/// Says which units do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// They are added, subtracted or compared, and differ.
    #[error("{left} and {right} are not the same unit, so they are neither added nor compared")]
    Differ {
        /// The one.
        left: String,
        /// The other.
        right: String,
    },
    /// Their product or quotient has no unit of its own.
    #[error("{left} {sign} {right} is a unit of its own")]
    Compound {
        /// The one.
        left: String,
        /// What joins them.
        sign: char,
        /// The other.
        right: String,
    },
}

impl Formula {
    /// Returns what the formula is counted in, when each metric is counted in what `of` says.
    ///
    /// Equal units are added; a unit over itself is none, and a unit times a plain number, or over one,
    /// stays. All else has a unit of its own, which must be `stated`.
    ///
    /// # Errors
    /// Units that do not go together.
    pub fn unit(
        &self,
        of: &dyn Fn(&Name) -> FormulaUnit,
        stated: Option<&str>,
    ) -> Result<FormulaUnit, UnitError> {
        let found = unit_of(self.root(), of, stated.is_some())?;
        Ok(match stated {
            Some(unit) => FormulaUnit::Of(Some(unit.into())),
            None if found == FormulaUnit::Number => FormulaUnit::Of(None),
            None => found,
        })
    }
}

fn unit_of(
    term: &Term,
    of: &dyn Fn(&Name) -> FormulaUnit,
    is_stated: bool,
) -> Result<FormulaUnit, UnitError> {
    let inner = |term: &Term| unit_of(term, of, is_stated);
    match term {
        Term::Number(_) => Ok(FormulaUnit::Number),
        Term::Metric(name) => Ok(of(name)),
        Term::Negative(term) => inner(term),
        Term::Call(Function::Abs | Function::Min | Function::Max | Function::Coalesce, terms) => {
            let mut all = FormulaUnit::Number;
            for term in terms {
                all = same(all, inner(term)?)?;
            }
            Ok(all)
        }
        Term::Join(Operator::Plus | Operator::Minus, left, right) => {
            same(inner(left)?, inner(right)?)
        }
        Term::Join(Operator::Times, left, right) => times(inner(left)?, inner(right)?, is_stated),
        Term::Join(Operator::Over, left, right) => over(inner(left)?, inner(right)?, is_stated),
    }
}

fn same(left: FormulaUnit, right: FormulaUnit) -> Result<FormulaUnit, UnitError> {
    use FormulaUnit::{Number, Of, Unknown};
    match (left, right) {
        (Number, other) | (other, Number) => Ok(other),
        (Unknown, _) | (_, Unknown) => Ok(Unknown),
        (Of(left), Of(right)) if left == right => Ok(Of(left)),
        (Of(left), Of(right)) => Err(UnitError::Differ {
            left: said(left.as_deref()),
            right: said(right.as_deref()),
        }),
    }
}

fn times(left: FormulaUnit, right: FormulaUnit, is_stated: bool) -> Result<FormulaUnit, UnitError> {
    use FormulaUnit::{Number, Of, Unknown};
    match (left, right) {
        (Number | Of(None), other) | (other, Number | Of(None)) => Ok(other),
        (Unknown, _) | (_, Unknown) => Ok(Unknown),
        (Of(left), Of(right)) => compound(left.as_deref(), '*', right.as_deref(), is_stated),
    }
}

fn over(left: FormulaUnit, right: FormulaUnit, is_stated: bool) -> Result<FormulaUnit, UnitError> {
    use FormulaUnit::{Number, Of, Unknown};
    match (left, right) {
        (other, Number | Of(None)) => Ok(other),
        (Unknown, _) | (_, Unknown) => Ok(Unknown),
        (Of(left), Of(right)) if left == right => Ok(Of(None)),
        (Number, Of(right)) => compound(None, '/', right.as_deref(), is_stated),
        (Of(left), Of(right)) => compound(left.as_deref(), '/', right.as_deref(), is_stated),
    }
}

fn compound(
    left: Option<&str>,
    sign: char,
    right: Option<&str>,
    is_stated: bool,
) -> Result<FormulaUnit, UnitError> {
    if is_stated {
        return Ok(FormulaUnit::Unknown);
    }
    Err(UnitError::Compound {
        left: said(left),
        sign,
        right: said(right),
    })
}

fn said(unit: Option<&str>) -> String {
    unit.map_or_else(|| "a plain number".to_owned(), str::to_owned)
}
