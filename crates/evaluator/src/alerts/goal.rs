//! One goal, judged: how far it is, and whether that is news.

use definition::Goal;
use jiff::{SignedDuration, Timestamp};
use rollup::{GoalPhase, GoalRange, Progress, progress, shown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{DueWatch, Judged, Kind, NewDelivery};

use super::content::{self, number};
use super::reading::Reading;
use super::soon;

/// A range that has ended is looked at until it is known to its end.
const UNTIL_KNOWN: SignedDuration = SignedDuration::from_mins(5);
/// Longer than any sync that is still worth waiting for; then the next range is judged.
const PATIENCE: SignedDuration = SignedDuration::from_hours(48);

/// What is kept of a goal from one judgement to the next.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct GoalState {
    /// The first instant of the range that was judged.
    #[serde(default)]
    from: Option<i64>,
    /// How it stood.
    #[serde(default)]
    phase: String,
    /// Since when.
    #[serde(default)]
    since: Option<i64>,
}

/// Judges a goal that is due.
pub(crate) fn judge(
    due: &DueWatch,
    goal: &Goal,
    reading: &Reading,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Judged {
    let mut state: GoalState = serde_json::from_str(&due.state).unwrap_or_default();
    let mut deliveries = Vec::new();
    let mut next_at = Vec::new();
    let range = reading.goal_range(goal, now);
    // The range before may have ended without a judgement of its end.
    if let Some(from) = state.from
        && goal.per.is_some()
        && from < range.from.as_millisecond()
    {
        let earlier = reading.goal_range(goal, store::instant(from));
        let told = sight(goal, reading, earlier, now);
        let is_final = told.is_covered || over_for_long(earlier, now);
        if is_final {
            deliveries.extend(news(
                due,
                goal,
                reading,
                &told.progress,
                &mut state,
                now,
                link,
            ));
            state = GoalState::default();
        } else {
            next_at.push(soon(now, UNTIL_KNOWN));
        }
    }
    let is_behind = state
        .from
        .is_some_and(|from| from < range.from.as_millisecond());
    let told = sight(goal, reading, range, now);
    if !is_behind || goal.per.is_none() {
        state.from = Some(range.from.as_millisecond());
        deliveries.extend(news(
            due,
            goal,
            reading,
            &told.progress,
            &mut state,
            now,
            link,
        ));
    }
    if let Some(to) = range.to {
        if to > now {
            next_at.push(to.as_millisecond());
        } else if !told.is_covered && !over_for_long(range, now) {
            next_at.push(soon(now, UNTIL_KNOWN));
        }
    }
    if range.from > now {
        next_at.push(range.from.as_millisecond());
    }
    Judged {
        workspace: due.workspace.clone(),
        kind: Kind::Goal,
        name: due.name.clone(),
        revision: due.revision,
        version: due.version,
        next_at: next_at.into_iter().min(),
        phase: told.progress.phase.as_str().to_owned(),
        since: state.since,
        state: serde_json::to_string(&state).unwrap_or_default(),
        deliveries,
    }
}

struct Told {
    progress: Progress,
    is_covered: bool,
}

fn sight(goal: &Goal, reading: &Reading, range: GoalRange, now: Timestamp) -> Told {
    let seen = reading
        .watched()
        .see_goal(goal, range, &reading.input, now)
        .unwrap_or_default();
    Told {
        progress: progress(goal, &reading.rules, reading.accumulates, range, &seen, now),
        is_covered: seen.is_covered,
    }
}

fn over_for_long(range: GoalRange, now: Timestamp) -> bool {
    range
        .to
        .and_then(|to| to.saturating_add(PATIENCE).ok())
        .is_some_and(|late| late < now)
}

/// Notes how a goal stands, and returns what is told when that is news.
fn news(
    due: &DueWatch,
    goal: &Goal,
    reading: &Reading,
    progress: &Progress,
    state: &mut GoalState,
    now: Timestamp,
    link: &impl Fn(&str) -> String,
) -> Vec<NewDelivery> {
    let phase = progress.phase;
    if state.phase == phase.as_str() || phase == GoalPhase::Unknown {
        return Vec::new();
    }
    // What was reached, missed or broken in a range stays so in it.
    let was_news = matches!(state.phase.as_str(), "reached" | "missed" | "broken");
    if was_news && progress.range.to.is_some() {
        return Vec::new();
    }
    phase.as_str().clone_into(&mut state.phase);
    state.since = Some(now.as_millisecond());
    if !phase.is_news() {
        return Vec::new();
    }
    let metric = &reading.metric;
    let mut content = content::begin(
        &due.workspace,
        Kind::Goal,
        &due.name,
        &goal.about,
        metric,
        &link(metric.name.as_str()),
        now,
    );
    let words = |value| shown(value, metric.format.as_ref(), metric.unit.as_deref());
    let value = progress.value.map(words).unwrap_or_default();
    let target = words(progress.target);
    let mut put = |field: &str, value: Value| content.insert(field.to_owned(), value);
    put("value", number(progress.value));
    put("value_text", json!(value));
    put("threshold", number(Some(progress.target)));
    put("unit", json!(metric.unit.as_deref().unwrap_or_default()));
    put("from", json!(progress.range.from.to_string()));
    if let Some(to) = progress.range.to {
        put("to", json!(to.to_string()));
    }
    put(
        "condition",
        json!(format!("{} {target}", goal.aim.as_str().replace('_', " "))),
    );
    let title = goal.about.title.as_deref().unwrap_or(due.name.as_str());
    let name = rollup::title_of(metric);
    let text = match phase {
        GoalPhase::Reached => format!("{title} is reached: {name} is {value} of {target}"),
        GoalPhase::Missed => format!("{title} is missed: {name} came to {value} of {target}"),
        _ => format!("{title} is broken: {name} is {value}, the limit is {target}"),
    };
    put("text", json!(text));
    let case = format!(
        "goal.{}.{}.{}",
        due.name,
        progress.range.from.as_millisecond(),
        now.as_millisecond()
    );
    let event = Some((phase.as_str(), now));
    content::deliveries(&case, event, event, &goal.deliver, &content)
}
