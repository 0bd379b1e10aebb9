#![doc = include_str!("../README.md")]

mod card;
mod catalogue;
mod fill;
mod written;

pub use card::{
    Access, AuthOption, Connector, Endpoint, Links, Status, Variable, Versions, WindowSupport,
};
pub use catalogue::{CatalogueError, all, find, search};
pub use fill::{Catalogued, fill};
