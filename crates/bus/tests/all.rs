//! The bus against a real nats-server.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod connect;
mod consume;
mod drafts;
mod listen;
mod provision;
mod publish;
mod support;
