//! A scorecard whose time has come: the digest of its metrics, and when it is sent next.

use definition::{Definition, Entry, Scorecard};
use jiff::Timestamp;
use rollup::{Direction, progress, shown, shown_percent, shown_range, title_of};
use serde_json::{Map, Value, json};
use store::{DueWatch, Judged, Kind, Store};

use super::content::{self, number};
use super::reading::Reading;
use crate::error::Error;

/// Judges a scorecard: sends it when its time has come.
pub(crate) async fn judge(
    store: &Store,
    due: &DueWatch,
    card: &Scorecard,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Result<Judged, Error> {
    let zone = definition::zone::find_or_utc(card.timezone.as_deref());
    // The spread is for datasets; people expect the time they wrote.
    let next = card.schedule.next_after(now, &zone, 0);
    let state: Map<String, Value> = serde_json::from_str(&due.state).unwrap_or_default();
    let planned = state.get("planned").and_then(Value::as_i64);
    let schedule = serde_json::to_value(&card.schedule).unwrap_or_default();
    let same = state.get("schedule") == Some(&schedule);
    // What was planned by an older schedule is not sent.
    let is_time = same && planned.is_some_and(|at| at <= now.as_millisecond());
    let mut deliveries = Vec::new();
    if is_time {
        let mut digest = digest(store, &due.workspace, card, now, link).await?;
        digest.insert("at".to_owned(), json!(now.to_string()));
        let case = format!("scorecard.{}.{}", due.name, planned.unwrap_or_default());
        let event = Some(("digest", now));
        deliveries = content::deliveries(&case, None, event, &card.deliver, &digest);
    }
    let planned = next.map(Timestamp::as_millisecond);
    Ok(Judged {
        workspace: due.workspace.clone(),
        kind: Kind::Scorecard,
        name: due.name.clone(),
        revision: due.revision,
        version: due.version,
        next_at: planned,
        phase: "planned".to_owned(),
        since: if is_time {
            Some(now.as_millisecond())
        } else {
            None
        },
        state: json!({ "planned": planned, "schedule": schedule }).to_string(),
        deliveries,
    })
}

/// Returns a scorecard as it stands now, for every channel.
async fn digest(
    store: &Store,
    workspace: &str,
    card: &Scorecard,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Result<Map<String, Value>, Error> {
    let mut rows = Vec::with_capacity(card.metrics.len());
    for entry in &card.metrics {
        rows.push(row(store, workspace, card, entry, now, link).await?);
    }
    let title = card.about.title.as_deref().unwrap_or(card.name.as_str());
    let range = rows
        .first()
        .and_then(|row| row.get("range_text"))
        .and_then(Value::as_str)
        .unwrap_or(card.range.as_str())
        .to_owned();
    let mut digest = Map::new();
    let mut put = |field: &str, value: Value| digest.insert(field.to_owned(), value);
    put("workspace", json!(workspace));
    put("kind", json!("scorecard"));
    put("name", json!(card.name.as_str()));
    put("title", json!(title));
    put(
        "description",
        json!(card.about.description.as_deref().unwrap_or_default()),
    );
    put("text", json!(format!("{title}: {range}")));
    put("link", json!(""));
    put("rows", json!(rows));
    Ok(digest)
}

async fn row(
    store: &Store,
    workspace: &str,
    card: &Scorecard,
    entry: &Entry,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Result<Value, Error> {
    let name = entry.metric.as_str();
    let Some(mut reading) = Reading::of(store, workspace, name, now).await? else {
        return Ok(json!({ "metric": name, "title": name, "problem": "there is no such metric" }));
    };
    let range = entry.range.as_ref().unwrap_or(&card.range);
    let zone = definition::zone::find_or_utc(card.timezone.as_deref());
    let ask = |zone| {
        let (watched, compare) = (reading.watched(), Some(card.compare));
        watched.question_in(range, &entry.where_, compare, now, zone)
    };
    // The digest's day is its own, where the metric's buckets allow that.
    let own = ask(Some(&zone));
    let query = match own.reads(&reading.rules) {
        Ok(_) => own,
        Err(_) => ask(None),
    };
    let mut wanted = vec![];
    match query.reads(&reading.rules) {
        Ok(reads) => wanted.push(reads),
        Err(error) => {
            return Ok(
                json!({ "metric": name, "title": title_of(&reading.metric), "problem": error.to_string() }),
            );
        }
    }
    let goal = goal(store, workspace, entry).await?;
    if let Some(goal) = &goal {
        wanted.push(reading.goal_reads(goal, now));
    }
    reading.read(store, wanted).await?;
    let title = entry
        .title
        .as_deref()
        .unwrap_or_else(|| title_of(&reading.metric));
    let seen = match reading.watched().see(&reading.input, &query, now) {
        Ok(seen) => seen,
        Err(error) => {
            return Ok(json!({ "metric": name, "title": title, "problem": error.to_string() }));
        }
    };
    let metric = &reading.metric;
    let unit = seen.unit.as_deref().or(metric.unit.as_deref());
    let words = |value| shown(value, metric.format.as_ref(), unit);
    let direction = match seen.direction {
        Some(Direction::Better) => "better",
        Some(Direction::Worse) => "worse",
        Some(Direction::Same) => "same",
        Some(Direction::Unknown) | None => "unknown",
    };
    let mut row = json!({
        "metric": name,
        "title": title,
        "value": number(seen.value),
        "value_text": seen.value.map(words),
        "previous": number(seen.base),
        "previous_text": seen.base.map(words),
        "percent": number(seen.percent),
        "change_text": seen.percent.map(shown_percent),
        "direction": direction,
        "unit": unit,
        "complete": seen.is_known,
        "range_text": seen.range.map(|range| shown_range(range, query.zone(&reading.rules))),
        "link": link(name),
    });
    if let Some(goal) = &goal {
        let range = reading.goal_range(goal, now);
        let watched = reading.watched();
        let seen = watched
            .see_goal(goal, range, &reading.input, now)
            .unwrap_or_default();
        let far = progress(goal, &reading.rules, reading.accumulates, range, &seen, now);
        let title = goal.about.title.as_deref().unwrap_or(goal.name.as_str());
        let percent = far
            .percent
            .map(|percent| format!(", {} %", percent.to_significant(3)));
        row["goal"] = json!({
            "name": goal.name.as_str(),
            "phase": far.phase.as_str(),
            "percent": number(far.percent),
            "target": number(Some(far.target)),
            "ahead": number(far.ahead),
        });
        row["goal_text"] = json!(format!(
            "{title}: {}{}",
            far.phase.as_str().replace('_', " "),
            percent.unwrap_or_default()
        ));
    }
    Ok(row)
}

async fn goal(
    store: &Store,
    workspace: &str,
    entry: &Entry,
) -> Result<Option<definition::Goal>, Error> {
    let Some(name) = &entry.goal else {
        return Ok(None);
    };
    let Some(stored) = store
        .definition(workspace, Kind::Goal, name.as_str())
        .await?
    else {
        return Ok(None);
    };
    Ok(match stored.definition()? {
        Definition::Goal(goal) => Some(goal),
        _ => None,
    })
}
