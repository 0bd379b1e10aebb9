//! Tests of `accumulator`.
