//! What the bus' tests have in common.
use std::time::Duration;
use tokio::time::Instant;
use wire::{Change, MetricUpdate, PageEntry, PageHeaders, RunManifest, SyncRequest};

/// A busy machine takes its time; a condition that is not met by then never will be.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn request(run: &str, attempt: u32) -> SyncRequest {
    SyncRequest {
        workspace: "default".to_owned(),
        dataset: "d_1".to_owned(),
        run: run.to_owned(),
        attempt,
        kind: "scheduled".to_owned(),
        ..SyncRequest::default()
    }
}

pub(crate) fn manifest(run: &str, attempt: u32, pages: u32) -> RunManifest {
    let page = |number: u32| PageEntry {
        number,
        sequences: vec![u64::from(number)],
        hash: wire::page::hash(&number.to_le_bytes()),
        url: format!("https://api.example.com/v1/subscribers?page={number}"),
        fetched_at: "2026-01-31T03:00:01.5Z".to_owned(),
        ..PageEntry::default()
    };
    RunManifest {
        workspace: "default".to_owned(),
        dataset: "d_1".to_owned(),
        run: run.to_owned(),
        attempt,
        outcome: "complete".to_owned(),
        pages: (1..=pages).map(page).collect(),
        part: 1,
        parts: 1,
        ..RunManifest::default()
    }
}

pub(crate) fn page_headers(run: &str, page: u32) -> PageHeaders {
    PageHeaders {
        run: run.to_owned(),
        attempt: 1,
        page,
        status: 200,
        fetched_at: "2026-01-31T03:00:01.5Z".to_owned(),
        url: format!("https://api.example.com/v1/subscribers?page={page}"),
    }
}

pub(crate) fn update(metric: &str, version: i64) -> MetricUpdate {
    MetricUpdate {
        metric: metric.to_owned(),
        workspace: "default".to_owned(),
        version,
        committed_at: "2026-01-31T03:00:05Z".to_owned(),
        changes: vec![Change {
            value: Some(1.0),
            ..Change::default()
        }],
        ..MetricUpdate::default()
    }
}
