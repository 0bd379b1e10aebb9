//! What the pages of a draft hold: looked at on a worker once, and remembered while somebody types.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use expression::{Page, RunContext};
use serde_json::Value;
use wire::RunManifest;

use crate::error::Error;
use crate::read_pages::{FetchedPage, Reader};
use crate::run_handler::RunHandler;
use crate::workers::WorkerError;

/// Pages of a draft sent to a worker in one frame.
const PAGES_A_FRAME: usize = 8;
/// Bytes of them, unless a single page is larger.
const BYTES_A_FRAME: usize = 4 * 1024 * 1024;

/// Drafts remembered: as many people type at one evaluator.
const REMEMBERED: usize = 8;

/// Bytes of their trees together, as JSON.
const REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

/// What a worker told about the pages.
pub(super) struct Look {
    pub(super) profile: expression::profile::Profile,
    pub(super) tree: Value,
    /// The length of the tree as JSON.
    pub(super) tree_bytes: usize,
    pub(super) suggestions: Vec<Value>,
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
            tree_bytes: tree.to_string().len(),
            profile: serde_json::from_value(tree.clone()).ok()?,
            tree,
            suggestions,
        })
    }
}

/// The looks at drafts that were evaluated lately: typing changes the expression and not the pages.
#[derive(Default)]
pub(super) struct Looks(Mutex<VecDeque<(String, Arc<Look>)>>);

impl Looks {
    /// Returns the look at these pages, taken now unless it is remembered.
    pub(super) async fn at(
        &self,
        handler: &RunHandler,
        manifest: &RunManifest,
    ) -> Result<Option<Arc<Look>>, Error> {
        let key = key_of(manifest);
        if let Some(known) = self.recall(&key) {
            return Ok(Some(known));
        }
        let look = look(handler, manifest).await?.map(Arc::new);
        if let Some(look) = &look {
            self.remember(key, look);
        }
        Ok(look)
    }

    fn recall(&self, key: &str) -> Option<Arc<Look>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|(own, _)| own == key)?;
        let found = known.remove(place)?;
        let look = Arc::clone(&found.1);
        known.push_back(found);
        Some(look)
    }

    fn remember(&self, key: String, look: &Arc<Look>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back((key, Arc::clone(look)));
        let bytes = |known: &VecDeque<(String, Arc<Look>)>| {
            known.iter().map(|(_, look)| look.tree_bytes).sum::<usize>()
        };
        while known.len() > REMEMBERED || bytes(&known) > REMEMBERED_BYTES {
            known.pop_front();
        }
    }
}

/// The pages by what is in them, and by whose they are.
fn key_of(manifest: &RunManifest) -> String {
    let mut key = format!("{} {}", manifest.workspace, manifest.run);
    for page in &manifest.pages {
        key.push(' ');
        key.push_str(&page.hash);
    }
    key
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
