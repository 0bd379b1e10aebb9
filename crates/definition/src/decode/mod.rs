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
mod values;
mod variable;

use serde_json::Value;

use crate::node::{self, Content, Entry, Node};
use crate::problem::{Problem, nearest, quoted};

pub(crate) use alert::{ALERT, CHANGE_CONDITION, CONDITION, QUIET, VALUE_CONDITION, alert};
pub(crate) use auth::{BASIC, CREDENTIAL, LOGIN, LOGIN_REQUEST, OAUTH2, PUT};
pub(crate) use board::{BLOCK, BOARD, ENTRY, SCORECARD, board, scorecard};
pub(crate) use connection::{CONNECTION, RATE_LIMIT, connection};
pub(crate) use deliver::{EMAIL, WEBHOOK, target};
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

/// Whether a key must or may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Required,
    Optional,
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
    /// One line that people are shown: not blank, and nothing in it that draws nothing or turns the reading.
    Shown(usize),
    /// Several lines that people are shown.
    ShownLines(usize),
}

/// A JSONata expression, of any length up to what the engine's checker takes.
pub(crate) const EXPRESSION: TextRule = TextRule::Lines(16 * 1024);
/// A name people see.
pub(crate) const TITLE: TextRule = TextRule::Shown(120);
/// What people read about a thing.
pub(crate) const DESCRIPTION: TextRule = TextRule::ShownLines(10_000);
/// Who answers for a thing.
pub(crate) const OWNER: TextRule = TextRule::Shown(200);

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
        let names = || keys.iter().map(|key| key.name);
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
}
