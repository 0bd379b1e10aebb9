//! Room of `wire`.
