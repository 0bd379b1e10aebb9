//! Values in columns (RFC 4180, with any one-character delimiter). Values stay text.

use std::collections::HashSet;

use definition::{CsvHeader, Response, ResponseFormat};

use super::csv_shape::{self as shape, OpenQuote};
use super::{malformed, push_text, too_large};
use crate::decode::{Unusable, scan};

/// Returns the list of records as objects of the columns' names.
pub(super) fn to_json(body: &[u8], response: &Response, cap: usize) -> Result<Vec<u8>, Unusable> {
    let fail = |reason: String| malformed(ResponseFormat::Csv, reason);
    refuse_json(body)?;
    if let Some(at) = memchr::memchr(0, body) {
        return Err(fail(format!("a NUL at byte {at}; is it a binary file?")));
    }
    let delimiter = response
        .delimiter
        .and_then(|delimiter| u8::try_from(delimiter).ok())
        .unwrap_or(b',');
    refuse_open_quotes(body, delimiter)?;
    if let Some(other) = shape::other_delimiter(body, delimiter, &response.header) {
        return Err(fail(shape::one_column(body, other)));
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(body);
    let mut names: Option<Vec<String>> = match &response.header {
        CsvHeader::Named(names) => Some(names.clone()),
        CsvHeader::FirstLine | CsvHeader::Absent => None,
    };
    let mut out = Vec::with_capacity(body.len().saturating_mul(2).min(cap));
    out.push(b'[');
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(fail(error.to_string())),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let names = match &mut names {
            Some(names) => &*names,
            None if response.header == CsvHeader::FirstLine => {
                if record.len() > Response::MAX_COLUMNS {
                    return Err(fail(format!("more than {} columns", Response::MAX_COLUMNS)));
                }
                names = Some(columns(record.iter()));
                continue;
            }
            none => &*none.insert(columns(record.iter().map(|_| ""))),
        };
        let is_surplus = |value: &str| !value.trim().is_empty();
        if record.len() < names.len() || record.iter().skip(names.len()).any(is_surplus) {
            let is_at_end = reader.position().byte() >= body.len() as u64;
            return Err(Unusable::Malformed {
                format: ResponseFormat::Csv,
                reason: format!(
                    "line {line} has {} values, and there are {} columns{}",
                    record.len(),
                    names.len(),
                    hint(&record, names.len(), delimiter)
                ),
                ends_early: is_at_end && record.len() < names.len() && !body.ends_with(b"\n"),
            });
        }
        out.extend_from_slice(if out.len() > 1 { b",{" } else { b"{" });
        for (index, (name, value)) in names.iter().zip(&record).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_text(&mut out, name);
            out.push(b':');
            push_text(&mut out, value);
        }
        out.push(b'}');
        if out.len() > cap {
            return Err(too_large(cap));
        }
    }
    out.push(b']');
    Ok(out)
}

/// An error told as JSON must not become a header without records.
fn refuse_json(body: &[u8]) -> Result<(), Unusable> {
    let begins = body.trim_ascii_start().first();
    if matches!(begins, Some(b'{' | b'[')) && scan(body, &[]).is_ok() {
        let reason = "it is JSON; is it an error, or is `format: json` meant?";
        return Err(malformed(ResponseFormat::Csv, reason));
    }
    Ok(())
}

/// A quote that does not end where its value does takes in the lines behind it.
fn refuse_open_quotes(body: &[u8], delimiter: u8) -> Result<(), Unusable> {
    match shape::open_quote(body, delimiter) {
        None => Ok(()),
        Some(OpenQuote { line, ends_early }) => Err(Unusable::Malformed {
            format: ResponseFormat::Csv,
            reason: format!("a quote without end, opened on line {line}"),
            ends_early,
        }),
    }
}

/// Names for columns: trimmed; `column_3` where one has none, `name_2` where a name comes again.
fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for (number, name) in (1_usize..).zip(names) {
        let name = match name.trim() {
            "" => format!("column_{number}"),
            name => name.to_owned(),
        };
        let mut own = name.clone();
        let mut time = 2;
        while !seen.insert(own.clone()) {
            own = format!("{name}_{time}");
            time += 1;
        }
        columns.push(own);
    }
    columns
}

/// What may be meant where a whole line is one value.
fn hint(record: &csv::StringRecord, columns: usize, delimiter: u8) -> String {
    let is_one = record.len() == 1 || columns == 1;
    let first = record.iter().next().unwrap_or_default();
    let other = shape::others(delimiter).find(|other| first.contains(char::from(*other)));
    match other {
        Some(other) if is_one => format!(" (is the delimiter {:?}?)", char::from(other)),
        _ => String::new(),
    }
}
