//! What is told of a run: its progress, where a later attempt goes on, and how it ended.

use std::time::Duration;

use tokio::time::Instant;
use wire::run_manifest::{RunEnd, RunOutcome};
use wire::{Json, Progress, RunManifest};

use super::Outlet;
use super::manifest::{fail, hand_back, stated};
use super::walks::Run;
use crate::pagination::Verdict;

/// Progress is for people: more often than this nobody reads it.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

impl<O: Outlet> Run<'_, O> {
    /// Tells how far the run is, unless that was told just now.
    pub(super) async fn tell(&mut self, state: &str) {
        let progress = self.progress(state);
        let now = Instant::now();
        self.waits.learn(progress.clone());
        if self.told.is_some_and(|told| now < told + PROGRESS_EVERY) {
            return;
        }
        self.told = Some(now);
        self.outlet.progress(progress).await;
    }

    fn progress(&self, state: &str) -> Progress {
        let manifest = &self.manifest;
        Progress {
            workspace: manifest.workspace.clone(),
            dataset: manifest.dataset.clone(),
            run: manifest.run.clone(),
            pages: u32::try_from(manifest.pages.len()).unwrap_or(u32::MAX),
            stated_pages: self.stated_pages(),
            records: manifest.records,
            bytes: manifest.pages.iter().map(|page| page.bytes).sum(),
            state: state.to_owned(),
            at: self.engine.clock.now().to_string(),
            // What was waited for in hand is over; what the run is handed back for is not.
            waiting_for: if state == "waiting" {
                self.waits.last()
            } else {
                String::new()
            },
        }
    }

    /// Which rule ended the run; nothing while it is not at its end.
    pub(super) fn end(&self) -> Option<RunEnd> {
        let Some(parents) = &self.parents else {
            return self.branches.get(&0).and_then(|branch| branch.end);
        };
        let is_through = parents.are_through() && self.branches.is_empty();
        is_through.then_some(if parents.is_cut {
            RunEnd::ParentCap
        } else if parents.is_capped {
            RunEnd::PageCap
        } else {
            RunEnd::AllParents
        })
    }

    /// Whether the run is whole, and what a person should know about it.
    fn verdict(&self, end: RunEnd) -> Verdict {
        match &self.parents {
            Some(parents) => parents.verdict.clone(),
            None => self
                .branches
                .get(&0)
                .map(|branch| branch.walk.verdict(end))
                .unwrap_or_default(),
        }
    }

    /// How many pages there will be, where that is known.
    fn stated_pages(&self) -> Option<i64> {
        match &self.parents {
            None => stated(self.branches.get(&0)?.walk.stated_pages()),
            Some(parents) => matches!(self.plan.pagination, definition::Pagination::None)
                .then(|| i64::try_from(parents.count()).ok())?,
        }
    }

    /// What a later attempt needs to go on.
    pub(super) fn checkpoint(&self) -> serde_json::Value {
        let walks = self
            .branches
            .values()
            .map(|branch| (branch.index, branch.walk.checkpoint()));
        match &self.parents {
            None => walks.map(|(_, walk)| walk).next().unwrap_or_default(),
            Some(parents) => parents.checkpoint(walks),
        }
    }

    /// The manifest of the attempt.
    pub(super) fn finish(mut self) -> RunManifest {
        let mut manifest = std::mem::take(&mut self.manifest);
        manifest.pages.sort_by_key(|page| page.number);
        manifest.stated_pages = self.stated_pages();
        if let Some(parents) = &self.parents {
            manifest.parents = parents.begun;
            manifest.requires = vec![wire::run_manifest::PARENT.to_owned()];
            manifest.skipped_parents = parents.skipped;
        } else if let Some(branch) = self.branches.get(&0) {
            manifest.stated_total = stated(branch.walk.stated_total());
        }
        match (&self.failure, self.end()) {
            (Some((error, page)), _) => {
                fail(&mut manifest, error, Some(*page), &self.plan.redactor);
                if let (Some(parents), Some(told)) = (&self.parents, &mut manifest.error) {
                    let stride = self.plan.max_pages.max(1);
                    let (record, before) = (
                        page.saturating_sub(1) / stride,
                        page.saturating_sub(1) % stride,
                    );
                    let message = parents.failure(record, before + 1, error);
                    told.message = self.plan.redactor.text(&message).into_owned();
                    // A page of thousands says nothing: the message names the record and its request.
                    told.page = None;
                }
            }
            (None, Some(end)) => {
                let verdict = self.verdict(end);
                let is_cut = matches!(end, RunEnd::PageCap | RunEnd::ParentCap);
                let outcome = if is_cut || verdict.has_gaps {
                    RunOutcome::Truncated
                } else {
                    RunOutcome::Complete
                };
                for note in &verdict.notes {
                    // It is kept with the run, where people read it.
                    tracing::info!(run = manifest.run, note);
                }
                manifest.gaps = verdict.has_gaps;
                manifest.overlap = i64::try_from(verdict.overlap).unwrap_or(i64::MAX);
                manifest.notes.extend(verdict.notes);
                outcome.as_str().clone_into(&mut manifest.outcome);
                end.as_str().clone_into(&mut manifest.ended);
            }
            (None, None) => {
                hand_back(&mut manifest, self.handed_back);
                let next = self.checkpoint();
                // A cursor that holds a secret must not travel: the next attempt begins anew.
                if self.plan.redactor.finds_in(next.to_string().as_bytes()) {
                    tracing::warn!(
                        run = manifest.run,
                        "the checkpoint would hold a secret; the run will begin anew"
                    );
                } else {
                    manifest.next = Some(Json::from(next));
                }
            }
        }
        manifest
    }
}
