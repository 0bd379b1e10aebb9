//! Metrics that an answer seems to offer, the likeliest first, each as a whole selection with formats written in.

mod choose;
mod maps;

use definition::{Aggregation, MetricType, Records, Select, ValuePage, ValueSelect};
use serde::Serialize;

use super::{Field, Kind, Meaning, Profile};
use crate::generate::field_path;
use choose::{
    DATES, DIMENSIONS, aggregation_of, best, date_select, name_of, numbers, value_select,
};
use maps::{entries, zipped};

/// Suggestions made at most; more is no help in choosing.
const MOST: usize = 12;

/// Lists of records that are looked at.
const LISTS: usize = 3;

/// Numbers of one list that are suggested.
const VALUES: usize = 3;

/// Objects inside a record are walked down this far.
const DEPTH: usize = 4;

/// A metric that an answer seems to offer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// What it would be called.
    pub title: String,
    /// What speaks for it.
    pub why: String,
    /// The selection, complete.
    pub select: Select,
    /// What a row stands for.
    #[serde(rename = "type")]
    pub metric_type: MetricType,
    /// How the rows of a bucket become one number.
    pub aggregation: Aggregation,
}

/// Returns the metrics that an answer seems to offer, the likeliest first.
pub fn suggestions(profile: &Profile) -> Vec<Suggestion> {
    let mut found = Vec::new();
    let lists = lists(profile);
    for list in lists.iter().take(LISTS) {
        of_list(list, &mut found);
    }
    entries(&profile.root, &mut found);
    zipped(&profile.root, &mut found);
    of_root(profile, lists.is_empty(), &mut found);
    if found.is_empty() {
        found.push(Suggestion {
            title: "Count of answers".to_owned(),
            why: "nothing in the answer looks like a record or a number".to_owned(),
            select: Select {
                value: Some(ValueSelect::Count),
                ..Select::default()
            },
            metric_type: MetricType::Levels,
            aggregation: Aggregation::Sum,
        });
    }
    found.truncate(MOST);
    found
}

/// A list of records: its path, how many there were, and the fields inside with their paths on a record.
struct List<'p> {
    path: &'p str,
    name: &'p str,
    count: u64,
    depth: usize,
    inside: Vec<(String, &'p Field)>,
}

/// The lists of objects, those with most records and nearest to the root first.
fn lists(profile: &Profile) -> Vec<List<'_>> {
    let mut found = Vec::new();
    collect(&profile.root, 0, &mut found);
    found
        .sort_by_key(|list: &List<'_>| (list.depth > 3, std::cmp::Reverse(list.count), list.depth));
    found
}

fn collect<'p>(field: &'p Field, depth: usize, found: &mut Vec<List<'p>>) {
    let holds_objects = field.fields.iter().any(|inside| inside.name != "[]");
    if field.kinds.contains_key(&Kind::Array) {
        if holds_objects {
            let mut inside = Vec::new();
            scalars(&field.fields, &mut Vec::new(), &mut inside);
            found.push(List {
                path: &field.path,
                name: &field.name,
                count: field.length.map_or(0, |length| length.total),
                depth,
                inside,
            });
        }
        // Lists inside of records belong to their records.
        return;
    }
    for inside in &field.fields {
        collect(inside, depth + 1, found);
    }
}

/// Scalars of a record, those of objects inside it too, with their paths from the record.
fn scalars<'p>(fields: &'p [Field], path: &mut Vec<String>, found: &mut Vec<(String, &'p Field)>) {
    for field in fields.iter().filter(|field| field.name != "[]") {
        path.push(field.name.clone());
        if field.is_all(Kind::Object) {
            if path.len() < DEPTH {
                scalars(&field.fields, path, found);
            }
        } else if !field.kinds.contains_key(&Kind::Array) {
            found.push((field_path(path.iter().map(String::as_str)), field));
        }
        path.pop();
    }
}

fn of_list(list: &List<'_>, found: &mut Vec<Suggestion>) {
    let first = |meaning: Meaning| {
        list.inside
            .iter()
            .find(|(_, field)| field.looks.meaning == Some(meaning))
    };
    let date = best(&list.inside, |field| field.looks.date.is_some(), DATES);
    let key = list.inside.iter().find(|(path, field)| {
        field.looks.meaning == Some(Meaning::Id)
            && field.looks.different == Some(list.count.min(1_000))
            && !path.contains('.')
    });
    let dimension = best(
        &list.inside,
        |field| !field.looks.members.is_empty() && field.looks.meaning.is_none(),
        DIMENSIONS,
    );
    let unit = first(Meaning::Currency).map(|(path, _)| path.clone());
    let base = Select {
        records: (list.path != "$").then(|| Records::Path(list.path.to_owned())),
        date: date.map(|(path, field)| date_select(path, field.looks.date.as_ref())),
        key: key.map(|(path, _)| path.clone()),
        dimensions: dimension
            .and_then(|(path, _)| Some((name_of(path)?, path.clone())))
            .into_iter()
            .collect(),
        ..Select::default()
    };
    let metric_type = if date.is_some() {
        MetricType::Events
    } else {
        MetricType::Levels
    };
    let noun = if list.path == "$" {
        "records"
    } else {
        list.name
    };
    let by_date = date.map_or(String::new(), |(path, _)| format!(" by {path}"));
    let by_dimension = dimension.map_or(String::new(), |(path, _)| format!(", split by {path}"));
    let doubt = date
        .and_then(|(_, field)| field.looks.date.as_ref()?.or.as_ref())
        .map_or(String::new(), |or| {
            format!("; the dates could also be read as {or}: compare them with what you know")
        });
    let mut push = |title: String, why: String, select: Select, aggregation| {
        found.push(Suggestion {
            title,
            why: format!("{why}{doubt}"),
            select,
            metric_type,
            aggregation,
        });
    };
    push(
        format!("Count of {noun}{by_date}{by_dimension}"),
        format!("`{}` is a list of {} records", list.path, list.count),
        Select {
            value: Some(ValueSelect::Count),
            ..base.clone()
        },
        Aggregation::Sum,
    );
    for (path, field) in numbers(&list.inside).into_iter().take(VALUES) {
        let Some(look) = &field.looks.number else {
            continue;
        };
        let aggregation = aggregation_of(path);
        let word = if aggregation == Aggregation::Average {
            "Average"
        } else {
            "Sum"
        };
        let in_unit = unit
            .as_ref()
            .map_or(String::new(), |unit| format!(", in its {unit}"));
        push(
            format!("{word} of {path}{by_date}{in_unit}"),
            format!(
                "`{path}` holds numbers from {} to {}",
                look.smallest, look.largest
            ),
            Select {
                value: Some(value_select(path, look, None)),
                unit: unit.clone().filter(|_| aggregation == Aggregation::Sum),
                ..base.clone()
            },
            aggregation,
        );
    }
}

/// Numbers outside of lists: totals that each page repeats, or the whole of a small answer.
fn of_root(profile: &Profile, alone: bool, found: &mut Vec<Suggestion>) {
    if profile.root.kinds.contains_key(&Kind::Array) {
        return;
    }
    let mut outside = Vec::new();
    scalars(&profile.root.fields, &mut Vec::new(), &mut outside);
    for (path, field) in numbers(&outside) {
        let Some(look) = &field.looks.number else {
            continue;
        };
        let last = field.name.to_ascii_lowercase();
        let is_total = ["total", "count", "sum"]
            .iter()
            .any(|word| last.contains(word))
            && !last.contains("page");
        if !alone && !is_total {
            continue;
        }
        // A total that every page repeats is taken once.
        let page = (!alone).then_some(ValuePage::First);
        found.push(Suggestion {
            title: format!("{path}, as the API states it"),
            why: if alone {
                format!("`{path}` is a number")
            } else {
                format!("`{path}` stands beside the records and is repeated on every page")
            },
            select: Select {
                value: Some(value_select(path, look, page)),
                ..Select::default()
            },
            metric_type: MetricType::Levels,
            aggregation: Aggregation::Sum,
        });
    }
}
