//! The gateway as its callers meet it: real HTTP, a real store, a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where what it needs is missing"
)]

mod bad_input;
mod calculated;
mod definitions;
mod house;
mod operation;
mod previews;
mod runs;
mod series;
mod updates;
