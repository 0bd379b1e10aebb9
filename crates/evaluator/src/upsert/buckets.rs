//! The buckets that records left and entered, and what becomes of their cells.

use std::collections::{BTreeMap, BTreeSet};

use rollup::bucket::Finder;
use rollup::{Contribution, State};
use store::{Cell, CellPlace, Commit, Interval, Record, Replaced, instant};

use crate::commit::decode;
use crate::error::Error;
use crate::subjects::Subject;

/// Buckets written together at most: their cells and states are in memory meanwhile.
const BUCKETS_AT_ONCE: usize = 2_000;

/// What happened to one cell.
#[derive(Debug, Default)]
struct Touch {
    /// Something left, so that the state has to be folded again.
    is_left: bool,
    /// What entered, while nothing left.
    entered: Option<State>,
}

/// The cells that a run touches.
#[derive(Debug)]
pub(super) struct Buckets {
    is_complete: bool,
    touched: BTreeMap<CellPlace, Touch>,
    done: Replaced,
}

impl Buckets {
    /// Nothing touched; `is_complete` tells whether the run saw what it asked for whole.
    pub(super) fn new(is_complete: bool) -> Self {
        Self {
            is_complete,
            touched: BTreeMap::new(),
            done: Replaced::default(),
        }
    }

    /// Notes that a record left its cell.
    pub(super) fn left(&mut self, place: CellPlace) {
        let touch = self.touched.entry(place).or_default();
        touch.is_left = true;
        touch.entered = None;
    }

    /// Notes that a record entered a cell.
    pub(super) fn entered(
        &mut self,
        subject: &Subject,
        place: &CellPlace,
        value: &[u8],
    ) -> Result<(), Error> {
        let touch = match self.touched.get_mut(place) {
            Some(touch) => touch,
            None => self.touched.entry(place.clone()).or_default(),
        };
        if !touch.is_left {
            let state = touch
                .entered
                .get_or_insert_with(|| State::new(subject.rules.aggregation));
            contribution(subject, value)?.add_to(state);
        }
        Ok(())
    }

    /// Notes that a record was seen where it was.
    pub(super) fn seen(&mut self, place: &CellPlace) {
        if self.is_complete && !self.touched.contains_key(place) {
            self.touched.insert(place.clone(), Touch::default());
        }
    }

    /// Takes away all cells, and the coverage that they had.
    pub(super) async fn clear(
        &mut self,
        commit: &mut Commit,
        subject: &Subject,
    ) -> Result<(), Error> {
        let name = subject.name.as_str();
        let everything = Interval {
            start: i64::MIN / 2,
            end: i64::MAX / 2,
        };
        let replaced = commit.replace(name, &[everything], &[]).await?;
        self.done.changes.extend(replaced.changes);
        Ok(commit.set_coverage(name, &[]).await?)
    }

    /// Places every record by the rules in force, which an edit changed.
    pub(super) async fn place_again(
        &mut self,
        commit: &mut Commit,
        subject: &Subject,
    ) -> Result<(), Error> {
        let name = subject.name.as_str();
        let mut finder = Finder::of(&subject.rules);
        let (from, to) = (i64::MIN / 2, i64::MAX / 2);
        let mut moved: Vec<Record> = Vec::new();
        let mut cursor = None;
        loop {
            let (records, next) = commit.records_in(name, from, to, cursor.as_ref()).await?;
            for mut record in records {
                let Some(place) = record.place.clone() else {
                    continue;
                };
                let contribution = contribution(subject, &record.value)?;
                let start = finder.bucket(contribution.at).start.as_millisecond();
                let is_usable = contribution.suits(subject.rules.aggregation);
                if start != place.start || !is_usable {
                    let series = place.series.clone();
                    record.place = is_usable.then_some(CellPlace { start, series });
                    moved.push(record.clone());
                }
                self.left(place);
                if let Some(place) = record.place {
                    self.left(place);
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        // Written once the walk is over, which would meet them again.
        for chunk in moved.chunks(store::RECORDS_A_STATEMENT) {
            commit.put_records(name, chunk).await?;
        }
        // Cells that no record stands behind any more.
        for cell in commit.cells(name, from, to).await? {
            self.left(CellPlace {
                start: cell.start,
                series: cell.series,
            });
        }
        Ok(())
    }

    /// Writes what became of the touched cells.
    pub(super) async fn write(
        mut self,
        commit: &mut Commit,
        subject: &Subject,
    ) -> Result<Replaced, Error> {
        let starts: BTreeSet<i64> = self.touched.keys().map(|place| place.start).collect();
        let starts: Vec<i64> = starts.into_iter().collect();
        for chunk in starts.chunks(BUCKETS_AT_ONCE) {
            let ranges = ranges(subject, chunk);
            let cells = self.cells(commit, subject, &ranges).await?;
            let replaced = commit.replace(&subject.name, &ranges, &cells).await?;
            self.done.changes.extend(replaced.changes);
            self.done.overflow += replaced.overflow;
        }
        // A cell may have been taken away and written anew: the later word on it is the news.
        let mut changes = BTreeMap::new();
        for change in self.done.changes {
            let place = (change.start, change.series.clone());
            match changes.entry(place) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(change);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().new = change.new;
                }
            }
        }
        changes.retain(|_, change| change.old.is_some() || change.new.is_some());
        Ok(Replaced {
            changes: changes.into_values().collect(),
            overflow: self.done.overflow,
        })
    }

    /// The cells of some ranges as they are to be.
    async fn cells(
        &self,
        commit: &mut Commit,
        subject: &Subject,
        ranges: &[Interval],
    ) -> Result<Vec<Cell>, Error> {
        let name = subject.name.as_str();
        let mut result = Vec::new();
        for range in ranges {
            let mut cells: BTreeMap<CellPlace, Cell> = BTreeMap::new();
            for cell in commit.cells(name, range.start, range.end).await? {
                let place = CellPlace {
                    start: cell.start,
                    series: cell.series.clone(),
                };
                cells.insert(place, cell);
            }
            let touched = || {
                self.touched
                    .iter()
                    .filter(|(place, _)| range.start <= place.start && place.start < range.end)
            };
            let folded = if touched().any(|(_, touch)| touch.is_left) {
                self.fold(commit, subject, *range).await?
            } else {
                BTreeMap::new()
            };
            for (place, touch) in touched() {
                let before = cells.remove(place);
                let state = if touch.is_left {
                    folded.get(place).map(State::encode)
                } else {
                    merged(subject, before.as_ref(), touch.entered.as_ref())?
                };
                if let Some(state) = state {
                    let cell = Cell {
                        series: place.series.clone(),
                        start: place.start,
                        state,
                        partial: !self.is_complete,
                    };
                    cells.insert(place.clone(), cell);
                }
            }
            result.extend(cells.into_values());
        }
        Ok(result)
    }

    /// Folds the records of a range again, for the cells that something left.
    async fn fold(
        &self,
        commit: &mut Commit,
        subject: &Subject,
        range: Interval,
    ) -> Result<BTreeMap<CellPlace, State>, Error> {
        let mut states: BTreeMap<CellPlace, State> = BTreeMap::new();
        let mut cursor = None;
        loop {
            let found = commit.records_in(&subject.name, range.start, range.end, cursor.as_ref());
            let (records, next) = found.await?;
            for record in records {
                let Some(place) = record.place else { continue };
                if !self.touched.get(&place).is_some_and(|touch| touch.is_left) {
                    continue;
                }
                let contribution = contribution(subject, &record.value)?;
                let state = states
                    .entry(place)
                    .or_insert_with(|| State::new(subject.rules.aggregation));
                contribution.add_to(state);
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(states);
            }
        }
    }
}

fn merged(
    subject: &Subject,
    before: Option<&Cell>,
    entered: Option<&State>,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(match (before, entered) {
        (Some(before), Some(entered)) => {
            let mut state = decode(subject, &before.state)?;
            state.merge(entered);
            Some(state.encode())
        }
        (Some(before), None) => Some(before.state.clone()),
        (None, entered) => entered.map(State::encode),
    })
}

/// Joins buckets that touch into ranges.
fn ranges(subject: &Subject, starts: &[i64]) -> Vec<Interval> {
    let rules = &subject.rules;
    let mut ranges: Vec<Interval> = Vec::new();
    for start in starts {
        let end = rules
            .resolution
            .next(instant(*start), &rules.zone, rules.week_start);
        // A cell of another calendar, from before an edit, may begin inside of a bucket.
        let end = end.as_millisecond().max(start + 1);
        match ranges.last_mut() {
            Some(last) if *start <= last.end => last.end = last.end.max(end),
            _ => ranges.push(Interval { start: *start, end }),
        }
    }
    ranges
}

fn contribution(subject: &Subject, value: &[u8]) -> Result<Contribution, Error> {
    Contribution::decode(value).map_err(|_| Error::Damaged {
        metric: subject.name.clone(),
    })
}
