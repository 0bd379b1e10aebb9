//! The fetcher against real servers.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod budget;
mod client;
mod connectors;
mod formats;
mod matrix;
mod preview;
mod proxy;
mod requests;
mod rotation;
mod support;
mod tokens;
mod trial;
mod unread;
mod upstream;
mod wire_end;
