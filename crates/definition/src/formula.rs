//! Formulas of calculated metrics: `paid / trials * 100`.

mod parse;
mod unit;

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use crate::name::Name;
use crate::words::words;

pub use unit::{FormulaUnit, UnitError};

/// The longest formula, in characters.
const MAX_FORMULA: usize = 2_000;
/// The most numbers, metrics, signs and functions of a formula.
const MAX_TERMS: usize = 200;
/// The most metrics of a formula.
const MAX_FORMULA_METRICS: usize = 20;
/// How many calculated metrics may stand on one another.
pub const MAX_FORMULA_DEPTH: usize = 16;
/// The most metrics that a calculated metric may stand on, directly and through others.
pub const MAX_FORMULA_SOURCES: usize = 64;

/// What a calculated metric is worth, said with other metrics: `+ - * /`, parentheses, numbers, and the
/// functions of [`Function`].
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: String,
    root: Term,
}

/// A part of a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A number as it was written: digits, perhaps with a fraction.
    Number(Box<str>),
    /// The value of another metric.
    Metric(Name),
    /// The opposite.
    Negative(Box<Term>),
    /// Two terms and what joins them.
    Join(Operator, Box<Term>, Box<Term>),
    /// A function of terms.
    Call(Function, Vec<Term>),
}

/// What joins two terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`; by zero there is no value.
    Over,
}

words! {
    /// The functions of formulas.
    pub enum Function {
        /// The value without its sign.
        Abs = "abs",
        /// The smallest of its values; without one of them there is none.
        Min = "min",
        /// The largest of its values; without one of them there is none.
        Max = "max",
        /// The first of its values that is there.
        Coalesce = "coalesce",
    }
}

/// Says what is wrong with a formula, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {message}")]
pub struct FormulaError {
    /// The character, from 1.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Formula {
    /// Reads a formula.
    ///
    /// # Errors
    /// Text that is none, or one beyond the limits.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        let root = parse::parse(text)?;
        let formula = Self {
            text: text.trim().to_owned(),
            root,
        };
        let problem = |message: String| FormulaError {
            at: 1,
            message,
            hint: None,
        };
        match formula.metrics().len() {
            0 => Err(problem("names no metric".to_owned())),
            1..=MAX_FORMULA_METRICS => Ok(formula),
            count => Err(problem(format!(
                "names {count} metrics; at most {MAX_FORMULA_METRICS}"
            ))),
        }
    }

    /// Returns the formula as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns what it is made of.
    pub fn root(&self) -> &Term {
        &self.root
    }

    /// Returns the metrics it names, each once, in the order of their first mention.
    pub fn metrics(&self) -> Vec<&Name> {
        let (mut seen, mut found, mut open) = (BTreeSet::new(), Vec::new(), vec![&self.root]);
        while let Some(term) = open.pop() {
            match term {
                Term::Number(_) => {}
                Term::Metric(name) => {
                    if seen.insert(name) {
                        found.push(name);
                    }
                }
                Term::Negative(inner) => open.push(inner),
                Term::Join(_, left, right) => open.extend([&**right, &**left]),
                Term::Call(_, terms) => open.extend(terms.iter().rev()),
            }
        }
        found
    }
}

impl Serialize for Formula {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
