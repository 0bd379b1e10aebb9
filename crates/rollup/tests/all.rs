//! Rollups against worked examples and brute force.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod brute_force;
mod worked_examples;
mod zones;
