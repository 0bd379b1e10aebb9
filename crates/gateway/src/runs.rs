//! Runs: listed, read, and told about page by page.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Kind, MetricOutcome, MetricRun, Run};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::cursor;
use crate::definitions::{json_or_text, name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::time;

/// A half-open range of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WindowView {
    /// The first instant inside.
    start: String,
    /// The first instant past it.
    end: String,
}

impl From<wire::Window> for WindowView {
    fn from(window: wire::Window) -> Self {
        Self {
            start: window.start,
            end: window.end,
        }
    }
}

impl From<store::Interval> for WindowView {
    fn from(interval: store::Interval) -> Self {
        Self {
            start: time::text(interval.start),
            end: time::text(interval.end),
        }
    }
}

/// A run as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    /// Its id.
    #[schema(example = "r_01234567890123456789")]
    id: String,
    /// The dataset it fetches.
    dataset: String,
    /// The connection it asks.
    connection: String,
    /// Why it exists: `scheduled`, `manual`, `backfill` or `recovery`.
    kind: &'static str,
    /// The scheduled instant, or that of the request.
    slot: String,
    /// The range asked for; null: whatever the API answers.
    window: Option<WindowView>,
    /// `waiting`, `dispatched`, `fetched`, `final`, `failed`, `dead`, `superseded` or `cancelled`.
    #[schema(example = "final")]
    state: &'static str,
    /// Whether the state will never change again.
    is_ended: bool,
    /// How the fetch ended, such as `total_reached` or `page_cap`.
    ended: Option<String>,
    /// How often it was handed to a fetcher.
    attempt: u32,
    /// Pages read.
    pages: i64,
    /// Records fetched, repeated ones included, as far as they can be counted; null before the fetch ended.
    records: Option<i64>,
    /// Records that the API says there are; null when it does not say.
    stated_total: Option<i64>,
    /// Requests sent, retries included; null before the fetch ended.
    requests: Option<i64>,
    /// Milliseconds from when it was handed to a fetcher to its end; null before that.
    duration_ms: Option<i64>,
    /// Rows used: over all metrics, and in a metric's list its own.
    rows: i64,
    /// Rows left out because they lie outside of the window: of all metrics, and in a metric's list its own; null in
    /// other lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<u64>,
    /// Rows rejected: over all metrics, and in a metric's list its own.
    rejected: i64,
    /// In a metric's list: `applied`, `failed` or `dead`, once its part of the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// In a metric's list: how many points its part of the run changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<i64>,
    /// In a metric's list: the reasons of its rejected rows, with how many there are of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rejected_by: BTreeMap<String, u64>,
    /// Whether it is not whole: cut short, short of the stated total, or shifted while it was read; `notes` say why.
    partial: bool,
    /// What went wrong, redacted.
    error: Option<Value>,
    /// Why it exists or waits, for people.
    reason: Option<String>,
    /// What else a person should know, such as that the stated total changed during the run; in a metric's list with
    /// what is to be known of its own part.
    notes: Vec<String>,
    /// When it was opened.
    created_at: String,
    /// When it was last handed to a fetcher.
    dispatched_at: Option<String>,
    /// When its last page was fetched.
    fetched_at: Option<String>,
    /// When it ended.
    ended_at: Option<String>,
    /// What it did to each metric; only when asked for by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Vec<OutcomeView>>,
}

/// What a run did to one metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomeView {
    /// The metric's name.
    metric: String,
    /// The revision evaluated.
    revision: i64,
    /// `applied`, `failed` or `dead`.
    outcome: &'static str,
    /// Rows evaluated that can be used, those left out included, those outside of the window not.
    rows: i64,
    /// Rows rejected.
    rejected: i64,
    /// The reasons of the rejected rows, with how many there are of each.
    rejected_by: BTreeMap<String, u64>,
    /// Rows of buckets that stay as they are; `notes` say why.
    left_out: u64,
    /// Rows that lie outside of the run's window.
    outside: u64,
    /// What a person should know of this part, such as which buckets stay as they are, and why.
    notes: Vec<String>,
    /// Cells changed.
    changed: i64,
    /// The newest of the points that changed, at most 20: `{start, granularity, dimensions, unit, value, previous}`.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Value>,
    /// Series left out because the metric has too many.
    overflow: i64,
    /// The version of the metric's data after it.
    version: i64,
    /// What went wrong, redacted.
    error: Option<Value>,
    /// When.
    at: String,
}

/// What the evaluator told of an outcome besides its counts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    rejected_by: BTreeMap<String, u64>,
    left_out: u64,
    outside: u64,
    notes: Vec<String>,
    changes: Vec<Value>,
}

impl Details {
    fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

impl From<MetricOutcome> for OutcomeView {
    fn from(outcome: MetricOutcome) -> Self {
        let details = Details::read(outcome.details.as_deref());
        Self {
            rejected_by: details.rejected_by,
            left_out: details.left_out,
            outside: details.outside,
            notes: details.notes,
            changes: details.changes,
            metric: outcome.metric,
            revision: outcome.revision,
            outcome: outcome.outcome.as_str(),
            rows: outcome.rows,
            rejected: outcome.rejected,
            changed: outcome.changed,
            overflow: outcome.overflow,
            version: outcome.version,
            error: outcome.error.as_deref().map(json_or_text),
            at: time::text(outcome.at),
        }
    }
}

impl RunView {
    /// Returns a run without its outcomes.
    pub(crate) fn of(run: Run) -> Self {
        Self {
            id: run.id,
            dataset: run.dataset,
            connection: run.connection,
            kind: run.kind.as_str(),
            slot: time::text(run.slot),
            window: run.window.map(WindowView::from),
            state: run.state.as_str(),
            is_ended: run.state.is_ended(),
            ended: run.ended,
            attempt: run.attempt,
            pages: run.pages,
            records: run.records,
            stated_total: run.stated_total,
            requests: run.requests,
            duration_ms: run
                .dispatched_at
                .zip(run.ended_at)
                .map(|(from, to)| (to - from).max(0)),
            rows: run.rows,
            rejected: run.rejected,
            outside: None,
            changed: None,
            rejected_by: BTreeMap::new(),
            outcome: None,
            partial: run.partial,
            error: run.error.as_deref().map(json_or_text),
            reason: run.reason,
            notes: run.notes,
            created_at: time::text(run.created_at),
            dispatched_at: run.dispatched_at.map(time::text),
            fetched_at: run.fetched_at.map(time::text),
            ended_at: run.ended_at.map(time::text),
            metrics: None,
        }
    }

    /// Returns a run as one metric sees it.
    fn of_metric(of: MetricRun) -> Self {
        let own = of.outcome_error.as_deref().map(json_or_text);
        let details = Details::read(of.details.as_deref());
        let mut view = Self::of(of.run);
        view.notes.extend(details.notes);
        Self {
            outcome: of.outcome.map(store::Outcome::as_str),
            changed: of.changed,
            rejected_by: details.rejected_by,
            outside: Some(details.outside),
            error: own.or(view.error),
            ..view
        }
    }

    /// Returns a run with what it did to each metric.
    pub(crate) fn detailed(detail: store::RunDetail) -> Self {
        let metrics: Vec<_> = detail.outcomes.into_iter().map(OutcomeView::from).collect();
        Self {
            outside: Some(metrics.iter().map(|one| one.outside).sum()),
            metrics: Some(metrics),
            ..Self::of(detail.run)
        }
    }
}

/// What a list of runs is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct RunParameters {
    /// Where to go on: the `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// One page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunList {
    items: Vec<RunView>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// Lists the runs that concern a metric, newest first: those of the dataset that it reads, and those that gave it
/// something before its request was edited.
#[utoipa::path(get, path = "/api/v1/metrics/{name}/runs", operation_id = "list_runs", tag = "runs",
    params(("name" = String, Path, description = "The metric's name"), RunParameters),
    responses((status = 200, body = RunList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<RunList>, Problem> {
    let cursor = parameters.text("cursor");
    let limit = parameters.limit();
    parameters.finish()?;
    let cursor = cursor::read("run", cursor.as_deref())?;
    let name = name_of("metric", &name)?;
    stored(&gateway, &caller.workspace, Kind::Metric, &name).await?;
    let runs = gateway
        .store()
        .runs_of_metric(&caller.workspace, &name, limit, cursor.as_deref())
        .await?;
    let full = runs.len() >= limit as usize;
    let last = runs.last().filter(|_| full);
    let next_cursor = last.map(|last| cursor::write("run", &last.run.id));
    Ok(Json(RunList {
        items: runs.into_iter().map(RunView::of_metric).collect(),
        next_cursor,
    }))
}

/// Reads one run with what it did to each metric.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunView), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn get(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    parameters.finish()?;
    Ok(Json(RunView::detailed(
        detail(&gateway, &caller.workspace, &id).await?,
    )))
}

/// The pages of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageList {
    items: Vec<PageView>,
}

/// One page that a run read; its body is in the stream while the run is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView {
    /// Its place in the run.
    number: u32,
    /// The HTTP status.
    status: u32,
    /// The body's length.
    bytes: u64,
    /// The records in it, where they could be counted.
    records: Option<i64>,
    /// When it was fetched.
    fetched_at: String,
    /// Where from, without secrets.
    url: String,
    /// The body's hash.
    hash: String,
    /// Whether an earlier page had the same body.
    duplicate: bool,
    /// Where it is in the stream of pages.
    sequences: Vec<u64>,
    /// The record of the parent dataset that it was asked for, without its longest fields; null without a parent.
    #[schema(value_type = Option<Object>)]
    parent: Option<Value>,
    /// The number of that record among the parent's, from 1; null without a parent.
    parent_number: Option<u32>,
}

impl From<wire::PageEntry> for PageView {
    fn from(page: wire::PageEntry) -> Self {
        Self {
            number: page.number,
            status: page.status,
            bytes: page.bytes,
            records: page.records,
            fetched_at: page.fetched_at,
            url: page.url,
            hash: page.hash,
            duplicate: page.duplicate,
            sequences: page.sequences,
            parent: page.parent.map(wire::Json::into_value),
            parent_number: Some(page.parent_number).filter(|number| *number > 0),
        }
    }
}

/// Lists the pages that a run read.
#[utoipa::path(get, path = "/api/v1/runs/{id}/pages", operation_id = "list_pages", tag = "runs",
    params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, body = PageList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn pages(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(id): Path<String>,
) -> Result<Json<PageList>, Problem> {
    parameters.finish()?;
    let manifest = manifest(&gateway, &caller.workspace, &id).await?;
    let pages = manifest.map(|manifest| manifest.pages).unwrap_or_default();
    Ok(Json(PageList {
        items: pages.into_iter().map(PageView::from).collect(),
    }))
}

/// Returns the manifest that a run ended with; nothing while it has not.
pub(crate) async fn manifest(
    gateway: &Gateway,
    workspace: &str,
    id: &str,
) -> Result<Option<wire::RunManifest>, Problem> {
    let detail = detail(gateway, workspace, id).await?;
    let read = detail.manifest.as_deref().map(serde_json::from_str);
    read.transpose().map_err(|error| {
        tracing::error!(error = %error, run = id, "a kept manifest cannot be read");
        Problem::internal()
    })
}

/// Rows of a run that could not be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedList {
    items: Vec<RejectedView>,
}

/// A row that could not be used, masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedView {
    /// The metric it was for.
    metric: String,
    /// The page it is on.
    page: i64,
    /// Its place on the page.
    row: i64,
    /// Why, for programs.
    code: String,
    /// Why, for people.
    reason: String,
    /// The row, masked and cut.
    sample: String,
}

/// Lists samples of the rows that a run could not use, at most 20 for each metric.
#[utoipa::path(get, path = "/api/v1/runs/{id}/rejected", operation_id = "list_rejected", tag = "runs",
    params(("id" = String, Path, description = "The run's id"), ("metric" = Option<String>, Query, description = "Only of this metric")),
    responses((status = 200, body = RejectedList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn rejected(
    State(gateway): State<Gateway>,
    caller: Caller,
    mut parameters: Parameters,
    Path(id): Path<String>,
) -> Result<Json<RejectedList>, Problem> {
    let only = parameters.text("metric");
    parameters.finish()?;
    let detail = detail(&gateway, &caller.workspace, &id).await?;
    let mut items = Vec::new();
    for outcome in &detail.outcomes {
        if only.as_ref().is_some_and(|only| *only != outcome.metric) {
            continue;
        }
        let samples = gateway
            .store()
            .rejected(&caller.workspace, &id, &outcome.metric)
            .await?;
        items.extend(samples.into_iter().map(|sample| RejectedView {
            metric: outcome.metric.clone(),
            page: sample.page,
            row: sample.row,
            code: sample.code,
            reason: sample.reason,
            sample: sample.sample,
        }));
    }
    Ok(Json(RejectedList { items }))
}

/// Returns a run with everything kept about it, or a 404.
pub(crate) async fn detail(
    gateway: &Gateway,
    workspace: &str,
    id: &str,
) -> Result<store::RunDetail, Problem> {
    let found = if is_run_id(id) {
        gateway.store().run_detail(workspace, id).await?
    } else {
        None
    };
    found.ok_or_else(|| Problem::not_found("run", id))
}

pub(crate) fn is_run_id(text: &str) -> bool {
    text.strip_prefix("r_").is_some_and(|rest| {
        rest.len() == 20
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_ids_are_looked_up() {
        assert!(is_run_id("r_0123456789abcdefghij"));
        for wrong in [
            "",
            "r_",
            "r_0123456789ABCDEFGHIJ",
            "x_0123456789abcdefghij",
            "1' OR 1=1--",
        ] {
            assert!(!is_run_id(wrong), "{wrong}");
        }
    }
}
