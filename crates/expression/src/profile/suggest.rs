//! Metrics that an answer seems to offer, the likeliest first, each as a whole selection with formats written in.

use definition::{
    Aggregation, DateFormat, DateSelect, MetricType, Name, NumberFormat, Records, Select,
    ValuePage, ValueSelect,
};
use serde::Serialize;

use super::{DateLook, Field, Kind, Meaning, NumberLook, Profile};
use crate::generate::field_path;

/// Suggestions made at most; more is no help in choosing.
const MOST: usize = 12;

/// Lists of records that are looked at.
const LISTS: usize = 3;

/// Numbers of one list that are suggested.
const VALUES: usize = 3;

/// Objects inside a record are walked down this far.
const DEPTH: usize = 4;

/// Fewer numbers side by side are fields and not a map.
const ENTRIES: usize = 4;

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

/// A map of numbers, such as rates by currency.
fn entries(field: &Field, found: &mut Vec<Suggestion>) {
    if field.kinds.contains_key(&Kind::Array) {
        return;
    }
    let all_numbers = field.fields.len() >= ENTRIES
        && field.name != "$"
        && field
            .fields
            .iter()
            .all(|inside| inside.looks.number.is_some());
    let like_keys = |own: &Field| {
        let name = &own.name;
        (name.len() == 3 && name.bytes().all(|b| b.is_ascii_uppercase()))
            || name.bytes().next().is_some_and(|b| b.is_ascii_digit())
    };
    if all_numbers && field.fields.iter().all(like_keys) {
        let dated = field
            .fields
            .iter()
            .all(|own| own.name.len() == 10 && own.name.as_bytes().get(4) == Some(&b'-'));
        found.push(Suggestion {
            title: format!("{} by key", field.name),
            why: format!(
                "`{}` is a map of {} numbers",
                field.path,
                field.fields.len()
            ),
            select: Select {
                records: Some(Records::Entries {
                    entries: field.path.clone(),
                }),
                value: Some(ValueSelect::path("value")),
                dimensions: (!dated)
                    .then(|| Some((Name::parse("key").ok()?, "key".to_owned())))
                    .flatten()
                    .into_iter()
                    .collect(),
                date: dated.then(|| date_select("key", None)),
                ..Select::default()
            },
            metric_type: if dated {
                MetricType::Events
            } else {
                MetricType::Levels
            },
            aggregation: Aggregation::Sum,
        });
        return;
    }
    for inside in &field.fields {
        entries(inside, found);
    }
}

/// Lists of equal length side by side, one of them dates.
fn zipped(field: &Field, found: &mut Vec<Suggestion>) {
    if field.kinds.contains_key(&Kind::Array) {
        return;
    }
    let column = |own: &'_ Field| -> Option<(u64, bool, bool)> {
        let item = own.fields.first().filter(|item| item.name == "[]")?;
        let length = own.length?.total;
        Some((
            length,
            item.looks.date.is_some(),
            item.looks.number.is_some(),
        ))
    };
    let time = field
        .fields
        .iter()
        .find(|own| column(own).is_some_and(|(length, is_date, _)| is_date && length > 1));
    if let Some(time) = time {
        let length = column(time).map(|(length, ..)| length);
        let look = time
            .fields
            .first()
            .and_then(|item| item.looks.date.as_ref());
        let values = field.fields.iter().filter(|own| {
            column(own).is_some_and(|(own, _, is_number)| is_number && Some(own) == length)
        });
        for value in values.take(VALUES) {
            let name = field_path([value.name.as_str()]);
            let number = value
                .fields
                .first()
                .and_then(|item| item.looks.number.clone());
            found.push(Suggestion {
                title: format!("{} by {}", value.name, time.name),
                why: format!(
                    "`{}` and `{}` are lists of one length",
                    time.path, value.path
                ),
                select: Select {
                    records: Some(Records::Zip {
                        zip: vec![time.path.clone(), value.path.clone()],
                    }),
                    value: Some(match &number {
                        Some(look) => value_select(&name, look, None),
                        None => ValueSelect::path(name),
                    }),
                    date: Some(date_select(&field_path([time.name.as_str()]), look)),
                    ..Select::default()
                },
                metric_type: MetricType::Events,
                aggregation: aggregation_of(&value.name),
            });
        }
    }
    for inside in &field.fields {
        zipped(inside, found);
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

/// Words of dates, values and dimensions, the likeliest first.
const DATES: &[&str] = &[
    "created",
    "transaction",
    "date",
    "timestamp",
    "time",
    "updated",
];
const VALUES_BY_NAME: &[&str] = &[
    "total", "amount", "revenue", "price", "value", "sum", "count",
];
const DIMENSIONS: &[&str] = &[
    "state", "status", "type", "category", "plan", "country", "source", "channel", "currency",
];

fn best<'f, 'p>(
    fields: &'f [(String, &'p Field)],
    fits: impl Fn(&Field) -> bool,
    words: &[&str],
) -> Option<(&'f String, &'p Field)> {
    let fitting = fields.iter().filter(|(_, field)| fits(field));
    fitting
        .min_by_key(|(path, field)| {
            // What is never null, and what tells something apart, comes first among equals.
            let nulls = field.kinds.contains_key(&Kind::Null);
            let same = field.looks.different.unwrap_or(0) < 2 && field.looks.date.is_none();
            (nulls, rank(path, words), same, path.matches('.').count())
        })
        .map(|(path, field)| (path, *field))
}

fn numbers<'p>(fields: &[(String, &'p Field)]) -> Vec<(&'p str, &'p Field)> {
    let mut found: Vec<(usize, String, &'p Field)> = fields
        .iter()
        .filter(|(_, field)| field.looks.number.is_some() && !is_paging(&field.name))
        .map(|(path, field)| (rank(path, VALUES_BY_NAME), path.clone(), *field))
        .collect();
    found.sort_by_key(|(rank, ..)| *rank);
    found
        .into_iter()
        .map(|(_, path, field)| (relative(field, &path), field))
        .collect()
}

/// The tail of the field's own path that is `path`: the same text, kept by the profile.
fn relative<'p>(field: &'p Field, path: &str) -> &'p str {
    let from = field.path.len().saturating_sub(path.len());
    field.path.get(from..).unwrap_or(&field.path)
}

fn is_paging(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = [
        "page",
        "per_page",
        "perpage",
        "page_size",
        "pagesize",
        "limit",
        "offset",
        "skip",
        "current_page",
        "last_page",
        "first_page",
        "position",
        "version",
    ];
    words.contains(&name.as_str()) || name.contains("pages") || name.contains("page_count")
}

/// The place of the first word that the name holds as a word of its own; behind those, as a part of one.
fn rank(path: &str, words: &[&str]) -> usize {
    let path = path.to_ascii_lowercase();
    let whole: Vec<&str> = path.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let as_word = words.iter().position(|word| whole.contains(word));
    let as_part = || words.iter().position(|word| path.contains(word));
    as_word.unwrap_or_else(|| words.len() + as_part().unwrap_or(words.len()))
}

/// Shares and levels are averaged; amounts are summed.
fn aggregation_of(path: &str) -> Aggregation {
    let path = path.to_ascii_lowercase();
    let averaged = [
        "rate",
        "percent",
        "ratio",
        "score",
        "temperature",
        "average",
        "avg",
        "latency",
        "duration",
    ];
    if averaged.iter().any(|word| path.contains(word)) {
        Aggregation::Average
    } else {
        Aggregation::Sum
    }
}

fn date_select(path: &str, look: Option<&DateLook>) -> DateSelect {
    DateSelect {
        path: path.to_owned(),
        format: look
            .filter(|look| look.format != "iso")
            .and_then(|look| DateFormat::parse(&look.format)),
        zone: None,
    }
}

fn value_select(path: &str, look: &NumberLook, page: Option<ValuePage>) -> ValueSelect {
    ValueSelect::Path {
        path: path.to_owned(),
        page,
        number: look.format.as_deref().and_then(|format| match format {
            "1,234.56" => Some(NumberFormat::Point),
            "1.234,56" => Some(NumberFormat::Comma),
            "percent" => Some(NumberFormat::Percent),
            _ => None,
        }),
        scale: look.scale,
    }
}

/// A dimension's name: that of the field, made fit for names.
fn name_of(path: &str) -> Option<Name> {
    let mut name = String::new();
    for c in path.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name
        .trim_end_matches('_')
        .trim_start_matches(|c: char| !c.is_ascii_lowercase());
    Name::parse(&name.chars().take(63).collect::<String>()).ok()
}
