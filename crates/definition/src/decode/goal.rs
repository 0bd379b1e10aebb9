use jiff::civil::Date;

use super::about::{about, name, where_};
use super::deliver::targets;
use super::metric::word;
use super::{Decoder, Fields, Key, Place, TextRule};
use crate::goal::{Aim, Goal};
use crate::granularity::Granularity;
use crate::schema;

pub(crate) const GOAL: &[Key] = &[
    Key::optional("kind", "`goal`", || schema::constant("goal")),
    Key::required("name", "the name people and programs use", schema::name),
    Key::optional("title", "what people call it", schema::title),
    Key::optional("description", "what it is", schema::text),
    Key::optional("owner", "who answers for it", schema::line),
    Key::optional("tags", "what it is found by, at most 32", schema::tags),
    Key::required("metric", "the metric", schema::name),
    Key::optional(
        "where",
        "the members of dimensions that count: { state: active } or { state: [a, b] }",
        schema::members,
    ),
    Key::optional(
        "reach",
        "the number to come to; from above where the metric's favourable_trend is down",
        schema::number,
    ),
    Key::optional(
        "stay_above",
        "the number not to be below of",
        schema::number,
    ),
    Key::optional(
        "stay_below",
        "the number not to be above of",
        schema::number,
    ),
    Key::optional("by", "the last day, such as 2026-12-31", schema::day),
    Key::optional(
        "per",
        "the period in which it begins anew: day, week, month, quarter or year",
        || schema::words(PERIODS),
    ),
    Key::optional("from", "the first day that counts", schema::day),
    Key::optional(
        "start",
        "where the straight line to the goal begins; absent: the value that the metric had",
        schema::number,
    ),
    Key::optional(
        "deliver",
        "who is told when it is reached or broken",
        schema::targets,
    ),
    Key::optional("paused", "whether it rests", schema::boolean),
];

/// The periods of a goal.
pub(crate) const PERIODS: &[&str] = &["day", "week", "month", "quarter", "year"];

pub(crate) fn goal(decoder: &mut Decoder, place: &Place<'_>) -> Option<Goal> {
    let fields = decoder.object(place, GOAL, "a goal")?;
    let f = &fields;
    let aim = aim(decoder, place, f);
    let goal = Goal {
        name: name(decoder, f, "name"),
        about: about(decoder, f),
        metric: name(decoder, f, "metric"),
        where_: where_(decoder, f),
        aim: aim.unwrap_or(Aim::Reach(0.0)),
        by: f.get("by").and_then(|p| day(decoder, &p)),
        per: word(decoder, f, "per", PERIODS, "definition.goal", |word| {
            Granularity::parse(word).filter(|_| PERIODS.contains(&word))
        }),
        from: f.get("from").and_then(|p| day(decoder, &p)),
        start: f.get("start").and_then(|p| decoder.number(&p)),
        deliver: targets(decoder, f),
        paused: f
            .get("paused")
            .and_then(|p| decoder.boolean(&p))
            .unwrap_or_default(),
    };
    Some(goal)
}

fn aim(decoder: &mut Decoder, place: &Place<'_>, f: &Fields<'_>) -> Option<Aim> {
    let written: Vec<&str> = Aim::WORDS
        .iter()
        .copied()
        .filter(|word| f.get(word).is_some())
        .collect();
    let [word] = written.as_slice() else {
        let message = format!("a goal has exactly one of {}", Aim::WORDS.join(", "));
        decoder.problem(place, "definition.goal", message);
        return None;
    };
    let target = f.get(word).and_then(|p| decoder.number(&p))?;
    Some(match *word {
        "stay_above" => Aim::StayAbove(target),
        "stay_below" => Aim::StayBelow(target),
        _ => Aim::Reach(target),
    })
}

/// Reads a calendar day.
fn day(decoder: &mut Decoder, place: &Place<'_>) -> Option<Date> {
    let text = decoder.text(place, TextRule::Line(30))?;
    let found: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
    if found.is_none() {
        let message = "is a calendar day such as 2026-12-31";
        decoder.problem(place, "definition.day", message);
    }
    found
}
