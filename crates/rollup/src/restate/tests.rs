//! Tests of `restate`.
