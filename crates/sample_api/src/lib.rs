//! Room of `sample_api`.
