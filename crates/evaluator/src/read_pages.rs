//! A run's pages back from the stream, a few at a time.

use std::collections::{HashMap, HashSet};

use bus::{Bus, RunPages};
use bytes::Bytes;
use expression::Page;
use jiff::Timestamp;
use wire::{PageEntry, RunManifest};

use crate::error::Error;

/// A page as it came.
pub(crate) struct FetchedPage {
    body: Bytes,
    number: u32,
    first: bool,
    fetched_at: Timestamp,
    parent: Option<String>,
}

impl FetchedPage {
    /// The page as expressions see it.
    pub(crate) fn page(&self) -> Page<'_> {
        Page {
            bytes: &self.body,
            number: self.number,
            first: self.first,
            fetched_at: self.fetched_at,
            parent: self.parent.as_deref(),
        }
    }
}

/// Reads the pages that a manifest names, in order.
pub(crate) struct Reader<'a> {
    bodies: RunPages,
    run: &'a str,
    left: &'a [PageEntry],
    /// The first page of each record of the parent; of the run, where there is no parent.
    first: HashSet<u32>,
}

impl<'a> Reader<'a> {
    /// Begins before the first page.
    pub(crate) fn new(bus: &Bus, manifest: &'a RunManifest) -> Self {
        let RunManifest {
            workspace,
            dataset,
            run,
            pages,
            ..
        } = manifest;
        Self {
            bodies: bus.run_pages(workspace, dataset, run, pages),
            run,
            left: pages,
            first: first_pages(pages),
        }
    }

    /// Reads the next pages: at most `pages`, and at most `bytes` unless the first alone is larger.
    /// Pages that repeat an earlier one are passed over. `None` at the end.
    pub(crate) async fn next_batch(
        &mut self,
        pages: usize,
        bytes: usize,
    ) -> Result<Option<Vec<FetchedPage>>, Error> {
        let mut batch: Vec<PageEntry> = Vec::new();
        let mut size = 0;
        while let Some((entry, rest)) = self.left.split_first() {
            size += usize::try_from(entry.bytes).unwrap_or(usize::MAX);
            if batch.len() == pages || (!batch.is_empty() && size > bytes) {
                break;
            }
            self.left = rest;
            // An answer without a body (204) is a page without records.
            if !entry.duplicate && entry.bytes > 0 {
                batch.push(entry.clone());
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let gone = || Error::PagesGone {
            run: self.run.to_owned(),
        };
        let bodies = self.bodies.bodies(&batch).await?.ok_or_else(gone)?;
        let fetched = batch.iter().zip(bodies).map(|(entry, body)| FetchedPage {
            body,
            number: entry.number,
            first: self.first.contains(&entry.number),
            parent: entry.parent.as_ref().map(|parent| parent.0.to_string()),
            fetched_at: entry.fetched_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        });
        Ok(Some(fetched.collect()))
    }
}

fn first_pages(pages: &[PageEntry]) -> HashSet<u32> {
    let mut first: HashMap<u32, u32> = HashMap::new();
    for page in pages {
        let number = first.entry(page.parent_number).or_insert(page.number);
        *number = page.number.min(*number);
    }
    first.into_values().collect()
}
