//! Single values: texts, numbers, words, names and lengths of time, each with its rule.

use serde_json::Value;

use super::{Decoder, EXPRESSION, Place, TextRule};
use crate::name::Name;
use crate::node::{self, Content};
use crate::problem::{hidden_character, is_unsafe_character, nearest, quoted};
use crate::span::Span;

impl Decoder {
    /// Returns a value as free JSON; refuses repeated keys and NUL in it.
    pub(crate) fn json(&mut self, place: &Place<'_>) -> Value {
        self.check_json(place);
        place.node.to_value()
    }

    fn check_json(&mut self, place: &Place<'_>) {
        match &place.node.content {
            Content::Map(entries) => {
                self.refuse_repeats(&place.path, entries);
                for entry in entries {
                    let inner = Place {
                        node: &entry.value,
                        path: node::join(&place.path, &entry.key),
                    };
                    self.characters(&inner, &entry.key, true);
                    self.check_json(&inner);
                }
            }
            Content::List(_) => place
                .items()
                .iter()
                .for_each(|inner| self.check_json(inner)),
            Content::Text(text) => {
                self.characters(place, text, true);
            }
            _ => self.exact(place),
        }
    }

    /// Refuses a whole number that no JSON number here could keep.
    pub(crate) fn exact(&mut self, place: &Place<'_>) {
        if place.node.is_inexact() {
            self.problem(
                place,
                "definition.number",
                "this number is too large to be kept exactly",
            )
            .hint = Some("put it in quotes, if it is a name for something".to_owned());
        }
    }

    /// Reads text; numbers and booleans are refused, since their spelling would be lost on people.
    pub(crate) fn text(&mut self, place: &Place<'_>, rule: TextRule) -> Option<String> {
        let Content::Text(text) = &place.node.content else {
            let problem = self.wrong_type(place, "text");
            if matches!(place.node.content, Content::Number(..) | Content::Bool(_)) {
                problem.hint = Some("put it in quotes".to_owned());
            }
            return None;
        };
        self.checked(place, text, rule)
    }

    /// Reads text, or a number or boolean as it was written.
    pub(crate) fn scalar(&mut self, place: &Place<'_>, rule: TextRule) -> Option<String> {
        match &place.node.content {
            Content::Text(text) => self.checked(place, text, rule),
            Content::Number(_, text) => Some(text.clone()),
            Content::Bool(flag) => Some(flag.to_string()),
            _ => {
                self.wrong_type(place, "text, a number, true or false");
                None
            }
        }
    }

    /// Reads a JSONata expression.
    pub(crate) fn expression(&mut self, place: &Place<'_>) -> Option<String> {
        let text = self.scalar(place, EXPRESSION)?;
        if text.trim().is_empty() {
            self.problem(
                place,
                "definition.required",
                "an expression is needed, this one is empty",
            );
            return None;
        }
        Some(text)
    }

    fn checked(&mut self, place: &Place<'_>, text: &str, rule: TextRule) -> Option<String> {
        let (limit, lines, shown) = match rule {
            TextRule::Line(limit) => (limit, false, false),
            TextRule::Lines(limit) => (limit, true, false),
            TextRule::Shown(limit) => (limit, false, true),
            TextRule::ShownLines(limit) => (limit, true, true),
        };
        if shown && !lines && text.trim().is_empty() {
            self.problem(
                place,
                "definition.text_empty",
                format!("1 to {limit} characters are needed, this is blank"),
            );
            return None;
        }
        if text.chars().count() > limit {
            self.problem(
                place,
                "definition.text_too_long",
                format!("longer than {limit} characters"),
            );
            return None;
        }
        if let Some(bad) = hidden_character(text).filter(|_| shown) {
            self.refuse_character(place, bad);
            return None;
        }
        self.characters(place, text, lines).then(|| text.to_owned())
    }

    /// Refuses characters that break stores or deceive eyes.
    fn characters(&mut self, place: &Place<'_>, text: &str, lines: bool) -> bool {
        let bad = text
            .chars()
            .find(|&c| is_unsafe_character(c) || (!lines && c.is_control()));
        if let Some(bad) = bad {
            self.refuse_character(place, bad);
        }
        bad.is_none()
    }

    fn refuse_character(&mut self, place: &Place<'_>, bad: char) {
        let shown = bad.escape_unicode();
        let message = format!(
            "control, invisible and direction-changing characters are refused, this holds {shown}"
        );
        self.problem(place, "definition.text_invalid", message);
    }

    pub(crate) fn boolean(&mut self, place: &Place<'_>) -> Option<bool> {
        let Content::Bool(flag) = &place.node.content else {
            self.wrong_type(place, "true or false");
            return None;
        };
        Some(*flag)
    }

    /// Reads a whole number from `from` to `to`.
    pub(crate) fn integer(
        &mut self,
        place: &Place<'_>,
        from: i64,
        to: i64,
        code: &'static str,
    ) -> Option<i64> {
        let Content::Number(number, text) = &place.node.content else {
            self.wrong_type(place, "a whole number");
            return None;
        };
        match number.as_i64() {
            Some(number) if (from..=to).contains(&number) => Some(number),
            _ => {
                self.problem(
                    place,
                    code,
                    format!("must be a whole number from {from} to {to}, not {text}"),
                );
                None
            }
        }
    }

    /// Reads a whole number from `from` to `to`, both within 32 bits.
    pub(crate) fn small(
        &mut self,
        place: &Place<'_>,
        from: u32,
        to: u32,
        code: &'static str,
    ) -> Option<u32> {
        let number = self.integer(place, i64::from(from), i64::from(to), code)?;
        u32::try_from(number).ok()
    }

    pub(crate) fn number(&mut self, place: &Place<'_>) -> Option<f64> {
        let Content::Number(number, _) = &place.node.content else {
            self.wrong_type(place, "a number");
            return None;
        };
        if place.node.is_inexact() {
            self.problem(
                place,
                "definition.number",
                "this number is too large to be kept exactly: at most 9223372036854775807",
            );
            return None;
        }
        number.as_f64().filter(|number| number.is_finite())
    }

    /// Reads one of a closed set of words.
    pub(crate) fn word<T>(
        &mut self,
        place: &Place<'_>,
        words: &[&str],
        code: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Content::Text(text) = &place.node.content else {
            let message = format!(
                "expected one of {}, got {}",
                words.join(", "),
                place.node.describe()
            );
            self.problem(place, code, message);
            return None;
        };
        let found = parse(text);
        if found.is_none() {
            let problem = self.problem(
                place,
                code,
                format!(
                    "{} is not known; known are {}",
                    quoted(text),
                    words.join(", ")
                ),
            );
            problem.hint =
                nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        }
        found
    }

    /// Reads a name.
    pub(crate) fn name(&mut self, place: &Place<'_>) -> Option<Name> {
        let Content::Text(text) = &place.node.content else {
            let message = format!("expected a name, got {}", place.node.describe());
            self.problem(place, "definition.name_invalid", message);
            return None;
        };
        self.name_text(place, text)
    }

    pub(crate) fn name_text(&mut self, place: &Place<'_>, text: &str) -> Option<Name> {
        match Name::parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = if text.is_empty() {
                    error.to_string()
                } else {
                    format!("{} is no name: {error}", quoted(text))
                };
                let problem = self.problem(place, "definition.name_invalid", message);
                problem.hint = Name::suggest(text).map(|name| format!("for example `{name}`"));
                None
            }
        }
    }

    /// Reads a length of time.
    pub(crate) fn span(&mut self, place: &Place<'_>, code: &'static str) -> Option<Span> {
        let Content::Text(text) = &place.node.content else {
            let problem = self.wrong_type(place, "a length of time such as 90d, 1h or 15m");
            problem.code = code;
            return None;
        };
        match Span::parse(text) {
            Ok(span) => Some(span),
            Err(error) => {
                self.problem(place, code, format!("{}: {error}", quoted(text)));
                None
            }
        }
    }

    /// Reads an IANA zone name.
    pub(crate) fn zone(&mut self, place: &Place<'_>) -> Option<String> {
        let text = self.text(place, TextRule::Line(100))?;
        if crate::zone::find(&text).is_some() {
            return Some(text);
        }
        let message = format!(
            "{} is not a time zone: only IANA names such as `Europe/Paris`, and `UTC`",
            quoted(&text)
        );
        let problem = self.problem(place, "definition.timezone", message);
        problem.hint = crate::zone::suggest(&text).map(|zone| format!("did you mean `{zone}`?"));
        None
    }
}
