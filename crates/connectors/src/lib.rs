//! Room of `connectors`.
