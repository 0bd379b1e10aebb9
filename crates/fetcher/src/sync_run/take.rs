//! What follows an answer: a page to publish, further pages, the end of a walk, or of the run.

use bus::PageBody;
use wire::run_manifest::RunEnd;
use wire::{PageEntry, PageHeaders};

use super::unchanged::Validator;
use super::walks::Run;
use super::{Outlet, fetch};
use crate::error::PageError;
use crate::pagination::{Facts, PaginationFault, Step};

impl<O: Outlet> Run<'_, O> {
    /// Decides what follows a page and returns what is to be published of it.
    pub(super) fn take(
        &mut self,
        index: u32,
        page: fetch::Fetched,
    ) -> Option<(PageEntry, PageBody, u64, Option<Validator>)> {
        let number = page.number;
        let body = page.body.map(PageBody::of);
        let hash = body.as_ref().map_or("", PageBody::hash).to_owned();
        let facts = Facts { hash, ..page.facts };
        let branch = self.branches.get_mut(&index)?;
        let parent = branch.parent.clone();
        // A page asked for only to see whether it exists, and which repeats an earlier one, must not count.
        let duplicate = facts.records != Some(0) && branch.walk.repeats(number, &facts.hash);
        match branch.walk.after(number, &facts) {
            Ok(step) => self.apply(step, &page.url, index, number),
            Err(fault) => self.failed(index, number, fault.into()),
        }
        let body = body?;
        let entry = PageEntry {
            number: self.number(index, number),
            bytes: body.bytes().len() as u64,
            records: facts
                .records
                .and_then(|records| i64::try_from(records).ok()),
            status: u32::from(page.status),
            fetched_at: page.at.to_string(),
            url: self.plan.redactor.text(page.url.as_str()).into_owned(),
            duplicate,
            parent_number: if parent.is_some() { index + 1 } else { 0 },
            parent,
            ..PageEntry::default()
        };
        Some((entry, body, page.wire_bytes, page.validator))
    }

    fn apply(&mut self, step: Step, from: &url::Url, index: u32, number: u32) {
        let Some(branch) = self.branches.get_mut(&index) else {
            return;
        };
        match step {
            Step::Fetch(pages) => branch.todo.extend(pages),
            Step::Pending => {}
            Step::End(end) => branch.end = Some(end),
            Step::Follow(link) => {
                let checked = self
                    .engine
                    .http
                    .guard()
                    .check_next_link(from, &link, &|url| branch.walk.has_seen(url));
                match checked {
                    Ok(url) => {
                        let bare = self.plan.access.strip(&url);
                        if branch.walk.has_seen(&bare) || bare == *from {
                            let again =
                                "the next link leads to a page that was already fetched".to_owned();
                            let fault = PaginationFault::Loop(again).into();
                            return self.failed(index, number, fault);
                        }
                        let step = branch.walk.follow(from, &bare);
                        self.apply(step, from, index, number);
                    }
                    Err(refusal) => self.failed(index, number, refusal.into()),
                }
            }
        }
    }

    /// Takes in that a page cannot be had: the end of its walk, a record passed over, or the failure of the run.
    pub(super) fn failed(&mut self, index: u32, number: u32, error: PageError) {
        let status = match &error {
            PageError::Status { status, .. } => *status,
            _ => 0,
        };
        if let Some(branch) = self.branches.get_mut(&index) {
            let is_plain_refusal =
                (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 425 | 429);
            if is_plain_refusal && let Some(Step::End(end)) = branch.walk.refused(number) {
                branch.end = Some(end);
                return;
            }
            if let Some(parents) = &mut self.parents
                && parents.skips_missing
                && super::parents::Parents::may_skip(number, Some(status))
            {
                parents.skipped += 1;
                branch.end = Some(RunEnd::EmptyPage);
                return;
            }
        }
        if self.failure.is_none() {
            self.failure = Some((error, self.number(index, number)));
        }
    }

    /// Lets go of the walk of a record that is through.
    pub(super) fn close(&mut self, index: u32) {
        let Some(parents) = &mut self.parents else {
            return;
        };
        if let Some(branch) = self.branches.get(&index)
            && branch.is_through()
        {
            if let Some(end) = branch.end {
                parents.ended(index, end, branch.walk.verdict(end));
            }
            self.branches.remove(&index);
        }
    }

    /// What travels beside the body of a page.
    pub(super) fn headers(&self, entry: &PageEntry) -> PageHeaders {
        PageHeaders {
            run: self.request.run.clone(),
            attempt: self.request.attempt,
            page: entry.number,
            status: entry.status,
            fetched_at: entry.fetched_at.clone(),
            url: entry.url.clone(),
        }
    }

    /// Takes in where a page was kept.
    pub(super) async fn kept(
        &mut self,
        mut entry: PageEntry,
        kept: bus::PublishedPage,
        wire_bytes: u64,
        validator: Option<Validator>,
    ) {
        tracing::debug!(
            page = entry.number,
            bytes = kept.bytes,
            records = entry.records,
            "page published"
        );
        entry.sequences = kept.sequences;
        entry.hash = kept.hash;
        entry.bytes = kept.bytes;
        if let Some(validator) = validator {
            self.validators.learn(validator, &entry);
        }
        if !entry.duplicate {
            self.manifest.records += entry.records.unwrap_or(0);
        }
        self.manifest.pages.push(entry);
        self.engine.instruments.page(wire_bytes);
        self.outlet.in_hand().await;
        self.tell("fetching").await;
    }
}
