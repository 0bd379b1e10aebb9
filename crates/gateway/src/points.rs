//! Values that come from elsewhere: a metric need not have an API.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Kind;
use utoipa::ToSchema;
use wire::{RowsPushed, RowsTaken};

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{OUTAGE_RETRY_SECONDS, Problem, ProblemDocument, ProblemItem, shown};
use crate::router::Gateway;

/// With quotes escaped these stay below a NATS message of 1 MiB.
const MOST_BYTES: usize = 400 * 1024;
/// Rows of one request; more are sent in several.
const MOST_ROWS: usize = 10_000;
/// A commit takes milliseconds; past this an evaluator is away or busy with something that ends.
const WITHIN: Duration = Duration::from_secs(20);

/// What became of the rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointsTaken {
    /// The metric.
    #[schema(example = "shop_visitors")]
    metric: String,
    /// The run that keeps what was done.
    #[schema(example = "r_01234567890123456789")]
    run: String,
    /// Rows that count.
    rows: u64,
    /// Points changed.
    changed: u64,
    /// The version of the metric's data now.
    version: i64,
}

/// Takes rows of a metric with `source: push`: a list of `{value, date?, dimensions?, unit?, key?, deleted?}`, or one of them.
/// All of them are taken, or none. A row with the key of an earlier one replaces it; without a key its date and
/// dimensions are what it is known by, and without a date its place in the request of this `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/points", operation_id = "push_points", tag = "series",
    params(("name" = String, Path, description = "The metric's name")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = PointsTaken),
        (status = 409, description = "The metric is fetched", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "Some rows cannot be used, each with its place and reason; none was taken", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "No evaluator takes them", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn push(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    headers: HeaderMap,
    content: Content,
) -> Result<Json<PointsTaken>, Problem> {
    parameters.finish()?;
    let name = name_of("metric", &name)?;
    let metric = stored(&gateway, &caller.workspace, Kind::Metric, &name)
        .await?
        .metric()?;
    if !metric.is_pushed() {
        return Err(not_pushed(&name));
    }
    if content.bytes.len() > MOST_BYTES {
        return Err(too_many(&format!(
            "{} bytes; at most {MOST_BYTES} are taken at once",
            content.bytes.len()
        )));
    }
    let rows = rows(&content)?;
    let deadline =
        Timestamp::now().checked_add(SignedDuration::try_from(WITHIN).unwrap_or_default());
    let pushed = RowsPushed {
        workspace: caller.workspace.clone(),
        metric: name.clone(),
        rows,
        reason: format!("pushed by {}", shown(&caller.name)),
        deadline: deadline.map(|at| at.to_string()).unwrap_or_default(),
        requires: Vec::new(),
        batch: batch(&headers),
    };
    let taken: RowsTaken = gateway.bus().ask(&pushed, WITHIN).await.map_err(|error| {
        tracing::warn!(%error, metric = name, "pushed rows were not taken");
        unanswered()
    })?;
    if let Some(error) = taken.error {
        return Err(match error.code.as_str() {
            "not_found" => Problem::not_found("metric", &name),
            "metric.not_pushed" => not_pushed(&name),
            "push.unavailable" | "push.late" | "push.too_new" => unanswered(),
            "push.failed" => Problem::internal(),
            code => Problem::body(code, error.message)
                .items(taken.samples.iter().map(|row| refused(&row.0)).collect()),
        });
    }
    Ok(Json(PointsTaken {
        metric: name,
        run: taken.run,
        rows: taken.rows,
        changed: taken.changed,
        version: taken.version,
    }))
}

/// The sender's name for these rows, read by the doorway already.
fn batch(headers: &HeaderMap) -> String {
    let key = headers.get("idempotency-key");
    let key = key.and_then(|key| key.to_str().ok());
    key.unwrap_or_default().to_owned()
}

/// A row that cannot be used, with its place.
fn refused(row: &Value) -> ProblemItem {
    let of = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    ProblemItem {
        code: of("code").to_owned(),
        severity: "error",
        source: "body".to_owned(),
        line: 0,
        column: 0,
        path: format!("rows[{}]", row.get("row").unwrap_or(&Value::Null)),
        message: of("reason").to_owned(),
        hint: None,
    }
}

/// Rows in an object of their own.
#[derive(Deserialize)]
struct Rows {
    rows: Box<serde_json::value::RawValue>,
}

/// Reads the body as far as the gateway has to: a list of rows, `{"rows": […]}`, or one row.
fn rows(content: &Content) -> Result<String, Problem> {
    let body = content.value()?;
    let count = |rows: &[Value]| {
        if rows.is_empty() {
            return Err(Problem::body("request.invalid", "there are no rows"));
        }
        if rows.len() > MOST_ROWS {
            return Err(too_many(&format!(
                "{} rows; at most {MOST_ROWS} are taken at once",
                rows.len()
            )));
        }
        Ok(())
    };
    match &body {
        Value::Array(rows) => count(rows)?,
        Value::Object(fields) => match fields.get("rows") {
            None => {}
            Some(Value::Array(rows)) if fields.len() == 1 => {
                count(rows)?;
                // As they came: digits that a double would lose are kept.
                return content.json().map(|Rows { rows }| rows.get().to_owned());
            }
            Some(_) => {
                return Err(Problem::body(
                    "request.invalid",
                    "`rows` is a list, and stands alone",
                ));
            }
        },
        _ => {
            return Err(Problem::body(
                "request.invalid",
                "the body is a list of rows",
            ));
        }
    }
    content.text().map(str::to_owned)
}

fn not_pushed(name: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "metric.not_pushed",
        "this metric is fetched",
    )
    .detail(format!(
        "`{}` has a request; only a metric with `source: push` is told its values",
        shown(name)
    ))
}

fn too_many(detail: &str) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request.too_large",
        "these are too many rows at once",
    )
    .detail(format!("{detail}; send them in several requests"))
}

fn unanswered() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "push.unanswered",
        "no evaluator took the rows",
    )
    .detail("send them again shortly: a row that was taken already changes nothing")
    .retry_after(OUTAGE_RETRY_SECONDS)
}
