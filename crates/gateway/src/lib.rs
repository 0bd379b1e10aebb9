//! Room of `gateway`.
