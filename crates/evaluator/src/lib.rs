//! Room of `evaluator`.
