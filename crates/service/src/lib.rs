//! Room of `service`.
