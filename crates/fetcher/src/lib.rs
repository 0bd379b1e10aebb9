//! Room of `fetcher`.
