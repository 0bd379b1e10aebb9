//! How far a goal is: value, straight line, and whether it is reached, kept or broken. No clock, no store.

use definition::{Aim, Goal, Granularity, Interval, Trend};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use crate::answer::AnswerPoint;
use crate::decimal::Decimal;
use crate::series::Rules;

/// Significant digits of figures that are made from a share of time.
const DIGITS: u32 = 12;

/// What is known of a goal's metric in the goal's range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoalSeen {
    /// The value of the range so far.
    pub value: Option<Decimal>,
    /// The points of the range, for goals to stay on one side: finer steps find more.
    pub points: Vec<AnswerPoint>,
    /// Whether everything up to the end of the range is known.
    pub is_covered: bool,
}

/// The range that a goal is judged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoalRange {
    /// The first instant that counts.
    pub from: Timestamp,
    /// The first instant that does not; nothing for a goal that goes on for ever.
    pub to: Option<Timestamp>,
}

impl GoalRange {
    /// Returns the part of it that has passed at `now`, or its first millisecond.
    pub fn so_far(self, now: Timestamp) -> Interval {
        let end = self.to.map_or(now, |to| to.min(now));
        let first = self
            .from
            .checked_add(1.millisecond())
            .unwrap_or(Timestamp::MAX);
        Interval::new(self.from, end.max(first))
    }

    /// Whether it has ended at `now`.
    pub fn is_over(self, now: Timestamp) -> bool {
        self.to.is_some_and(|to| to <= now)
    }

    /// The share of it that has passed at `now`; nothing for a goal that goes on for ever.
    fn elapsed(self, now: Timestamp) -> Option<Decimal> {
        let to = self.to?;
        let length = |end: Timestamp| {
            Decimal::from(
                end.as_millisecond()
                    .saturating_sub(self.from.as_millisecond()),
            )
        };
        let whole = length(to);
        let passed = length(now.max(self.from).min(to));
        passed.divided_by(whole)
    }
}

/// How a goal stands in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GoalPhase {
    /// Its first day has not come.
    Waiting,
    /// Too little is known.
    Unknown,
    /// On the straight line to it, or ahead.
    OnTrack,
    /// Behind the straight line.
    Behind,
    /// Come to.
    Reached,
    /// Not left, so far or to the end.
    Kept,
    /// Left.
    Broken,
    /// Not come to before the end.
    Missed,
}

impl GoalPhase {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::OnTrack => "on_track",
            Self::Behind => "behind",
            Self::Reached => "reached",
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Missed => "missed",
        }
    }

    /// Whether people are told when a goal comes to stand so.
    pub const fn is_news(self) -> bool {
        matches!(self, Self::Reached | Self::Broken | Self::Missed)
    }
}

/// How far a goal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The range it is judged in.
    pub range: GoalRange,
    /// The number wanted.
    pub target: Decimal,
    /// Where the straight line begins.
    pub start: Option<Decimal>,
    /// The value so far.
    pub value: Option<Decimal>,
    /// How much of the way is done, in percent; above 100 when it is passed.
    pub percent: Option<Decimal>,
    /// What the straight line says for now.
    pub expected: Option<Decimal>,
    /// The value against the straight line: more than nothing is ahead, whichever way is good.
    pub ahead: Option<Decimal>,
    /// What the value will be at the end if it goes on as until now.
    pub forecast: Option<Decimal>,
    /// The first point on the wrong side, for goals to stay.
    pub broken_at: Option<Timestamp>,
    /// How it stands.
    pub phase: GoalPhase,
}

/// Returns the range that a goal is judged in at `now`; `known` is what the metric covers.
pub fn goal_range(
    goal: &Goal,
    rules: &Rules,
    known: Option<Interval>,
    now: Timestamp,
) -> GoalRange {
    let first = goal.from.and_then(|date| first_instant(date, &rules.zone));
    if let Some(per) = goal.per {
        let start = per.start_of(now, &rules.zone, rules.week_start);
        return GoalRange {
            from: first.map_or(start, |first| first.max(start)),
            to: Some(per.next(start, &rules.zone, rules.week_start)),
        };
    }
    let from = first
        .or(known.map(|known| known.start))
        .unwrap_or_else(|| Granularity::Day.start_of(now, &rules.zone, rules.week_start));
    let after = |date: Date| first_instant(date.checked_add(1.day()).ok()?, &rules.zone);
    GoalRange {
        from,
        to: goal.by.and_then(after),
    }
}

fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let at = date.to_zoned(zone.clone()).ok()?.timestamp();
    Some(Granularity::Day.start_of(at, zone, definition::Weekday::Monday))
}

/// Tells how far a goal is in `range` at `now`; `accumulates`: its metric grows from nothing with the range.
pub fn progress(
    goal: &Goal,
    rules: &Rules,
    accumulates: bool,
    range: GoalRange,
    seen: &GoalSeen,
    now: Timestamp,
) -> Progress {
    let target = Decimal::from_f64(goal.aim.target()).unwrap_or(Decimal::ZERO);
    let down = rules.favourable_trend == Trend::Down;
    let blank = Progress {
        range,
        target,
        start: None,
        value: seen.value,
        percent: None,
        expected: None,
        ahead: None,
        forecast: None,
        broken_at: None,
        phase: GoalPhase::Unknown,
    };
    if now < range.from {
        return Progress {
            phase: GoalPhase::Waiting,
            ..blank
        };
    }
    let over = range.is_over(now);
    let way = Way {
        range,
        target,
        now,
        over: over && seen.is_covered,
        seen,
        goal,
    };
    match (goal.aim, accumulates) {
        (Aim::Reach(_), true) if !down => way.grow(&blank, Outcome::Reach),
        (Aim::StayAbove(_), true) => way.grow(&blank, Outcome::AtLeast),
        (Aim::StayBelow(_) | Aim::Reach(_), true) => way.spend(&blank),
        (Aim::Reach(_), false) => way.come_to(&blank, down),
        (Aim::StayAbove(_), false) => way.stay(&blank, |value| value < target),
        (Aim::StayBelow(_), false) => way.stay(&blank, |value| value > target),
    }
}

/// What a sum that is large enough has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Reach,
    AtLeast,
}

struct Way<'a> {
    range: GoalRange,
    target: Decimal,
    now: Timestamp,
    /// The range is over, and all of it is known.
    over: bool,
    seen: &'a GoalSeen,
    goal: &'a Goal,
}

impl Way<'_> {
    /// A sum that should become large enough before the end.
    fn grow(&self, blank: &Progress, outcome: Outcome) -> Progress {
        let Some(value) = self.seen.value else {
            return *blank;
        };
        let done = match outcome {
            Outcome::Reach => GoalPhase::Reached,
            Outcome::AtLeast => GoalPhase::Kept,
        };
        let lost = match outcome {
            Outcome::Reach => GoalPhase::Missed,
            Outcome::AtLeast => GoalPhase::Broken,
        };
        let filled = self.paced(blank, Decimal::ZERO, value);
        let phase = if value >= self.target {
            done
        } else if self.over {
            lost
        } else {
            pace(filled.ahead)
        };
        Progress { phase, ..filled }
    }

    /// A sum that should not become too large before the end.
    fn spend(&self, blank: &Progress) -> Progress {
        let Some(value) = self.seen.value else {
            return *blank;
        };
        let mut filled = self.paced(blank, Decimal::ZERO, value);
        // Less than the line says is good here.
        filled.ahead = filled.ahead.map(|ahead| Decimal::ZERO.minus(ahead));
        let is_reach = matches!(self.goal.aim, Aim::Reach(_));
        let phase = if value > self.target {
            GoalPhase::Broken
        } else if self.over && is_reach {
            GoalPhase::Reached
        } else if self.over {
            GoalPhase::Kept
        } else {
            pace(filled.ahead)
        };
        Progress { phase, ..filled }
    }

    /// A value that should come to a number.
    fn come_to(&self, blank: &Progress, down: bool) -> Progress {
        let Some(value) = self.seen.value else {
            return *blank;
        };
        let first = self.seen.points.iter().find_map(|point| point.value);
        let start = self
            .goal
            .start
            .and_then(|start| Decimal::from_f64(start).ok())
            .or(first)
            .unwrap_or(value);
        let mut filled = self.paced(blank, start, value);
        if down {
            filled.ahead = filled.ahead.map(|ahead| Decimal::ZERO.minus(ahead));
        }
        // What goes up and down has no forecast from its speed.
        filled.forecast = None;
        let there = |value: Decimal| {
            if down {
                value <= self.target
            } else {
                value >= self.target
            }
        };
        let was_there = self
            .seen
            .points
            .iter()
            .any(|point| point.value.is_some_and(there));
        let phase = if there(value) || was_there {
            GoalPhase::Reached
        } else if self.over {
            GoalPhase::Missed
        } else {
            pace(filled.ahead)
        };
        Progress { phase, ..filled }
    }

    /// A value that should not leave its side.
    fn stay(&self, blank: &Progress, is_wrong: impl Fn(Decimal) -> bool) -> Progress {
        let Some(value) = self.seen.value else {
            return *blank;
        };
        let goes_on = self.range.to.is_none();
        let broken_at = self
            .seen
            .points
            .iter()
            .find(|point| point.value.is_some_and(&is_wrong))
            .map(|point| point.start)
            .filter(|_| !goes_on);
        let broken = is_wrong(value) || broken_at.is_some();
        Progress {
            broken_at,
            phase: if broken {
                GoalPhase::Broken
            } else {
                GoalPhase::Kept
            },
            ..*blank
        }
    }

    /// Adds the straight line from `start` to the target.
    fn paced(&self, blank: &Progress, start: Decimal, value: Decimal) -> Progress {
        let whole = self.target.minus(start);
        let percent = value
            .minus(start)
            .times(Decimal::from(100_i64))
            .and_then(|done| done.divided_by(whole));
        let elapsed = self.range.elapsed(self.now);
        let expected = elapsed
            .and_then(|share| whole.times(share))
            .map(|part| start.plus(part).to_significant(DIGITS));
        let forecast = elapsed
            .filter(|share| !share.is_zero())
            .and_then(|share| value.minus(start).divided_by(share))
            .map(|whole| start.plus(whole).to_significant(DIGITS));
        Progress {
            start: Some(start),
            percent: percent.map(|percent| percent.to_significant(DIGITS)),
            expected,
            ahead: expected.map(|expected| value.minus(expected)),
            forecast,
            ..*blank
        }
    }
}

fn pace(ahead: Option<Decimal>) -> GoalPhase {
    match ahead {
        Some(ahead) if ahead.is_negative() => GoalPhase::Behind,
        _ => GoalPhase::OnTrack,
    }
}

/// Returns the straight line of a goal at the start of each step, for drawing beside its metric.
pub fn goal_line(progress: &Progress, steps: &[Timestamp]) -> Vec<(Timestamp, Decimal)> {
    let start = progress.start.unwrap_or(progress.target);
    let whole = progress.target.minus(start);
    steps
        .iter()
        .filter(|at| **at >= progress.range.from)
        .filter_map(|at| {
            let value = match progress.range.elapsed(*at) {
                Some(share) => start.plus(whole.times(share)?).to_significant(DIGITS),
                None => progress.target,
            };
            Some((*at, value))
        })
        .collect()
}

#[cfg(test)]
mod tests;
