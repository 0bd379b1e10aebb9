//! Which fields of a record make the best date, value and dimension, by what they are called.

use definition::{Aggregation, DateFormat, DateSelect, Name, NumberFormat, ValuePage, ValueSelect};

use crate::profile::{DateLook, Field, Kind, NumberLook};

/// Words of dates, values and dimensions, the likeliest first.
pub(super) const DATES: &[&str] = &[
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
pub(super) const DIMENSIONS: &[&str] = &[
    "state", "status", "type", "category", "plan", "country", "source", "channel", "currency",
];

pub(super) fn best<'f, 'p>(
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

pub(super) fn numbers<'p>(fields: &[(String, &'p Field)]) -> Vec<(&'p str, &'p Field)> {
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
pub(super) fn relative<'p>(field: &'p Field, path: &str) -> &'p str {
    let from = field.path.len().saturating_sub(path.len());
    field.path.get(from..).unwrap_or(&field.path)
}

pub(super) fn is_paging(name: &str) -> bool {
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
pub(super) fn aggregation_of(path: &str) -> Aggregation {
    let path = path.to_ascii_lowercase();
    let averaged = [
        "rate",
        "percent",
        "share",
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

pub(super) fn date_select(path: &str, look: Option<&DateLook>) -> DateSelect {
    DateSelect {
        path: path.to_owned(),
        format: look
            .filter(|look| look.format != "iso")
            .and_then(|look| DateFormat::parse(&look.format)),
        zone: None,
    }
}

pub(super) fn value_select(path: &str, look: &NumberLook, page: Option<ValuePage>) -> ValueSelect {
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
pub(super) fn name_of(path: &str) -> Option<Name> {
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
