//! Telemetry as a whole process sees it: one set-up, a real collector's socket, one registry.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

use std::time::Duration;

use opentelemetry::KeyValue;
use service::config::LogFormat;
use service::telemetry::{self, TelemetryConfig, TelemetryError};
use service::{Context, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Takes one request, answers 200, and returns its first line and body.
async fn collect(listener: TcpListener) -> (String, Vec<u8>) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut taken = Vec::new();
    let (head, length) = loop {
        assert_ne!(socket.read_buf(&mut taken).await.unwrap(), 0);
        if let Some(end) = taken.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(taken[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse::<usize>()
                        .ok()
                })
                .unwrap();
            break (head, end + 4 + length);
        }
    };
    while taken.len() < length {
        assert_ne!(socket.read_buf(&mut taken).await.unwrap(), 0);
    }
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    (head.lines().next().unwrap().to_owned(), taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_set_up_gives_traces_instruments_and_the_propagator() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = tokio::spawn(collect(listener));

    let config = TelemetryConfig {
        log_format: LogFormat::Text,
        default_filter: "off".into(),
        otlp_endpoint: Some(endpoint),
        ..TelemetryConfig::new("chassis_test")
    };
    let guard = telemetry::init(&config).unwrap();
    assert!(matches!(
        telemetry::init(&config),
        Err(TelemetryError::AlreadySet)
    ));

    // Instruments: counters end in `_total` by themselves, and only once.
    let context = Context::new("chassis_test", Shutdown::new());
    let counter = context
        .meter
        .u64_counter("tidemark.pages")
        .with_description("pages fetched")
        .build();
    counter.add(3, &[KeyValue::new("outcome", "ok")]);
    let text = telemetry::render();
    assert!(
        text.contains("tidemark_pages_total{outcome=\"ok\"} 3"),
        "{text}"
    );
    assert!(!text.contains("_total_total"));

    // The propagator writes what W3C says.
    {
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;
        let span = tracing::info_span!("a sync whose trace arrives");
        let mut carrier = std::collections::HashMap::new();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&span.context(), &mut carrier);
        });
        let parent = &carrier["traceparent"];
        assert_eq!(parent.len(), 55, "{parent}");
        assert!(
            parent.starts_with("00-") && parent.ends_with("-01"),
            "{parent}"
        );
    }

    // Traces: what is buffered is sent when the guard is dropped.
    tokio::task::spawn_blocking(move || drop(guard))
        .await
        .unwrap();
    let (first_line, body) = tokio::time::timeout(Duration::from_secs(20), collector)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first_line, "POST /v1/traces HTTP/1.1");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("a sync whose trace arrives") && text.contains("chassis_test"));
}
