//! One sync is one trace: the trace context goes through every message.

use async_nats::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

struct Writer<'a>(&'a mut HeaderMap);

impl Injector for Writer<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key, value.as_str());
    }
}

struct Reader<'a>(&'a HeaderMap);

impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

/// Writes the current span's trace context into `headers`.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Writer(headers));
    });
}

/// The name of the header that carries a trace (W3C Trace Context).
const TRACE_PARENT: &str = "traceparent";

/// Returns the current trace as text, to be kept with what is announced later; nothing outside of a trace.
pub fn trace_parent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    headers
        .get(TRACE_PARENT)
        .map(|text| text.as_str().to_owned())
}

/// Makes `span` a child of the trace that [`trace_parent`] told of.
pub fn continue_trace(span: &Span, trace_parent: &str) {
    let mut headers = HeaderMap::new();
    headers.insert(TRACE_PARENT, trace_parent);
    adopt(span, Some(&headers));
}

/// Makes `span` a child of the trace that `headers` tell of.
pub(crate) fn adopt(span: &Span, headers: Option<&HeaderMap>) {
    if let Some(headers) = headers {
        let context = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&Reader(headers))
        });
        // A span that is filtered out has no place to keep a parent; that is no failure.
        let _ = span.set_parent(context);
    }
}
