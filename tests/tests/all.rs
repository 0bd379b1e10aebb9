//! The whole house, as its users run it.
//!
//! One program, so that one link serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alerts_reach_people;
mod any_api_matrix;
mod authorization;
mod backfills;
mod bad_input;
mod bad_typing;
mod calculated;
mod care;
mod conditions;
mod dependency_rule;
mod earlier_data_stays;
mod egress_flags;
mod holes_are_filled;
mod house_rules;
#[path = "any_api/lane.rs"]
mod lane;
mod levels_end;
mod nats_and_store_come_back;
#[path = "secrets/needles.rs"]
mod needles;
mod nothing_is_erased;
mod one_machine;
mod one_sync_is_one_trace;
mod parents;
mod preview;
mod provenance;
mod pushes;
mod real_input;
mod real_json_server;
mod real_kinto;
mod recordings;
mod secrets_stay_secret;
mod separate_processes;
#[path = "any_api/tables.rs"]
mod tables;
mod upserts;
mod walk;
mod what_runs_tell;
#[path = "secrets/wiretap.rs"]
mod wiretap;
