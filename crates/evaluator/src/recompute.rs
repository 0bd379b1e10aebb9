//! Kept pages evaluated again, for a metric that was edited or is new: the API is not called.

use std::time::Duration;

use expression::Task;
use jiff::Timestamp;
use service::Shutdown;
use store::{Recompute, Run};
use wire::RunManifest;

use crate::commit;
use crate::error::Error;
use crate::run_handler::RunHandler;
use crate::subjects::{self, Subject};

/// A recompute that is not ended by then may be taken by another evaluator.
const LEASE: Duration = Duration::from_mins(5);
/// Kept runs looked at, newest first.
const RUNS: u32 = 200;
/// After this many tries a recompute is given up; the next run or edit brings another.
const TRIES: u32 = 5;

/// Recomputes until shutdown.
pub(crate) async fn run(
    handler: &RunHandler,
    shutdown: Shutdown,
    every: Duration,
    beat: impl Fn(),
) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(every) => {}
        }
        beat();
        while !shutdown.is_requested() {
            match next(handler).await {
                Ok(true) => beat(),
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = %service::report::chain(&error), "recompute failed; it is tried again");
                    break;
                }
            }
        }
    }
}

/// Takes one recompute to its end; false when none waits.
async fn next(handler: &RunHandler) -> Result<bool, Error> {
    let now = handler.store.now().await?;
    let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    let Some(recompute) = handler.store.claim_recompute(now, lease).await? else {
        return Ok(false);
    };
    if recompute.attempts > TRIES {
        tracing::error!(metric = %recompute.metric, "recompute is given up");
    } else {
        again(handler, &recompute).await?;
    }
    handler.store.end_recompute(&recompute).await?;
    Ok(true)
}

async fn again(handler: &RunHandler, recompute: &Recompute) -> Result<(), Error> {
    let (workspace, dataset) = (&recompute.workspace, &recompute.dataset);
    let (metrics, named) = subjects::of_dataset(&handler.store, workspace, dataset).await?;
    let Some(metric) = metrics.into_iter().find(|one| one.name == recompute.metric) else {
        return Ok(());
    };
    if metric.metric.is_pushed() {
        return crate::push::place_again(handler, workspace, &metric).await;
    }
    let task = Task::of(&metric.metric, named.as_ref(), 0);
    let runs = handler
        .store
        .runs_to_recompute(recompute, metric.revision, RUNS);
    let mut runs = runs.await?;
    // As they came: what a newer slot says stays on top.
    runs.sort_by_key(|(run, _)| (run.slot, run.window.map(|window| window.start)));
    let mut evaluated = 0;
    for (run, manifest) in runs {
        let manifest = manifest
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        let Some(manifest) = manifest else { continue };
        match one_run(handler, &run, &manifest, &metric, &task).await {
            Ok(()) => evaluated += 1,
            // What is gone keeps its value and its old revision.
            Err(Error::PagesGone { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    tracing::info!(metric = %recompute.metric, runs = evaluated, "recomputed from kept pages");
    Ok(())
}

async fn one_run(
    handler: &RunHandler,
    run: &Run,
    manifest: &RunManifest,
    metric: &Subject,
    task: &Task,
) -> Result<(), Error> {
    let facts = handler.facts(manifest, true);
    let mut extracted = handler
        .extract(manifest, &facts, std::slice::from_ref(task), true)
        .await?;
    let Some(extracted) = extracted.pop() else {
        return Ok(());
    };
    let begun = handler
        .store
        .begin_recompute(&run.workspace, &run.dataset, &run.id)
        .await?;
    let Some(mut commit) = begun else {
        return Ok(());
    };
    match commit.metrics().iter().find(|one| one.name == metric.name) {
        None => return Ok(()),
        Some(one) if one.revision != metric.revision => {
            return Err(Error::Moved {
                metric: metric.name.clone(),
            });
        }
        Some(_) => {}
    }
    let applied = commit::apply(&mut commit, &facts, metric, extracted).await?;
    commit.commit().await?;
    if applied.announced {
        handler.relay.nudge();
    }
    tracing::debug!(run = %run.id, at = %Timestamp::now(), "run recomputed");
    Ok(())
}
