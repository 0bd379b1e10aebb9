//! `/livez`, `/readyz` and, in standalone, `/metrics`, on the gateway's own port.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::router::Gateway;

/// Tells whether the process still turns.
#[utoipa::path(get, path = "/livez", tag = "operation", security(()),
    responses((status = 200, body = String), (status = 503, body = String)))]
pub(crate) async fn livez(State(gateway): State<Gateway>) -> Response {
    let stuck = gateway.context().liveness.stuck();
    verdict("stuck", &stuck)
}

/// Tells whether the gateway takes requests; an outage behind it does not change that.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = String), (status = 503, body = String)))]
pub(crate) async fn readyz(State(gateway): State<Gateway>) -> Response {
    let readiness = &gateway.context().readiness;
    if readiness.is_ready() {
        return verdict("", &[]);
    }
    match readiness.waiting_for().as_slice() {
        [] => verdict("not ready", &["stopping or not started"]),
        waiting => verdict("waiting for", waiting),
    }
}

/// The instruments of this process, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics() -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, service::telemetry::render()).into_response()
}

fn verdict(reason: &str, names: &[&str]) -> Response {
    if names.is_empty() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{reason}: {}\n", names.join(", ")),
        )
            .into_response()
    }
}
