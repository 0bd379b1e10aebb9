//! One formula over the series of its inputs: by member, by unit, by step.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use definition::{Formula, FormulaUnit, Function, Name, Operator, Term};
use jiff::Timestamp;

use crate::answer::{AnswerPoint, AnswerSeries, Slot};
use crate::decimal::Decimal;
use crate::query::QueryError;
use crate::row::Dimensions;

/// A unit, or none.
type Unit = Option<Box<str>>;
/// Whether it is all others together, and its dimensions.
pub(super) type Member = (bool, Dimensions);

/// The series of one metric, as an input of others.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) series: Vec<AnswerSeries>,
    places: BTreeMap<Member, BTreeMap<Unit, usize>>,
    /// Steps in which nothing is worth 0, because all is known of them.
    empty_steps: BTreeSet<Timestamp>,
    /// Whether nothing in the whole range is worth 0.
    is_whole_known: bool,
    /// The first step of which not all is known.
    first_unknown: Option<Timestamp>,
}

impl Input {
    pub(super) fn of(series: Vec<AnswerSeries>) -> Self {
        let mut places: BTreeMap<Member, BTreeMap<Unit, usize>> = BTreeMap::new();
        for (place, one) in series.iter().enumerate() {
            let member = (one.rest.is_some(), one.dimensions.clone());
            let units = places.entry(member).or_default();
            units.insert(one.unit.clone(), place);
        }
        Self {
            series,
            places,
            ..Self::default()
        }
    }

    /// Says where nothing is worth 0: in the steps that are known.
    pub(super) fn with_zeros(self, slots: &[Slot], is_whole_known: bool) -> Self {
        let known = slots.iter().filter(|slot| !slot.1);
        Self {
            empty_steps: known.map(|slot| slot.0).collect(),
            first_unknown: slots.iter().find(|slot| slot.1).map(|slot| slot.0),
            is_whole_known,
            ..self
        }
    }

    /// Returns the series of a member in a unit; one without units serves all.
    pub(super) fn find(&self, member: &Member, unit: &Unit) -> Option<&AnswerSeries> {
        let units = self.places.get(member)?;
        let place = units.get(unit).or_else(|| units.get(&None))?;
        self.series.get(*place)
    }

    fn empty_at(&self, start: Timestamp, is_cumulative: bool) -> Option<Decimal> {
        let is_known = if is_cumulative {
            self.empty_steps.contains(&start)
                && self.first_unknown.is_none_or(|unknown| start < unknown)
        } else {
            self.empty_steps.contains(&start)
        };
        is_known.then_some(Decimal::ZERO)
    }
}

/// Returns every member's series of the formula, empty ones included.
pub(super) fn combine(
    formula: &Formula,
    stated: Option<&str>,
    inputs: &BTreeMap<Name, Rc<Input>>,
    is_cumulative: bool,
) -> Result<Vec<AnswerSeries>, QueryError> {
    let mut members: BTreeMap<&Member, BTreeSet<&Unit>> = BTreeMap::new();
    for (member, units) in inputs.values().flat_map(|input| &input.places) {
        let own = members.entry(member).or_default();
        own.extend(units.keys().filter(|unit| unit.is_some()));
    }
    let mut series = Vec::new();
    for (member, units) in members {
        let units = if units.is_empty() {
            BTreeSet::from([&None])
        } else {
            units
        };
        for unit in units {
            let one = One {
                inputs,
                member,
                unit,
                is_cumulative,
            };
            series.push(one.series(formula, stated)?);
        }
    }
    Ok(series)
}

/// One member in one unit.
struct One<'a> {
    inputs: &'a BTreeMap<Name, Rc<Input>>,
    member: &'a Member,
    unit: &'a Unit,
    is_cumulative: bool,
}

impl One<'_> {
    fn series(&self, formula: &Formula, stated: Option<&str>) -> Result<AnswerSeries, QueryError> {
        let counted = formula
            .unit(&|name| self.counted_in(name), stated)
            .map_err(|error| QueryError::Units {
                problem: error.to_string(),
            })?;
        let found: Vec<&AnswerSeries> = self
            .inputs
            .values()
            .filter_map(|input| input.find(self.member, self.unit))
            .collect();
        let starts: BTreeSet<Timestamp> = found
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| point.start)
            .collect();
        let mut points = Vec::new();
        for start in starts {
            let value = value_of(formula.root(), &|name| {
                let input = self.inputs.get(name)?;
                match self.point(input, start) {
                    Some(point) => point.value,
                    None => input.empty_at(start, self.is_cumulative),
                }
            });
            if value.is_none() {
                continue;
            }
            let own: Vec<&AnswerPoint> = self
                .inputs
                .values()
                .filter_map(|input| self.point(input, start))
                .collect();
            points.push(AnswerPoint {
                start,
                value,
                count: own.iter().map(|point| point.count).sum(),
                partial: own.iter().any(|point| point.partial),
                outdated: own.iter().any(|point| point.outdated),
            });
        }
        let has_total = found.iter().any(|series| series.total.is_some());
        let total = value_of(formula.root(), &|name| {
            let input = self.inputs.get(name)?;
            match input.find(self.member, self.unit) {
                Some(AnswerSeries {
                    total: Some(total), ..
                }) => Some(*total),
                _ => input.is_whole_known.then_some(Decimal::ZERO),
            }
        });
        Ok(AnswerSeries {
            dimensions: self.member.1.clone(),
            unit: match counted {
                FormulaUnit::Of(unit) => unit,
                FormulaUnit::Number | FormulaUnit::Unknown => self.unit.clone(),
            },
            points,
            total: total.filter(|_| has_total),
            rest: self.member.0.then_some(0),
        })
    }

    /// Returns the point of an input in a step; a cumulative one runs on through empty steps.
    fn point<'i>(&self, input: &'i Input, start: Timestamp) -> Option<&'i AnswerPoint> {
        let points = &input.find(self.member, self.unit)?.points;
        let after = points.partition_point(|point| point.start <= start);
        let last = points.get(after.checked_sub(1)?)?;
        (self.is_cumulative || last.start == start).then_some(last)
    }

    fn counted_in(&self, name: &Name) -> FormulaUnit {
        let found = self
            .inputs
            .get(name)
            .and_then(|input| input.find(self.member, self.unit));
        found.map_or(FormulaUnit::Unknown, |series| {
            FormulaUnit::Of(series.unit.clone())
        })
    }
}

/// Returns what a term is worth; nothing where a part of it is missing, or divided by zero.
fn value_of(term: &Term, of: &dyn Fn(&Name) -> Option<Decimal>) -> Option<Decimal> {
    let inner = |term: &Term| value_of(term, of);
    match term {
        Term::Number(text) => Decimal::parse(text).ok(),
        Term::Metric(name) => of(name),
        Term::Negative(term) => Some(Decimal::ZERO.minus(inner(term)?)),
        Term::Join(operator, left, right) => {
            let (left, right) = (inner(left)?, inner(right)?);
            match operator {
                Operator::Plus => Some(left.plus(right)),
                Operator::Minus => Some(left.minus(right)),
                Operator::Times => left.times(right),
                Operator::Over => left.divided_by(right),
            }
        }
        Term::Call(function, terms) => {
            let mut values = terms.iter().map(inner);
            match function {
                Function::Abs => values.next().flatten().map(Decimal::abs),
                Function::Min => values
                    .reduce(|left, right| Some(left?.min(right?)))
                    .flatten(),
                Function::Max => values
                    .reduce(|left, right| Some(left?.max(right?)))
                    .flatten(),
                Function::Coalesce => values.flatten().next(),
            }
        }
    }
}
