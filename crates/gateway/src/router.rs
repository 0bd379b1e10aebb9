//! Every route in one table: method, path, the role it needs, and its handler.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use http::{Method, StatusCode};
use service::{Context, Recipient};
use store::Store;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::auth::{Role, Tokens, authorize};
use crate::config::Config;
use crate::definitions::{alerts, boards, connections, datasets, goals, metrics, scorecards};
use crate::idempotency::{Idempotency, once};
use crate::instruments::Instruments;
use crate::problem::Problem;
use crate::series::Series;
use crate::updates::Updates;
use crate::{
    apply, audit, authorize, boards as boards_data, care, catalogue, deliveries, doorway, export,
    goals as goals_far, openapi, pages, points, preview, probes, progress, provenance, runs,
    secrets, series, sync, tokens, trial, updates,
};

/// Everything that handlers share; cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    config: Config,
    context: Context,
    store: Store,
    bus: bus::Bus,
    recipient: Recipient,
    tokens: Tokens,
    series: Series,
    updates: Updates,
    idempotency: Idempotency,
    instruments: Instruments,
    closing: CancellationToken,
}

impl Gateway {
    /// Returns the state of a gateway over this store and bus, sealing secrets to `recipient`.
    pub fn new(
        config: Config,
        context: Context,
        store: Store,
        bus: bus::Bus,
        recipient: Recipient,
    ) -> Self {
        let instruments = Instruments::new(&context.meter);
        Self(Arc::new(Shared {
            tokens: Tokens::new(&config.limits),
            series: Series::new(&config.limits),
            updates: Updates::new(&config.limits),
            idempotency: Idempotency::default(),
            instruments,
            closing: CancellationToken::new(),
            config,
            context,
            store,
            bus,
            recipient,
        }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn bus(&self) -> &bus::Bus {
        &self.0.bus
    }

    pub(crate) fn recipient(&self) -> &Recipient {
        &self.0.recipient
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn series(&self) -> &Series {
        &self.0.series
    }

    pub(crate) fn updates(&self) -> &Updates {
        &self.0.updates
    }

    pub(crate) fn idempotency(&self) -> &Idempotency {
        &self.0.idempotency
    }

    pub(crate) fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    /// Given when streams have to end, because the gateway does.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Tells the scheduler that something waits; it looks by itself every little while, so a lost
    /// call costs time and nothing else.
    pub(crate) async fn wake(&self, workspace: &str, dataset: &str) {
        /// A broker that is away must not make a request wait that the store has accepted.
        const PATIENCE: Duration = Duration::from_millis(500);
        match tokio::time::timeout(PATIENCE, self.bus().wake(workspace, dataset)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, dataset, "the scheduler was not woken");
            }
            Err(_) => tracing::warn!(dataset, "the scheduler was not woken in time"),
        }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// One route of the gateway.
struct Route {
    method: Method,
    path: &'static str,
    /// The role it needs; none for those that anybody may ask.
    needs: Option<Role>,
    handler: MethodRouter<Gateway>,
}

fn routes() -> Vec<Route> {
    use Role::{Admin, Editor, Viewer};
    let route = |method, path, needs, handler| Route {
        method,
        path,
        needs,
        handler,
    };
    let read = |path, needs, handler| route(Method::GET, path, Some(needs), handler);
    let write = |path, handler| route(Method::POST, path, Some(Editor), handler);
    vec![
        write("/api/v1/apply", post(apply::apply)),
        write(preview::ROUTE, post(preview::preview)),
        read("/api/v1/connections", Viewer, get(connections::list)),
        read("/api/v1/connections/{name}", Viewer, get(connections::get)),
        route(
            Method::PUT,
            "/api/v1/connections/{name}",
            Some(Editor),
            put(connections::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/connections/{name}",
            Some(Editor),
            delete(connections::delete),
        ),
        write("/api/v1/connections/{name}/test", post(trial::test)),
        write(
            "/api/v1/connections/{name}/authorize",
            post(authorize::begin),
        ),
        read(
            "/api/v1/connections/{name}/authorize",
            Editor,
            get(authorize::standing),
        ),
        route(
            Method::GET,
            "/oauth/callback",
            None,
            get(authorize::callback),
        ),
        read("/api/v1/datasets", Viewer, get(datasets::list)),
        read("/api/v1/datasets/{name}", Viewer, get(datasets::get)),
        route(
            Method::PUT,
            "/api/v1/datasets/{name}",
            Some(Editor),
            put(datasets::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/datasets/{name}",
            Some(Editor),
            delete(datasets::delete),
        ),
        read("/api/v1/metrics", Viewer, get(metrics::list)),
        read("/api/v1/metrics/{name}", Viewer, get(metrics::get)),
        route(
            Method::PUT,
            "/api/v1/metrics/{name}",
            Some(Editor),
            put(metrics::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/metrics/{name}",
            Some(Editor),
            delete(metrics::delete),
        ),
        read("/api/v1/goals", Viewer, get(goals::list)),
        read("/api/v1/goals/{name}", Viewer, get(goals::get)),
        route(
            Method::PUT,
            "/api/v1/goals/{name}",
            Some(Editor),
            put(goals::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/goals/{name}",
            Some(Editor),
            delete(goals::delete),
        ),
        read(
            "/api/v1/goals/{name}/progress",
            Viewer,
            get(goals_far::progress),
        ),
        read("/api/v1/boards/{name}/data", Viewer, get(boards_data::data)),
        read(
            "/api/v1/scorecards/{name}/data",
            Viewer,
            get(boards_data::scorecard),
        ),
        read("/api/v1/deliveries", Viewer, get(deliveries::list)),
        read("/api/v1/alerts", Viewer, get(alerts::list)),
        read("/api/v1/alerts/{name}", Viewer, get(alerts::get)),
        route(
            Method::PUT,
            "/api/v1/alerts/{name}",
            Some(Editor),
            put(alerts::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/alerts/{name}",
            Some(Editor),
            delete(alerts::delete),
        ),
        read("/api/v1/boards", Viewer, get(boards::list)),
        read("/api/v1/boards/{name}", Viewer, get(boards::get)),
        route(
            Method::PUT,
            "/api/v1/boards/{name}",
            Some(Editor),
            put(boards::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/boards/{name}",
            Some(Editor),
            delete(boards::delete),
        ),
        read("/api/v1/scorecards", Viewer, get(scorecards::list)),
        read("/api/v1/scorecards/{name}", Viewer, get(scorecards::get)),
        route(
            Method::PUT,
            "/api/v1/scorecards/{name}",
            Some(Editor),
            put(scorecards::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/scorecards/{name}",
            Some(Editor),
            delete(scorecards::delete),
        ),
        read("/api/v1/metrics/{name}/series", Viewer, get(series::series)),
        read("/api/v1/metrics/{name}/value", Viewer, get(series::value)),
        write("/api/v1/metrics/{name}/points", post(points::push)),
        write("/api/v1/metrics/{name}/sync", post(sync::sync)),
        write("/api/v1/metrics/{name}/backfill", post(sync::backfill)),
        write("/api/v1/metrics/{name}/recompute", post(sync::recompute)),
        route(
            Method::POST,
            "/api/v1/metrics/{name}/purge",
            Some(Admin),
            post(care::purge),
        ),
        read("/api/v1/metrics/{name}/notes", Viewer, get(care::list)),
        write("/api/v1/metrics/{name}/notes", post(care::add)),
        route(
            Method::DELETE,
            "/api/v1/metrics/{name}/notes/{id}",
            Some(Editor),
            delete(care::remove),
        ),
        read(
            "/api/v1/metrics/{name}/provenance",
            Viewer,
            get(provenance::provenance),
        ),
        read("/api/v1/metrics/{name}/runs", Viewer, get(runs::list)),
        read("/api/v1/runs/{id}", Viewer, get(runs::get)),
        read("/api/v1/runs/{id}/pages", Viewer, get(runs::pages)),
        read("/api/v1/runs/{id}/pages/{number}", Editor, get(pages::body)),
        read("/api/v1/runs/{id}/rejected", Viewer, get(runs::rejected)),
        read("/api/v1/runs/{id}/events", Viewer, get(progress::events)),
        read("/api/v1/updates", Viewer, get(updates::updates)),
        read(
            "/api/v1/export/openmetrics",
            Viewer,
            get(export::openmetrics),
        ),
        read("/api/v1/secrets", Editor, get(secrets::list)),
        route(
            Method::PUT,
            "/api/v1/secrets/{name}",
            Some(Editor),
            put(secrets::put),
        ),
        route(
            Method::DELETE,
            "/api/v1/secrets/{name}",
            Some(Editor),
            delete(secrets::delete),
        ),
        read("/api/v1/connectors", Viewer, get(catalogue::list)),
        read("/api/v1/connectors/{name}", Viewer, get(catalogue::get)),
        read("/api/v1/tokens", Admin, get(tokens::list)),
        route(
            Method::POST,
            "/api/v1/tokens",
            Some(Admin),
            post(tokens::create),
        ),
        route(
            Method::DELETE,
            "/api/v1/tokens/{id}",
            Some(Admin),
            delete(tokens::revoke),
        ),
        read("/api/v1/audit", Admin, get(audit::list)),
        read("/api/v1/me", Viewer, get(tokens::me)),
        route(Method::GET, "/livez", None, get(probes::livez)),
        route(Method::GET, "/readyz", None, get(probes::readyz)),
        route(Method::GET, "/metrics", None, get(probes::metrics)),
        route(Method::GET, "/openapi.json", None, get(openapi::document)),
        route(Method::GET, "/docs", None, get(openapi::page)),
        route(Method::GET, "/docs/docs.js", None, get(openapi::script)),
        route(Method::GET, "/docs/docs.css", None, get(openapi::style)),
        route(Method::GET, "/", None, get(openapi::welcome)),
    ]
}

/// Returns the gateway's HTTP service.
pub fn router(gateway: Gateway) -> Router {
    let mut router: Router<Gateway> = Router::new();
    for route in routes() {
        if route.path == "/metrics" && !gateway.config().serves_telemetry {
            continue;
        }
        let handler = match route.needs {
            // The last layer is the first that a request meets.
            Some(role) => {
                let handler = if route.method == Method::POST {
                    route
                        .handler
                        .route_layer(from_fn_with_state(gateway.clone(), once))
                } else {
                    route.handler
                };
                handler.route_layer(from_fn_with_state((gateway.clone(), role), authorize))
            }
            None => route.handler,
        };
        router = router.route(route.path, handler);
    }
    router
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(gateway.clone(), doorway::bound_head))
        .layer(from_fn(doorway::harden))
        .layer(from_fn_with_state(gateway.clone(), doorway::measure))
        .with_state(gateway)
}

/// Returns method and path of every route; the OpenAPI document is compared with it.
#[cfg(test)]
pub(crate) fn inventory() -> Vec<(Method, &'static str, bool)> {
    routes()
        .into_iter()
        .map(|route| (route.method, route.path, route.needs.is_some()))
        .collect()
}

async fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such address",
    )
    .detail("`/docs` lists every route")
}

async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        // No CORS headers: pages of other origins have nothing to ask here.
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "request.method",
        "this route does not take that method",
    )
    .detail("the `Allow` header lists those it takes; `/docs` says what they do")
    .into_response()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)");
    tracing::error!(panic = message, "a handler panicked");
    Problem::internal().into_response()
}
