//! The messages and their examples.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod async_api;
mod examples;
