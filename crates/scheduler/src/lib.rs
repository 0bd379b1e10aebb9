//! Room of `scheduler`.
