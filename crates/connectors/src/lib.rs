#![doc = include_str!("../README.md")]

mod catalogue;
mod fill;

pub use catalogue::{CatalogueError, Connector, all, find};
pub use fill::{Catalogued, fill};
