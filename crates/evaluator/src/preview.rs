//! What the pages of a draft come to: answered while somebody types, by the same workers as runs.

mod buckets;
mod look;
mod warnings;

use std::sync::Arc;

use bus::Ask;
use bytes::Bytes;
use definition::{Dataset, Definition, Metric};
use expression::{RunContext, Task, row_json};
use jiff::Timestamp;
use rollup::{Row, Rules, deduplicate, fold};
use serde_json::{Value, json};
use service::Shutdown;
use wire::preview::{PreviewRejected, PreviewWarning};
use wire::{Json, PreviewEvaluate, PreviewEvaluated, RunError, message};

use crate::error::Error;
use crate::extract::{Extracted, Extraction};
use crate::judge::judge;
use crate::run_handler::RunHandler;
use look::{Look, Looks};

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

/// Answers previews until shutdown.
pub(crate) async fn serve(handler: &RunHandler, stop: &Shutdown) {
    let filter = wire::subject::filter::preview_evaluates();
    let shared = Arc::new((handler.clone(), Looks::default()));
    let answering = move |ask: Ask| {
        let shared = Arc::clone(&shared);
        async move { Box::pin(answer(&shared.0, &shared.1, &ask)).await }
    };
    handler
        .bus
        .serve(&filter, GROUP, AT_ONCE, stop.token(), answering)
        .await;
}

async fn answer(handler: &RunHandler, looks: &Looks, ask: &Ask) -> Bytes {
    let evaluated = match message::decode::<PreviewEvaluate>(&ask.subject, &ask.payload) {
        Ok(asked) if !message::missing_abilities(&asked).is_empty() => refused(
            &asked,
            "preview.too_new",
            "this evaluator is too old for this preview",
        ),
        Ok(asked) if message::is_over(&asked.deadline, Timestamp::now()) => refused(
            &asked,
            "preview.late",
            "nobody waits for this preview any more",
        ),
        Ok(asked) => evaluate(handler, looks, &asked)
            .await
            .unwrap_or_else(|error| {
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
    looks: &Looks,
    asked: &PreviewEvaluate,
) -> Result<PreviewEvaluated, Error> {
    let manifest = asked.manifest.clone().unwrap_or_default();
    let look = looks.at(handler, &manifest).await?;
    let draft = match draft(asked, look.as_deref()) {
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
    if let Some(look) = &look {
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

fn tell_look(answer: &mut PreviewEvaluated, look: &Look) {
    if look.tree_bytes > LOOK_BYTES {
        answer.warnings.push(PreviewWarning {
            code: "preview.tree_too_large".to_owned(),
            message: "the answer has too many fields to be shown as a tree".to_owned(),
            hint: "ask for fewer fields, where the API can".to_owned(),
        });
    } else {
        answer.tree = Some(Json::from(look.tree.clone()));
    }
    answer.suggestions = look.suggestions.iter().cloned().map(Json::from).collect();
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
