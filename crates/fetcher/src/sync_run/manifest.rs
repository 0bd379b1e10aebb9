//! The manifest of an attempt: blank, handed back, or failed.

use std::time::Duration;

use service::Clock;
use wire::run_manifest::{RunEnd, RunOutcome};
use wire::{RunManifest, SyncRequest};

use crate::error::PageError;
use crate::pagination::PaginationFault;
use crate::redact::Redactor;
use crate::retry::Fate;

pub(super) fn stated(number: Option<u64>) -> Option<i64> {
    number.and_then(|number| i64::try_from(number).ok())
}

pub(super) fn blank(request: &SyncRequest, clock: &Clock) -> RunManifest {
    let now = clock.now().to_string();
    RunManifest {
        workspace: request.workspace.clone(),
        dataset: request.dataset.clone(),
        run: request.run.clone(),
        attempt: request.attempt,
        slot: request.slot.clone(),
        kind: request.kind.clone(),
        window: request.window.clone(),
        epoch: request.epoch,
        started_at: now.clone(),
        ended_at: now,
        part: 1,
        parts: 1,
        ..RunManifest::default()
    }
}

pub(super) fn hand_back(manifest: &mut RunManifest, wait: Option<Duration>) {
    RunOutcome::Checkpoint
        .as_str()
        .clone_into(&mut manifest.outcome);
    RunEnd::Checkpoint.as_str().clone_into(&mut manifest.ended);
    manifest.retry_after_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
}

pub(super) fn fail(
    manifest: &mut RunManifest,
    error: &PageError,
    page: Option<u32>,
    redactor: &Redactor,
) {
    RunOutcome::Failed
        .as_str()
        .clone_into(&mut manifest.outcome);
    let end = match error {
        PageError::Pagination(PaginationFault::Loop(_)) => RunEnd::RepeatedPage,
        _ => RunEnd::Failed,
    };
    end.as_str().clone_into(&mut manifest.ended);
    manifest.needs_attention = error.fate() == Fate::NeedsAttention;
    if let Fate::Retry { after: Some(after) } = error.fate() {
        manifest.retry_after_ms = Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    }
    manifest.error = Some(wire::RunError {
        code: error.code().to_owned(),
        message: redactor.text(&error.to_string()).into_owned(),
        status: error.http_status().map(u32::from),
        page,
        excerpt: redactor.text(error.excerpt()).into_owned(),
    });
}
