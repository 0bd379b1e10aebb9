//! Expressions, their rows and their limits.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod check_bundle;
mod generated_rows;
mod keyed;
mod rows;
mod second_opinion;
mod support;
mod tasks;
