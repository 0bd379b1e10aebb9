//! A run's manifest, from its arrival to its end in the ledger.

use std::time::Instant;

use bus::{Bus, Outcome as Fate};
use definition::Interval;
use expression::{RunContext, Task};
use jiff::{SignedDuration, Timestamp};
use rollup::Ended;
use store::{Evaluation, RunEnd, RunKind, RunState, Store, parse_instant};
use tracing::Instrument as _;
use wire::{Progress, RunManifest};

use crate::commit::{self, RunOfMetrics};
use crate::config::Config;
use crate::error::Error;
use crate::extract::{Extracted, Extraction};
use crate::instruments::Instruments;
use crate::relay::Relay;
use crate::subjects::{self, Subject};
use crate::workers::Workers;

/// From this try on, a run's metrics are evaluated one by one.
const ALONE_FROM: u32 = 3;
/// At this try a run is given up on.
const DEAD_AT: u32 = 5;
/// How often an evaluation begins again because a metric was edited meanwhile.
const EDITS_FOLLOWED: u32 = 3;
/// Pages of an interrupted run that travel in its next request: some 200 KB, of a message's 1 MB.
const PAGES_IN_REQUEST: usize = 400;
/// What the fetcher says of an answer 410.
const GONE: &str = "upstream.gone";
/// The pause before pages that are gone are fetched again.
const REFETCH_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// Everything that handling a manifest needs.
#[derive(Clone)]
pub(crate) struct RunHandler {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) workers: Workers,
    pub(crate) relay: Relay,
    pub(crate) instruments: Instruments,
}

impl RunHandler {
    /// Takes a manifest, found at `sequence`, to its end. A repeat finds the run ended and changes nothing.
    pub(crate) async fn handle(&self, manifest: RunManifest, sequence: u64) -> Fate {
        let span = tracing::info_span!(
            "evaluate",
            run = %manifest.run,
            dataset = %manifest.dataset,
            attempt = manifest.attempt,
        );
        async {
            match self.take(&manifest, sequence).await {
                Ok(()) => Fate::Done,
                Err(error) => {
                    if error.is_infrastructure() {
                        let refund =
                            self.store.refund_evaluation(&manifest.workspace, &manifest.run).await;
                        if let Err(refund) = refund {
                            tracing::debug!(%refund, "the try could not be taken back");
                        }
                    }
                    tracing::warn!(error = %service::report::chain(&error), "run is not evaluated yet");
                    Fate::from(&error)
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn take(&self, manifest: &RunManifest, sequence: u64) -> Result<(), Error> {
        let (workspace, run) = (&manifest.workspace, &manifest.run);
        let Some(evaluation) = self.store.begin_evaluation(workspace, run).await? else {
            self.instruments.run_ended("repeat");
            return Ok(());
        };
        if manifest.attempt < evaluation.run.attempt && manifest.outcome == "failed" {
            // A later attempt is under way; this one's failure is no news.
            self.store.refund_evaluation(workspace, run).await?;
            return Ok(());
        }
        match manifest.outcome.as_str() {
            "complete" | "truncated" => self.evaluate(manifest, &evaluation).await,
            "checkpoint" => self.go_on_later(manifest, sequence).await,
            _ => self.fail(manifest).await,
        }
    }

    /// Keeps how far the fetch came; the scheduler hands the run out again.
    async fn go_on_later(&self, manifest: &RunManifest, sequence: u64) -> Result<(), Error> {
        let pause = manifest.retry_after_ms.unwrap_or(0);
        let now = self.store.now().await?;
        let not_before = now.saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
        let resume = if manifest.pages.len() > PAGES_IN_REQUEST {
            // Too many for one message: the next attempt finds them where they are.
            serde_json::json!({ "manifest": sequence })
        } else {
            serde_json::json!({ "pages": manifest.pages, "next": manifest.next })
        };
        let (workspace, run) = (&manifest.workspace, &manifest.run);
        self.store
            .checkpoint(workspace, run, &resume.to_string(), not_before)
            .await?;
        self.bus.wake(workspace, &manifest.dataset).await?;
        self.instruments.run_ended("checkpoint");
        Ok(())
    }

    async fn fail(&self, manifest: &RunManifest) -> Result<(), Error> {
        let message = manifest.error.as_ref().map(|error| error.message.clone());
        let end = RunEnd {
            error: manifest
                .error
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
            needs_attention: message.filter(|_| manifest.needs_attention),
            is_gone: manifest
                .error
                .as_ref()
                .is_some_and(|error| error.code == GONE),
            ..end_of(manifest)?
        };
        self.store
            .fail_run(&manifest.workspace, &manifest.run, &end)
            .await?;
        self.instruments.run_ended("failed");
        tracing::info!(
            code = manifest.error.as_ref().map(|e| e.code.as_str()),
            "run failed; earlier data stays"
        );
        self.tell_end(manifest).await;
        Ok(())
    }

    async fn evaluate(&self, manifest: &RunManifest, evaluation: &Evaluation) -> Result<(), Error> {
        let began = Instant::now();
        if evaluation.attempts >= DEAD_AT {
            return self.give_up(manifest).await;
        }
        let alone = evaluation.attempts >= ALONE_FROM;
        let mut edits = 0;
        loop {
            match self.evaluate_once(manifest, evaluation, alone, began).await {
                Err(Error::Moved { metric }) if edits < EDITS_FOLLOWED => {
                    tracing::info!(%metric, "the metric was edited meanwhile; the run is evaluated again");
                    edits += 1;
                }
                Err(Error::PagesGone { .. }) => return self.fetch_again(manifest).await,
                other => return other,
            }
        }
    }

    async fn evaluate_once(
        &self,
        manifest: &RunManifest,
        evaluation: &Evaluation,
        alone: bool,
        began: Instant,
    ) -> Result<(), Error> {
        let run = self.facts(manifest, false);
        let (mut metrics, named) =
            subjects::of_dataset(&self.store, &manifest.workspace, &manifest.dataset).await?;
        if evaluation.run.kind == RunKind::Scheduled {
            metrics.retain(|one| one.samples_at(named.as_ref(), &manifest.dataset, run.slot));
        }
        let tasks: Vec<Task> = (0..)
            .zip(&metrics)
            .map(|(id, one)| Task::of(&one.metric, named.as_ref(), id))
            .collect();
        let extracted = self.extract(manifest, &run, &tasks, alone).await?;

        let (workspace, dataset) = (&manifest.workspace, &manifest.dataset);
        let Some(mut commit) = self
            .store
            .begin_commit(workspace, dataset, &manifest.run)
            .await?
        else {
            self.instruments.run_ended("repeat");
            return Ok(());
        };
        let (mut rows, mut rejected, mut announced, mut partial) = (0, 0, false, false);
        for (metric, extracted) in metrics.iter().zip(extracted) {
            if !still_there(&commit, metric)? {
                continue;
            }
            let applied = commit::apply(&mut commit, &run, metric, extracted).await?;
            rows += applied.rows;
            rejected += applied.rejected;
            announced |= applied.announced;
            partial |= applied.partial;
        }
        let mut end = RunEnd {
            rows: i64::try_from(rows).unwrap_or(i64::MAX),
            rejected: i64::try_from(rejected).unwrap_or(i64::MAX),
            ..end_of(manifest)?
        };
        end.partial |= partial;
        commit.finish(RunState::Final, &end).await?;
        commit.commit().await?;
        if announced {
            self.relay.nudge();
        }
        self.instruments.run_ended("final");
        self.instruments
            .committed(rows, rejected, began.elapsed().as_secs_f64());
        tracing::info!(rows, rejected, pages = end.pages, ended = %manifest.ended, "run is final");
        self.tell_end(manifest).await;
        self.purge_old_pages(manifest).await;
        Ok(())
    }

    /// Evaluates tasks on a manifest's pages.
    pub(crate) async fn extract(
        &self,
        manifest: &RunManifest,
        run: &RunOfMetrics,
        tasks: &[Task],
        alone: bool,
    ) -> Result<Vec<Extracted>, Error> {
        let extraction = Extraction {
            bus: &self.bus,
            workers: &self.workers,
            instruments: &self.instruments,
            context: RunContext {
                window: run.window,
                parent: None,
            },
            manifest,
        };
        // A window says itself what the run covers.
        if run.window.is_none() {
            return extraction.with_all_records(tasks, alone).await;
        }
        extraction.all(tasks, alone).await
    }

    /// The facts of a run that its metrics share.
    pub(crate) fn facts(&self, manifest: &RunManifest, recompute: bool) -> RunOfMetrics {
        let fetched_at = parse_instant(&manifest.started_at).unwrap_or(Timestamp::UNIX_EPOCH);
        let window = manifest.window.as_ref().and_then(|window| {
            Some(Interval::new(
                parse_instant(&window.start)?,
                parse_instant(&window.end)?,
            ))
        });
        RunOfMetrics {
            workspace: manifest.workspace.clone(),
            run: manifest.run.clone(),
            slot: parse_instant(&manifest.slot).unwrap_or(fetched_at),
            fetched_at,
            window,
            ended: match (manifest.outcome.as_str(), manifest.gaps) {
                (_, true) => Ended::Doubtful,
                ("truncated", false) => Ended::Truncated,
                _ => Ended::Complete,
            },
            overlap: manifest.overlap,
            recompute,
            changes_listed: self.config.changes_listed,
            seen: manifest
                .pages
                .iter()
                .filter_map(|page| Some((page.number, parse_instant(&page.fetched_at)?)))
                .collect(),
        }
    }

    /// The pages were purged or lost: the run waits to be fetched from its start.
    async fn fetch_again(&self, manifest: &RunManifest) -> Result<(), Error> {
        let again = self
            .store
            .now()
            .await?
            .saturating_add(i64::try_from(REFETCH_PAUSE.as_millis()).unwrap_or(i64::MAX));
        let nothing = serde_json::Value::Null.to_string();
        let (workspace, run) = (&manifest.workspace, &manifest.run);
        self.store
            .checkpoint(workspace, run, &nothing, again)
            .await?;
        tracing::warn!("pages are gone from the stream; the run is fetched again");
        Ok(())
    }

    /// Five tries brought nothing: the run is put aside with its manifest, for a person.
    async fn give_up(&self, manifest: &RunManifest) -> Result<(), Error> {
        let message = "its evaluation failed five times; the manifest is kept as a dead letter";
        let error = serde_json::json!({ "code": "run.dead", "message": message });
        let end = RunEnd {
            error: Some(error.to_string()),
            needs_attention: Some(message.to_owned()),
            ..end_of(manifest)?
        };
        self.bus
            .publish_dead_run(manifest, "run.dead", message)
            .await?;
        self.store
            .dead_run(&manifest.workspace, &manifest.run, &end)
            .await?;
        self.instruments.run_ended("dead");
        tracing::error!("run is given up on");
        self.tell_end(manifest).await;
        Ok(())
    }

    /// Tells whoever watches the run that it ended; nobody depends on hearing it.
    async fn tell_end(&self, manifest: &RunManifest) {
        let progress = Progress {
            workspace: manifest.workspace.clone(),
            dataset: manifest.dataset.clone(),
            run: manifest.run.clone(),
            pages: u32::try_from(manifest.pages.len()).unwrap_or(u32::MAX),
            stated_pages: manifest.stated_pages,
            records: manifest.records,
            bytes: manifest.pages.iter().map(|page| page.bytes).sum(),
            state: "ended".into(),
            at: Timestamp::now().to_string(),
            waiting_for: String::new(),
        };
        if let Err(error) = self.bus.publish_progress(&progress).await {
            tracing::debug!(%error, "progress is not told");
        }
    }

    /// Purges the pages of the slot that has just become one too many.
    async fn purge_old_pages(&self, manifest: &RunManifest) {
        if let Err(error) = self.purge(manifest).await {
            tracing::debug!(%error, "old pages stay until the stream's own bounds");
        }
    }

    async fn purge(&self, manifest: &RunManifest) -> Result<(), Error> {
        let kept = self.config.kept_slots;
        let listed = u32::try_from(kept.saturating_mul(16)).unwrap_or(u32::MAX);
        let (workspace, dataset) = (&manifest.workspace, &manifest.dataset);
        let runs = self.store.final_slots(workspace, dataset, listed).await?;
        let mut slots: Vec<i64> = runs.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let Some(oldest) = slots
            .len()
            .checked_sub(kept + 1)
            .and_then(|place| slots.get(place))
        else {
            return Ok(());
        };
        for (_, run) in runs.iter().filter(|(slot, _)| slot == oldest) {
            self.bus.purge_run_pages(workspace, dataset, run).await?;
        }
        Ok(())
    }
}

/// Whether the metric is still there, at the revision it was evaluated at.
fn still_there(commit: &store::Commit, metric: &Subject) -> Result<bool, Error> {
    match commit.metrics().iter().find(|one| one.name == metric.name) {
        None => Ok(false),
        Some(one) if one.revision == metric.revision => Ok(true),
        Some(_) => Err(Error::Moved {
            metric: metric.name.clone(),
        }),
    }
}

/// What the ledger keeps of a manifest.
fn end_of(manifest: &RunManifest) -> Result<RunEnd, Error> {
    Ok(RunEnd {
        manifest: Some(serde_json::to_string(manifest)?),
        pages: i64::try_from(manifest.pages.len()).unwrap_or(i64::MAX),
        partial: manifest.outcome == "truncated",
        ended: Some(manifest.ended.clone()),
        records: Some(manifest.records),
        stated_total: manifest.stated_total,
        requests: Some(i64::from(manifest.requests)),
        notes: manifest.notes.clone(),
        ..RunEnd::default()
    })
}
