//! Room of `rollup`.
