//! What alerts, goals and digests see of a metric: the questions they ask, and the answers from stored states.

use definition::{Against, Alert, Condition, Goal, Granularity, Interval, RangeName, Where};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::alert::Seen;
use crate::answer::{Answer, SeriesInput, answer};
use crate::bucket::{instant, snap_outward};
use crate::compare::{Compare, Direction};
use crate::coverage::is_covered;
use crate::decimal::Decimal;
use crate::goal::{GoalRange, GoalSeen};
use crate::query::{Query, QueryError};
use crate::range;
use crate::series::{Rules, SeriesKey};

/// Goals to stay are held against points as fine as this allows.
const FINE_DAYS: i64 = 400;

/// A metric as it is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Its rules.
    pub rules: &'a Rules,
    /// Whether its value grows from nothing with its range.
    pub accumulates: bool,
    /// What it covers at all.
    pub known: Option<Interval>,
}

/// One value of a metric, with what it is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The range of the value.
    pub range: Option<Interval>,
    /// The value; a sum over a range that is known is 0 where there are no rows.
    pub value: Option<Decimal>,
    /// Its unit.
    pub unit: Option<String>,
    /// The value of the range compared with.
    pub base: Option<Decimal>,
    /// The change in percent of that; nothing when it is 0.
    pub percent: Option<Decimal>,
    /// Whether the change is good.
    pub direction: Option<Direction>,
    /// Whether the range is known as far as it can be: to its end, or to the newest sync while it is open.
    pub is_known: bool,
}

impl Watched<'_> {
    /// Returns the question for one value over a named range.
    pub fn question(
        &self,
        name: &RangeName,
        where_: &Where,
        against: Option<Against>,
        now: Timestamp,
    ) -> Query {
        self.question_in(name, where_, against, now, None)
    }

    /// Returns the same question with the range in another zone than the metric's.
    pub fn question_in(
        &self,
        name: &RangeName,
        where_: &Where,
        against: Option<Against>,
        now: Timestamp,
        zone: Option<&TimeZone>,
    ) -> Query {
        let rules = self.rules;
        let range = range::resolve(
            name.as_str(),
            now,
            zone.unwrap_or(&rules.zone),
            rules.week_start,
            self.known,
        )
        // Names are checked where definitions are read.
        .unwrap_or_else(|_| Interval::new(now, now));
        let mut query = Query::over(range, Granularity::All);
        query.filters = filters(where_);
        query.range = Some(name.as_str().to_owned());
        query.zone = zone.cloned();
        query.compare = against.map(|against| match against {
            Against::PreviousPeriod => Compare::PreviousPeriod,
            Against::PreviousYear => Compare::LastYear,
        });
        query
    }

    /// Answers a question for one value.
    ///
    /// # Errors
    /// As [`answer()`]; values in several units are [`QueryError::SeveralUnits`].
    pub fn see(
        &self,
        input: &SeriesInput,
        query: &Query,
        now: Timestamp,
    ) -> Result<Sight, QueryError> {
        let range = Interval::new(query.from, query.to);
        let is_known = self.is_known(input, range, now);
        let Some(answer) = lenient(input, self.rules, query)? else {
            return Ok(Sight {
                range: Some(range),
                value: self.nothing(is_known),
                is_known,
                ..Sight::default()
            });
        };
        let (only, several) = match answer.series.as_slice() {
            [] => (None, false),
            [one] => (Some(one), false),
            _ => (None, true),
        };
        if several {
            return Err(QueryError::SeveralUnits);
        }
        let value = only
            .and_then(|series| series.total)
            .or_else(|| self.nothing(is_known));
        let (mut base, mut percent, mut direction) = (None, None, None);
        if let Some(comparison) = &answer.comparison {
            let before = Interval::new(comparison.from, comparison.to);
            base = comparison
                .series
                .first()
                .and_then(|series| series.base)
                .or_else(|| self.nothing(self.is_known(input, before, now)));
            let values = crate::compare::values(value, base, self.rules.favourable_trend);
            (percent, direction) = (values.1, Some(values.3));
        }
        Ok(Sight {
            range: Some(range),
            value,
            unit: only.and_then(|series| series.unit.as_deref().map(str::to_owned)),
            base,
            percent,
            direction,
            is_known,
        })
    }

    /// What no rows are worth: a sum is 0 where it is known that there are none.
    fn nothing(&self, is_known: bool) -> Option<Decimal> {
        (self.accumulates && is_known).then_some(Decimal::ZERO)
    }

    /// Whether a range is known as far as it can be.
    fn is_known(&self, input: &SeriesInput, range: Interval, now: Timestamp) -> bool {
        let newest = input
            .coverage
            .iter()
            .map(|one| one.end.max(one.as_of))
            .max();
        let Some(newest) = newest else {
            return false;
        };
        if self.rules.samples() {
            // A sample stands for how things are until the next one.
            return range.end > now || newest >= range.end;
        }
        let upto = if range.end <= now {
            range.end
        } else {
            newest.min(range.end)
        };
        range.start < upto && is_covered(&input.coverage, Interval::new(range.start, upto))
    }

    /// Returns what of the stored states an alert needs.
    ///
    /// # Errors
    /// As [`Query::reads`].
    pub fn alert_reads(&self, alert: &Alert, now: Timestamp) -> Result<Interval, QueryError> {
        match alert.when {
            Condition::Missing(span) => {
                let since = span
                    .before(&now.to_zoned(self.rules.zone.clone()))
                    .timestamp();
                // Dates may lie a little ahead of the clock.
                let ahead = now
                    .saturating_add(SignedDuration::from_hours(48))
                    .unwrap_or(now);
                let range = Interval::new(since, ahead);
                Ok(snap_outward(
                    range,
                    self.rules.resolution,
                    &self.rules.zone,
                    self.rules.week_start,
                ))
            }
            Condition::Value(_) => self
                .question(&alert.range, &alert.where_, None, now)
                .reads(self.rules),
            Condition::Change { compare, .. } => self
                .question(&alert.range, &alert.where_, Some(compare), now)
                .reads(self.rules),
        }
    }

    /// Returns what an alert sees.
    ///
    /// # Errors
    /// As [`Watched::see`].
    pub fn see_alert(
        &self,
        alert: &Alert,
        input: &SeriesInput,
        now: Timestamp,
    ) -> Result<(Seen, Sight), QueryError> {
        let against = match alert.when {
            Condition::Missing(_) => {
                let seen = Seen {
                    newest: self.newest(input, &alert.where_, now),
                    ..Seen::default()
                };
                return Ok((
                    seen,
                    Sight {
                        is_known: true,
                        ..Sight::default()
                    },
                ));
            }
            Condition::Value(_) => None,
            Condition::Change { compare, .. } => Some(compare),
        };
        let query = self.question(&alert.range, &alert.where_, against, now);
        let sight = self.see(input, &query, now)?;
        let seen = Seen {
            value: sight.value.filter(|_| sight.is_known),
            base: sight.base,
            newest: None,
        };
        Ok((seen, sight))
    }

    /// The newest instant that anything is dated at, as fine as it is kept.
    fn newest(&self, input: &SeriesInput, where_: &Where, now: Timestamp) -> Option<Timestamp> {
        let rules = self.rules;
        let newest = input
            .series
            .iter()
            .filter(|(key, _)| is_wanted(key, where_))
            .filter_map(|(_, cells)| cells.last())
            .map(|(start, ..)| instant(*start))
            .max()?;
        if rules.samples() {
            return Some(newest);
        }
        // A row of an hour may be from its last minute.
        let end = rules.resolution.next(newest, &rules.zone, rules.week_start);
        Some(end.min(now).max(newest))
    }

    /// Returns what of the stored states a goal needs.
    pub fn goal_reads(&self, range: GoalRange, now: Timestamp) -> Interval {
        let part = range.so_far(now);
        let rules = self.rules;
        let mut reads = snap_outward(part, rules.resolution, &rules.zone, rules.week_start);
        if rules.metric_type == definition::MetricType::RunningTotal {
            reads.start = Timestamp::MIN;
        }
        reads
    }

    /// Returns what a goal sees in its range.
    ///
    /// # Errors
    /// As [`Watched::see`].
    pub fn see_goal(
        &self,
        goal: &Goal,
        range: GoalRange,
        input: &SeriesInput,
        now: Timestamp,
    ) -> Result<GoalSeen, QueryError> {
        let part = range.so_far(now);
        let mut query = Query::over(part, Granularity::All);
        query.filters = filters(&goal.where_);
        let sight = self.see(input, &query, now)?;
        let points = if self.accumulates {
            Vec::new()
        } else {
            self.points(part, &query.filters, input)?
        };
        Ok(GoalSeen {
            value: sight.value,
            points,
            is_covered: range.is_over(now) && sight.is_known,
        })
    }

    fn points(
        &self,
        part: Interval,
        filters: &[(String, Vec<String>)],
        input: &SeriesInput,
    ) -> Result<Vec<crate::answer::AnswerPoint>, QueryError> {
        let days = (part.end.as_second() - part.start.as_second()) / 86_400;
        let finest = if days <= FINE_DAYS {
            Granularity::Hour
        } else {
            Granularity::Day
        };
        let step = self.rules.resolution.max(finest);
        let mut query = Query::over(part, step);
        query.filters = filters.to_vec();
        let answer = lenient(input, self.rules, &query)?;
        Ok(answer
            .and_then(|answer| answer.series.into_iter().next())
            .map(|series| series.points)
            .unwrap_or_default())
    }
}

/// Answers a query; nothing where the dimensions that it filters by are in no series (yet).
fn lenient(
    input: &SeriesInput,
    rules: &Rules,
    query: &Query,
) -> Result<Option<Answer>, QueryError> {
    match answer(input, rules, query) {
        Ok(answer) => Ok(Some(answer)),
        Err(QueryError::UnknownDimension { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn filters(where_: &Where) -> Vec<(String, Vec<String>)> {
    where_
        .iter()
        .map(|(name, texts)| (name.to_string(), texts.clone()))
        .collect()
}

fn is_wanted(key: &SeriesKey, where_: &Where) -> bool {
    where_.iter().all(|(name, texts)| {
        key.dimensions
            .get(name.as_str())
            .is_some_and(|text| texts.iter().any(|wanted| wanted == text))
    })
}

#[cfg(test)]
mod tests;
