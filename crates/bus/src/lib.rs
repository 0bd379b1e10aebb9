//! Room of `bus`.
