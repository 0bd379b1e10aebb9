//! Rows that are pushed: read as an expression's rows are, committed as a run, and announced.

use std::sync::Arc;

use bus::Ask;
use bytes::Bytes;
use expression::{Task, read_rows};
use jiff::Timestamp;
use rollup::Ended;
use serde_json::json;
use service::Shutdown;
use store::{Commit, RunEnd, RunState};
use wire::{Json, RowsPushed, RowsTaken, RunError, message};

use crate::commit::{self, Applied, RunOfMetrics};
use crate::error::Error;
use crate::extract::Extracted;
use crate::run_handler::RunHandler;
use crate::subjects::{self, Subject};

/// Evaluators that take rows are one group: each message goes to one of them.
const GROUP: &str = "evaluator";
/// Commits of one metric wait for one another anyway.
const AT_ONCE: usize = 4;
/// Rejected rows told at most.
const SAMPLES: usize = 20;

/// Takes rows until shutdown.
pub(crate) async fn serve(handler: &RunHandler, stop: &Shutdown) {
    let filter = wire::subject::filter::rows_pushed();
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
    let taken = match message::decode::<RowsPushed>(&ask.subject, &ask.payload) {
        Ok(pushed) if !message::missing_abilities(&pushed).is_empty() => refused(
            &pushed,
            "push.too_new",
            "this evaluator is too old for these rows",
        ),
        Ok(pushed) if message::is_over(&pushed.deadline, Timestamp::now()) => refused(
            &pushed,
            "push.late",
            "nobody waits for this answer any more",
        ),
        Ok(pushed) => take(handler, &pushed).await.unwrap_or_else(|error| {
            tracing::warn!(error = %service::report::chain(&error), "rows were not taken");
            let code = if error.is_infrastructure() {
                "push.unavailable"
            } else {
                "push.failed"
            };
            refused(&pushed, code, "the rows could not be kept; send them again")
        }),
        Err(malformed) => {
            let pushed = RowsPushed {
                workspace: ask.workspace.clone(),
                ..RowsPushed::default()
            };
            refused(&pushed, malformed.code, &malformed.message)
        }
    };
    message::encode(&taken).map(Bytes::from).unwrap_or_default()
}

fn refused(pushed: &RowsPushed, code: &str, reason: &str) -> RowsTaken {
    RowsTaken {
        workspace: pushed.workspace.clone(),
        metric: pushed.metric.clone(),
        error: Some(RunError {
            code: code.to_owned(),
            message: reason.to_owned(),
            ..RunError::default()
        }),
        ..RowsTaken::default()
    }
}

async fn take(handler: &RunHandler, pushed: &RowsPushed) -> Result<RowsTaken, Error> {
    let (workspace, name) = (&pushed.workspace, &pushed.metric);
    let Some((subject, _)) = subjects::now(&handler.store, workspace, name).await? else {
        return Ok(refused(pushed, "not_found", "there is no such metric"));
    };
    if !subject.metric.is_pushed() {
        return Ok(refused(
            pushed,
            "metric.not_pushed",
            "this metric is fetched; only one with `source: push` is told its values",
        ));
    }
    let now = handler.store.now().await?;
    let reading = Task::of(&subject.metric, None, 0).reading;
    let batch = Some(pushed.batch.as_str()).filter(|batch| !batch.is_empty());
    let read = match read_rows(&pushed.rows, &reading, now, batch) {
        Ok(read) => read,
        Err(error) => return Ok(refused(pushed, &error.code, &error.message)),
    };
    let samples = read.rejected.iter().take(SAMPLES).map(|row| {
        let sample = json!({ "row": row.index, "code": row.code, "reason": row.reason, "sample": row.sample });
        Json::from(sample)
    });
    let mut taken = RowsTaken {
        workspace: workspace.clone(),
        metric: name.clone(),
        rejected: read.rejected_count,
        samples: samples.collect(),
        ..RowsTaken::default()
    };
    let total = read.rows.len() as u64 + read.deleted.len() as u64 + read.rejected_count;
    if let Some(first) = read.rejected.first() {
        taken.error = Some(RunError {
            code: "rows.rejected".to_owned(),
            message: format!(
                "{} of {total} rows cannot be used, so none was taken; the first is row {}: {}",
                read.rejected_count, first.index, first.reason
            ),
            ..RunError::default()
        });
        return Ok(taken);
    }
    let mut extracted = Extracted::default();
    extracted.take_in(read);
    let Some(mut commit) = begin(handler, workspace, &subject, &pushed.reason).await? else {
        return Ok(refused(
            pushed,
            "push.unavailable",
            "the metric has just been edited; send the rows again",
        ));
    };
    let applied = keep(handler, workspace, &mut commit, &subject, extracted).await?;
    taken.run = commit.run().id.clone();
    taken.rows = applied.rows;
    taken.changed = applied.changed;
    taken.version = commit.version(name)?;
    commit.commit().await?;
    if applied.announced {
        handler.relay.nudge();
    }
    handler.instruments.run_ended("pushed");
    Ok(taken)
}

/// Places what was pushed before as the metric says now that it was edited.
pub(crate) async fn place_again(
    handler: &RunHandler,
    workspace: &str,
    subject: &Subject,
) -> Result<(), Error> {
    let reason = "the metric was edited";
    let Some(mut commit) = begin(handler, workspace, subject, reason).await? else {
        return Ok(());
    };
    let placed_by = commit.records_revision(&subject.name)?;
    if placed_by.is_none_or(|revision| revision == subject.revision) {
        return Ok(());
    }
    let nothing_new = Extracted::default();
    let applied = keep(handler, workspace, &mut commit, subject, nothing_new).await?;
    commit.commit().await?;
    if applied.announced {
        handler.relay.nudge();
    }
    Ok(())
}

/// Begins a run of kind push; none when the metric is not what it was read as.
async fn begin(
    handler: &RunHandler,
    workspace: &str,
    subject: &Subject,
    reason: &str,
) -> Result<Option<Commit>, Error> {
    let name = subject.name.as_str();
    let commit = handler.store.begin_push(workspace, name, reason).await?;
    Ok(commit.filter(|commit| {
        let mut metrics = commit.metrics().iter();
        metrics.any(|one| one.name == name && one.revision == subject.revision)
    }))
}

/// Brings rows in and ends the run, inside the transaction.
async fn keep(
    handler: &RunHandler,
    workspace: &str,
    commit: &mut Commit,
    subject: &Subject,
    extracted: Extracted,
) -> Result<Applied, Error> {
    // The holder of the locks tells the time: what is pushed later is seen later.
    let at = store::instant(commit.now());
    let facts = RunOfMetrics {
        workspace: workspace.to_owned(),
        run: commit.run().id.clone(),
        slot: at,
        fetched_at: at,
        window: None,
        ended: Ended::Complete,
        overlap: 0,
        recompute: false,
        changes_listed: handler.config.changes_listed,
        seen: [(0, at)].into(),
    };
    let applied = commit::apply(commit, &facts, subject, extracted).await?;
    let end = RunEnd {
        rows: i64::try_from(applied.rows).unwrap_or(i64::MAX),
        rejected: i64::try_from(applied.rejected).unwrap_or(i64::MAX),
        ended: Some("pushed".to_owned()),
        ..RunEnd::default()
    };
    commit.finish(RunState::Final, &end).await?;
    Ok(applied)
}
