//! Which rows of a run's kept pages made a point: the pages are evaluated again as the run was, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::Ask;
use bytes::Bytes;
use definition::Interval;
use expression::{Task, masked_row_json};
use jiff::Timestamp;
use rollup::{Row, Rules, deduplicate};
use serde_json::{Value, json};
use service::Shutdown;
use store::parse_instant;
use wire::provenance::{PAGES_GONE, PageRows};
use wire::{Json, RowsFound, RowsWanted, RunError, RunManifest, message};

use crate::error::Error;
use crate::run_handler::RunHandler;
use crate::subjects;

/// Evaluators that answer are one group: each question goes to one of them.
const GROUP: &str = "evaluator";
/// Questions beyond this wait, so that runs are not starved of workers.
const AT_ONCE: usize = 1;
/// Rows listed at most, whatever is asked for.
const ROWS: u32 = 200;
/// Pages named at most.
const PAGES: usize = 1_000;

/// Answers until shutdown.
pub(crate) async fn serve(handler: &RunHandler, stop: &Shutdown) {
    let filter = wire::subject::filter::rows_wanted();
    let shared = Arc::new(handler.clone());
    let answering = move |ask: Ask| {
        let handler = Arc::clone(&shared);
        async move { Box::pin(answer(&handler, &ask)).await }
    };
    let served = handler
        .bus
        .serve(&filter, GROUP, AT_ONCE, stop.token(), answering);
    served.await;
}

async fn answer(handler: &RunHandler, ask: &Ask) -> Bytes {
    let found = match message::decode::<RowsWanted>(&ask.subject, &ask.payload) {
        Ok(asked) if !message::missing_abilities(&asked).is_empty() => refused(
            &asked,
            "provenance.too_new",
            "this evaluator is too old for this question",
        ),
        Ok(asked) if message::is_over(&asked.deadline, Timestamp::now()) => {
            refused(&asked, "provenance.late", "nobody waits for this any more")
        }
        Ok(asked) => find(handler, &asked)
            .await
            .unwrap_or_else(|error| match &error {
                Error::PagesGone { .. } => refused(
                    &asked,
                    PAGES_GONE,
                    "the pages of this run are not kept any more",
                ),
                other => {
                    tracing::warn!(error = %service::report::chain(other), "provenance failed");
                    refused(
                        &asked,
                        "provenance.failed",
                        "the pages could not be read again",
                    )
                }
            }),
        Err(malformed) => {
            let asked = RowsWanted {
                workspace: ask.workspace.clone(),
                ..RowsWanted::default()
            };
            refused(&asked, malformed.code, &malformed.message)
        }
    };
    message::encode(&found).map(Bytes::from).unwrap_or_default()
}

fn refused(asked: &RowsWanted, code: &str, reason: &str) -> RowsFound {
    RowsFound {
        workspace: asked.workspace.clone(),
        metric: asked.metric.clone(),
        run: asked.run.clone(),
        error: Some(RunError {
            code: code.to_owned(),
            message: reason.to_owned(),
            ..RunError::default()
        }),
        ..RowsFound::default()
    }
}

async fn find(handler: &RunHandler, asked: &RowsWanted) -> Result<RowsFound, Error> {
    let (workspace, name) = (&asked.workspace, &asked.metric);
    let (Some(start), Some(end)) = (parse_instant(&asked.start), parse_instant(&asked.end)) else {
        return Ok(refused(
            asked,
            "provenance.range",
            "`start` and `end` are no instants",
        ));
    };
    let detail = handler.store.run_detail(workspace, &asked.run).await?;
    let manifest = detail.and_then(|detail| detail.manifest);
    let Some(manifest) = manifest.and_then(|text| serde_json::from_str::<RunManifest>(&text).ok())
    else {
        return Ok(refused(
            asked,
            PAGES_GONE,
            "nothing is kept of this run's pages",
        ));
    };
    let subject = subjects::at_revision(&handler.store, workspace, name, asked.revision).await?;
    let Some((subject, named)) = subject else {
        return Ok(refused(
            asked,
            "provenance.no_metric",
            "there is no such metric any more",
        ));
    };
    let facts = handler.facts(&manifest, false);
    let task = Task::of(&subject.metric, named.as_ref(), 0);
    let extracted = handler
        .extract(&manifest, &facts, std::slice::from_ref(&task), true)
        .await?;
    let extracted = extracted.into_iter().next().unwrap_or_default();
    if let Some(error) = extracted.error {
        return Ok(refused(asked, &error.code, &error.message));
    }
    let (rows, _) = deduplicate(extracted.rows);
    let point = Point {
        range: Interval::new(start, end),
        sync_at: facts.slot,
        rules: &subject.rules,
        asked,
    };
    Ok(listed(asked, rows.iter().filter(|row| point.holds(row))))
}

/// The point whose rows are wanted.
struct Point<'a> {
    range: Interval,
    sync_at: Timestamp,
    rules: &'a Rules,
    asked: &'a RowsWanted,
}

impl Point<'_> {
    fn holds(&self, row: &Row) -> bool {
        let at = if self.rules.accumulates() {
            self.sync_at
        } else {
            row.at.unwrap_or(self.sync_at)
        };
        let mut members = self.asked.dimensions.iter();
        self.range.contains(at)
            && members.all(|(name, member)| row.dimensions.get(name) == Some(member.as_str()))
            && self
                .asked
                .unit
                .as_deref()
                .is_none_or(|unit| row.unit.as_deref() == Some(unit))
    }
}

fn listed<'a>(asked: &RowsWanted, rows: impl Iterator<Item = &'a Row>) -> RowsFound {
    let mut found = RowsFound {
        workspace: asked.workspace.clone(),
        metric: asked.metric.clone(),
        run: asked.run.clone(),
        ..RowsFound::default()
    };
    let limit = asked.limit.clamp(1, ROWS) as usize;
    let mut pages: BTreeMap<u32, u64> = BTreeMap::new();
    for row in rows {
        found.rows_total += 1;
        *pages.entry(row.page).or_default() += 1;
        if found.rows.len() < limit {
            let mut shown = json!({ "page": row.page, "row": row.index });
            if let (Value::Object(shown), Value::Object(own)) = (&mut shown, masked_row_json(row)) {
                shown.extend(own);
            }
            found.rows.push(Json::from(shown));
        }
    }
    let pages = pages.into_iter().take(PAGES);
    found.pages = pages.map(|(page, rows)| PageRows { page, rows }).collect();
    found
}
