//! What we know of public APIs: one YAML file each, compiled in.
//!
//! A connection that says `connector: convertkit` gets from the catalogue what it leaves out. The
//! pagination of an entry is a proposal for requests; a connection itself has none.

mod catalogue;

pub use catalogue::{CatalogueError, Connector, all, find};
