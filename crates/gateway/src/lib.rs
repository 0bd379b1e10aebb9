#![doc = include_str!("../README.md")]

// The modules in the order a request meets them.
mod config;
mod connections;
mod linger;
mod serve;

mod doorway;
mod router;

mod auth;
mod boards;
mod body;
mod budget;
mod cursor;
mod goals;
mod idempotency;
mod pages;
mod parameters;
mod problem;

mod apply;
mod audit;
mod authorize;
mod care;
mod catalogue;
mod definitions;
mod deliveries;
mod export;
mod openapi;
mod points;
mod preview;
mod probes;
mod progress;
mod provenance;
mod runs;
mod secrets;
mod series;
mod standing;
mod sync;
mod time;
mod tokens;
mod trial;
mod updates;

mod error;
mod instruments;

pub use auth::{generate as generate_token, hash as hash_token};
pub use config::{Config, Limits};
pub use error::Error;
pub use openapi::api as openapi;
pub use problem::Problem;
pub use router::{Gateway, router};
pub use serve::{run, run_on};
