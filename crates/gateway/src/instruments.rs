//! The gateway's own telemetry: every instrument, in one place.

use std::time::Duration;

use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Instruments of the gateway.
#[derive(Debug)]
pub(crate) struct Instruments {
    requests: Histogram<f64>,
    series: Counter<u64>,
    streams: UpDownCounter<i64>,
    connections: UpDownCounter<i64>,
}

/// Where the answer to a series query came from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The answer was kept.
    Answer,
    /// The decoded series was kept.
    Decoded,
    /// The store.
    Store,
}

impl Instruments {
    /// Declares them.
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            requests: meter
                .f64_histogram("tidemark.gateway.request.duration")
                .with_unit("s")
                .with_description(
                    "Time from a request's head to its answer's head, by route, method and status.",
                )
                .with_boundaries(vec![
                    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
                ])
                .build(),
            series: meter
                .u64_counter("tidemark.gateway.series.answers")
                .with_description(
                    "Series answers, by where they came from: answer, decoded or store.",
                )
                .build(),
            streams: meter
                .i64_up_down_counter("tidemark.gateway.streams")
                .with_description("Open streams of server-sent events.")
                .build(),
            connections: meter
                .i64_up_down_counter("tidemark.gateway.connections")
                .with_description("Open connections.")
                .build(),
        }
    }

    /// Counts an answered request.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("method", known_method(method)),
                KeyValue::new("route", route.to_owned()),
                KeyValue::new("status", i64::from(status.as_u16())),
            ],
        );
    }

    /// Counts a series answer.
    pub(crate) fn series(&self, source: Source) {
        let source = match source {
            Source::Answer => "answer",
            Source::Decoded => "decoded",
            Source::Store => "store",
        };
        self.series.add(1, &[KeyValue::new("source", source)]);
    }

    /// Counts a stream that opened (1) or ended (-1).
    pub(crate) fn stream(&self, change: i64) {
        self.streams.add(change, &[]);
    }

    /// Counts a connection that opened (1) or ended (-1).
    pub(crate) fn connection(&self, change: i64) {
        self.connections.add(change, &[]);
    }
}

/// Methods are a closed set here; strangers may send any word.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
