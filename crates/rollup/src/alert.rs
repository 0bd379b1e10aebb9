//! Whether an alert fires: what was seen goes in, what to tell comes out. No clock, no store.

use definition::{Alert, ChangeIn, Condition, Quiet, Side, Span, Threshold};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use crate::bucket::{instant, millis};
use crate::decimal::Decimal;

/// What is seen of an alert's metric at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The value of the alert's range; absent where too little is known to judge.
    pub value: Option<Decimal>,
    /// The value of the range compared with.
    pub base: Option<Decimal>,
    /// The newest instant that anything is dated at.
    pub newest: Option<Timestamp>,
}

/// How an alert stands, kept from one judgement to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    /// Whether it fires.
    pub firing: bool,
    /// Since when it fires, or is over, in unix milliseconds; it names the case.
    #[serde(default)]
    pub since: Option<i64>,
    /// Whether people were told that it fires.
    #[serde(default)]
    pub told: bool,
    /// What was judged last: the value, or the change.
    #[serde(default)]
    pub value: Option<Decimal>,
    /// The value of the range compared with.
    #[serde(default)]
    pub base: Option<Decimal>,
}

/// What has happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertEvent {
    /// Its condition holds.
    Firing,
    /// Its condition holds no more.
    Resolved,
}

impl AlertEvent {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What a judgement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The state to keep.
    pub state: AlertState,
    /// What is news, for every listener.
    pub news: Option<AlertEvent>,
    /// What people are written, and not before when.
    pub tell: Option<(AlertEvent, Timestamp)>,
    /// When to judge again although nothing changes: the end of quiet hours, or of patience with missing data.
    pub again_at: Option<Timestamp>,
}

/// Judges an alert at `now`; `since` is when it was defined, before which nothing can be missing.
///
/// What is not known changes nothing: no data is neither good nor bad news, but for an alert that waits for that.
pub fn judge_alert(
    alert: &Alert,
    state: &AlertState,
    seen: &Seen,
    since: Timestamp,
    now: Timestamp,
    zone: &TimeZone,
) -> Judgement {
    let (fires, value, again_at) = match alert.when {
        Condition::Value(threshold) => (beyond(threshold, state, seen.value), seen.value, None),
        Condition::Change {
            threshold, counted, ..
        } => {
            let change = change(seen, counted);
            (beyond(threshold, state, change), change, None)
        }
        Condition::Missing(span) => {
            let (missing, again) = missing(span, seen.newest.max(Some(since)), now, zone);
            (Some(missing), None, again)
        }
    };
    let mut next = AlertState {
        value: value.or(state.value),
        base: seen.base.or(state.base),
        ..state.clone()
    };
    let quiet_until = alert
        .quiet
        .as_ref()
        .and_then(|quiet| quiet_until(quiet, now, zone));
    let (mut news, mut tell) = (None, None);
    match fires {
        Some(true) if !state.firing => {
            next.firing = true;
            next.told = false;
            next.since = Some(millis(now));
            news = Some(AlertEvent::Firing);
        }
        Some(false) if state.firing => {
            next.firing = false;
            next.since = Some(millis(now));
            news = Some(AlertEvent::Resolved);
            // Who was not told that it fires need not hear that it is over.
            if state.told {
                tell = Some((AlertEvent::Resolved, quiet_until.unwrap_or(now)));
            }
            next.told = false;
        }
        _ => {}
    }
    if next.firing && !next.told && quiet_until.is_none() {
        next.told = true;
        tell = Some((AlertEvent::Firing, now));
    }
    let waits = quiet_until.filter(|_| next.firing && !next.told);
    Judgement {
        state: next,
        news,
        tell,
        again_at: [again_at, waits].into_iter().flatten().min(),
    }
}

/// Returns the change that an alert is about.
pub fn change(seen: &Seen, counted: ChangeIn) -> Option<Decimal> {
    let (value, base) = (seen.value?, seen.base?);
    let change = value.minus(base);
    match counted {
        ChangeIn::Value => Some(change),
        ChangeIn::Percent => change.times(Decimal::from(100_i64))?.divided_by(base.abs()),
    }
}

/// Whether a threshold is crossed; once it is, only a value back at `until` ends that.
fn beyond(threshold: Threshold, state: &AlertState, value: Option<Decimal>) -> Option<bool> {
    let value = value?;
    let number = |number: f64| Decimal::from_f64(number).ok();
    let limit = match threshold.until {
        Some(until) if state.firing => {
            // Back at the number is back.
            let until = number(until)?;
            return Some(match threshold.side {
                Side::Above(_) => value > until,
                Side::Below(_) => value < until,
            });
        }
        _ => number(threshold.side.number())?,
    };
    Some(match threshold.side {
        Side::Above(_) => value > limit,
        Side::Below(_) => value < limit,
    })
}

/// Whether nothing came for `span`, and when that will be so if nothing comes.
fn missing(
    span: Span,
    newest: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> (bool, Option<Timestamp>) {
    let Some(newest) = newest else {
        return (true, None);
    };
    let due = span.after(&newest.to_zoned(zone.clone())).timestamp();
    if due <= now {
        (true, None)
    } else {
        (false, Some(due))
    }
}

/// Returns when the quiet that holds at `now` is over; nothing when it is not quiet.
pub fn quiet_until(quiet: &Quiet, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let zone = match &quiet.timezone {
        Some(name) => definition::zone::find(name).unwrap_or_else(|| zone.clone()),
        None => zone.clone(),
    };
    let mut at = now;
    // Quiet days and hours may follow one another; a week holds at most seven of each.
    for _ in 0..16 {
        match quiet_end(quiet, &at.to_zoned(zone.clone())) {
            Some(end) if end > at => at = end,
            _ => break,
        }
    }
    (at > now).then_some(at)
}

/// Returns the end of the one quiet stretch that holds at `at`.
fn quiet_end(quiet: &Quiet, at: &Zoned) -> Option<Timestamp> {
    let midnight = |days: i64| {
        let date = at.date().checked_add(days.days()).ok()?;
        Some(date.to_zoned(at.time_zone().clone()).ok()?.timestamp())
    };
    if quiet.days.contains(&at.weekday()) {
        return midnight(1);
    }
    let (from, to) = (quiet.from?, quiet.to?);
    let time = at.time();
    let ends_in = if from < to {
        (from <= time && time < to).then_some(0)
    } else if time >= from {
        Some(1)
    } else {
        (time < to).then_some(0)
    }?;
    let date = at.date().checked_add(i64::from(ends_in).days()).ok()?;
    let end = date.to_datetime(to).to_zoned(at.time_zone().clone()).ok()?;
    Some(end.timestamp())
}

/// Returns the instant that names a case, as text fit for an id.
pub fn case_of(state: &AlertState) -> String {
    instant(state.since.unwrap_or_default())
        .as_millisecond()
        .to_string()
}

#[cfg(test)]
mod tests;
