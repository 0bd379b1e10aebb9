//! Dates in templates: how they are written, and the filters that write them.

use std::fmt;
use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use minijinja::value::{Object, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use crate::span::Span;

/// The filters of a template.
pub const FILTERS: &[&str] = &[
    "date", "datetime", "iso", "unix", "unix_ms", "minus", "plus", "utc",
];

/// Instructions one template may take; a filtered variable takes about ten.
const FUEL: u64 = 2_000;

/// An instant in a zone; written as RFC 3339 when no filter says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Moment(pub(super) Zoned);

/// How much of a second is written.
#[derive(Clone, Copy)]
enum Precision {
    /// As much as there is.
    Shortest,
    Seconds,
    Milliseconds,
}

impl Moment {
    fn iso(&self, precision: Precision) -> String {
        let is_utc = self.0.time_zone() == &TimeZone::UTC;
        let pattern = match (precision, is_utc) {
            (Precision::Shortest, true) => "%Y-%m-%dT%H:%M:%S%.fZ",
            (Precision::Shortest, false) => "%Y-%m-%dT%H:%M:%S%.f%:z",
            (Precision::Seconds, true) => "%Y-%m-%dT%H:%M:%SZ",
            (Precision::Seconds, false) => "%Y-%m-%dT%H:%M:%S%:z",
            (Precision::Milliseconds, true) => "%Y-%m-%dT%H:%M:%S%.3fZ",
            (Precision::Milliseconds, false) => "%Y-%m-%dT%H:%M:%S%.3f%:z",
        };
        self.0.strftime(pattern).to_string()
    }

    fn into_value(self) -> Jinja {
        Jinja::from_object(self)
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso(Precision::Shortest))
    }
}

/// An environment with our filters and nothing else: no loops, includes, macros or functions.
/// Dates in texts that name no zone are in `zone`.
pub(super) fn environment(zone: &TimeZone) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_formatter(|out, _, value| {
        let text = text_of(value)?;
        out.write_str(&text).map_err(Error::from)
    });
    let read = {
        let zone = zone.clone();
        move |value: &Jinja| moment(value, &zone)
    };
    let with = read.clone();
    environment.add_filter(
        "date",
        move |value: &Jinja, pattern: Option<String>| -> Result<String, Error> {
            written(&with(value)?, pattern.as_deref().unwrap_or("%Y-%m-%d"))
        },
    );
    let with = read.clone();
    environment.add_filter("datetime", move |value: &Jinja| {
        written(&with(value)?, "%Y-%m-%dT%H:%M:%S")
    });
    let with = read.clone();
    environment.add_filter(
        "iso",
        move |value: &Jinja, precision: Option<String>| -> Result<String, Error> {
            let precision = match precision.as_deref() {
                None => Precision::Shortest,
                Some("s") => Precision::Seconds,
                Some("ms") => Precision::Milliseconds,
                Some(_) => return Err(refused("iso: write iso, iso(\"s\") or iso(\"ms\")")),
            };
            Ok(with(value)?.iso(precision))
        },
    );
    let with = read.clone();
    environment.add_filter("unix", move |value: &Jinja| {
        with(value).map(|moment| moment.0.timestamp().as_second())
    });
    let with = read.clone();
    environment.add_filter("unix_ms", move |value: &Jinja| {
        with(value).map(|moment| moment.0.timestamp().as_millisecond())
    });
    let with = read.clone();
    environment.add_filter(
        "minus",
        move |value: &Jinja, length: String| -> Result<Jinja, Error> {
            let span = span("minus", &length)?;
            Ok(Moment(span.before(&with(value)?.0)).into_value())
        },
    );
    let with = read.clone();
    environment.add_filter(
        "plus",
        move |value: &Jinja, length: String| -> Result<Jinja, Error> {
            let span = span("plus", &length)?;
            Ok(Moment(span.after(&with(value)?.0)).into_value())
        },
    );
    environment.add_filter("utc", move |value: &Jinja| -> Result<Jinja, Error> {
        Ok(Moment(read(value)?.0.with_time_zone(TimeZone::UTC)).into_value())
    });
    environment
}

/// The text of a value that may stand in a request; what is nothing, a list or an object may not.
pub(super) fn text_of(value: &Jinja) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::String | ValueKind::Number | ValueKind::Plain => Ok(value.to_string()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Err(refused(
            "the value is null, and null cannot stand in a request",
        )),
        _ => Err(refused(
            "only text, numbers, true, false and dates can stand in a request, not lists or objects",
        )),
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn span(filter: &str, length: &str) -> Result<Span, Error> {
    Span::parse(length).map_err(|error| refused(format!("{filter}: {error}")))
}

/// Reads a date: one of ours, or a text of RFC 3339 or ISO 8601 such as records hold.
fn moment(value: &Jinja, zone: &TimeZone) -> Result<Moment, Error> {
    if let Some(moment) = value.downcast_object_ref::<Moment>() {
        return Ok(moment.clone());
    }
    let read = value.as_str().and_then(|text| {
        let text = text.trim();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(at.to_zoned(zone.clone()));
        }
        let local = text
            .parse::<DateTime>()
            .or_else(|_| text.parse::<Date>().map(DateTime::from));
        local.ok()?.to_zoned(zone.clone()).ok()
    });
    read.map(Moment)
        .ok_or_else(|| refused("this filter works on dates such as window.start and now"))
}

fn written(moment: &Moment, pattern: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(pattern, &moment.0)
        .map_err(|error| refused(format!("date: {error}")))
}
