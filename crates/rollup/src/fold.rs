//! Rows into cells: one mergeable state for each series and bucket.

use std::collections::{BTreeMap, HashMap, HashSet};

use definition::{Aggregation, MetricType};
use jiff::Timestamp;

use crate::accumulator::State;
use crate::bucket::{Finder, millis};
use crate::row::{Dimensions, Row, RowValue};
use crate::series::{Rules, SeriesKey};

/// Series a metric may have, unless a setting says otherwise.
pub const MAX_SERIES: usize = 10_000;

/// The cells of one run, and what restating needs to know of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// States by series and start, in unix milliseconds: the start of the bucket (events and periods), or
    /// the instant of the sample (levels and running totals).
    pub cells: BTreeMap<SeriesKey, BTreeMap<i64, State>>,
    /// The earliest date among the rows.
    pub earliest: Option<Timestamp>,
    /// The latest date among the rows.
    pub latest: Option<Timestamp>,
    /// Rows in the cells.
    pub rows: u64,
    /// Rows left out because their series would have been one too many.
    pub overflow_rows: u64,
    /// Rows left out because their value is text and the aggregation needs numbers.
    pub text_rows: u64,
    /// Rows left out because events need a date and they have none.
    pub undated_rows: u64,
    /// How the dates run through the pages.
    pub order: Order,
    /// How many records the earliest bucket holds, with those that a condition leaves out, where that is known.
    pub earliest_records: Option<u64>,
}

impl Folded {
    /// Returns the number of rows in each bucket start, over all series.
    pub fn counts(&self) -> BTreeMap<i64, u64> {
        let mut counts = BTreeMap::new();
        for (start, state) in self.cells.values().flatten() {
            *counts.entry(*start).or_default() += state.count();
        }
        counts
    }

    /// Takes in the dates of all records of the run, in their order, also of those that a condition left out: what the
    /// run saw reaches from the earliest of them to the latest.
    pub fn saw(&mut self, records: &[Timestamp], rules: &Rules) {
        if records.is_empty() {
            return;
        }
        let mut sequence = Sequence::default();
        for at in records {
            sequence.see(*at, (0, 0));
        }
        let (first, last) = sequence.range.unzip();
        self.earliest = [self.earliest, first].into_iter().flatten().min();
        self.latest = self.latest.max(last);
        self.order = sequence.order();
        self.earliest_records = self.earliest.map(|earliest| {
            let bucket = Finder::of(rules).bucket(earliest);
            records.iter().filter(|at| bucket.contains(**at)).count() as u64
        });
    }

    /// Says of a sync of levels without rows that nothing was there: a sample of no rows and no dimensions, worth 0,
    /// in each of `units`. Does nothing where there are rows, or where nothing is not 0.
    pub fn nothing_there(
        &mut self,
        rules: &Rules,
        sync_at: Timestamp,
        units: impl IntoIterator<Item = Option<Box<str>>>,
    ) {
        let read = self.rows + self.overflow_rows + self.text_rows + self.undated_rows;
        if read > 0 || !rules.nothing_there_is_zero() {
            return;
        }
        for unit in units {
            let key = SeriesKey {
                dimensions: Dimensions::NONE,
                unit,
            };
            let sample = (millis(sync_at), State::new(rules.aggregation));
            self.cells.insert(key, BTreeMap::from([sample]));
        }
    }
}

/// How dates run through the rows of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Never back in time, and forward at least once.
    Ascending,
    /// Never forward in time, and back at least once.
    Descending,
    /// Both, or one date only, or rows that did not come in the order of their pages: nothing can be said.
    #[default]
    Mixed,
}

/// Folds the rows of a run, which come in the order of pages and rows, into at most [`MAX_SERIES`] series.
///
/// `sync_at` is the instant of the run's slot; rows without a date belong to it.
pub fn fold(rows: impl IntoIterator<Item = Row>, rules: &Rules, sync_at: Timestamp) -> Folded {
    fold_within(rows, rules, sync_at, MAX_SERIES)
}

/// Folds like [`fold`] with another bound on series. The first `max_series` met are kept; rows of others
/// are counted in [`Folded::overflow_rows`].
pub fn fold_within(
    rows: impl IntoIterator<Item = Row>,
    rules: &Rules,
    sync_at: Timestamp,
    max_series: usize,
) -> Folded {
    let mut folded = Folded::default();
    let mut table = Table::new(max_series);
    let mut finder = Finder::of(rules);
    let mut sequence = Sequence::default();
    let empty = State::new(rules.aggregation);
    for row in rows {
        if rules.aggregation != Aggregation::CountDistinct
            && rules.aggregation != Aggregation::Count
            && matches!(row.value, RowValue::Text(_))
        {
            folded.text_rows += 1;
            continue;
        }
        let at = match (rules.metric_type, row.at) {
            (MetricType::Levels, _) => sync_at,
            (MetricType::RunningTotal, date) => date.unwrap_or(sync_at),
            (MetricType::Events | MetricType::Periods, Some(date)) => date,
            (MetricType::Events | MetricType::Periods, None) if !rules.dated => sync_at,
            (MetricType::Events | MetricType::Periods, None) => {
                folded.undated_rows += 1;
                continue;
            }
        };
        let start = if rules.samples() {
            millis(at)
        } else {
            millis(finder.bucket(at).start)
        };
        let Some(place) = table.place(&row) else {
            folded.overflow_rows += 1;
            continue;
        };
        sequence.see(at, (row.page, row.index));
        folded.rows += 1;
        let cells = &mut table.cells[place];
        match rules.metric_type {
            MetricType::Periods => put_last(cells, start, &row, at, &empty),
            MetricType::Events | MetricType::Levels | MetricType::RunningTotal => {
                cells
                    .entry(start)
                    .or_insert_with(|| empty.clone())
                    .add(&row, at);
            }
        }
    }
    // Where the first or the last row is the answer, rows of one instant are told apart by their places.
    if !matches!(rules.aggregation, Aggregation::First | Aggregation::Last) {
        let states = table.cells.iter_mut().flat_map(BTreeMap::values_mut);
        states.for_each(State::settle);
    }
    folded.earliest = sequence.range.map(|(earliest, _)| earliest);
    folded.latest = sequence.range.map(|(_, latest)| latest);
    folded.order = sequence.order();
    folded.cells = table.keys.into_iter().zip(table.cells).collect();
    folded
}

/// The series met so far, each with a place.
struct Table {
    keys: Vec<SeriesKey>,
    cells: Vec<BTreeMap<i64, State>>,
    places: HashMap<SeriesKey, usize>,
    most: usize,
}

/// Up to this many series are looked through one by one, which is faster than hashing.
const FEW: usize = 8;

impl Table {
    fn new(most: usize) -> Self {
        Self {
            keys: Vec::new(),
            cells: Vec::new(),
            places: HashMap::new(),
            most,
        }
    }

    /// Returns the place of the row's series; nothing when it would be one too many.
    fn place(&mut self, row: &Row) -> Option<usize> {
        let few = self.keys.iter().take(FEW);
        let found = few
            .enumerate()
            .find(|(_, key)| key.dimensions == row.dimensions && key.unit == row.unit);
        if let Some((place, _)) = found {
            return Some(place);
        }
        let key = SeriesKey {
            dimensions: row.dimensions.clone(),
            unit: row.unit.clone(),
        };
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        let place = self.keys.len();
        if place >= self.most {
            return None;
        }
        self.places.insert(key.clone(), place);
        self.keys.push(key);
        self.cells.push(BTreeMap::new());
        Some(place)
    }
}

/// Keeps one row of a period: the latest by date, then by page and row.
fn put_last(cells: &mut BTreeMap<i64, State>, start: i64, row: &Row, at: Timestamp, empty: &State) {
    let mut state = empty.clone();
    state.add(row, at);
    let cell = cells.entry(start).or_insert_with(|| state.clone());
    let mark = |state: &State| state.numbers.as_ref().map(|numbers| numbers.last);
    if mark(&state) >= mark(cell) {
        *cell = state;
    }
}

/// Keeps, of rows with one key, the one with the latest page and place; rows without a key all stay.
/// Returns the rows in their order, and how many were dropped.
pub fn deduplicate(rows: Vec<Row>) -> (Vec<Row>, u64) {
    if rows.iter().all(|row| row.key.is_none()) {
        return (rows, 0);
    }
    let mut winners: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
    let mut losers: HashSet<usize> = HashSet::new();
    for (place, row) in rows.iter().enumerate() {
        let Some(key) = row.key.as_deref() else {
            continue;
        };
        match winners.get_mut(key) {
            None => {
                winners.insert(key, place);
            }
            Some(winner) => {
                let later = (row.page, row.index) >= (rows[*winner].page, rows[*winner].index);
                losers.insert(if later {
                    std::mem::replace(winner, place)
                } else {
                    place
                });
            }
        }
    }
    let dropped = losers.len() as u64;
    if dropped == 0 {
        return (rows, 0);
    }
    let kept = rows
        .into_iter()
        .enumerate()
        .filter(|(place, _)| !losers.contains(place))
        .map(|(_, row)| row)
        .collect();
    (kept, dropped)
}

/// Watches how dates follow one another.
#[derive(Default)]
struct Sequence {
    range: Option<(Timestamp, Timestamp)>,
    last: Option<(Timestamp, (u32, u32))>,
    rises: bool,
    falls: bool,
    shuffled: bool,
}

impl Sequence {
    fn see(&mut self, at: Timestamp, place: (u32, u32)) {
        if let Some((before, last_place)) = self.last {
            self.rises |= at > before;
            self.falls |= at < before;
            self.shuffled |= place < last_place;
        }
        self.last = Some((at, place));
        self.range = Some(self.range.map_or((at, at), |(earliest, latest)| {
            (earliest.min(at), latest.max(at))
        }));
    }

    const fn order(&self) -> Order {
        match (self.rises, self.falls, self.shuffled) {
            (true, false, false) => Order::Ascending,
            (false, true, false) => Order::Descending,
            _ => Order::Mixed,
        }
    }
}

#[cfg(test)]
mod tests;
