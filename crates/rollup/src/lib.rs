#![doc = include_str!("../README.md")]

mod accumulator;
pub mod answer;
pub mod bucket;
mod compare;
pub mod coverage;
mod decimal;
mod distinct;
mod encoding;
mod fold;
mod levels;
mod quantile;
mod query;
pub mod range;
mod restate;
mod row;
mod series;
mod sum;

pub use accumulator::State;
pub use answer::{Answer, AnswerPoint, AnswerSeries, SeriesInput, StoredCell, answer};
pub use compare::{Compare, Comparison, Direction, SeriesComparison};
pub use coverage::Coverage;
pub use decimal::{Decimal, DecimalError, MAX_DIGITS, MAX_MAGNITUDE, Sum};
pub use definition::Interval;
pub use encoding::DecodeError;
pub use fold::{Folded, MAX_SERIES, Order, deduplicate, fold, fold_within};
pub use query::{Fill, MAX_POINTS, Query, QueryError};
pub use restate::{Ended, Restatement, RunFacts, restate};
pub use row::{Dimensions, Pairs, Row, RowValue};
pub use series::{Rules, SeriesKey};
