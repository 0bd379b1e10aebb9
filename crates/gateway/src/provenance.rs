//! Provenance: from a number back to the runs, pages, requests and expressions that made it, and to records.

mod kept;
mod question;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use definition::{Interval, Metric};
use jiff::{SignedDuration, Timestamp};
use rollup::Decimal;
use serde::Serialize;
use serde_json::Value;
use store::{Coverage, Kind, Run};
use utoipa::ToSchema;
use wire::provenance::PAGES_GONE;
use wire::{PageEntry, RowsFound, RowsWanted, RunManifest};

use self::question::{ProvenanceParameters, Question};
use crate::auth::Caller;
use crate::definitions::{dataset, name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::runs::{self, RunView};
use crate::{standing, time};

/// Runs named of one number, the newest first: a month of hourly samples would name more than anybody reads.
const RUNS: usize = 20;
/// Runs whose pages are read again for their records; each may cost an evaluator as much as the run itself did.
const RUNS_READ: usize = 3;
/// Pages named of one run.
const PAGES: usize = 50;
/// Reading a run's pages again takes as long as evaluating them did.
const ROWS_WITHIN: Duration = Duration::from_secs(20);

/// Where a number comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProvenanceAnswer {
    /// The metric's name.
    #[schema(example = "new_subscribers")]
    metric: String,
    /// The point's first instant, with the offset of the metric's zone.
    #[schema(example = "2026-03-01T00:00:00+00:00")]
    start: String,
    /// The first instant past it.
    end: String,
    /// Its length.
    #[schema(example = "day")]
    granularity: &'static str,
    /// The zone whose calendar it follows.
    timezone: String,
    /// The members asked for; other dimensions are joined.
    dimensions: BTreeMap<String, String>,
    /// The unit.
    unit: Option<String>,
    /// The number; null when there is none, or when there are several units and none was named.
    #[schema(value_type = Option<f64>)]
    value: Option<Decimal>,
    /// How many rows it was made from.
    count: u64,
    /// Whether a run that did not see everything brought a part of it.
    partial: bool,
    /// Whether two schedules of the metric have passed without success.
    stale: bool,
    /// The version of the data.
    version: i64,
    /// The revision of the metric in force.
    revision: i64,
    /// Whether all of it was made with the revision in force.
    current: bool,
    /// What made it, the newest first.
    made_by: Vec<Maker>,
    /// Whether more runs had a part in it than are listed.
    truncated: bool,
}

/// A run that made a number, or a part of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Maker {
    /// The first instant of the range that counts by this run.
    from: String,
    /// The first instant past that range.
    to: String,
    /// Whether the run saw everything of that range.
    complete: bool,
    /// The revision of the metric that its pages were evaluated with.
    revision: i64,
    /// What was evaluated at that revision; null when it is not kept any more.
    definition: Option<RevisionView>,
    /// The run; null when it is not kept any more (90 days).
    run: Option<RunView>,
    /// The request of its first page, credentials masked.
    request: Option<String>,
    /// Its pages: those that hold rows of this number where that is known, else all; at most 50.
    pages: Vec<PageView>,
    /// How many pages those are.
    pages_total: usize,
    /// Rows of this number, as they are on the pages now kept; at most 20, long tokens and addresses masked.
    #[schema(value_type = Vec<Object>)]
    records: Vec<Value>,
    /// How many there are; null when the pages could not be read again.
    records_total: Option<u64>,
    /// Why there are no records.
    note: Option<String>,
}

/// A state of a metric's definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevisionView {
    /// The JSONata, written or generated.
    expression: String,
    /// When it was put in force.
    since: String,
    /// Who did that.
    by: String,
}

/// A page that a number came from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView {
    /// Its place in the run.
    number: u32,
    /// The request, credentials masked.
    url: String,
    /// The HTTP status.
    status: u32,
    /// When it was fetched.
    fetched_at: String,
    /// The hash of its body.
    hash: String,
    /// How many rows of this number are on it; null when that is not known.
    rows: Option<u64>,
}

/// Tells which runs, pages, requests and expression made a number, with samples of its records.
#[utoipa::path(get, path = "/api/v1/metrics/{name}/provenance", operation_id = "get_provenance", tag = "series",
    params(("name" = String, Path, description = "The metric's name"), ProvenanceParameters),
    responses((status = 200, body = ProvenanceAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn provenance(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<ProvenanceAnswer>, Problem> {
    let name = name_of("metric", &name)?;
    let workspace = caller.workspace.as_str();
    let definition = stored(&gateway, workspace, Kind::Metric, &name).await?;
    let metric = definition.metric()?;
    let dataset = match &metric.dataset {
        Some(name) => dataset(&gateway, workspace, name.as_str()).await?,
        None => None,
    };
    let question = Question::read(parameters, &metric, dataset.as_ref())?;
    let point = gateway
        .series()
        .point(&gateway, workspace, &name, question.asked())
        .await?;
    let not_found = || Problem::not_found("metric", &name);
    let state = gateway
        .store()
        .metric_state(workspace, &name)
        .await?
        .ok_or_else(not_found)?;
    let now = gateway.context().clock.now();
    let schedule = metric.schedule(dataset.as_ref());
    let covered: Vec<Coverage> = state
        .coverage
        .iter()
        .filter(|one| touches(one, question.range))
        .cloned()
        .collect();
    let kept = kept::parts(&gateway, workspace, &name, &question, state.revision).await?;
    let mut parts = if let Some(kept) = kept {
        kept
    } else if question.rules.accumulates() {
        sampled(&gateway, workspace, &name, &point.samples, &covered).await?
    } else {
        by_coverage(&gateway, workspace, &covered).await?
    };
    parts.sort_by(|a, b| (b.as_of, &b.run_id).cmp(&(a.as_of, &a.run_id)));
    let truncated = parts.len() > RUNS;
    parts.truncate(RUNS);
    let mut made_by = Vec::with_capacity(parts.len());
    for (place, part) in parts.into_iter().enumerate() {
        let asking = Asking {
            gateway: &gateway,
            workspace,
            metric: &name,
            question: &question,
            reads_pages: place < RUNS_READ,
        };
        made_by.push(asking.maker(part).await?);
    }
    Ok(Json(ProvenanceAnswer {
        stale: standing::is_metric_stale(&state, &metric, &schedule, definition.created_at, now),
        current: made_by.iter().all(|maker| maker.revision == state.revision),
        start: time::in_zone(question.range.start, &question.rules.zone),
        end: time::in_zone(question.range.end, &question.rules.zone),
        granularity: question.granularity.as_str(),
        timezone: question.rules.zone.iana_name().unwrap_or("UTC").to_owned(),
        metric: name,
        dimensions: question.dimensions,
        unit: question.unit.or(point.unit),
        value: point.value,
        count: point.count,
        partial: point.partial,
        version: state.version,
        revision: state.revision,
        made_by,
        truncated,
    }))
}

fn touches(coverage: &Coverage, range: Interval) -> bool {
    coverage.start < range.end.as_millisecond() && range.start.as_millisecond() < coverage.end
}

/// A part of a number: what a run brought.
struct Part {
    run_id: String,
    run: Option<Run>,
    as_of: i64,
    start: i64,
    end: i64,
    complete: bool,
    revision: i64,
    /// Its records, where they are kept one by one.
    kept: Option<RowsFound>,
}

async fn by_coverage(
    gateway: &Gateway,
    workspace: &str,
    covered: &[Coverage],
) -> Result<Vec<Part>, Problem> {
    let mut parts: Vec<Part> = Vec::new();
    for one in covered {
        // Neighbouring ranges of one run are told once.
        if let Some(last) = parts.last_mut()
            && (last.end, &last.run_id) == (one.start, &one.run)
            && (last.complete, last.revision) == (one.complete, one.revision)
        {
            last.end = one.end;
            continue;
        }
        let run = if parts.len() < RUNS {
            gateway.store().run(workspace, &one.run).await?
        } else {
            None
        };
        parts.push(Part {
            run_id: one.run.clone(),
            run,
            as_of: one.as_of,
            start: one.start,
            end: one.end,
            complete: one.complete,
            revision: one.revision,
            kept: None,
        });
    }
    Ok(parts)
}

/// The parts of a level: one run for each sample.
async fn sampled(
    gateway: &Gateway,
    workspace: &str,
    metric: &str,
    samples: &[i64],
    covered: &[Coverage],
) -> Result<Vec<Part>, Problem> {
    let newest: Vec<i64> = samples.iter().rev().take(RUNS + 1).copied().collect();
    let limit = u32::try_from(RUNS * 2).unwrap_or(u32::MAX);
    let runs = gateway
        .store()
        .runs_at(workspace, metric, &newest, limit)
        .await?;
    Ok(newest
        .into_iter()
        .map(|at| {
            let run = runs.iter().find(|run| run.slot == at).cloned();
            let facts = covered.iter().find(|one| one.start <= at && at < one.end);
            Part {
                run_id: run.as_ref().map(|run| run.id.clone()).unwrap_or_default(),
                run,
                as_of: at,
                start: at,
                end: at + 1,
                complete: facts.is_none_or(|facts| facts.complete),
                revision: facts.map(|facts| facts.revision).unwrap_or_default(),
                kept: None,
            }
        })
        .collect())
}

/// What is asked about each part of a number.
struct Asking<'a> {
    gateway: &'a Gateway,
    workspace: &'a str,
    metric: &'a str,
    question: &'a Question,
    reads_pages: bool,
}

impl Asking<'_> {
    async fn maker(&self, part: Part) -> Result<Maker, Problem> {
        let store = self.gateway.store();
        let manifest = match &part.run {
            Some(run) => runs::manifest(self.gateway, self.workspace, &run.id).await?,
            None => None,
        };
        let revision = store
            .revision(self.workspace, self.metric, part.revision)
            .await?;
        let definition = revision.and_then(|revision| {
            let metric = metric_of(&revision.document)?;
            Some(RevisionView {
                expression: self.question.expression_of(&metric),
                since: time::text(revision.created_at),
                by: revision.actor,
            })
        });
        let (found, note) = self.rows(&part, manifest.as_ref()).await;
        let pages = pages(manifest.as_ref(), found.as_ref());
        let entries = manifest
            .as_ref()
            .map(|manifest| manifest.pages.as_slice())
            .unwrap_or_default();
        Ok(Maker {
            from: time::text(part.start),
            to: time::text(part.end),
            complete: part.complete,
            revision: part.revision,
            definition,
            request: entries.first().map(|page| page.url.clone()),
            pages_total: pages.len(),
            pages: pages.into_iter().take(PAGES).collect(),
            records: found
                .iter()
                .flat_map(|found| found.rows.iter().map(|row| row.0.clone()))
                .collect(),
            records_total: found.as_ref().map(|found| found.rows_total),
            note,
            run: part.run.map(RunView::of),
        })
    }

    /// The rows on the part's pages, or why they are not told.
    async fn rows(
        &self,
        part: &Part,
        manifest: Option<&RunManifest>,
    ) -> (Option<RowsFound>, Option<String>) {
        let say = |note: &str| (None, Some(note.to_owned()));
        if part.kept.is_some() {
            return (part.kept.clone(), None);
        }
        if part.run.is_none() {
            return say("the run is not kept any more; runs are kept for 90 days");
        }
        if manifest.is_none_or(|manifest| manifest.pages.is_empty()) {
            return say("the run has no pages");
        }
        if !self.reads_pages {
            return say(
                "records are read again for the three newest runs only; ask for a shorter range",
            );
        }
        let range = self.question.range;
        let deadline =
            Timestamp::now().checked_add(SignedDuration::try_from(ROWS_WITHIN).unwrap_or_default());
        let wanted = RowsWanted {
            workspace: self.workspace.to_owned(),
            metric: self.metric.to_owned(),
            run: part.run_id.clone(),
            revision: part.revision,
            start: range.start.max(time::instant(part.start)).to_string(),
            end: range.end.min(time::instant(part.end)).to_string(),
            dimensions: self.question.dimensions.clone(),
            unit: self.question.unit.clone(),
            limit: self.question.limit,
            deadline: deadline.map(|at| at.to_string()).unwrap_or_default(),
            requires: Vec::new(),
        };
        match self
            .gateway
            .bus()
            .ask::<_, RowsFound>(&wanted, ROWS_WITHIN)
            .await
        {
            Ok(RowsFound {
                error: Some(error), ..
            }) if error.code == PAGES_GONE => say(
                "the pages of this run are not kept any more; those of the last three slots are",
            ),
            Ok(RowsFound {
                error: Some(error), ..
            }) => (None, Some(error.message)),
            Ok(found) => (Some(found), None),
            Err(error) => {
                tracing::debug!(%error, "provenance has no records");
                say("no evaluator read the pages again in time; ask again")
            }
        }
    }
}

fn metric_of(document: &str) -> Option<Metric> {
    let document = serde_json::from_str(document).ok()?;
    match definition::Definition::from_document(&document) {
        Ok(definition::Definition::Metric(metric)) => Some(metric),
        _ => None,
    }
}

/// The pages that hold rows of the number, or all where that is not known.
fn pages(manifest: Option<&RunManifest>, found: Option<&RowsFound>) -> Vec<PageView> {
    let rows_of = |page: &PageEntry| {
        let found = found?;
        Some(
            found
                .pages
                .iter()
                .find(|one| one.page == page.number)
                .map_or(0, |one| one.rows),
        )
    };
    let entries = manifest
        .map(|manifest| manifest.pages.as_slice())
        .unwrap_or_default();
    entries
        .iter()
        .map(|page| PageView {
            number: page.number,
            url: page.url.clone(),
            status: page.status,
            fetched_at: page.fetched_at.clone(),
            hash: page.hash.clone(),
            rows: rows_of(page),
        })
        .filter(|page| page.rows != Some(0))
        .collect()
}
