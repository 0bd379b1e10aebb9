use std::fmt;

use serde::Serialize;

use crate::words::words;

words! {
    /// How bad a [`Problem`] is.
    pub enum Severity {
        /// The definition cannot be applied.
        Error = "error",
        /// The definition can be applied, but is probably not what was meant.
        Warning = "warning",
    }
}

/// One thing that is wrong with what a user wrote: where, what, and how to cure it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable code such as `definition.method`, for programs and for the documentation.
    pub code: &'static str,
    /// Whether it must be cured.
    pub severity: Severity,
    /// The file, or what stands for one (`request body`).
    pub source: String,
    /// The line, from 1; 0 when there is no text to point into.
    pub line: u32,
    /// The column in characters, from 1; 0 when there is no text to point into.
    pub column: u32,
    /// Where in the definition, such as `request.pagination.page.param`.
    pub path: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Makes an error without a place; [`crate::Bundle::problem_at`] makes one with its place.
    pub fn new(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            source: String::new(),
            line: 0,
            column: 0,
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, source: &str, line: u32, column: u32) -> Self {
        source.clone_into(&mut self.source);
        self.line = line;
        self.column = column;
        self
    }

    /// Tells whether it must be cured before the definition can be applied.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// Prints `file:line:column: error[code] path: message (hint: …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            write!(f, "{}:", self.source)?;
        }
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.source.is_empty() || self.line > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{}[{}]", self.severity, self.code)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Quotes what a user wrote for a message: short, on one line, without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        if is_unsafe_character(c) || c.is_control() {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

/// Tells whether `c` is a character that text must not hold: it breaks stores or deceives eyes.
pub(crate) fn is_unsafe_character(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Returns the first character of a text that people are shown which draws nothing or turns the reading direction:
/// all of Unicode's format characters, but joiners between others, which scripts and emoji need.
pub fn hidden_character(text: &str) -> Option<char> {
    let trimmed = text.trim();
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
    let inner = trimmed.trim_matches(joins);
    if inner.len() < trimmed.len() {
        return trimmed.chars().find(|&c| joins(c));
    }
    inner
        .chars()
        .find(|&c| !joins(c) && (is_format_character(c) || matches!(c, '\u{2028}' | '\u{2029}')))
}

/// Unicode's general category Cf.
fn is_format_character(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the word of `known` nearest to `word`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance between two short words, where swapped neighbours count once.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut current = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let cost = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (previous[j] + 1)
                .min(current[j - 1] + 1)
                .min(previous[j - 1] + cost);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current[j] = best;
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_on_one_line() {
        let problem = Problem::new(
            "definition.method",
            "request.method",
            "only GET and POST are allowed",
        )
        .hint("write GET")
        .at("kit.yaml", 3, 11);
        assert_eq!(
            problem.to_string(),
            "kit.yaml:3:11: error[definition.method] request.method: only GET and POST are allowed (hint: write GET)"
        );
    }

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(
            nearest("pagniation", ["path", "pagination"]),
            Some("pagination")
        );
        assert_eq!(nearest("zzz", ["path", "pagination"]), None);
    }

    #[test]
    fn what_is_quoted_cannot_deceive() {
        assert_eq!(quoted("a\0b\u{202e}c"), "`a\\u{0}b\\u{202e}c`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 70);
    }
}
