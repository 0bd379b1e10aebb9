#![doc = include_str!("../README.md")]

// Numbers.
mod decimal;
mod sum;

// What comes in.
mod row;
mod series;

// What is kept.
mod accumulator;
mod contribution;
mod distinct;
mod encoding;
mod quantile;

// How rows get there.
pub mod bucket;
mod fold;

// What a run replaces.
pub mod coverage;
mod restate;

// What is asked.
mod query;
pub mod range;

// What comes out.
pub mod answer;
mod calculated;
mod compare;
mod levels;

// What it is used for.
mod alert;
mod goal;
mod shown;
mod sight;

pub use accumulator::State;
pub use alert::{
    AlertEvent, AlertState, Judgement, Seen, case_of, change, judge_alert, quiet_until,
};
pub use answer::{Answer, AnswerPoint, AnswerSeries, SeriesInput, StoredCell, StoredError, answer};
pub use calculated::Sources;
pub use compare::{Compare, Comparison, Direction, SeriesComparison};
pub use contribution::Contribution;
pub use coverage::Coverage;
pub use decimal::{Decimal, DecimalError, MAX_DIGITS, MAX_MAGNITUDE, Sum};
pub use definition::Interval;
pub use encoding::DecodeError;
pub use fold::{Folded, MAX_SERIES, Order, deduplicate, fold, fold_within};
pub use goal::{GoalPhase, GoalRange, GoalSeen, Progress, goal_line, goal_range, progress};
pub use levels::sample_points;
pub use query::{Fill, MAX_MOVING_STEPS, MAX_POINTS, Query, QueryError, Running};
pub use restate::{Because, Ended, Kept, Restatement, RunFacts, restate};
pub use row::{Dimensions, Pairs, Row, RowValue};
pub use series::{Rules, SeriesKey};
pub use shown::{shown, shown_percent, shown_range, title_of};
pub use sight::{Sight, Watched};
