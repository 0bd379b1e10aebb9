//! The mergeable state of one bucket of one series.
//!
//! A state is a function of the multiset of rows it was given: neither their order nor their grouping
//! into merged parts shows in it, so equal input gives equal bytes.

use definition::Aggregation;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::decimal::{Decimal, Sum};
use crate::distinct::Distinct;
use crate::encoding::{self, DecodeError};
use crate::quantile::Quantiles;
use crate::row::{Row, RowValue};

/// Everything a bucket knows of its rows: count, sum, min, max, first and last, and a sketch where the
/// aggregation needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub(crate) count: u64,
    pub(crate) sum: Sum,
    /// Absent while no row carried a number.
    pub(crate) numbers: Option<Numbers>,
    pub(crate) sketch: Sketch,
}

/// The extremes in value and in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) min: Decimal,
    pub(crate) max: Decimal,
    pub(crate) first: Mark,
    pub(crate) last: Mark,
}

/// A value with its place in time; places compare before values, so merging needs no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) at: Timestamp,
    pub(crate) page: u32,
    pub(crate) index: u32,
    pub(crate) value: Decimal,
}

/// What some aggregations need beside the plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sketch {
    None,
    Distinct(Distinct),
    Quantiles(Quantiles),
}

impl Sketch {
    fn for_aggregation(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::CountDistinct => Self::Distinct(Distinct::default()),
            Aggregation::Median | Aggregation::P90 | Aggregation::P95 | Aggregation::P99 => {
                Self::Quantiles(Quantiles::default())
            }
            Aggregation::Sum
            | Aggregation::Average
            | Aggregation::Min
            | Aggregation::Max
            | Aggregation::Count
            | Aggregation::First
            | Aggregation::Last => Self::None,
        }
    }

    fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Distinct(own), Self::Distinct(other)) => own.merge(other),
            (Self::Quantiles(own), Self::Quantiles(other)) => own.merge(other),
            // Parts were made for different aggregations: a missing answer is better than a wrong one.
            _ => *self = Self::None,
        }
    }
}

impl State {
    /// Returns the state of no rows, ready for `aggregation`.
    pub fn new(aggregation: Aggregation) -> Self {
        Self {
            count: 0,
            sum: Sum::default(),
            numbers: None,
            sketch: Sketch::for_aggregation(aggregation),
        }
    }

    /// Takes one row in; `at` is its date, or the time of the sync.
    pub fn add(&mut self, row: &Row, at: Timestamp) {
        self.count += 1;
        if let RowValue::Number(value) = row.value {
            self.sum.add(value);
            let mark = Mark {
                at,
                page: row.page,
                index: row.index,
                value,
            };
            if let Some(numbers) = &mut self.numbers {
                numbers.min = numbers.min.min(value);
                numbers.max = numbers.max.max(value);
                if mark < numbers.first {
                    numbers.first = mark;
                }
                if mark > numbers.last {
                    numbers.last = mark;
                }
            } else {
                self.numbers = Some(Numbers {
                    min: value,
                    max: value,
                    first: mark,
                    last: mark,
                });
            }
            if let Sketch::Quantiles(quantiles) = &mut self.sketch {
                quantiles.add(value);
            }
        }
        if let Sketch::Distinct(distinct) = &mut self.sketch {
            distinct.add(&row.value.text());
        }
    }

    /// Forgets on which page and row the first and the last value stood: that decides within one run, and
    /// would make every bucket look changed when one new record shifts the pages of the next run.
    pub(crate) fn settle(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            for mark in [&mut numbers.first, &mut numbers.last] {
                (mark.page, mark.index) = (0, 0);
            }
        }
    }

    /// Takes in everything `other` holds.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        self.count += other.count;
        self.sum.merge(&other.sum);
        match (&mut self.numbers, &other.numbers) {
            (Some(own), Some(other)) => {
                own.min = own.min.min(other.min);
                own.max = own.max.max(other.max);
                own.first = own.first.min(other.first);
                own.last = own.last.max(other.last);
            }
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
        self.sketch.merge(&other.sketch);
    }

    /// Returns how many rows the state has seen.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the answer, or nothing where there is none: no rows, or none with a number.
    pub fn finish(&self, aggregation: Aggregation) -> Option<Decimal> {
        let mut tally = Tally::new(aggregation);
        tally.add(self);
        tally.finish()
    }

    /// Returns the compact binary form; equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads [`State::encode`] back, of this and every earlier version.
    ///
    /// # Errors
    /// Bytes that no version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(bytes)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encode())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = State;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an encoded state")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<State, E> {
                State::decode(bytes).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<State, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = parts.next_element::<u8>()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_bytes(Reader)
    }
}

/// Joins states for one aggregation, touching only what that aggregation reads.
#[derive(Clone, Debug)]
pub(crate) struct Tally<'a> {
    aggregation: Aggregation,
    count: u64,
    sum: Sum,
    best: Option<Decimal>,
    mark: Option<Mark>,
    /// The first sketch seen is only borrowed; a copy is made when a second one comes.
    borrowed: Option<&'a State>,
    merged: Option<Box<(Numbers, Sketch)>>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(aggregation: Aggregation) -> Self {
        Self {
            aggregation,
            count: 0,
            sum: Sum::default(),
            best: None,
            mark: None,
            borrowed: None,
            merged: None,
        }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn add(&mut self, state: &'a State) {
        self.count += state.count;
        match self.aggregation {
            Aggregation::Sum | Aggregation::Average => self.sum.merge(&state.sum),
            Aggregation::CountDistinct
            | Aggregation::Median
            | Aggregation::P90
            | Aggregation::P95
            | Aggregation::P99 => self.add_sketch(state),
            Aggregation::Count
            | Aggregation::Min
            | Aggregation::Max
            | Aggregation::First
            | Aggregation::Last => {}
        }
        let Some(numbers) = &state.numbers else {
            return;
        };
        match self.aggregation {
            Aggregation::Min => {
                self.best = Some(self.best.map_or(numbers.min, |best| best.min(numbers.min)));
            }
            Aggregation::Max => {
                self.best = Some(self.best.map_or(numbers.max, |best| best.max(numbers.max)));
            }
            Aggregation::First => {
                self.mark = Some(
                    self.mark
                        .map_or(numbers.first, |mark| mark.min(numbers.first)),
                );
            }
            Aggregation::Last => {
                self.mark = Some(
                    self.mark
                        .map_or(numbers.last, |mark| mark.max(numbers.last)),
                );
            }
            // Marks that some number was there.
            Aggregation::Sum | Aggregation::Average => self.best = Some(numbers.min),
            Aggregation::Count
            | Aggregation::CountDistinct
            | Aggregation::Median
            | Aggregation::P90
            | Aggregation::P95
            | Aggregation::P99 => {}
        }
    }

    fn add_sketch(&mut self, state: &'a State) {
        let blank = || {
            let mark = Mark {
                at: Timestamp::UNIX_EPOCH,
                page: 0,
                index: 0,
                value: Decimal::ZERO,
            };
            Numbers {
                min: Decimal::ZERO,
                max: Decimal::ZERO,
                first: mark,
                last: mark,
            }
        };
        if let Some(merged) = &mut self.merged {
            if let Some(numbers) = &state.numbers {
                merged.0.min = merged.0.min.min(numbers.min);
                merged.0.max = merged.0.max.max(numbers.max);
            }
            merged.1.merge(&state.sketch);
        } else if let Some(first) = self.borrowed.take() {
            let numbers = first
                .numbers
                .clone()
                .or_else(|| state.numbers.clone())
                .unwrap_or_else(blank);
            self.merged = Some(Box::new((numbers, first.sketch.clone())));
            self.add_sketch(state);
        } else {
            self.borrowed = Some(state);
        }
    }

    pub(crate) fn finish(&self) -> Option<Decimal> {
        if self.count == 0 {
            return None;
        }
        match self.aggregation {
            Aggregation::Count => Some(Decimal::from(self.count)),
            Aggregation::Sum => self.best.map(|_| self.sum.to_decimal()),
            Aggregation::Average => self
                .best
                .and_then(|_| self.sum.to_decimal().divided_by(Decimal::from(self.count))),
            Aggregation::Min | Aggregation::Max => self.best,
            Aggregation::First | Aggregation::Last => self.mark.map(|mark| mark.value),
            Aggregation::CountDistinct => match self.sketch()? {
                (_, Sketch::Distinct(distinct)) => Some(Decimal::from(distinct.count())),
                _ => None,
            },
            Aggregation::Median => self.quantile(50),
            Aggregation::P90 => self.quantile(90),
            Aggregation::P95 => self.quantile(95),
            Aggregation::P99 => self.quantile(99),
        }
    }

    fn sketch(&self) -> Option<(Option<&Numbers>, &Sketch)> {
        match (&self.merged, self.borrowed) {
            (Some(merged), _) => Some((Some(&merged.0), &merged.1)),
            (None, Some(state)) => Some((state.numbers.as_ref(), &state.sketch)),
            (None, None) => None,
        }
    }

    fn quantile(&self, percent: u64) -> Option<Decimal> {
        match self.sketch()? {
            (Some(numbers), Sketch::Quantiles(quantiles)) => {
                quantiles.at(percent, numbers.min, numbers.max)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
