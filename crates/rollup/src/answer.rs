//! Points from stored states: split, filtered, joined, filled, totalled.

mod evaluate;
mod fill;
mod outdated;
mod running;
mod top;

use definition::{Granularity, Interval};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::accumulator::State;
use crate::compare::{self, Comparison};
use crate::coverage::Coverage;
use crate::decimal::Decimal;
use crate::encoding::DecodeError;
use crate::query::{Query, QueryError};
use crate::row::Dimensions;
use crate::series::{Rules, SeriesKey};

/// What is stored, decoded: everything that starts in [`Query::reads`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesInput {
    /// The cells of each series: start in unix milliseconds, state, and whether it is partial; sorted by
    /// start.
    pub series: Vec<(SeriesKey, Vec<StoredCell>)>,
    /// The metric's coverage.
    pub coverage: Vec<Coverage>,
    /// Levels: the instants of all syncs in unix milliseconds, those without rows too. Instants of cells
    /// are added by themselves.
    pub syncs: Vec<i64>,
    /// What an earlier revision of the metric covers, sorted and apart; see [`crate::coverage::outdated`].
    pub outdated: Vec<Interval>,
}

impl SeriesInput {
    /// Adds a series as it is kept: its canonical key, and start, encoded state and mark of each cell.
    ///
    /// Fails, and adds nothing, where the key or a state is not one that any program wrote.
    pub fn add_stored(
        &mut self,
        key: &str,
        cells: impl ExactSizeIterator<Item = (i64, Vec<u8>, bool)>,
    ) -> Result<(), StoredError> {
        let key = SeriesKey::parse(key)?;
        let mut decoded = Vec::with_capacity(cells.len());
        for (start, state, partial) in cells {
            decoded.push((start, State::decode(&state)?, partial));
        }
        self.series.push((key, decoded));
        Ok(())
    }
}

/// Says that what is stored cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The key is no canonical JSON of one.
    #[error("series key cannot be read")]
    Key(#[from] serde_json::Error),
    /// A state is none.
    #[error("state of a cell cannot be read")]
    State(#[from] DecodeError),
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The first instant answered for.
    pub from: Timestamp,
    /// The first instant after.
    pub to: Timestamp,
    /// The step between points.
    pub granularity: Granularity,
    /// The zone whose calendar the points follow.
    pub zone: TimeZone,
    /// The series, sorted by dimensions and unit; with [`Query::top`] the largest first.
    pub series: Vec<AnswerSeries>,
    /// How this compares with another range, when asked for.
    pub comparison: Option<Comparison>,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSeries {
    /// The dimensions split by.
    pub dimensions: Dimensions,
    /// The unit of all values.
    pub unit: Option<Box<str>>,
    /// The points, oldest first.
    pub points: Vec<AnswerPoint>,
    /// The value of the whole range, from states and not from points.
    pub total: Option<Decimal>,
    /// How many series are joined in this one, where only the largest were asked for and these are all
    /// others.
    pub rest: Option<u32>,
}

/// One bucket of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerPoint {
    /// The first instant of the bucket.
    pub start: Timestamp,
    /// Its value.
    pub value: Option<Decimal>,
    /// How many rows the value was made from.
    pub count: u64,
    /// Whether a run that did not see everything brought part of it. A bucket that is still open is not
    /// partial for that.
    pub partial: bool,
    /// Whether a part of it was made with an earlier revision of the metric.
    pub outdated: bool,
}

/// A cell of a stored series: its start in unix milliseconds, its state, whether it is partial.
pub type StoredCell = (i64, State, bool);

/// A stored cell, borrowed.
pub(crate) type Cell<'a> = (i64, &'a State, bool);

pub(crate) use evaluate::{Steps, evaluate, within};
pub(crate) use fill::{Slot, filled, slots};
pub(crate) use running::moving_average;
pub(crate) use top::Kept;

/// Answers `query` from what is stored.
///
/// # Errors
/// Questions that have no right answer; the error says why. See the README for what each aggregation and
/// type means over longer ranges.
pub fn answer(input: &SeriesInput, rules: &Rules, query: &Query) -> Result<Answer, QueryError> {
    whole(rules, query, &|range, kept| {
        evaluate(input, rules, query, range, kept)
    })
}

/// What gives every series in one range, with all but those that are kept joined.
pub(crate) type Evaluate<'a> =
    dyn Fn(Interval, Option<&Kept>) -> Result<Vec<AnswerSeries>, QueryError> + 'a;

/// Answers `query`, whatever the points come from: the range, the largest, the comparison.
pub(crate) fn whole(
    rules: &Rules,
    query: &Query,
    evaluate: &Evaluate<'_>,
) -> Result<Answer, QueryError> {
    let range = query.effective(rules)?;
    let mut series = evaluate(range, None)?;
    let kept = query.top.map(|most| top::choose(&series, most));
    if let Some(kept) = &kept {
        let all = std::mem::replace(&mut series, evaluate(range, Some(kept))?);
        top::count_rest(&all, kept, &mut series);
    }
    let base_range = match query.base(rules, range) {
        Some(base) => Some(query.effective_of(rules, base)?),
        None => None,
    };
    let mut base = match base_range {
        Some(base) => Some(evaluate(base, kept.as_ref())?),
        None => None,
    };
    if kept.is_some() {
        (series, base) = top::rank(series, base);
    }
    let comparison = base_range.zip(base).map(|(range_before, before)| {
        compare::compare(rules, query, (range, &series), (range_before, before))
    });
    let series = series
        .into_iter()
        .filter(|series| !series.points.is_empty() || series.total.is_some())
        .collect();
    Ok(Answer {
        from: range.start,
        to: range.end,
        granularity: query.granularity,
        zone: query.zone(rules).clone(),
        series,
        comparison,
    })
}

#[cfg(test)]
mod tests;
