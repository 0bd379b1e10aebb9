//! Definitions as people write them.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bad_definitions;
mod examples;
mod laws;
mod read_in_part;
mod support;
mod uses;
