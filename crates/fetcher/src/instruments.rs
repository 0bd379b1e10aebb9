//! The fetcher's own telemetry, declared together. Labels come from small closed sets.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// What the fetcher counts.
#[derive(Debug, Clone)]
pub struct Instruments {
    requests: Counter<u64>,
    retries: Counter<u64>,
    pages: Counter<u64>,
    bytes: Counter<u64>,
    waits: Histogram<f64>,
    duration: Histogram<f64>,
    runs: Counter<u64>,
    in_hand: UpDownCounter<i64>,
}

impl Instruments {
    /// Declares the instruments on `meter`.
    pub fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, help: &'static str| {
            meter.u64_counter(name).with_description(help).build()
        };
        Instruments {
            requests: counter(
                "tidemark.fetcher.requests",
                "Requests sent to APIs, by outcome",
            ),
            retries: counter(
                "tidemark.fetcher.retries",
                "Tries beyond the first, by the class of the error before",
            ),
            pages: counter("tidemark.fetcher.pages", "Pages published"),
            bytes: meter
                .u64_counter("tidemark.fetcher.received")
                .with_unit("By")
                .with_description("Bytes of bodies received on the wire")
                .build(),
            waits: meter
                .f64_histogram("tidemark.fetcher.wait")
                .with_unit("s")
                .with_description("Waits before a request, by reason (retry, budget, pause)")
                .build(),
            duration: meter
                .f64_histogram("tidemark.fetcher.request.duration")
                .with_unit("s")
                .with_description("From sending a request to its last byte")
                .build(),
            runs: counter("tidemark.fetcher.runs", "Attempts at runs, by outcome"),
            in_hand: meter
                .i64_up_down_counter("tidemark.fetcher.runs.in_hand")
                .with_description("Runs being fetched")
                .build(),
        }
    }

    /// Counts a request: `outcome` is `ok` or the class of its error.
    pub fn request(&self, outcome: &'static str, took: Duration) {
        self.requests.add(1, &[KeyValue::new("outcome", outcome)]);
        self.duration.record(took.as_secs_f64(), &[]);
    }

    /// Counts a retry after an error of `class`.
    pub fn retry(&self, class: &'static str) {
        self.retries.add(1, &[KeyValue::new("reason", class)]);
    }

    /// Counts a published page.
    pub fn page(&self, wire_bytes: u64) {
        self.pages.add(1, &[]);
        self.bytes.add(wire_bytes, &[]);
    }

    /// Counts a wait for `reason` (`retry`, `budget` or `pause`).
    pub fn wait(&self, reason: &'static str, waited: Duration) {
        self.waits
            .record(waited.as_secs_f64(), &[KeyValue::new("reason", reason)]);
    }

    /// Counts a run that begins.
    pub fn begin(&self) {
        self.in_hand.add(1, &[]);
    }

    /// Counts a run that ended in `outcome` (of the manifest, or `handed_back`).
    pub fn end(&self, outcome: &'static str) {
        self.in_hand.add(-1, &[]);
        self.runs.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
