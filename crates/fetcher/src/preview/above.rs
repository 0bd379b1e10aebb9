//! The datasets above a draft's: a few of their records, fetched for the draft alone and kept in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bus::PageBody;
use bytes::Bytes;
use service::Shutdown;
use wire::preview::{DATASET, KIND, PreviewParent, PreviewRecords};
use wire::run_manifest::{RunEnd, RunOutcome};
use wire::{
    PageEntry, PageHeaders, ParentRecords, PreviewFetch, Progress, RunManifest, SyncRequest,
};

use super::{MOST_BYTES, hurried};
use crate::exchange::Recorder;
use crate::sync_run::{Engine, Outlet, Unpublished};

/// Pages of the uppermost dataset: where `where` lets few records through, the first may hold none.
const PAGES: u32 = 3;

/// Records of a dataset that has one above and one below.
const RECORDS: u32 = 3;

/// The records that a draft asks for, and what was fetched for them.
#[derive(Default)]
pub(super) struct Above {
    /// What the draft's request is made for; nothing where it has no parent.
    pub(super) records: Option<ParentRecords>,
    /// What is told of each dataset, the uppermost first.
    pub(super) told: Vec<PreviewRecords>,
    /// A run that failed: then there is nothing to ask for.
    pub(super) failed: Option<RunManifest>,
}

/// Fetches the datasets above the draft of `asked`, the uppermost first.
pub(super) async fn fetch(
    engine: &Engine,
    kept: &Kept,
    stop: &Shutdown,
    asked: &PreviewFetch,
    recorder: &Recorder,
    began: Instant,
) -> Result<Above, Unpublished> {
    let mut above = Above::default();
    let count = asked.parents.len();
    for (place, parent) in asked.parents.iter().enumerate() {
        let outlet = InMemory {
            kept,
            recorder: Arc::new(recorder.of(format!("dataset {}", parent.dataset))),
        };
        let is_uppermost = above.records.is_none();
        let sync = SyncRequest {
            workspace: asked.workspace.clone(),
            dataset: DATASET.to_owned(),
            run: asked.draft.clone(),
            kind: KIND.to_owned(),
            max_pages: if is_uppermost { PAGES } else { 1 },
            resume: None,
            parent: above.records.take(),
            ..parent.sync.clone().unwrap_or_default()
        };
        let manifest = hurried(engine, began).run(&sync, &outlet, stop).await?;
        above.asked(&manifest);
        let most = if place + 1 == count {
            asked.sync.as_ref().map_or(1, |sync| sync.max_pages)
        } else {
            RECORDS
        };
        above.told.push(PreviewRecords {
            dataset: parent.dataset.clone(),
            pages: u32::try_from(manifest.pages.len()).unwrap_or(u32::MAX),
            ..PreviewRecords::default()
        });
        if is_failed(&manifest) {
            above.failed = Some(of_a_parent(manifest, &parent.dataset));
            return Ok(above);
        }
        above.records = Some(order(parent, manifest, most));
    }
    Ok(above)
}

impl Above {
    /// Takes in how many of the last dataset's records a run asked for.
    pub(super) fn asked(&mut self, manifest: &RunManifest) {
        if let Some(last) = self.told.last_mut() {
            last.records = manifest.parents;
            last.more = manifest.ended == RunEnd::ParentCap.as_str();
        }
    }
}

fn is_failed(manifest: &RunManifest) -> bool {
    [RunOutcome::Failed, RunOutcome::Checkpoint]
        .iter()
        .any(|outcome| manifest.outcome == outcome.as_str())
}

fn order(parent: &PreviewParent, manifest: RunManifest, most: u32) -> ParentRecords {
    ParentRecords {
        run: manifest.run,
        pages: manifest.pages,
        select: parent.select.clone(),
        max_parents: most.max(1),
        skip_missing: parent.skip_missing,
    }
}

/// A draft's manifest, where a dataset above it could not be fetched.
fn of_a_parent(manifest: RunManifest, dataset: &str) -> RunManifest {
    let mut manifest = RunManifest {
        pages: Vec::new(),
        records: 0,
        ..manifest
    };
    if let Some(error) = &mut manifest.error {
        error.message = format!("the parent dataset `{dataset}`: {}", error.message);
    }
    manifest
}

/// Pages in memory, numbered as they came.
#[derive(Default)]
pub(super) struct Kept {
    bodies: Mutex<Vec<Bytes>>,
    bytes: AtomicU64,
}

impl Kept {
    /// The bodies of pages that were kept here.
    pub(super) fn bodies(&self, pages: &[PageEntry]) -> Option<Vec<Bytes>> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |page: &PageEntry| usize::try_from(*page.sequences.first()?).ok();
        pages
            .iter()
            .map(|page| bodies.get(place(page)?).cloned())
            .collect()
    }

    /// Counts bytes of the draft and of what is above it; false when there are too many.
    pub(super) fn has_room(&self, length: u64) -> bool {
        self.bytes.fetch_add(length, Ordering::Relaxed) + length <= MOST_BYTES
    }
}

/// Where pages of a dataset above go.
struct InMemory<'a> {
    kept: &'a Kept,
    recorder: Arc<Recorder>,
}

impl Outlet for InMemory<'_> {
    async fn page(
        &self,
        _workspace: &str,
        _dataset: &str,
        _headers: PageHeaders,
        body: PageBody,
    ) -> Result<bus::PublishedPage, String> {
        let bytes = body.bytes().len() as u64;
        if !self.kept.has_room(bytes) {
            return Err(super::too_large());
        }
        let mut bodies = self
            .kept
            .bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        bodies.push(body.bytes().clone());
        Ok(bus::PublishedPage {
            sequences: vec![bodies.len() as u64 - 1],
            hash: body.hash().to_owned(),
            bytes,
        })
    }

    async fn progress(&self, _: Progress) {}

    async fn in_hand(&self) {}

    async fn kept(&self, pages: &[PageEntry]) -> Result<Option<Vec<Bytes>>, String> {
        Ok(self.kept.bodies(pages))
    }

    fn recorder(&self) -> Option<Arc<Recorder>> {
        Some(self.recorder.clone())
    }
}
