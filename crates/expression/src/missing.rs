//! Tells "no records" from "no such place" in a page, and says what is wrong with the place.

use jlens_core::ast::{Node, NodeKind};
use jlens_core::{Bindings, Expression, Options};
use serde_json::Value;

use crate::generate::last_name;
use crate::mask::{excerpt, masked_json};
use crate::task::RecordsAt;
use crate::{EvaluationError, check};

/// Names of a place that are told when it lacks the one looked for.
const NAMES_TOLD: usize = 12;

/// The places that the records of a task are made of, compiled.
#[derive(Debug)]
pub(crate) struct Places {
    form: Form,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Path,
    Entries,
    Zip,
}

#[derive(Debug)]
struct Place {
    text: String,
    expression: Expression,
    /// The names of a plain path; the engine says undefined both for a missing field and for a
    /// filter that leaves nothing, and only the first means that the answer has changed.
    names: Option<Vec<String>>,
}

/// What is wrong with the places of the records in a page.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// They are not there, for this reason.
    Missing(String),
    /// What is there can never be records of this kind.
    Shape(EvaluationError),
}

/// What has no partner in the other arrays of a `zip`.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    /// The place of the first such item, which is how many records there are.
    pub(crate) from: usize,
    /// How many places are there without a partner.
    pub(crate) count: usize,
    /// Why, in a sentence.
    pub(crate) reason: String,
    /// The first of them, masked.
    pub(crate) samples: Vec<String>,
}

impl Places {
    /// Compiles the places of a task.
    pub(crate) fn of(records: &RecordsAt) -> Result<Self, EvaluationError> {
        let (form, paths) = match records {
            RecordsAt::Path(path) => (Form::Path, std::slice::from_ref(path)),
            RecordsAt::Entries(path) => (Form::Entries, std::slice::from_ref(path)),
            RecordsAt::Zip(paths) => (Form::Zip, paths.as_slice()),
        };
        let mut places = Vec::with_capacity(paths.len());
        for path in paths {
            let expression = check(path)
                .map_err(|problem| EvaluationError::new(problem.code, problem.message))?
                .expression;
            places.push(Place {
                text: path.clone(),
                names: plain_names(&expression.ast().root),
                expression,
            });
        }
        Ok(Self { form, places })
    }

    /// Whether items of one array may lack a partner in another one.
    pub(crate) fn are_parallel(&self) -> bool {
        self.form == Form::Zip
    }

    /// Says why the records cannot be in this page; nothing when they can.
    pub(crate) fn wrong(
        &self,
        json: &Value,
        bindings: &Bindings,
        options: &Options,
    ) -> Option<Wrong> {
        for place in &self.places {
            if let Some(reason) = place.missing(json, bindings, options) {
                return Some(Wrong::Missing(reason));
            }
        }
        if self.form != Form::Entries {
            return None;
        }
        let place = self.places.first()?;
        let text = excerpt(&place.text, 80);
        let got = match place
            .expression
            .evaluate_with(Some(json), bindings, options)
        {
            Ok(Some(Value::Object(_))) | Err(_) => return None,
            // An empty path step gives undefined where there is an empty list.
            Ok(None) => Vec::new(),
            Ok(Some(Value::Array(items))) => items,
            Ok(Some(other)) => {
                return Some(Wrong::Shape(EvaluationError::new(
                    "records.shape",
                    format!(
                        "`{text}` is {}, and `entries` needs an object of names and values",
                        kind(&other)
                    ),
                )));
            }
        };
        Some(if got.is_empty() {
            Wrong::Missing(format!(
                "`{text}` is an empty list, where `entries` needs an object of names and values"
            ))
        } else {
            Wrong::Shape(EvaluationError::new(
                "records.shape",
                format!(
                    "`{text}` is a list of {} items, and `entries` needs an object of names and values: \
                     write `records: {text}` for a list",
                    got.len()
                ),
            ))
        })
    }

    /// Returns what of parallel arrays has no partner in this page.
    pub(crate) fn surplus(
        &self,
        json: &Value,
        bindings: &Bindings,
        options: &Options,
        most: usize,
    ) -> Option<Surplus> {
        let mut arrays: Vec<(&Place, Vec<Value>)> = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let found = place
                .expression
                .evaluate_with(Some(json), bindings, options);
            let items = match found.ok()? {
                None => Vec::new(),
                Some(Value::Array(items)) => items,
                Some(single) => vec![single],
            };
            arrays.push((place, items));
        }
        let shortest = arrays.iter().min_by_key(|(_, items)| items.len())?;
        let longest = arrays.iter().max_by_key(|(_, items)| items.len())?;
        let (from, until) = (shortest.1.len(), longest.1.len());
        if from == until {
            return None;
        }
        let reason = format!(
            "`{}` has {until} items and `{}` {from}: this one has no partner",
            excerpt(&longest.0.text, 80),
            excerpt(&shortest.0.text, 80)
        );
        let sample = |at: usize| {
            let fields = arrays.iter().filter_map(|(place, items)| {
                Some((last_name(&place.text), items.get(at)?.clone()))
            });
            masked_json(Value::Object(fields.collect()))
        };
        Some(Surplus {
            from,
            count: until - from,
            reason,
            samples: (from..until).take(most).map(sample).collect(),
        })
    }
}

impl Place {
    fn missing(&self, json: &Value, bindings: &Bindings, options: &Options) -> Option<String> {
        let Some(names) = &self.names else {
            let found = self.expression.evaluate_with(Some(json), bindings, options);
            let text = excerpt(&self.text, 80);
            return match found {
                Ok(None) => Some(format!("`{text}` gives nothing there")),
                Ok(Some(Value::Null)) => Some(format!("`{text}` is null")),
                Ok(Some(_)) | Err(_) => None,
            };
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        not_there(&names, 0, json)
    }
}

/// Says why a path of names leads nowhere; nothing when something is there, an empty list included.
///
/// A list where an object should be is looked through, as JSONata does; an empty one holds
/// nothing that could tell whether the names are still right.
fn not_there(names: &[&str], at: usize, json: &Value) -> Option<String> {
    let so_far = || match &names[..at] {
        [] => "the answer".to_owned(),
        names => format!("`{}`", crate::field_path(names.iter().copied())),
    };
    let Some(name) = names.get(at) else {
        return match json {
            Value::Null => Some(format!("{} is null", so_far())),
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_null) => {
                Some(format!("{} holds nothing but null", so_far()))
            }
            _ => None,
        };
    };
    match json {
        Value::Array(items) => {
            let mut reason = Some(format!(
                "{} is an empty list, and `{}` should be in it",
                so_far(),
                crate::field_path([*name])
            ));
            for item in items {
                reason = not_there(names, at, item);
                if reason.is_none() {
                    break;
                }
            }
            reason
        }
        Value::Object(fields) => match fields.get(*name) {
            Some(value) => not_there(names, at + 1, value),
            None => Some(format!(
                "`{}` is not in {}, which has {}",
                crate::field_path([*name]),
                so_far(),
                told(fields.keys().map(String::as_str))
            )),
        },
        other => Some(format!(
            "{} is {}, and `{}` should be in it",
            so_far(),
            kind(other),
            crate::field_path([*name])
        )),
    }
}

/// The names of a plain path from the answer; a filter behind its last name may leave nothing and is no matter.
fn plain_names(root: &Node) -> Option<Vec<String>> {
    if matches!(&root.kind, NodeKind::Variable { name } if is_answer(name)) {
        return Some(Vec::new());
    }
    let NodeKind::Path { steps, .. } = &root.kind else {
        return None;
    };
    let mut names = Vec::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate() {
        let is_last = place + 1 == steps.len();
        match &step.kind {
            NodeKind::Variable { name } if place == 0 && is_answer(name) => {}
            NodeKind::Name { name } => names.push(name.clone()),
            _ => return None,
        }
        if !is_last && !step.attrs.stages.is_empty() {
            return None;
        }
    }
    Some(names)
}

fn is_answer(variable: &str) -> bool {
    matches!(variable, "" | "$")
}

/// Lists names as a sentence does, the first of many.
pub(crate) fn told<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return "no fields".to_owned();
    }
    let shown: Vec<String> = names
        .by_ref()
        .take(NAMES_TOLD)
        .map(|name| format!("`{}`", excerpt(name, 40)))
        .collect();
    let more = if names.peek().is_some() { " …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
