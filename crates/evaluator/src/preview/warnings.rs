//! What is probably not what was meant, seen in a draft before it becomes a metric. Pure.

use std::collections::{BTreeMap, HashSet};

use definition::{
    Aggregation, Dataset, Metric, MetricType, Records, Request, Select, ValuePage, ValueSelect,
};
use expression::RejectedRow;
use expression::profile::{Field, Kind, Meaning, Profile};
use jiff::{SignedDuration, Timestamp};
use rollup::{Dimensions, Row, RowValue};
use wire::RunManifest;
use wire::preview::PreviewWarning;

use crate::kept::number;

/// A dimension with more members than this makes a chart that nobody reads.
const MEMBERS: usize = 100;

/// Rows from which on a dimension that is different on each of them is no chance.
const ALL_DIFFERENT: usize = 20;

/// Rows of one series from which on values that only grow are no chance.
const GROWING: usize = 5;

/// Everything that was seen.
pub(super) struct Seen<'a> {
    pub(super) manifest: &'a RunManifest,
    pub(super) metric: &'a Metric,
    pub(super) dataset: Option<&'a Dataset>,
    pub(super) profile: Option<&'a Profile>,
    /// The rows, each key once.
    pub(super) rows: &'a [Row],
    /// The rows before that.
    pub(super) rows_total: u64,
    pub(super) rejected: &'a [RejectedRow],
    pub(super) rejected_total: u64,
    /// Rows that repeat a key.
    pub(super) repeated: u64,
    /// Rows outside of the window.
    pub(super) outside: u64,
    /// Whether an error says already why there is nothing.
    pub(super) failed: bool,
    pub(super) now: Timestamp,
}

/// Returns the warnings, those about the fetch first.
pub(super) fn of(seen: &Seen<'_>) -> Vec<PreviewWarning> {
    let select = seen.metric.selection(seen.dataset);
    let written = seen
        .metric
        .expression
        .as_deref()
        .is_some_and(|text| !text.trim().is_empty());
    let mut found = Vec::new();
    pages(seen, &mut found);
    rows(seen, &mut found);
    dates(seen, &select, written, &mut found);
    values(seen, &select, written, &mut found);
    dimensions(seen, &select, &mut found);
    found
}

fn warn(
    found: &mut Vec<PreviewWarning>,
    code: &str,
    message: impl Into<String>,
    hint: impl Into<String>,
) {
    found.push(PreviewWarning {
        code: format!("preview.{code}"),
        message: message.into(),
        hint: hint.into(),
    });
}

/// Whether a sync would see everything, and whether what was seen is whole.
fn pages(seen: &Seen<'_>, found: &mut Vec<PreviewWarning>) {
    let request: Option<&Request> = seen
        .metric
        .request
        .as_ref()
        .or_else(|| seen.dataset.map(|dataset| &dataset.request));
    let manifest = seen.manifest;
    let largest = manifest
        .pages
        .iter()
        .filter_map(|page| page.records)
        .max()
        .filter(|records| *records > 0);
    let from_total = || Some(manifest.stated_total?.div_euclid(largest?) + 1);
    let stated = manifest.stated_pages.or_else(from_total);
    if let (Some(request), Some(stated)) = (request, stated)
        && stated > i64::from(request.max_pages)
    {
        warn(
            found,
            "page_cap",
            format!(
                "the API states {stated} pages, and a sync reads at most {}: it would be cut off",
                request.max_pages
            ),
            "raise `max_pages`, ask for larger pages, or ask for dates with `window`",
        );
    }
    for page in manifest.pages.iter().filter(|page| page.duplicate) {
        warn(
            found,
            "repeated_page",
            format!(
                "page {} holds the same bytes as an earlier one",
                page.number
            ),
            "check `pagination`: the API may not know this parameter",
        );
    }
    // That a preview stops after a few pages is said below.
    let own = usize::from(manifest.ended == "page_cap");
    for note in manifest.notes.iter().skip(own) {
        let (code, hint) = match manifest.ended.as_str() {
            "single_page" => (
                "more_pages",
                "add it to the request, or write `pagination: auto` and preview again",
            ),
            _ => ("fetch", "a sync says the same of itself, with its run"),
        };
        warn(found, code, note.clone(), hint);
    }
    let read = manifest.pages.len();
    if manifest.outcome == "truncated" {
        let of = stated.map_or(String::new(), |stated| format!(" of {stated}"));
        warn(
            found,
            "not_whole",
            match read {
                1 => format!("only the first page{of} was read: values and buckets are not whole"),
                _ => format!(
                    "only the first {read} pages{of} were read: values and buckets are not whole"
                ),
            },
            "",
        );
    }
}

/// "1 row lies", "2 rows lie".
fn rows_do(count: u64, one: &'static str, many: &'static str) -> String {
    let (row, does) = (number(count, "row", "rows"), number(count, one, many));
    format!("{count} {row} {does}")
}

fn rows(seen: &Seen<'_>, found: &mut Vec<PreviewWarning>) {
    let read = !seen.manifest.pages.is_empty();
    if seen.rows_total == 0 && seen.rejected_total == 0 && !seen.failed && read {
        warn(
            found,
            "no_rows",
            "the expression gives no rows",
            "look at the tree: is `records` where the records are, and does `where` let any through?",
        );
    }
    if seen.repeated > 0 {
        warn(
            found,
            "repeated_keys",
            format!(
                "{} a key; each key counts once",
                rows_do(seen.repeated, "repeats", "repeat")
            ),
            "if these are different records, `key` is not what tells them apart",
        );
    }
    if seen.outside > 0 {
        warn(
            found,
            "outside_window",
            format!(
                "{} outside of the window and {} left out",
                rows_do(seen.outside, "lies", "lie"),
                number(seen.outside, "is", "are")
            ),
            "does the request ask for the dates that `select.date` reads?",
        );
    }
}

fn dates(seen: &Seen<'_>, select: &Select, written: bool, found: &mut Vec<PreviewWarning>) {
    let tomorrow = seen
        .now
        .checked_add(SignedDuration::from_hours(24))
        .unwrap_or(seen.now);
    let ahead = seen
        .rows
        .iter()
        .filter(|row| row.at.is_some_and(|at| at > tomorrow))
        .count();
    if ahead > 0 {
        warn(
            found,
            "future_dates",
            format!("{} dated in the future", rows_do(ahead as u64, "is", "are")),
            "is it a due date, are day and month swapped, or is the zone wrong?",
        );
    }
    let first_weeks = Timestamp::UNIX_EPOCH
        .checked_add(SignedDuration::from_hours(60 * 24))
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let dated = seen.rows.iter().filter_map(|row| row.at);
    let early = dated.clone().filter(|at| *at < first_weeks).count();
    if early > 0 && early * 2 > dated.count() {
        warn(
            found,
            "seconds_as_milliseconds",
            format!(
                "{} dated in January or February 1970: seconds read as milliseconds",
                rows_do(early as u64, "is", "are")
            ),
            "say `format: unix` under `select.date`",
        );
    }
    let beyond = seen
        .rejected
        .iter()
        .filter(|row| row.code == "date.out_of_range" && row.reason.contains("unix_ms"))
        .count();
    if beyond > 0 {
        warn(
            found,
            "milliseconds_as_seconds",
            "dates lie thousands of years ahead: milliseconds read as seconds",
            "say `format: unix_ms` under `select.date`",
        );
    }
    let records = records_of(seen, select);
    let date = select
        .date
        .as_ref()
        .and_then(|date| inside(records?, &date.path));
    if let Some(other) = date.and_then(|field| field.looks.date.as_ref()?.or.as_ref()) {
        warn(
            found,
            "ambiguous_dates",
            format!("the dates could also be read as {other}: day and month may be swapped"),
            "look at a date whose day is above 12, or at one that you know",
        );
    }
    let is_level = seen.metric.metric_type(seen.dataset) == MetricType::Levels;
    if is_level && seen.metric.metric_type.is_none() && select.date.is_none() && !written {
        let offered = records.and_then(|records| {
            records
                .fields
                .iter()
                .find(|field| field.looks.date.is_some())
        });
        if let Some(field) = offered {
            warn(
                found,
                "no_date",
                "no date is selected, so every sync is a sample of how things stand (`type: levels`)",
                format!(
                    "select `date: {}` to count records on their own days, or write `type: levels` to say that a level is meant",
                    field.name
                ),
            );
        }
    }
}

fn values(seen: &Seen<'_>, select: &Select, written: bool, found: &mut Vec<PreviewWarning>) {
    repeats_on_every_page(seen, select, found);
    if looks_like_a_running_total(seen) {
        warn(
            found,
            "running_total",
            "the values only ever grow with their dates, as a running total does",
            "say `type: running_total`, so that differences are counted and not the totals themselves",
        );
    }
    let records = records_of(seen, select);
    let counts = matches!(select.value, None | Some(ValueSelect::Count));
    let currency = records.and_then(|records| {
        all_inside(records)
            .into_iter()
            .find(|field| field.looks.meaning == Some(Meaning::Currency))
    });
    if let Some(field) = currency
        && field.looks.members.len() > 1
        && select.unit.is_none()
        && !counts
        && !written
        && seen.metric.aggregation != Aggregation::CountDistinct
    {
        let codes: Vec<&str> = field
            .looks
            .members
            .iter()
            .take(5)
            .map(|(code, _)| code.as_str())
            .collect();
        warn(
            found,
            "mixed_currencies",
            format!("amounts in {} would be added up as one", codes.join(", ")),
            format!("select `unit: {}`: units are never mixed", field.name),
        );
    }
    let units: HashSet<&str> = seen
        .rows
        .iter()
        .filter_map(|row| row.unit.as_deref())
        .collect();
    if select.unit.is_none() && !counts && units.is_empty() && !written {
        let value = match &select.value {
            Some(ValueSelect::Path {
                path, number: None, ..
            }) => inside_any(records, path),
            _ => None,
        };
        let format = value.and_then(|field| field.looks.number.as_ref()?.format.as_ref());
        if let Some(format) = format
            && seen
                .rejected
                .iter()
                .any(|row| row.code == "value.not_number")
        {
            warn(
                found,
                "number_in_text",
                "the values are numbers written as text",
                format!("say how: `value: {{ path: …, number: \"{format}\" }}`"),
            );
        }
    }
}

/// A root scalar that every page repeats would be counted once for each page.
fn repeats_on_every_page(seen: &Seen<'_>, select: &Select, found: &mut Vec<PreviewWarning>) {
    let first_only = matches!(
        select.value,
        Some(ValueSelect::Path {
            page: Some(ValuePage::First),
            ..
        })
    );
    let pages = seen.manifest.pages.iter().filter(|page| !page.duplicate);
    let pages = pages.count();
    let Some(first) = seen.rows.first() else {
        return;
    };
    let same = seen.rows.iter().all(|row| {
        row.value == first.value && row.at.is_none() && row.dimensions == first.dimensions
    });
    if pages > 1 && !first_only && seen.rows.len() == pages && same && first.key.is_none() {
        let value = first.value.text();
        let path = match &select.value {
            Some(ValueSelect::Path { path, .. }) => path.as_str(),
            _ => "…",
        };
        warn(
            found,
            "repeats_on_every_page",
            format!(
                "every page gives the same {value}, which would be counted once for each of {pages} pages"
            ),
            format!("take it once: `value: {{ path: {path}, page: first }}`"),
        );
    }
}

fn looks_like_a_running_total(seen: &Seen<'_>) -> bool {
    let is_sum = seen.metric.aggregation == Aggregation::Sum
        && seen.metric.metric_type(seen.dataset) == MetricType::Events;
    if !is_sum {
        return false;
    }
    let mut series: BTreeMap<(&Dimensions, Option<&str>), Vec<_>> = BTreeMap::new();
    for row in seen.rows {
        if let (Some(at), RowValue::Number(value)) = (row.at, &row.value) {
            let key = (&row.dimensions, row.unit.as_deref());
            series.entry(key).or_default().push((at, *value));
        }
    }
    let mut long = 0;
    for values in series.values_mut().filter(|values| values.len() >= GROWING) {
        values.sort();
        let grows = values.windows(2).all(|two| two[1].1 >= two[0].1);
        let instants: HashSet<_> = values.iter().map(|(at, _)| at).collect();
        let different: HashSet<_> = values.iter().map(|(_, value)| value.to_string()).collect();
        if !grows || different.len() < GROWING || instants.len() < GROWING {
            return false;
        }
        long += 1;
    }
    long > 0
}

fn dimensions(seen: &Seen<'_>, select: &Select, found: &mut Vec<PreviewWarning>) {
    let records = records_of(seen, select);
    let mut members: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for row in seen.rows {
        for (name, text) in &row.dimensions {
            members.entry(name).or_default().insert(text);
        }
    }
    for (name, members) in members {
        let path = select
            .dimensions
            .iter()
            .find(|(own, _)| own.as_str() == name)
            .map(|(_, path)| path.as_str());
        let meaning = path
            .and_then(|path| inside_any(records, path))
            .and_then(|field| field.looks.meaning);
        let addresses = members
            .iter()
            .any(|text| text.contains('@') && text.contains('.'));
        let all_different = members.len() == seen.rows.len() && members.len() >= ALL_DIFFERENT;
        let what = match meaning {
            _ if addresses => "holds e-mail addresses",
            Some(Meaning::Email) => "holds e-mail addresses",
            Some(Meaning::Id) => "holds ids",
            Some(Meaning::Url) => "holds web addresses",
            _ if all_different => "is different on every record",
            _ if members.len() > MEMBERS => "has too many members to be read",
            _ => continue,
        };
        warn(
            found,
            "dimension",
            format!(
                "dimension `{name}` {what} ({} different so far)",
                members.len()
            ),
            "a dimension splits a number into a few parts; for counting such values use `aggregation: count_distinct`",
        );
    }
}

/// The place of the records in the tree: the list that `records` names, or the answer.
fn records_of<'p>(seen: &Seen<'p>, select: &Select) -> Option<&'p Field> {
    let root = &seen.profile?.root;
    let path = match &select.records {
        None => "$",
        Some(Records::Path(path)) => path.trim(),
        Some(_) => return None,
    };
    if matches!(path, "$" | "$$" | "") {
        return Some(root);
    }
    find(root, path)
}

fn find<'p>(field: &'p Field, path: &str) -> Option<&'p Field> {
    if field.path == path && field.name != "[]" {
        return Some(field);
    }
    field.fields.iter().find_map(|inside| find(inside, path))
}

/// The field at a path on a record.
fn inside<'p>(records: &'p Field, path: &str) -> Option<&'p Field> {
    let full = match records.path.as_str() {
        "$" => path.trim().to_owned(),
        own => format!("{own}.{}", path.trim()),
    };
    find(records, &full)
}

fn inside_any<'p>(records: Option<&'p Field>, path: &str) -> Option<&'p Field> {
    inside(records?, path)
}

/// Every scalar of a record, those of objects inside it too.
fn all_inside(records: &Field) -> Vec<&Field> {
    let mut all = Vec::new();
    for field in &records.fields {
        if field.is_all(Kind::Object) {
            all.extend(all_inside(field));
        } else {
            all.push(field);
        }
    }
    all
}

#[cfg(test)]
mod tests;
