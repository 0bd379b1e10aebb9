//! Room of `expression`.
