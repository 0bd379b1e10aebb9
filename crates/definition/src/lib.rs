//! Room of `definition`.
