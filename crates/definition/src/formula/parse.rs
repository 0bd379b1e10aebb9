//! Reads a formula from left to right, one character ahead.

use std::iter::Peekable;
use std::str::Chars;

use super::{FormulaError, Function, MAX_FORMULA, MAX_TERMS, Operator, Term};
use crate::name::Name;
use crate::problem::{nearest, quoted};

/// Parentheses and signs inside one another; deeper ones are not written by people.
const MAX_DEPTH: usize = 32;
/// Digits of a number, so that it is exact.
const MAX_DIGITS: usize = 30;

pub(super) fn parse(text: &str) -> Result<Term, FormulaError> {
    let mut parser = Parser {
        rest: text.chars().peekable(),
        at: 1,
        terms: 0,
        depth: 0,
    };
    if text.chars().count() > MAX_FORMULA {
        return Err(parser.error(format!("longer than {MAX_FORMULA} characters")));
    }
    let term = parser.sum()?;
    match parser.next_sign() {
        None => Ok(term),
        Some(')') => Err(parser.error("there is no `(` for this `)`")),
        Some(_) => Err(parser.expected("an operator (`+ - * /`)")),
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// The place of the next character, from 1.
    at: usize,
    terms: usize,
    depth: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Term, FormulaError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.next_sign() {
                Some('+') => Operator::Plus,
                Some('-') => Operator::Minus,
                _ => return Ok(left),
            };
            self.take();
            let right = self.product()?;
            left = self.term(Term::Join(operator, Box::new(left), Box::new(right)))?;
        }
    }

    fn product(&mut self) -> Result<Term, FormulaError> {
        let mut left = self.factor()?;
        loop {
            let operator = match self.next_sign() {
                Some('*') => Operator::Times,
                Some('/') => Operator::Over,
                _ => return Ok(left),
            };
            self.take();
            let right = self.factor()?;
            left = self.term(Term::Join(operator, Box::new(left), Box::new(right)))?;
        }
    }

    fn factor(&mut self) -> Result<Term, FormulaError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!(
                "more than {MAX_DEPTH} parentheses and signs inside one another"
            )));
        }
        let found = match self.next_sign() {
            Some('-') => {
                self.take();
                let inner = self.factor()?;
                self.term(Term::Negative(Box::new(inner)))
            }
            Some('(') => {
                self.take();
                let inner = self.sum()?;
                self.close()?;
                Ok(inner)
            }
            Some(digit) if digit.is_ascii_digit() => self.number(),
            Some(letter) if letter.is_alphabetic() || letter == '_' => self.word(),
            _ => Err(self.expected("a number, a metric or `(`")),
        };
        self.depth -= 1;
        found
    }

    fn number(&mut self) -> Result<Term, FormulaError> {
        let start = self.at;
        let mut text = self.run_of(|c| c.is_ascii_digit());
        if self.rest.peek() == Some(&'.') {
            self.take();
            let fraction = self.run_of(|c| c.is_ascii_digit());
            if fraction.is_empty() {
                return Err(self.expected("digits behind the point"));
            }
            text.push('.');
            text.push_str(&fraction);
        }
        match self.rest.peek() {
            Some('%') => {
                let mut error = self.error("`%` is no operator");
                error.hint = Some("write `/ 100`, or `* 100` for a share in percent".to_owned());
                return Err(error);
            }
            Some(c) if *c == '.' || *c == '_' || c.is_alphabetic() => {
                return Err(self.error("a number is digits, perhaps with a fraction such as `0.5`"));
            }
            _ => {}
        }
        if text.len() > MAX_DIGITS {
            self.at = start;
            return Err(self.error(format!("a number has at most {MAX_DIGITS} digits")));
        }
        self.term(Term::Number(text.into()))
    }

    fn word(&mut self) -> Result<Term, FormulaError> {
        let start = self.at;
        let word = self.run_of(|c| c.is_alphanumeric() || c == '_');
        if self.next_sign() == Some('(') {
            return self.call(&word, start);
        }
        let name = Name::parse(&word).map_err(|error| {
            let mut problem = error_at(start, format!("{} is no metric: {error}", quoted(&word)));
            problem.hint = Name::suggest(&word).map(|name| format!("for example `{name}`"));
            problem
        })?;
        self.term(Term::Metric(name))
    }

    fn call(&mut self, word: &str, start: usize) -> Result<Term, FormulaError> {
        let Some(function) = Function::parse(word) else {
            let message = format!("there is no function {}", quoted(word));
            let mut problem = error_at(start, message);
            let near = nearest(word, Function::WORDS.iter().copied());
            problem.hint = Some(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", Function::WORDS.join(", ")),
            });
            return Err(problem);
        };
        self.take();
        let mut terms = vec![self.sum()?];
        while self.next_sign() == Some(',') {
            self.take();
            terms.push(self.sum()?);
        }
        self.close()?;
        match (function, terms.len()) {
            (Function::Abs, 2..) => Err(error_at(start, "`abs` takes one value".to_owned())),
            (Function::Min | Function::Max | Function::Coalesce, 1) => Err(error_at(
                start,
                format!("`{function}` takes several values"),
            )),
            _ => self.term(Term::Call(function, terms)),
        }
    }

    fn close(&mut self) -> Result<(), FormulaError> {
        if self.next_sign() == Some(')') {
            self.take();
            return Ok(());
        }
        Err(self.expected("`)`"))
    }

    /// Counts a term.
    fn term(&mut self, term: Term) -> Result<Term, FormulaError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.error(format!("more than {MAX_TERMS} numbers, metrics and signs")));
        }
        Ok(term)
    }

    /// Returns the next character that is no space, and leaves it there.
    fn next_sign(&mut self) -> Option<char> {
        while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
            self.take();
        }
        self.rest.peek().copied()
    }

    fn take(&mut self) -> Option<char> {
        self.at += 1;
        self.rest.next()
    }

    fn run_of(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut found = String::new();
        while let Some(next) = self.rest.peek().copied().filter(|next| wanted(*next)) {
            found.push(next);
            self.take();
        }
        found
    }

    fn expected(&mut self, what: &str) -> FormulaError {
        let found = match self.rest.peek() {
            Some(found) => format!("found {}", quoted(&found.to_string())),
            None => "the formula ends here".to_owned(),
        };
        self.error(format!("expected {what}, {found}"))
    }

    fn error(&self, message: impl Into<String>) -> FormulaError {
        error_at(self.at, message.into())
    }
}

fn error_at(at: usize, message: String) -> FormulaError {
    FormulaError {
        at,
        message,
        hint: None,
    }
}
