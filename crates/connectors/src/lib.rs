#![doc = include_str!("../README.md")]

mod catalogue;

pub use catalogue::{CatalogueError, Connector, all, find};
