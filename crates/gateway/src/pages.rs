//! The body of one page of a run, as it was fetched: for recordings. Reading one is noted in the audit trail.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::runs;

/// Reads the body of one page of a run, with secrets masked, while it is kept.
#[utoipa::path(get, path = "/api/v1/runs/{id}/pages/{number}", operation_id = "get_page", tag = "runs",
    params(("id" = String, Path, description = "The run's id"), ("number" = u32, Path, description = "The page's place in the run")),
    responses((status = 200, body = Object),
        (status = 410, description = "The page is not kept any more", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn body(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let manifest = runs::manifest(&gateway, &caller.workspace, &id).await?;
    let pages = manifest.map(|manifest| manifest.pages).unwrap_or_default();
    let wanted: Option<u32> = number.parse().ok();
    let page = pages
        .into_iter()
        .find(|page| Some(page.number) == wanted)
        .ok_or_else(|| Problem::not_found("page of this run", &number))?;
    let name = format!("{id}/{number}");
    gateway
        .store()
        .note(&caller.workspace, &caller.token, "read", "page", &name)
        .await?;
    let found = gateway.bus().pages(&[page]).await.map_err(|error| {
        tracing::warn!(%error, run = id, "a page could not be read");
        Problem::bus_unavailable()
    })?;
    let body = found.and_then(|mut bodies| bodies.pop()).ok_or_else(|| {
        Problem::new(
            StatusCode::GONE,
            "page.gone",
            "this page is not kept any more",
        )
        .detail("the pages of a dataset's last three runs are kept; sync again for new ones")
    })?;
    // Whatever an API sent is never shown as a page of this origin.
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, body).into_response())
}
