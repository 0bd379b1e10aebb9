#![doc = include_str!("../README.md")]

pub mod budget;
mod check;
mod convert;
mod dimensions;
mod error;
mod evaluate;
pub mod frame;
mod generate;
mod mask;
mod missing;
mod page;
mod path;
mod places;
mod plain;
pub mod profile;
mod read_date;
mod read_number;
mod records;
mod rescue;
mod result;
mod shape;
mod task;
mod tree;
mod worker;

pub use check::{Checked, MAX_SOURCE_BYTES, check, check_bundle};
pub use error::{EvaluationError, ExpressionProblem, PathError};
pub use evaluate::{Evaluator, Page, RunContext, evaluate_json};
pub use frame::FrameError;
pub use generate::{field_path, generate, generate_keyed, quote_field};
pub use path::{select_path, select_value};
pub use records::select_records;
pub use result::{DeletedRow, RejectedRow, TaskResult, masked_row_json, row_json};
pub use task::{DateForm, NumberStyle, Reading, Task};
pub use worker::worker_loop;
