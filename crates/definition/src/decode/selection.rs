use indexmap::IndexMap;

use super::{Decoder, Key, Place, TextRule};
use crate::name::Name;
use crate::node::Content;
use crate::problem::quoted;
use crate::schema;
use crate::selection::{
    DateFormat, DateSelect, Missing, NumberFormat, Records, Select, ValuePage, ValueSelect,
};

pub(crate) const SELECT: &[Key] = &[
    Key::optional(
        "records",
        "where the records are (JSONata on the page); absent or `$`: the answer, or its items",
        schema::records,
    ),
    Key::optional(
        "where",
        "which records count (JSONata on one record)",
        schema::expression,
    ),
    Key::optional(
        "value",
        "the number of a record; absent: each record is 1",
        schema::value,
    ),
    Key::optional(
        "dimensions",
        "what splits the number: names and their JSONata, at most 16",
        schema::dimensions,
    ),
    Key::optional(
        "unit",
        "where the unit is, such as a currency (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "date",
        "when a record happened; absent: the time of the sync",
        schema::date,
    ),
    Key::optional(
        "key",
        "what makes a record itself, so that it counts once (JSONata)",
        schema::expression,
    ),
    Key::optional(
        "deleted",
        "with `mode: upsert`: whether a record is gone (JSONata on one record)",
        schema::expression,
    ),
    Key::optional(
        "missing",
        "when `records` is not in the answer: fail (the default) or empty",
        || schema::words(Missing::WORDS),
    ),
];

pub(crate) const VALUE: &[Key] = &[
    Key::optional("count", "true: each record is 1", || schema::constant(true)),
    Key::optional(
        "path",
        "where the number is (JSONata on the record)",
        schema::expression,
    ),
    Key::optional(
        "page",
        "first: a scalar at the root, taken once, from the first page",
        || schema::words(ValuePage::WORDS),
    ),
    Key::optional("number", "how a number in text is written", || {
        schema::words(NumberFormat::WORDS)
    }),
    Key::optional(
        "scale",
        "what the number is multiplied with",
        schema::number,
    ),
];

pub(crate) const DATE: &[Key] = &[
    Key::required(
        "path",
        "where the date is (JSONata on the record)",
        schema::expression,
    ),
    Key::optional(
        "format",
        "iso, date, unix, unix_ms, or a pattern such as %d/%m/%Y",
        schema::line,
    ),
    Key::optional(
        "zone",
        "the IANA zone of a date that has none; absent: the metric's",
        schema::line,
    ),
];

const ENTRIES: &[Key] = &[Key::required(
    "entries",
    "where the map is",
    schema::expression,
)];
const ZIP: &[Key] = &[Key::required(
    "zip",
    "where the arrays are",
    schema::anything,
)];

pub(crate) fn select(decoder: &mut Decoder, place: &Place<'_>) -> Option<Select> {
    let fields = decoder.object(place, SELECT, "a selection")?;
    Some(Select {
        records: fields.get("records").and_then(|p| records(decoder, &p)),
        where_: fields.get("where").and_then(|p| decoder.expression(&p)),
        value: fields.get("value").and_then(|p| value(decoder, &p)),
        dimensions: fields
            .get("dimensions")
            .map(|p| dimensions(decoder, &p))
            .unwrap_or_default(),
        unit: fields.get("unit").and_then(|p| decoder.expression(&p)),
        date: fields.get("date").and_then(|p| date(decoder, &p)),
        key: fields.get("key").and_then(|p| decoder.expression(&p)),
        deleted: fields.get("deleted").and_then(|p| decoder.expression(&p)),
        missing: fields
            .get("missing")
            .and_then(|p| decoder.word(&p, Missing::WORDS, "definition.missing", Missing::parse))
            .unwrap_or_default(),
    })
}

pub(super) fn records(decoder: &mut Decoder, place: &Place<'_>) -> Option<Records> {
    let Content::Map(entries) = &place.node.content else {
        return decoder.expression(place).map(Records::Path);
    };
    if entries.iter().any(|entry| entry.key == "zip") {
        let fields = decoder.object(place, ZIP, "{ zip: [a, b] }")?;
        let list = fields.get("zip")?;
        let zip: Vec<String> = list
            .items()
            .iter()
            .filter_map(|item| decoder.expression(item))
            .collect();
        if !(2..=32).contains(&list.items().len()) {
            decoder.problem(
                &list,
                "definition.records",
                "`zip` joins two to 32 arrays, such as [hourly.time, hourly.rain]",
            );
        }
        return Some(Records::Zip { zip });
    }
    let fields = decoder.object(
        place,
        ENTRIES,
        "a path, { entries: path } or { zip: [paths] }",
    )?;
    fields
        .get("entries")
        .and_then(|p| decoder.expression(&p))
        .map(|entries| Records::Entries { entries })
}

fn value(decoder: &mut Decoder, place: &Place<'_>) -> Option<ValueSelect> {
    if !matches!(place.node.content, Content::Map(_)) {
        return decoder.expression(place).map(ValueSelect::path);
    }
    let fields = decoder.object(place, VALUE, "a path, { count: true } or { path: … }")?;
    if let Some(count) = fields.get("count") {
        if decoder.boolean(&count) == Some(false) {
            decoder.problem(
                &count,
                "definition.value",
                "`count` is either true or left out",
            );
        }
        for key in ["path", "page", "number", "scale"] {
            if let Some(other) = fields.get(key) {
                decoder.problem(
                    &other,
                    "definition.value",
                    format!("`count` and `{key}` exclude one another"),
                );
            }
        }
        return Some(ValueSelect::Count);
    }
    let Some(path) = fields.get("path") else {
        decoder.problem(place, "definition.value", "needs `path`, or `count: true`");
        return None;
    };
    let path = decoder.expression(&path)?;
    Some(ValueSelect::Path {
        path,
        page: fields
            .get("page")
            .and_then(|p| decoder.word(&p, ValuePage::WORDS, "definition.value", ValuePage::parse)),
        number: fields.get("number").and_then(|p| {
            decoder.word(
                &p,
                NumberFormat::WORDS,
                "definition.number_format",
                NumberFormat::parse,
            )
        }),
        scale: fields.get("scale").and_then(|p| {
            let scale = decoder.number(&p)?;
            if scale == 0.0 {
                decoder.problem(&p, "definition.value", "a scale of 0 makes every value 0");
            }
            Some(scale)
        }),
    })
}

fn dimensions(decoder: &mut Decoder, place: &Place<'_>) -> IndexMap<Name, String> {
    let Some(fields) = decoder.map(place, "names and their JSONata") else {
        return IndexMap::new();
    };
    let mut dimensions = IndexMap::new();
    for (entry, place) in fields.each() {
        let name = decoder.name_text(&place, &entry.key);
        let path = decoder.expression(&place);
        if let (Some(name), Some(path)) = (name, path) {
            dimensions.insert(name, path);
        }
    }
    if fields.each().count() > Select::MAX_DIMENSIONS {
        let message = format!(
            "{} dimensions; at most {}",
            fields.each().count(),
            Select::MAX_DIMENSIONS
        );
        decoder.problem(place, "definition.too_many_dimensions", message);
    }
    dimensions
}

pub(super) fn date(decoder: &mut Decoder, place: &Place<'_>) -> Option<DateSelect> {
    if !matches!(place.node.content, Content::Map(_)) {
        let path = decoder.expression(place)?;
        return Some(DateSelect {
            path,
            format: None,
            zone: None,
        });
    }
    let fields = decoder.object(place, DATE, "a path, or { path, format, zone }")?;
    let path = fields.get("path").and_then(|p| decoder.expression(&p));
    let format = fields.get("format").and_then(|p| date_format(decoder, &p));
    let zone = fields.get("zone").and_then(|p| decoder.zone(&p));
    Some(DateSelect {
        path: path?,
        format,
        zone,
    })
}

fn date_format(decoder: &mut Decoder, place: &Place<'_>) -> Option<DateFormat> {
    let text = decoder.text(place, TextRule::Line(100))?;
    let Some(format) = DateFormat::parse(&text) else {
        let message = format!(
            "{} is no date format; known are {}, or a pattern",
            quoted(&text),
            DateFormat::WORDS.join(", ")
        );
        let problem = decoder.problem(place, "definition.date_format", message);
        problem.hint = Some(pattern_hint(&text).map_or_else(
            || "a pattern looks like %d/%m/%Y".to_owned(),
            |pattern| format!("did you mean `{pattern}`?"),
        ));
        return None;
    };
    if let DateFormat::Pattern(pattern) = &format
        && let Err(message) = check_pattern(pattern)
    {
        decoder.problem(
            place,
            "definition.date_format",
            format!("{}: {message}", quoted(pattern)),
        );
    }
    Some(format)
}

/// Checks that a pattern can be read and that it says which day it was.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let sample = jiff::civil::date(2026, 11, 23)
        .at(13, 45, 30, 0)
        .to_zoned(jiff::tz::TimeZone::UTC);
    let sample = sample.map_err(|error| error.to_string())?;
    let text = jiff::fmt::strtime::format(pattern, &sample).map_err(|error| error.to_string())?;
    let parsed = jiff::fmt::strtime::parse(pattern, &text).map_err(|error| error.to_string())?;
    match parsed.to_date() {
        Ok(date) if date == sample.date() => Ok(()),
        _ if parsed
            .to_timestamp()
            .is_ok_and(|at| at == sample.timestamp()) =>
        {
            Ok(())
        }
        _ => Err("it must hold year, month and day, such as %d/%m/%Y".to_owned()),
    }
}

/// The `%` pattern for one of the letter patterns that other tools use, such as `dd/MM/yyyy`.
fn pattern_hint(text: &str) -> Option<String> {
    let pattern = text
        .replace("yyyy", "%Y")
        .replace("YYYY", "%Y")
        .replace("MM", "%m")
        .replace("dd", "%d")
        .replace("DD", "%d")
        .replace("HH", "%H")
        .replace("mm", "%M")
        .replace("ss", "%S");
    check_pattern(&pattern).ok().map(|()| pattern)
}
