//! Trying a connection: a fetcher does it, as a run would.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use definition::window::plan;
use definition::{Connection, Definition, Fetch, Metric, Name};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::Kind;
use utoipa::ToSchema;
use wire::{ConnectionTest, ConnectionTested};

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;

/// A fetcher takes at most 25 s, and a request here at most 30 s.
const PATIENCE: Duration = Duration::from_secs(28);
/// As long as an address may be.
const PATH_BYTES: usize = 8192;

/// What to ask for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Trial {
    /// A path below the base address, with a query if need be; without one, the request of one of the connection's metrics
    /// as a sync would make it, or the base address where there is none.
    #[schema(example = "/v3/subscribers?page=1")]
    path: Option<String>,
}

/// What came of trying a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tried {
    /// Whether every step passed.
    ok: bool,
    /// The steps that were taken, in order.
    steps: Vec<TriedStep>,
    /// Why it failed; null when it did not.
    error: Option<TrialError>,
    /// What to do about it; null when nothing is known to help.
    cure: Option<String>,
}

/// One step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TriedStep {
    /// `secrets`, `address`, `token`, `variables`, `connect`, `answer` or `body`.
    #[schema(example = "connect")]
    step: String,
    /// `passed` or `failed`.
    #[schema(example = "passed")]
    outcome: String,
    /// What was seen.
    message: String,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

/// Why a connection does not work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialError {
    /// Stable code.
    #[schema(example = "upstream.unauthorized")]
    code: String,
    /// One sentence.
    message: String,
    /// The HTTP status; null when there was no answer.
    status: Option<u32>,
    /// The beginning of the answer, credentials masked; empty when there was none.
    excerpt: String,
}

/// Tries a connection and says in plain words what works and what does not.
#[utoipa::path(post, path = "/api/v1/connections/{name}/test", operation_id = "test_connection", tag = "connections",
    params(("name" = String, Path, description = "The connection's name")),
    request_body(content = Option<Trial>),
    responses((status = 200, body = Tried), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn test(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<Json<Tried>, Problem> {
    parameters.finish()?;
    let name = name_of("connection", &name)?;
    let trial = if content.bytes.is_empty() {
        Trial::default()
    } else {
        content.json::<Trial>()?
    };
    let path = trial.path.unwrap_or_default();
    if path.len() > PATH_BYTES || path.contains("://") || path.chars().any(char::is_control) {
        return Err(Problem::body(
            "request.invalid",
            "`path` is a path below the connection's base_url, such as /v3/subscribers",
        ));
    }
    let stored = stored(&gateway, &caller.workspace, Kind::Connection, &name).await?;
    let connection = stored.connection()?;
    let needed = connection.secrets();
    let used = if path.is_empty() {
        used(&gateway, &caller.workspace, &name).await?
    } else {
        None
    };
    let used = used.unwrap_or_default();
    let question = ConnectionTest {
        request: used.request,
        window: used.window,
        timezone: used.timezone,
        asks_for: used.of,
        workspace: caller.workspace.clone(),
        secrets: sealed(&gateway, &caller.workspace, &connection, &needed).await?,
        connection: Some(Definition::Connection(connection).to_document().into()),
        path,
        requires: Vec::new(),
    };
    let tested: ConnectionTested = gateway
        .bus()
        .ask(&question, PATIENCE)
        .await
        .map_err(|error| no_fetcher(&error))?;
    Ok(Json(Tried {
        ok: tested.ok,
        steps: tested
            .steps
            .into_iter()
            .map(|step| TriedStep {
                step: step.step,
                outcome: step.outcome,
                message: step.message,
                took_ms: step.took_ms,
            })
            .collect(),
        error: tested.error.map(|error| TrialError {
            code: error.code,
            message: error.message,
            status: error.status,
            excerpt: error.excerpt,
        }),
        cure: Some(tested.cure).filter(|cure| !cure.is_empty()),
    }))
}

/// A request that is made of the connection already.
#[derive(Default)]
struct Used {
    /// The metric or dataset.
    of: String,
    request: Option<wire::Json>,
    window: Option<wire::Window>,
    timezone: String,
}

/// The request of a metric of the connection, as its next sync would make it; one that needs no record of a parent.
async fn used(
    gateway: &Gateway,
    workspace: &str,
    connection: &str,
) -> Result<Option<Used>, Problem> {
    let datasets = gateway.store().datasets_of(workspace, connection).await?;
    let ids: Vec<String> = datasets.iter().map(|one| one.id.clone()).collect();
    let metrics = gateway.store().metrics_of_all(workspace, &ids).await?;
    let mut best: Option<(u8, Fetch, Option<Metric>, String)> = None;
    for dataset in &datasets {
        // What cannot be read is told by those who need it.
        let Ok(fetch) = dataset.fetch() else { continue };
        if fetch.parent.is_some() {
            continue;
        }
        let own = metrics.get(&dataset.id).into_iter().flatten();
        let own: Vec<Metric> = own.filter_map(|stored| stored.metric().ok()).collect();
        let metric = own.iter().find(|one| !one.paused).or(own.first()).cloned();
        let rank = match &metric {
            Some(metric) if !metric.paused => 2,
            Some(_) => 1,
            None => 0,
        };
        let name = metric.as_ref().map(|metric| metric.name.to_string());
        let name = name.or_else(|| dataset.name.clone()).unwrap_or_default();
        if best.as_ref().is_none_or(|(known, ..)| rank > *known) {
            best = Some((rank, fetch, metric, name));
        }
    }
    Ok(best.map(|(_, fetch, metric, of)| Used {
        of,
        window: window(gateway, &fetch, metric.as_ref()),
        timezone: fetch.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        request: Some(
            serde_json::to_value(&fetch.request)
                .unwrap_or_default()
                .into(),
        ),
    }))
}

/// The newest window that a first sync would ask for.
fn window(gateway: &Gateway, fetch: &Fetch, metric: Option<&Metric>) -> Option<wire::Window> {
    let windows = plan(
        fetch.window.as_ref()?,
        &[],
        None,
        gateway.context().clock.now(),
        &metric.map_or(jiff::tz::TimeZone::UTC, Metric::zone),
        metric.map_or(definition::Granularity::Day, |metric| metric.resolution),
        metric.map_or(jiff::civil::Weekday::Monday, |metric| metric.week_start),
    );
    windows.first().map(|newest| wire::Window {
        start: newest.start.to_string(),
        end: newest.end.to_string(),
    })
}

/// The sealed values of what a connection needs, tied to its addresses; what is not set is left out.
pub(crate) async fn sealed(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
    names: &[Name],
) -> Result<Vec<wire::SealedSecret>, Problem> {
    crate::secrets::bind(gateway, workspace, connection).await?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let found = gateway.store().sealed_secrets(workspace, &names).await?;
    Ok(found
        .into_iter()
        .map(|secret| wire::SealedSecret {
            name: secret.name,
            version: secret.version,
            sealed: secret.sealed,
            origins: secret.origins,
        })
        .collect())
}

/// The problem of a question that no fetcher answered.
pub(crate) fn no_fetcher(error: &bus::Error) -> Problem {
    tracing::warn!(error = %service::report::chain(error), "no fetcher answered");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "fetcher.away",
        "no fetcher answers",
    )
    .detail("start one with `tidemark fetcher`, or try again in a moment")
}
