use jiff::civil::Time;

use super::about::{about, name, range, where_};
use super::deliver::targets;
use super::metric::{weekday, word};
use super::{Decoder, Fields, Key, Place, TextRule};
use crate::alert::{Against, Alert, ChangeIn, Condition, Quiet, Side, Threshold, Urgency};
use crate::node::Content;
use crate::range_name::RangeName;
use crate::schema;
use crate::span::{Span, SpanUnit};

pub(crate) const ALERT: &[Key] = &[
    Key::optional("kind", "`alert`", || schema::constant("alert")),
    Key::required("name", "the name people and programs use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it means and what to do", schema::text),
    Key::optional("owner", "who answers for it", schema::line),
    Key::optional("tags", "what it is found by, at most 32", schema::tags),
    Key::required("metric", "the metric", schema::name),
    Key::optional(
        "where",
        "the members of dimensions that count: { state: active } or { state: [a, b] }",
        schema::members,
    ),
    Key::optional(
        "range",
        "the range whose value is judged, by name (today)",
        schema::line,
    ),
    Key::required(
        "when",
        "what must hold: value, change or missing",
        schema::condition,
    ),
    Key::optional(
        "urgency",
        "how bad it is: info, warning (the default) or critical",
        || schema::words(Urgency::WORDS),
    ),
    Key::optional("quiet", "when people are left alone", schema::quiet),
    Key::optional("deliver", "who is told", schema::targets),
    Key::optional("paused", "whether it rests", schema::boolean),
];

pub(crate) const VALUE_CONDITION: &[Key] = &[
    Key::optional("above", "fires above this number", schema::number),
    Key::optional("below", "fires below this number", schema::number),
    Key::optional(
        "until",
        "once firing, over only when the value is back at this number",
        schema::number,
    ),
];

pub(crate) const CHANGE_CONDITION: &[Key] = &[
    Key::optional("above", "fires above this change", schema::number),
    Key::optional("below", "fires below this change", schema::number),
    Key::optional(
        "until",
        "once firing, over only when the change is back at this number",
        schema::number,
    ),
    Key::optional(
        "in",
        "percent of the range compared with (the default), or value",
        || schema::words(ChangeIn::WORDS),
    ),
    Key::optional(
        "compare",
        "previous_period (the default) or previous_year",
        || schema::words(Against::WORDS),
    ),
];

pub(crate) const CONDITION: &[Key] = &[
    Key::optional("value", "a threshold on the value", schema::value_condition),
    Key::optional(
        "change",
        "a threshold on the change against another range",
        schema::change_condition,
    ),
    Key::optional(
        "missing",
        "fires when nothing is dated within this time",
        schema::span,
    ),
];

pub(crate) const QUIET: &[Key] = &[
    Key::optional(
        "from",
        "the time of day when it begins, such as \"22:00\"",
        schema::line,
    ),
    Key::optional("to", "the time of day when it ends", schema::line),
    Key::optional("days", "whole days", schema::weekdays),
    Key::optional(
        "timezone",
        "whose clock (the metric's timezone)",
        schema::line,
    ),
];

pub(crate) fn alert(decoder: &mut Decoder, place: &Place<'_>) -> Option<Alert> {
    let fields = decoder.object(place, ALERT, "an alert")?;
    let f = &fields;
    Some(Alert {
        name: name(decoder, f, "name"),
        about: about(decoder, f),
        metric: name(decoder, f, "metric"),
        where_: where_(decoder, f),
        range: range(decoder, f, "range").unwrap_or_else(RangeName::today),
        when: f
            .get("when")
            .and_then(|p| condition(decoder, &p))
            .unwrap_or(Condition::Missing(Span::new(1, SpanUnit::Day))),
        urgency: word(
            decoder,
            f,
            "urgency",
            Urgency::WORDS,
            "definition.alert",
            Urgency::parse,
        )
        .unwrap_or(Urgency::Warning),
        quiet: f.get("quiet").and_then(|p| quiet(decoder, &p)),
        deliver: targets(decoder, f),
        paused: f
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    })
}

fn condition(decoder: &mut Decoder, place: &Place<'_>) -> Option<Condition> {
    let f = decoder.object(
        place,
        CONDITION,
        "a condition such as { value: { below: 10 } }",
    )?;
    match (f.get("value"), f.get("change"), f.get("missing")) {
        (Some(value), None, None) => {
            let fields = decoder.object(&value, VALUE_CONDITION, "{ below: 10 }")?;
            threshold(decoder, &value, &fields).map(Condition::Value)
        }
        (None, Some(change), None) => {
            let fields = decoder.object(&change, CHANGE_CONDITION, "{ below: -20 }")?;
            let code = "definition.alert";
            let counted = word(
                decoder,
                &fields,
                "in",
                ChangeIn::WORDS,
                code,
                ChangeIn::parse,
            );
            let compare = word(
                decoder,
                &fields,
                "compare",
                Against::WORDS,
                code,
                Against::parse,
            );
            Some(Condition::Change {
                threshold: threshold(decoder, &change, &fields)?,
                counted: counted.unwrap_or(ChangeIn::Percent),
                compare: compare.unwrap_or(Against::PreviousPeriod),
            })
        }
        (None, None, Some(missing)) => decoder
            .span(&missing, "definition.alert")
            .map(Condition::Missing),
        _ => {
            let message = "has exactly one of value, change, missing";
            decoder.problem(place, "definition.alert", message);
            None
        }
    }
}

fn threshold(decoder: &mut Decoder, place: &Place<'_>, f: &Fields<'_>) -> Option<Threshold> {
    let side = match (f.get("above"), f.get("below")) {
        (Some(above), None) => Side::Above(decoder.number(&above)?),
        (None, Some(below)) => Side::Below(decoder.number(&below)?),
        _ => {
            let message = "has exactly one of above, below";
            decoder.problem(place, "definition.alert", message);
            return None;
        }
    };
    let until = f.get("until");
    let number = until.as_ref().and_then(|p| decoder.number(p));
    let is_beyond = match (side, number) {
        (Side::Above(above), Some(until)) => until > above,
        (Side::Below(below), Some(until)) => until < below,
        (_, None) => false,
    };
    if let (true, Some(place)) = (is_beyond, until) {
        let message = format!(
            "would end the alert while it fires; it is on the other side of `{}`",
            side.as_str()
        );
        decoder.problem(&place, "definition.alert", message);
    }
    Some(Threshold {
        side,
        until: number,
    })
}

fn quiet(decoder: &mut Decoder, place: &Place<'_>) -> Option<Quiet> {
    let f = decoder.object(place, QUIET, "{ from: \"22:00\", to: \"07:00\" }")?;
    let quiet = Quiet {
        from: f.get("from").and_then(|p| time(decoder, &p)),
        to: f.get("to").and_then(|p| time(decoder, &p)),
        days: days(decoder, &f),
        timezone: f.get("timezone").and_then(|p| decoder.zone(&p)),
    };
    let half = f.get("from").is_some() != f.get("to").is_some();
    let nothing = f.get("from").is_none() && f.get("days").is_none();
    if half || nothing || (quiet.from.is_some() && quiet.from == quiet.to) {
        let message = "has `from` and `to`, which differ, or `days`, or all of them";
        decoder.problem(place, "definition.alert", message);
    }
    if quiet.days.len() >= 7 {
        let message = "nobody would ever be told; leave `deliver` out for that";
        decoder.problem(place, "definition.alert", message);
    }
    Some(quiet)
}

fn days(decoder: &mut Decoder, f: &Fields<'_>) -> Vec<jiff::civil::Weekday> {
    let Some(place) = f.get("days") else {
        return Vec::new();
    };
    if !matches!(place.node.content, Content::List(_)) {
        decoder.wrong_type(&place, "an array of days such as [saturday, sunday]");
        return Vec::new();
    }
    let mut days = Vec::new();
    for item in place.items() {
        if let Some(day) = weekday(decoder, &item)
            && !days.contains(&day)
        {
            days.push(day);
        }
    }
    days
}

fn time(decoder: &mut Decoder, place: &Place<'_>) -> Option<Time> {
    let text = decoder.text(place, TextRule::Line(10))?;
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(hour) || !digits(minute) {
            return None;
        }
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    let found = read();
    if found.is_none() {
        let message = "is a time of day such as \"22:00\"";
        decoder.problem(place, "definition.alert", message);
    }
    found
}
