//! Recognises dates in parameters, and turns a range of them into the window of a run.

use super::{Part, Shown};

/// How a date is written, as the filter of a template that writes it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Day,
    Instant,
    Unix,
    UnixMs,
}

/// Which end of a range a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Start,
    Stop,
}

/// Returns how `value` is written, when it is a date.
pub(crate) fn form(value: &str) -> Option<Form> {
    let value = value.trim();
    if matches!(value.to_ascii_lowercase().as_str(), "yyyy-mm-dd" | "<date>") {
        return Some(Form::Day);
    }
    let number =
        |least: u64, most: u64| value.parse().is_ok_and(|n: u64| (least..most).contains(&n));
    match value.len() {
        10 if is_date(value) => Some(Form::Day),
        10 if number(1_000_000_000, 4_000_000_000) => Some(Form::Unix),
        13 if number(1_000_000_000_000, 4_000_000_000_000) => Some(Form::UnixMs),
        11.. if is_date(value) => Some(Form::Instant),
        _ => None,
    }
}

/// Tells whether a text is a date in ISO 8601, with or without a time.
pub(crate) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = [0, 1, 2, 3, 5, 6, 8, 9];
    (10..=40).contains(&bytes.len())
        && digits.iter().all(|place| bytes[*place].is_ascii_digit())
        && (bytes[4], bytes[7]) == (b'-', b'-')
        && bytes.get(10).is_none_or(|byte| matches!(byte, b'T' | b' '))
}

/// Returns which end of a range a parameter of this name is, when its name says so.
pub(crate) fn end(name: &str) -> Option<End> {
    const START: [&str; 12] = [
        "from",
        "start",
        "since",
        "after",
        "begin",
        "min",
        "gte",
        "gt",
        "oldest",
        "startdate",
        "starting",
        ">",
    ];
    const STOP: [&str; 13] = [
        "to", "end", "until", "before", "max", "lte", "lt", "latest", "stop", "till", "enddate",
        "ending", "<",
    ];
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if matches!(letter, '<' | '>') {
            words.push(letter.to_string());
        }
        if !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && was_lower) {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_ascii_alphanumeric() {
            word.push(letter.to_ascii_lowercase());
        }
        was_lower = letter.is_ascii_lowercase();
    }
    words.push(word);
    let is = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    match (is(&START), is(&STOP)) {
        (true, false) => Some(End::Start),
        (false, true) => Some(End::Stop),
        _ => None,
    }
}

/// Returns the template of one end of the window.
pub(crate) fn template(end: End, form: Form) -> String {
    let (place, filter) = match (end, form) {
        (End::Start, Form::Day) => ("window.start", "date"),
        // Ranges of days mostly hold their last day.
        (End::Stop, Form::Day) => ("window.last_day", "date"),
        (End::Start, Form::Instant) => ("window.start", "iso"),
        (End::Stop, Form::Instant) => ("window.end", "iso"),
        (End::Start, Form::Unix) => ("window.start", "unix"),
        (End::Stop, Form::Unix) => ("window.end", "unix"),
        (End::Start, Form::UnixMs) => ("window.start", "unix_ms"),
        (End::Stop, Form::UnixMs) => ("window.end", "unix_ms"),
    };
    format!("{{{{ {place} | {filter} }}}}")
}

/// Puts the window in the places of a range of dates, where it is sure which is its start.
///
/// One start and at most one end, in query parameters whose names say so; other dates stay, marked.
pub(crate) fn find_window(shown: &mut Shown) {
    let found: Vec<(usize, Option<End>, Form)> = shown
        .query
        .iter()
        .enumerate()
        .filter_map(|(at, parameter)| Some((at, end(&parameter.name), form(&parameter.value)?)))
        .collect();
    let ends = |wanted: End| {
        found
            .iter()
            .filter(move |(_, end, _)| *end == Some(wanted))
            .count()
    };
    let sure = ends(End::Start) == 1 && ends(End::Stop) <= 1;
    for (at, end, form) in found {
        let parameter = &mut shown.query[at];
        match end {
            Some(end) if sure => {
                if (end, form) == (End::Stop, Form::Day) {
                    parameter.unsure = Some(
                        "taken for the last day inside; if the day is outside, write window.end"
                            .to_owned(),
                    );
                }
                parameter.value = template(end, form);
                shown.dated = true;
            }
            _ => {
                let remark = "looks like a date that stays as it is; {{ window.start | date }} and {{ window.end | date }} follow the sync";
                parameter.unsure = Some(remark.to_owned());
            }
        }
    }
    if let Some(super::Body::Json(body)) = &shown.body
        && holds_date(body)
    {
        shown.remark(Part::Body, "a date in the body stays as it is; templates such as {{ window.start | iso }} are allowed there");
    }
}

fn holds_date(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => is_date(text),
        serde_json::Value::Array(items) => items.iter().any(holds_date),
        serde_json::Value::Object(fields) => fields.values().any(holds_date),
        _ => false,
    }
}
