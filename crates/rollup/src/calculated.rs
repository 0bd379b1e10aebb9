//! Metrics that are calculated from others: never summed, always computed anew from what their inputs are.

mod combine;
mod weigh;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use definition::{Aggregation, Formula, Granularity, Interval, Metric, MetricType, Name, Weekday};
use jiff::Timestamp;

use self::combine::{Input, combine};
use self::weigh::{Steps, weigh};
use crate::answer::{
    self, Answer, AnswerSeries, Kept, SeriesInput, Slot, evaluate, filled, moving_average, slots,
    whole,
};
use crate::query::{Fill, Query, QueryError, Running};
use crate::series::Rules;

impl Rules {
    /// Returns the rules of a calculated metric, from those of its inputs in the order that its formula names
    /// them: the zone of the first unless it states one, and the coarsest resolution, its own included.
    pub fn calculated(metric: &Metric, inputs: &[&Self]) -> Self {
        let stored = inputs.iter().filter(|rules| !rules.samples());
        let coarsest = stored.map(|rules| rules.resolution).max();
        let zone = match (&metric.timezone, inputs.first()) {
            (None, Some(first)) => first.zone.clone(),
            _ => metric.zone(),
        };
        Self {
            metric_type: MetricType::Events,
            aggregation: Aggregation::Last,
            over_time: None,
            resolution: coarsest.map_or(metric.resolution, |one| one.max(metric.resolution)),
            zone,
            week_start: metric.week_start,
            favourable_trend: metric.favourable_trend,
            dated: true,
        }
    }

    /// The steps that a calculated metric weighs: days, or its resolution where that is coarser.
    fn weighed(&self) -> Granularity {
        self.resolution.max(Granularity::Day)
    }
}

impl Query {
    /// Returns the range whose stored cells the answer of a calculated metric reads of one of the metrics that
    /// it stands on.
    ///
    /// # Errors
    /// As [`Query::effective`], of the calculated metric.
    pub fn reads_input(&self, rules: &Rules, input: &Rules) -> Result<Interval, QueryError> {
        let mut range = self.reads(rules)?;
        if input.metric_type == MetricType::RunningTotal {
            range.start = Timestamp::MIN;
        }
        Ok(range)
    }
}

/// Metrics with their rules and where their numbers come from: everything that a calculated metric stands on.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    metrics: BTreeMap<Name, (Rules, Source<'a>)>,
}

#[derive(Debug)]
enum Source<'a> {
    Stored(&'a SeriesInput),
    Calculated {
        formula: &'a Formula,
        weight: Option<&'a Name>,
        unit: Option<&'a str>,
    },
}

/// What was evaluated already for one answer, by metric and step.
struct Memory {
    /// The calendar of the metric that was asked for: its inputs follow it.
    week_start: Weekday,
    known: RefCell<BTreeMap<(Name, Granularity), Rc<Input>>>,
}

impl Memory {
    fn of(week_start: Weekday) -> Self {
        Self {
            week_start,
            known: RefCell::default(),
        }
    }
}

impl<'a> Sources<'a> {
    /// Adds a metric with stored points.
    pub fn add_stored(&mut self, name: Name, rules: Rules, input: &'a SeriesInput) {
        self.metrics.insert(name, (rules, Source::Stored(input)));
    }

    /// Adds a calculated metric with its rules. What it stands on is added too, before or after.
    pub fn add_calculated(&mut self, metric: &'a Metric, rules: Rules) {
        if let Some(formula) = &metric.formula {
            let source = Source::Calculated {
                formula,
                weight: metric.weight.as_ref(),
                unit: metric.unit.as_deref(),
            };
            self.metrics.insert(metric.name.clone(), (rules, source));
        }
    }

    /// Answers `query` of one of the metrics.
    ///
    /// # Errors
    /// Questions that have no right answer, of the metric or of one that it stands on.
    pub fn answer(&self, name: &Name, query: &Query) -> Result<Answer, QueryError> {
        let (rules, source) = self.find(name)?;
        if let Source::Stored(input) = source {
            return answer::answer(input, rules, query);
        }
        whole(rules, query, &|range, kept| {
            self.series(name, rules, query, range, kept)
        })
    }

    fn find(&self, name: &Name) -> Result<&(Rules, Source<'a>), QueryError> {
        self.metrics.get(name).ok_or_else(|| QueryError::Missing {
            metric: name.to_string(),
        })
    }

    /// Returns the series of a calculated metric in one range, smoothed and filled as the question says.
    fn series(
        &self,
        name: &Name,
        rules: &Rules,
        query: &Query,
        range: Interval,
        kept: Option<&Kept>,
    ) -> Result<Vec<AnswerSeries>, QueryError> {
        let zone = query.zone(rules).clone();
        let running = query.running.filter(|one| *one == Running::Cumulative);
        let plain = Query {
            zone: Some(zone),
            running,
            fill: Fill::None,
            top: None,
            compare: None,
            ..query.clone()
        };
        let read = query.with_lead(rules, range)?;
        let once = |range| {
            let memory = Memory::of(rules.week_start);
            let found = self.evaluate(name, &plain, range, kept, &memory)?;
            Ok::<_, QueryError>(found.series.clone())
        };
        let mut series = once(read)?;
        if let Some(Running::MovingAverage(length)) = query.running {
            let first = query.first_step(rules, range);
            for one in &mut series {
                let steps = query.steps(rules, read);
                one.points = moving_average(&one.points, steps, &[], length, false);
                one.points.retain(|point| point.start >= first);
            }
            if read != range {
                for (one, own) in series.iter_mut().zip(once(range)?) {
                    one.total = own.total;
                }
            }
        }
        if query.fill != Fill::None {
            let slots = self.slots(name, &plain, range)?;
            for one in &mut series {
                if !one.points.is_empty() || query.group_by.is_empty() {
                    one.points = filled(std::mem::take(&mut one.points), &slots, query);
                }
            }
        }
        Ok(series)
    }

    /// Evaluates a metric as another one's input, or for its own sake.
    fn evaluate(
        &self,
        name: &Name,
        query: &Query,
        range: Interval,
        kept: Option<&Kept>,
        memory: &Memory,
    ) -> Result<Rc<Input>, QueryError> {
        let key = (name.clone(), query.granularity);
        if let Some(known) = memory.known.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let (rules, source) = self.find(name)?;
        let found = match source {
            Source::Stored(input) => {
                stored(input, rules, query, range, kept).map_err(|cause| QueryError::Input {
                    metric: name.to_string(),
                    cause: Box::new(cause),
                })?
            }
            Source::Calculated {
                formula,
                weight: None,
                unit,
            } => {
                let inputs = self.inputs(formula, query, range, kept, memory)?;
                let is_cumulative = query.running == Some(Running::Cumulative);
                Input::of(combine(formula, *unit, &inputs, is_cumulative)?)
            }
            Source::Calculated {
                formula,
                weight: Some(weight),
                unit,
            } => {
                let fine = Query {
                    granularity: rules.weighed(),
                    running: None,
                    ..query.clone()
                };
                // Cumulative or not, the parts are the same; what is remembered of them is their own.
                let parts = Memory::of(memory.week_start);
                let inputs = self.inputs(formula, &fine, range, kept, &parts)?;
                let values = combine(formula, *unit, &inputs, false)?;
                let weights = self.evaluate(weight, &fine, range, kept, &parts)?;
                Input::of(weigh(values, &weights, &Steps::of(rules, query, range)))
            }
        };
        let found = Rc::new(found);
        memory.known.borrow_mut().insert(key, Rc::clone(&found));
        Ok(found)
    }

    fn inputs(
        &self,
        formula: &Formula,
        query: &Query,
        range: Interval,
        kept: Option<&Kept>,
        memory: &Memory,
    ) -> Result<BTreeMap<Name, Rc<Input>>, QueryError> {
        let names = formula.metrics().into_iter();
        names
            .map(|name| {
                Ok((
                    name.clone(),
                    self.evaluate(name, query, range, kept, memory)?,
                ))
            })
            .collect()
    }

    /// Returns the steps that have begun, unknown where any of the metrics below knows nothing.
    fn slots(&self, name: &Name, query: &Query, range: Interval) -> Result<Vec<Slot>, QueryError> {
        let mut found: BTreeMap<Timestamp, bool> = BTreeMap::new();
        let (mut open, mut seen) = (vec![name], BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            let (rules, source) = self.find(name)?;
            match source {
                Source::Stored(input) => {
                    for (start, unknown) in slots(input, rules, query, range) {
                        *found.entry(start).or_default() |= unknown;
                    }
                }
                Source::Calculated {
                    formula, weight, ..
                } => {
                    open.extend(formula.metrics());
                    open.extend(*weight);
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Evaluates stored points as an input, in the calendar of what is calculated from them.
fn stored(
    input: &SeriesInput,
    rules: &Rules,
    query: &Query,
    range: Interval,
    kept: Option<&Kept>,
) -> Result<Input, QueryError> {
    let effective = query.effective_of(rules, range)?;
    if effective != range && rules.resolution != Granularity::All {
        return Err(QueryError::Resolution {
            resolution: rules.resolution,
            granularity: query.granularity,
        });
    }
    let series = evaluate(input, rules, query, range, kept)?;
    if !rules.counts_nothing_as_zero() {
        return Ok(Input::of(series));
    }
    let whole = Query {
        granularity: Granularity::All,
        ..query.clone()
    };
    let is_whole_known = slots(input, rules, &whole, range)
        .iter()
        .all(|slot| !slot.1);
    Ok(Input::of(series).with_zeros(&slots(input, rules, query, range), is_whole_known))
}

#[cfg(test)]
mod tests;
