#![doc = include_str!("../README.md")]

pub mod auth;
pub mod budget;
pub mod conditions;
pub mod config;
mod consent;
pub mod decode;
pub mod deliver;
pub mod detect;
pub mod egress;
pub mod error;
pub mod exchange;
pub mod formats;
pub mod http;
pub mod instruments;
pub mod memory;
pub mod once;
pub mod pagination;
pub mod plan;
pub mod preview;
pub mod reader;
pub mod redact;
pub mod render;
pub mod retry;
pub mod serve;
pub mod stated_limit;
pub mod sync_run;
mod trial;

pub use config::Config;
pub use egress::{Allow, Guard, GuardConfig, Verdict, check_url};
pub use error::{Error, PageError};
pub use once::{Glance, fetch_once, look};
pub use serve::run;
