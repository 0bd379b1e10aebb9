//! The audit trail: who did what.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::cursor;
use crate::definitions::json_or_text;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::runs::RunParameters;
use crate::time;

/// One page of the trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditList {
    items: Vec<AuditView>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// Its place in the trail.
    id: i64,
    /// When.
    at: String,
    /// Who: a token's id, or a word for the installation itself.
    actor: String,
    /// What.
    #[schema(example = "updated")]
    action: String,
    /// To what kind of thing.
    #[schema(example = "metric")]
    kind: String,
    /// Its name.
    name: String,
    /// More; never a secret.
    detail: Option<Value>,
}

/// Lists who did what in the workspace, newest first.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "audit", params(RunParameters),
    responses((status = 200, body = AuditList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Json<AuditList>, Problem> {
    let cursor = parameters.text("cursor");
    let limit = parameters.limit();
    parameters.finish()?;
    let before = cursor::read("audit", cursor.as_deref())?.and_then(|place| place.parse().ok());
    let rows = gateway
        .store()
        .audit(Some(&caller.workspace), limit, before)
        .await?;
    let full = rows.len() >= limit as usize;
    let next_cursor = rows
        .last()
        .filter(|_| full)
        .map(|row| cursor::write("audit", &row.id.to_string()));
    let items = rows
        .into_iter()
        .map(|row| AuditView {
            id: row.id,
            at: time::text(row.at),
            actor: row.actor,
            action: row.action,
            kind: row.kind,
            name: row.name,
            detail: row.detail.as_deref().map(json_or_text),
        })
        .collect();
    Ok(Json(AuditList { items, next_cursor }))
}
