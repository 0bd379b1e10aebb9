//! Caring for a metric's numbers: notes on points and ranges, and purging.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{Kind, RunState};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, shown};
use crate::router::Gateway;
use crate::time;

/// The longest note, in characters.
const TEXT: usize = 2_000;
/// Runs looked at for outages: two months of hourly ones.
const RUNS: u32 = 1_000;

/// What is noted of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoteList {
    items: Vec<NoteView>,
}

/// A note on a point or a range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoteView {
    /// Its number; null for one that marks itself.
    id: Option<i64>,
    /// `note` (somebody wrote it), `definition` (an edit that changed what is counted) or `outage` (no run succeeded).
    #[schema(example = "note")]
    kind: &'static str,
    /// The first instant it is about.
    start: String,
    /// The first instant past it.
    end: String,
    /// What it says.
    text: String,
    /// Who wrote it, or made the edit.
    author: Option<String>,
    /// When.
    created_at: String,
}

impl From<store::Note> for NoteView {
    fn from(note: store::Note) -> Self {
        Self {
            id: Some(note.id),
            kind: "note",
            start: time::text(note.start),
            end: time::text(note.end),
            text: note.text,
            author: Some(note.author),
            created_at: time::text(note.created_at),
        }
    }
}

/// A note to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNote {
    /// The first instant: a date in the metric's zone, or RFC 3339.
    #[schema(example = "2026-03-01")]
    start: String,
    /// The first instant past it; without it the note is on the point that holds `start`.
    #[serde(default)]
    #[schema(example = "2026-03-08")]
    end: Option<String>,
    /// What it says.
    #[schema(example = "the spring campaign")]
    text: String,
}

/// What notes are asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct NoteParameters {
    /// Only what touches the time from here on: a date in the metric's zone, or RFC 3339.
    from: Option<String>,
    /// Only what touches the time before this.
    to: Option<String>,
}

/// Lists what is noted of a metric, by start: notes, edits that changed what is counted, and times without a success.
#[utoipa::path(get, path = "/api/v1/metrics/{name}/notes", operation_id = "list_notes", tag = "series",
    params(("name" = String, Path, description = "The metric's name"), NoteParameters),
    responses((status = 200, body = NoteList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<NoteList>, Problem> {
    let name = name_of("metric", &name)?;
    let workspace = caller.workspace.as_str();
    let metric = stored(&gateway, workspace, Kind::Metric, &name)
        .await?
        .metric()?;
    let zone = metric.zone();
    let mut instant = |field: &str, otherwise: i64| match parameters.text(field) {
        None => otherwise,
        Some(text) => match rollup::range::parse_instant(&text.replace(' ', "+"), &zone) {
            Ok(at) => at.as_millisecond(),
            Err(error) => {
                parameters.refuse(field, format!("cannot be read: {error}"));
                otherwise
            }
        },
    };
    let (from, to) = (instant("from", i64::MIN), instant("to", i64::MAX));
    parameters.finish()?;
    let store = gateway.store();
    let written = store.notes(workspace, &name, from, to).await?;
    let mut items: Vec<(i64, NoteView)> = written
        .into_iter()
        .map(|note| (note.start, NoteView::from(note)))
        .collect();
    for revision in store.revisions(workspace, &name).await? {
        let at = revision.created_at;
        if revision.revision > 1 && from <= at && at < to {
            let view = NoteView {
                id: None,
                kind: "definition",
                start: time::text(at),
                end: time::text(at + 1),
                text: format!("edited: revision {} counts from here on", revision.revision),
                author: Some(revision.actor),
                created_at: time::text(at),
            };
            items.push((at, view));
        }
    }
    let runs = store.runs_of_metric(workspace, &name, RUNS, None).await?;
    items.extend(
        outages(&runs)
            .into_iter()
            .filter(|(start, end, _)| *start < to && from < *end)
            .map(|(start, _, view)| (start, view)),
    );
    items.sort_by_key(|(start, _)| *start);
    Ok(Json(NoteList {
        items: items.into_iter().map(|(_, view)| view).collect(),
    }))
}

/// Times in which runs ended and none succeeded: from the first that failed to the next success, or its end.
fn outages(runs: &[store::MetricRun]) -> Vec<(i64, i64, NoteView)> {
    let mut found: Vec<(i64, i64, NoteView)> = Vec::new();
    let mut open: Option<(i64, i64, u32, String)> = None;
    let mut close = |open: Option<(i64, i64, u32, String)>| {
        let Some((start, end, count, reason)) = open else {
            return;
        };
        let view = NoteView {
            id: None,
            kind: "outage",
            start: time::text(start),
            end: time::text(end),
            text: format!(
                "{count} runs failed{}{reason}",
                if reason.is_empty() { "" } else { ": " }
            ),
            author: None,
            created_at: time::text(end),
        };
        found.push((start, end, view));
    };
    for of in runs.iter().rev() {
        let ended = of.run.ended_at.unwrap_or(of.run.created_at);
        match of.run.state {
            RunState::Failed | RunState::Dead => {
                let (start, _, count, reason) = open.take().unwrap_or_else(|| {
                    let error = of
                        .run
                        .error
                        .as_deref()
                        .and_then(|text| serde_json::from_str(text).ok());
                    let error: serde_json::Value = error.unwrap_or_default();
                    let reason = error.get("message").and_then(serde_json::Value::as_str);
                    (
                        of.run.slot.min(ended),
                        ended,
                        0,
                        reason.unwrap_or_default().to_owned(),
                    )
                });
                open = Some((start, ended.max(start + 1), count + 1, reason));
            }
            RunState::Final => close(
                open.take()
                    .map(|(start, end, count, reason)| (start, end.max(ended), count, reason)),
            ),
            _ => {}
        }
    }
    close(open);
    found
}

/// Keeps a note on a point or a range of a metric.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/notes", operation_id = "add_note", tag = "series", request_body = NewNote,
    params(("name" = String, Path, description = "The metric's name")),
    responses((status = 201, body = NoteView), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn add(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<(StatusCode, Json<NoteView>), Problem> {
    parameters.finish()?;
    let name = name_of("metric", &name)?;
    let new: NewNote = content.json()?;
    let metric = stored(&gateway, &caller.workspace, Kind::Metric, &name)
        .await?
        .metric()?;
    let zone = metric.zone();
    let read = |field: &str, text: &str| {
        rollup::range::parse_instant(text, &zone)
            .map_err(|error| Problem::body("request.invalid", format!("`{field}`: {error}")))
    };
    let start = read("start", &new.start)?;
    let (start, end) = if let Some(end) = &new.end {
        (start, read("end", end)?)
    } else {
        let start = metric.resolution.start_of(start, &zone, metric.week_start);
        let end = metric.resolution.next(start, &zone, metric.week_start);
        (start, end)
    };
    if start >= end {
        return Err(Problem::body(
            "request.invalid",
            "`start` has to be before `end`",
        ));
    }
    let text = new.text.trim();
    if text.is_empty() || text.chars().count() > TEXT {
        return Err(Problem::body(
            "request.invalid",
            format!("`text` has 1 to {TEXT} characters"),
        ));
    }
    let range = (start.as_millisecond(), end.as_millisecond());
    let note = gateway
        .store()
        .add_note(&caller.workspace, &name, &caller.name, range, text)
        .await?;
    Ok((StatusCode::CREATED, Json(NoteView::from(note))))
}

/// Deletes a note.
#[utoipa::path(delete, path = "/api/v1/metrics/{name}/notes/{id}", operation_id = "delete_note", tag = "series",
    params(("name" = String, Path, description = "The metric's name"), ("id" = i64, Path, description = "The note's number")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    parameters.finish()?;
    let name = name_of("metric", &name)?;
    let gone = match id.parse() {
        Ok(number) => {
            gateway
                .store()
                .delete_note(&caller.workspace, &name, number)
                .await?
        }
        Err(_) => false,
    };
    if gone {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("note of this metric", &shown(&id)))
    }
}

/// That a metric holds nothing any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Purged {
    /// The metric.
    metric: String,
    /// The version of its data, which is empty.
    version: i64,
}

/// Deletes all points of a metric, and what is known of them; the next sync begins anew. For admins; noted in the audit trail, and announced.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/purge", operation_id = "purge", tag = "runs",
    params(("name" = String, Path, description = "The metric's name")),
    responses((status = 200, body = Purged), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn purge(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<Json<Purged>, Problem> {
    parameters.finish()?;
    content.nothing()?;
    let name = name_of("metric", &name)?;
    let metric = stored(&gateway, &caller.workspace, Kind::Metric, &name)
        .await?
        .metric()?;
    if metric.formula.is_some() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "metric.calculated",
            "a calculated metric keeps no points",
        )
        .detail(format!(
            "`{name}` is calculated from others when it is asked for; purge what its formula names"
        )));
    }
    let store = gateway.store();
    let version = store.purge(&caller.workspace, &caller.token, &name).await?;
    Ok(Json(Purged {
        metric: name,
        version,
    }))
}
