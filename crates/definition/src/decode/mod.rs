//! From located values to definitions, collecting every problem on the way.
//!
//! Each noun has a table of its keys; the decoder refuses others, and the JSON Schema and its
//! descriptions are made from the same table, so the three cannot drift.

mod about;
mod alert;
mod auth;
mod board;
mod connection;
mod deliver;
mod goal;
mod metric;
mod pagination;
mod request;
mod response;
mod selection;
mod variable;

use serde_json::Value;

use crate::name::Name;
use crate::node::{self, Content, Entry, Node};
use crate::problem::{Problem, is_unsafe_character, nearest, quoted};
use crate::span::Span;

pub(crate) use alert::{ALERT, CHANGE_CONDITION, CONDITION, QUIET, VALUE_CONDITION, alert};
pub(crate) use auth::{BASIC, CREDENTIAL, LOGIN, LOGIN_REQUEST, OAUTH2, PUT};
pub(crate) use board::{BLOCK, BOARD, ENTRY, SCORECARD, board, scorecard};
pub(crate) use connection::{CONNECTION, RATE_LIMIT, connection};
pub(crate) use deliver::{EMAIL, WEBHOOK};
pub(crate) use goal::{GOAL, goal};
pub(crate) use metric::{
    DATASET, FORMAT, METRIC, PARENT, SCHEDULE, WINDOW, dataset, metric, parent, window,
};
pub(crate) use pagination::{CURSOR, LINK_HEADER, NEXT, NEXT_URL, OFFSET, PAGE};
pub(crate) use request::{REQUEST, request};
pub(crate) use response::RESPONSE;
pub(crate) use selection::{DATE, SELECT, VALUE, select};
pub(crate) use variable::LOOK_UP;

/// One key that a noun has: its name, what it is, and its shape in the JSON Schema.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) shape: fn() -> Value,
    pub(crate) status: Status,
}

/// Whether a key must, may, or cannot yet be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Required,
    Optional,
    Later,
}

impl Key {
    pub(crate) const fn required(
        name: &'static str,
        about: &'static str,
        shape: fn() -> Value,
    ) -> Self {
        Self {
            name,
            about,
            shape,
            status: Status::Required,
        }
    }

    pub(crate) const fn optional(
        name: &'static str,
        about: &'static str,
        shape: fn() -> Value,
    ) -> Self {
        Self {
            name,
            about,
            shape,
            status: Status::Optional,
        }
    }

    /// A key of the design that this version does not read; it is refused with a clear text.
    pub(crate) const fn later(name: &'static str) -> Self {
        Self {
            name,
            about: "",
            shape: || Value::Bool(false),
            status: Status::Later,
        }
    }
}

/// A value and its path.
#[derive(Clone)]
pub(crate) struct Place<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl<'n> Place<'n> {
    pub(crate) fn root(node: &'n Node) -> Self {
        Self {
            node,
            path: String::new(),
        }
    }

    /// Returns the places of a list's items; none when it is no list.
    pub(crate) fn items(&self) -> Vec<Place<'n>> {
        let Content::List(items) = &self.node.content else {
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(i, node)| Place {
                node,
                path: node::item(&self.path, i),
            })
            .collect()
    }
}

/// The keys of one object, after unknown and repeated ones were refused.
pub(crate) struct Fields<'n> {
    pub(crate) place: Place<'n>,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Returns the value of `key`; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<Place<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.value.content, Content::Null) {
            return None;
        }
        Some(Place {
            node: &entry.value,
            path: node::join(&self.place.path, key),
        })
    }

    /// Returns every key with its value.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'n Entry, Place<'n>)> + use<'n, '_> {
        self.entries.iter().map(|entry| {
            (
                entry,
                Place {
                    node: &entry.value,
                    path: node::join(&self.place.path, &entry.key),
                },
            )
        })
    }
}

/// How long and on how many lines a text may be.
#[derive(Clone, Copy)]
pub(crate) enum TextRule {
    /// One line of at most so many characters.
    Line(usize),
    /// Several lines of at most so many characters.
    Lines(usize),
}

/// A JSONata expression, of any length up to what the engine's checker takes.
pub(crate) const EXPRESSION: TextRule = TextRule::Lines(16 * 1024);
/// A name people see.
pub(crate) const TITLE: TextRule = TextRule::Line(200);

/// Collects problems while values are read.
#[derive(Default)]
pub(crate) struct Decoder {
    pub(crate) problems: Vec<Problem>,
}

impl Decoder {
    /// Records a problem at `place`.
    pub(crate) fn problem(
        &mut self,
        place: &Place<'_>,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.problem_at(
            place.path.clone(),
            place.node.line,
            place.node.column,
            code,
            message,
        )
    }

    pub(crate) fn problem_at(
        &mut self,
        path: String,
        line: u32,
        column: u32,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut Problem {
        // Past the limit only the last place is written again; `parse` says that there are more.
        self.problems.truncate(crate::bundle::MAX_PROBLEMS);
        let index = self.problems.len();
        self.problems
            .push(Problem::new(code, path, message).at("", line, column));
        &mut self.problems[index]
    }

    /// Records that a value is of the wrong kind, without repeating it.
    pub(crate) fn wrong_type(&mut self, place: &Place<'_>, expected: &str) -> &mut Problem {
        let message = format!("expected {expected}, got {}", place.node.describe());
        self.problem(place, "definition.type", message)
    }

    /// Opens an object: refuses unknown, repeated and future keys, and misses required ones.
    pub(crate) fn object<'n>(
        &mut self,
        place: &Place<'n>,
        keys: &[Key],
        expected: &str,
    ) -> Option<Fields<'n>> {
        let fields = self.map(place, expected)?;
        for entry in fields.entries {
            match keys.iter().find(|key| key.name == entry.key) {
                Some(key) if key.status == Status::Later => {
                    let path = node::join(&place.path, &entry.key);
                    let message = format!("`{}` is not supported yet", key.name);
                    self.problem_at(
                        path,
                        entry.line,
                        entry.column,
                        "definition.not_yet",
                        message,
                    );
                }
                Some(_) => {}
                None => self.unknown(place, entry, keys),
            }
        }
        for key in keys.iter().filter(|key| key.status == Status::Required) {
            if fields.get(key.name).is_none() {
                self.missing(place, key.name, key.about);
            }
        }
        Some(fields)
    }

    /// Records that a key is missing.
    pub(crate) fn missing(&mut self, place: &Place<'_>, key: &str, about: &str) {
        let path = node::join(&place.path, key);
        let (line, column) = (place.node.line, place.node.column);
        let message = format!("`{key}` is missing: {about}");
        self.problem_at(path, line, column, "definition.required", message);
    }

    fn unknown(&mut self, place: &Place<'_>, entry: &Entry, keys: &[Key]) {
        if self.problems.len() > crate::bundle::MAX_PROBLEMS {
            return;
        }
        let names = || {
            keys.iter()
                .filter(|key| key.status != Status::Later)
                .map(|key| key.name)
        };
        let path = node::join(&place.path, &entry.key);
        let message = format!("unknown field {}", quoted(&entry.key));
        let hint = match nearest(&entry.key, names()) {
            _ if entry.key == "<<" => "merge keys are not read; repeat the fields".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.problem_at(
            path,
            entry.line,
            entry.column,
            "definition.unknown_field",
            message,
        )
        .hint = Some(hint);
    }

    /// Opens a map whose keys are the user's own; refuses repeated ones.
    pub(crate) fn map<'n>(&mut self, place: &Place<'n>, expected: &str) -> Option<Fields<'n>> {
        let Content::Map(entries) = &place.node.content else {
            self.wrong_type(place, expected);
            return None;
        };
        self.refuse_repeats(&place.path, entries);
        Some(Fields {
            place: place.clone(),
            entries,
        })
    }

    fn refuse_repeats(&mut self, path: &str, entries: &[Entry]) {
        let mut seen = std::collections::HashMap::new();
        for entry in entries {
            if let Some(first) = seen.insert(entry.key.as_str(), entry.line) {
                let path = node::join(path, &entry.key);
                let message = format!("{} is written twice", quoted(&entry.key));
                let problem = self.problem_at(
                    path,
                    entry.line,
                    entry.column,
                    "definition.duplicate_field",
                    message,
                );
                if first > 0 {
                    problem.hint = Some(format!("the first one is on line {first}"));
                }
            }
        }
    }

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
            _ => {}
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
        let (limit, lines) = match rule {
            TextRule::Line(limit) => (limit, false),
            TextRule::Lines(limit) => (limit, true),
        };
        if text.chars().count() > limit {
            self.problem(
                place,
                "definition.text_too_long",
                format!("longer than {limit} characters"),
            );
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
            let shown = bad.escape_unicode();
            let message = format!(
                "control and direction-changing characters are refused, this holds {shown}"
            );
            self.problem(place, "definition.text_invalid", message);
        }
        bad.is_none()
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
