//! What the pages of a draft come to: answered while somebody types, by the same workers as runs.

mod buckets;
mod warnings;

use std::sync::Arc;

use bus::Ask;
use bytes::Bytes;
use definition::{Dataset, Definition, Metric};
use expression::{Page, RunContext, Task, row_json};
use jiff::Timestamp;
use rollup::{Row, Rules, deduplicate, fold};
use serde_json::{Value, json};
use service::Shutdown;
use wire::preview::{PreviewRejected, PreviewWarning};
use wire::{Json, PreviewEvaluate, PreviewEvaluated, RunError, RunManifest, message};

use crate::error::Error;
use crate::extract::{Extracted, Extraction};
use crate::judge::judge;
use crate::read_pages::{FetchedPage, Reader};
use crate::run_handler::RunHandler;
use crate::workers::WorkerError;

/// Evaluators that answer previews are one group: each question goes to one of them.
const GROUP: &str = "evaluator";

/// Previews beyond this wait, so that runs are not starved of workers.
const AT_ONCE: usize = 2;

/// Rows listed of each page at most, whatever is asked for.
const ROWS_PER_PAGE: u32 = 500;

/// Bytes of rows in one answer; with tree and buckets it stays below a NATS message.
const ROWS_BYTES: usize = 320 * 1024;

/// Bytes of the tree and its suggestions.
const LOOK_BYTES: usize = 320 * 1024;

/// Pages of a draft sent to a worker in one frame.
const PAGES_A_FRAME: usize = 8;
/// Bytes of them, unless a single page is larger.
const BYTES_A_FRAME: usize = 4 * 1024 * 1024;

/// Answers previews until shutdown.
pub(crate) async fn serve(handler: &RunHandler, stop: &Shutdown) {
    let filter = wire::subject::filter::preview_evaluates();
    let shared = Arc::new(handler.clone());
    let answering = move |ask: Ask| {
        let handler = Arc::clone(&shared);
        async move { Box::pin(answer(&handler, &ask)).await }
    };
    handler
        .bus
        .serve(&filter, GROUP, AT_ONCE, stop.token(), answering)
        .await;
}

async fn answer(handler: &RunHandler, ask: &Ask) -> Bytes {
    let evaluated = match message::decode::<PreviewEvaluate>(&ask.subject, &ask.payload) {
        Ok(asked) if !message::missing_abilities(&asked).is_empty() => refused(
            &asked,
            "preview.too_new",
            "this evaluator is too old for this preview",
        ),
        Ok(asked) if is_over(&asked.deadline) => refused(
            &asked,
            "preview.late",
            "nobody waits for this preview any more",
        ),
        Ok(asked) => evaluate(handler, &asked).await.unwrap_or_else(|error| {
            let (code, text) = match &error {
                Error::PagesGone { .. } => (
                    "preview.expired",
                    "the pages of this draft are gone; fetch them again".to_owned(),
                ),
                other => {
                    tracing::warn!(error = %service::report::chain(other), "a preview failed");
                    ("preview.failed", service::report::chain(other))
                }
            };
            refused(&asked, code, &text)
        }),
        Err(malformed) => {
            let asked = PreviewEvaluate {
                workspace: ask.workspace.clone(),
                ..PreviewEvaluate::default()
            };
            refused(&asked, malformed.code, &malformed.message)
        }
    };
    message::encode(&evaluated)
        .map(Bytes::from)
        .unwrap_or_default()
}

fn is_over(deadline: &str) -> bool {
    deadline
        .parse::<Timestamp>()
        .is_ok_and(|deadline| deadline < Timestamp::now())
}

fn refused(asked: &PreviewEvaluate, code: &str, reason: &str) -> PreviewEvaluated {
    PreviewEvaluated {
        workspace: asked.workspace.clone(),
        draft: asked.draft.clone(),
        error: Some(RunError {
            code: code.to_owned(),
            message: reason.to_owned(),
            ..RunError::default()
        }),
        ..PreviewEvaluated::default()
    }
}

/// A draft as it is evaluated.
struct Draft {
    metric: Metric,
    dataset: Option<Dataset>,
    /// Where the expression comes from: `expression`, `select` or `suggestion`.
    evaluated: &'static str,
}

async fn evaluate(
    handler: &RunHandler,
    asked: &PreviewEvaluate,
) -> Result<PreviewEvaluated, Error> {
    let manifest = asked.manifest.clone().unwrap_or_default();
    let look = look(handler, &manifest).await?;
    let draft = match draft(asked, look.as_ref()) {
        Ok(draft) => draft,
        Err(problem) => return Ok(refused(asked, "definition.invalid", &problem)),
    };
    let facts = handler.facts(&manifest, false);
    let task = Task::of(&draft.metric, draft.dataset.as_ref(), 0);
    let extraction = Extraction {
        bus: &handler.bus,
        workers: &handler.workers,
        instruments: &handler.instruments,
        context: RunContext {
            window: facts.window,
            parent: None,
        },
        manifest: &manifest,
    };
    let extracted = extraction
        .all(std::slice::from_ref(&task), true)
        .await?
        .pop()
        .unwrap_or_default();

    let mut answer = PreviewEvaluated {
        workspace: asked.workspace.clone(),
        draft: asked.draft.clone(),
        expression: task.expression.clone(),
        evaluated: draft.evaluated.to_owned(),
        select: (draft.evaluated != "expression")
            .then(|| Json::of(&draft.metric.selection(draft.dataset.as_ref())).ok())
            .flatten(),
        error: judge(&draft.metric, &extracted)
            .err()
            .map(|refused| RunError {
                code: refused.code,
                message: refused.message,
                ..RunError::default()
            }),
        ..PreviewEvaluated::default()
    };
    tell_rows(&mut answer, &extracted, asked.rows_per_page);
    let rules = Rules::of(&draft.metric, draft.dataset.as_ref());
    let total = extracted.rows.len();
    let (rows, repeated) = deduplicate(extracted.rows);
    let outside = rows
        .iter()
        .filter(|row| is_outside(row, facts.window))
        .count();
    let (buckets, buckets_total) = buckets::newest(
        &fold(
            rows.iter()
                .filter(|row| !is_outside(row, facts.window))
                .cloned(),
            &rules,
            facts.slot,
        ),
        &rules,
    );
    answer.buckets = buckets.into_iter().map(Json::from).collect();
    answer.buckets_total = buckets_total;
    answer.warnings = warnings::of(&warnings::Seen {
        manifest: &manifest,
        metric: &draft.metric,
        dataset: draft.dataset.as_ref(),
        profile: look.as_ref().map(|look| &look.profile),
        rows: &rows,
        rows_total: total as u64,
        rejected: &extracted.rejected,
        rejected_total: extracted.rejected_count,
        repeated,
        outside: outside as u64,
        failed: answer.error.is_some(),
        now: facts.fetched_at,
    });
    if let Some(look) = look {
        tell_look(&mut answer, look);
    }
    Ok(answer)
}

fn is_outside(row: &Row, window: Option<definition::Interval>) -> bool {
    match (row.at, window) {
        (Some(at), Some(window)) => !window.contains(at),
        _ => false,
    }
}

fn tell_rows(answer: &mut PreviewEvaluated, extracted: &Extracted, per_page: u32) {
    let per_page = per_page.clamp(1, ROWS_PER_PAGE);
    let (mut page, mut listed, mut bytes) = (None, 0, 0);
    for row in &extracted.rows {
        if page != Some(row.page) {
            (page, listed) = (Some(row.page), 0);
        }
        if listed >= per_page || bytes > ROWS_BYTES {
            continue;
        }
        listed += 1;
        let mut shown = json!({ "page": row.page, "row": row.index });
        if let (Value::Object(shown), Value::Object(own)) = (&mut shown, row_json(row)) {
            shown.extend(own);
        }
        bytes += shown.to_string().len();
        answer.rows.push(Json::from(shown));
    }
    answer.rows_total = extracted.rows.len() as u64;
    answer.rejected = extracted
        .rejected
        .iter()
        .map(|row| PreviewRejected {
            page: row.page,
            row: row.index,
            code: row.code.clone(),
            reason: row.reason.clone(),
            sample: row.sample.clone(),
        })
        .collect();
    answer.rejected_total = extracted.rejected_count;
}

/// What a worker told about the pages.
struct Look {
    profile: expression::profile::Profile,
    tree: Value,
    suggestions: Vec<Value>,
}

impl Look {
    fn read(text: &str) -> Option<Self> {
        let mut read: Value = serde_json::from_str(text).ok()?;
        let tree = read.get_mut("profile")?.take();
        let suggestions = match read.get_mut("suggestions")?.take() {
            Value::Array(all) => all,
            _ => Vec::new(),
        };
        Some(Self {
            profile: serde_json::from_value(tree.clone()).ok()?,
            tree,
            suggestions,
        })
    }
}

fn tell_look(answer: &mut PreviewEvaluated, look: Look) {
    if look.tree.to_string().len() > LOOK_BYTES {
        answer.warnings.push(PreviewWarning {
            code: "preview.tree_too_large".to_owned(),
            message: "the answer has too many fields to be shown as a tree".to_owned(),
            hint: "ask for fewer fields, where the API can".to_owned(),
        });
    } else {
        answer.tree = Some(Json::from(look.tree));
    }
    answer.suggestions = look.suggestions.into_iter().map(Json::from).collect();
}

/// Looks at the pages on a worker; one that dies over it costs the tree and nothing else.
async fn look(handler: &RunHandler, manifest: &RunManifest) -> Result<Option<Look>, Error> {
    match survey(handler, manifest).await {
        Ok(text) => Ok(Look::read(&text)),
        Err(Error::Worker(error)) if WorkerError::is_fatal(&error) => {
            handler.instruments.worker_lost();
            tracing::warn!(%error, "a worker was lost over the tree of a preview");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn survey(handler: &RunHandler, manifest: &RunManifest) -> Result<String, Error> {
    let (mut worker, _) = handler.workers.lend(&[], &RunContext::default()).await?;
    let mut reader = Reader::new(&handler.bus, manifest);
    while let Some(batch) = reader.next_batch(PAGES_A_FRAME, BYTES_A_FRAME).await? {
        let pages: Vec<Page<'_>> = batch.iter().map(FetchedPage::page).collect();
        if let Some(problem) = worker.survey(&pages).await? {
            tracing::debug!(code = %problem.code, "a page of a preview has no tree");
        }
    }
    Ok(worker.profile().await?)
}

/// Reads the draft; one that selects nothing takes the first suggestion.
fn draft(asked: &PreviewEvaluate, look: Option<&Look>) -> Result<Draft, String> {
    let dataset = match &asked.dataset {
        None => None,
        Some(document) => match read(&document.0)? {
            Definition::Dataset(dataset) => Some(dataset),
            _ => return Err("what stands for the dataset is none".to_owned()),
        },
    };
    let mut document = asked
        .metric
        .as_ref()
        .map(|metric| metric.0.clone())
        .unwrap_or_default();
    let mut metric = metric_of(&document)?;
    let written = metric
        .expression
        .as_deref()
        .is_some_and(|text| !text.trim().is_empty());
    let mut evaluated = if written { "expression" } else { "select" };
    let first = look.and_then(|look| look.suggestions.first());
    if !written
        && metric.selection(dataset.as_ref()).is_empty()
        && let Some(first) = first
    {
        for part in ["select", "type", "aggregation"] {
            if let (None | Some(Value::Null), Some(own)) = (document.get(part), first.get(part)) {
                document[part] = own.clone();
            }
        }
        document["select"] = first["select"].clone();
        metric = metric_of(&document)?;
        evaluated = "suggestion";
    }
    Ok(Draft {
        metric,
        dataset,
        evaluated,
    })
}

fn metric_of(document: &Value) -> Result<Metric, String> {
    match read(document)? {
        Definition::Metric(metric) => Ok(metric),
        _ => Err("what stands for the metric is none".to_owned()),
    }
}

fn read(document: &Value) -> Result<Definition, String> {
    Definition::from_document(document).map_err(|problems| {
        problems.first().map_or_else(String::new, |problem| {
            format!("{}: {}", problem.path, problem.message)
        })
    })
}
