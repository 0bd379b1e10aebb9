//! Metrics of answers that hold no list of records: maps of numbers, and lists side by side.

use definition::{Aggregation, MetricType, Name, Records, Select, ValueSelect};

use super::choose::{aggregation_of, date_select, value_select};
use super::{Suggestion, VALUES};
use crate::generate::field_path;
use crate::profile::{Field, Kind};

/// Fewer numbers side by side are fields and not a map.
const ENTRIES: usize = 4;

/// A map of numbers, such as rates by currency.
pub(super) fn entries(field: &Field, found: &mut Vec<Suggestion>) {
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
pub(super) fn zipped(field: &Field, found: &mut Vec<Suggestion>) {
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
