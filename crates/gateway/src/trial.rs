//! Trying a connection: a fetcher does it, as a run would.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use definition::{Connection, Definition, Name};
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
    /// A path below the base address, with a query if need be; the base address itself without one.
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
    /// `secrets`, `address`, `token`, `connect`, `answer` or `body`.
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
    let question = ConnectionTest {
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
