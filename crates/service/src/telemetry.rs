//! Logs, traces, the meter and its registry.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::config::LogFormat;

/// A collector that does not answer within this loses one batch, never a request.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What to log, and where traces go.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// The process's name in traces.
    pub service: &'static str,
    /// How log lines on standard error are written.
    pub log_format: LogFormat,
    /// What is logged when `RUST_LOG` says nothing.
    pub default_filter: String,
    /// Where traces are sent by OTLP over HTTP (`http://host:4318`); nowhere when absent.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryConfig {
    /// Returns JSON logs at `info`, and no traces.
    pub fn new(service: &'static str) -> Self {
        Self {
            service,
            log_format: LogFormat::Json,
            default_filter: "info".to_owned(),
            otlp_endpoint: None,
        }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Somebody has set up logging in this process before.
    #[error("telemetry is already set up in this process")]
    AlreadySet,
    /// `RUST_LOG` or the default filter cannot be read.
    #[error("log filter `{text}` cannot be read")]
    Filter {
        /// The filter.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of traces cannot be made.
    #[error("trace exporter for `{endpoint}` cannot be made")]
    Exporter {
        /// Where traces were to go.
        endpoint: String,
        /// Why not.
        #[source]
        cause: opentelemetry_otlp::ExporterBuildError,
    },
    /// The registry of instruments cannot be made.
    #[error("instrument registry cannot be made")]
    Registry(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// Sends what is still buffered when it is dropped; keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropping it ends telemetry"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    instruments: SdkMeterProvider,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            let _ = traces.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
        let _ = self.instruments.shutdown();
    }
}

static SET_UP: AtomicBool = AtomicBool::new(false);

/// Sets up logs on standard error, the global meter, the W3C propagator and, where asked, traces.
///
/// Call it once, inside the tokio runtime, before any [`crate::Context`] is made.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let text = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let text = text.unwrap_or_else(|| config.default_filter.clone());
    let filter =
        EnvFilter::try_new(&text).map_err(|cause| TelemetryError::Filter { text, cause })?;
    // The registry takes one meter provider, so a second set-up is told apart before it is touched.
    if SET_UP.swap(true, Ordering::AcqRel) {
        return Err(TelemetryError::AlreadySet);
    }
    let instruments = meter_provider(config.service)?;
    let traces = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| tracer_provider(config.service, endpoint))
        .transpose()?;

    let logs: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    };
    let spans = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(config.service))
            .with_filter(our_spans())
    });
    tracing_subscriber::registry()
        .with(logs)
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;

    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    opentelemetry::global::set_meter_provider(instruments.clone());
    if let Some(traces) = &traces {
        opentelemetry::global::set_tracer_provider(traces.clone());
    }
    Ok(Telemetry {
        traces,
        instruments,
    })
}

/// Returns all instruments of the process in Prometheus' text format.
pub fn render() -> String {
    let mut text = String::new();
    let encoder = prometheus::TextEncoder::new();
    if let Err(error) = encoder.encode_utf8(&registry().gather(), &mut text) {
        tracing::warn!(error = %error, "instruments cannot be rendered");
    }
    text
}

/// The one registry of the process.
fn registry() -> &'static prometheus::Registry {
    static REGISTRY: OnceLock<prometheus::Registry> = OnceLock::new();
    REGISTRY.get_or_init(prometheus::Registry::new)
}

fn meter_provider(service: &'static str) -> Result<SdkMeterProvider, TelemetryError> {
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry().clone())
        .scope_info_enabled(false)
        .build()
        .map_err(TelemetryError::Registry)?;
    Ok(SdkMeterProvider::builder()
        .with_reader(reader)
        .with_resource(resource(service))
        .build())
}

fn tracer_provider(
    service: &'static str,
    endpoint: &str,
) -> Result<SdkTracerProvider, TelemetryError> {
    // The exporter's client is built without a TLS provider of its own; a second install is refused, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!(
        "{}/v1/traces",
        endpoint
            .trim_end_matches('/')
            .trim_end_matches("/v1/traces")
    );
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|cause| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            cause,
        })?;
    let exporter = OnRuntime {
        exporter: std::sync::Arc::new(exporter),
        runtime: tokio::runtime::Handle::current(),
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(service))
        .build())
}

fn resource(service: &'static str) -> Resource {
    Resource::builder().with_service_name(service).build()
}

/// Lets our own spans through and keeps out those of the libraries that export them, which
/// would feed on themselves.
fn our_spans() -> Targets {
    use tracing::level_filters::LevelFilter;
    [
        "h2",
        "hyper",
        "hyper_util",
        "reqwest",
        "rustls",
        "opentelemetry",
        "opentelemetry_sdk",
        "opentelemetry_otlp",
        "async_nats",
        "sqlx",
        "tower",
    ]
    .into_iter()
    .fold(
        Targets::new().with_default(LevelFilter::DEBUG),
        |targets, name| targets.with_target(name, LevelFilter::OFF),
    )
}

/// Exports on the runtime, because the batch processor calls from a thread of its own, where the
/// HTTP client has no reactor.
#[derive(Debug)]
struct OnRuntime {
    exporter: std::sync::Arc<opentelemetry_otlp::SpanExporter>,
    runtime: tokio::runtime::Handle,
}

impl SpanExporter for OnRuntime {
    fn set_resource(&mut self, resource: &Resource) {
        // Called once, before the first export: nobody else holds the exporter yet.
        if let Some(exporter) = std::sync::Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }

    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = std::sync::Arc::clone(&self.exporter);
        let sent = self
            .runtime
            .spawn(async move { exporter.export(batch).await })
            .await;
        sent.unwrap_or_else(|error| {
            Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure(
                error.to_string(),
            ))
        })
    }
}
