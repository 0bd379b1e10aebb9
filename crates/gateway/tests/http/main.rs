//! The gateway as its callers meet it: real HTTP, a real store, a real nats-server.

mod bad_input;
mod definitions;
mod house;
mod operation;
mod runs;
mod series;
mod updates;
