//! Opens runs for datasets whose time has come, many in one transaction.

use std::collections::BTreeMap;

use definition::{Connection, Dataset};
use jiff::{SignedDuration, Timestamp};
use store::{DueSlot, Kind, Store, StoredDataset, StoredMetric, instant};

use crate::agenda::Agenda;
use crate::error::Error;

/// Datasets handled in one transaction: small enough that nobody waits long for the store.
const BATCH: u32 = 200;
/// A new dataset is left alone this long, so that whoever made it may sync it first.
const FIRST_SYNC_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Opens what is due at `now`; returns how many runs were opened and whether more may be due.
pub(crate) async fn open_due(store: &Store, now: Timestamp) -> Result<(usize, bool), Error> {
    let datasets = store.due_datasets(now.as_millisecond(), BATCH).await?;
    let more = datasets.len() >= BATCH as usize;
    let mut by_workspace: BTreeMap<&str, Vec<&StoredDataset>> = BTreeMap::new();
    for dataset in &datasets {
        let of_workspace = by_workspace.entry(&dataset.workspace).or_default();
        of_workspace.push(dataset);
    }
    let (mut slots, mut plans) = (Vec::new(), Vec::new());
    for (workspace, datasets) in by_workspace {
        let context = Context::read(store, workspace, &datasets).await?;
        for dataset in datasets {
            match context.decide(dataset, now) {
                Ok(Decision::Open(slot)) => slots.push(slot),
                Ok(Decision::Later(next)) => {
                    let next = next.map(Timestamp::as_millisecond);
                    plans.push((workspace.to_owned(), dataset.id.clone(), next));
                }
                Err(error) => {
                    tracing::error!(dataset = %dataset.id, %error, "dataset cannot be planned");
                    plans.push((workspace.to_owned(), dataset.id.clone(), None));
                    let reason = error.to_string();
                    store
                        .set_attention(workspace, &dataset.id, Some(&reason))
                        .await?;
                }
            }
        }
    }
    store.set_next_dues(&plans).await?;
    if slots.is_empty() {
        return Ok((0, more));
    }
    let opened = store.open_due(&slots).await?;
    Ok((opened.iter().filter(|run| !run.joined).count(), more))
}

enum Decision {
    Open(DueSlot),
    Later(Option<Timestamp>),
}

/// What deciding about datasets of one workspace needs, read at once for all of them.
struct Context {
    metrics: BTreeMap<String, Vec<StoredMetric>>,
    named: BTreeMap<String, Result<Dataset, store::Unreadable>>,
    connections: BTreeMap<String, Result<Connection, store::Unreadable>>,
}

impl Context {
    async fn read(
        store: &Store,
        workspace: &str,
        datasets: &[&StoredDataset],
    ) -> Result<Self, Error> {
        let ids: Vec<String> = datasets.iter().map(|one| one.id.clone()).collect();
        let mut names: Vec<String> = datasets.iter().filter_map(|one| one.name.clone()).collect();
        names.sort();
        let mut connections: Vec<String> =
            datasets.iter().map(|one| one.connection.clone()).collect();
        connections.sort();
        connections.dedup();
        let named = store
            .definitions_named(workspace, Kind::Dataset, &names)
            .await?;
        let connections = store
            .definitions_named(workspace, Kind::Connection, &connections)
            .await?;
        Ok(Self {
            metrics: store.metrics_of_all(workspace, &ids).await?,
            named: named
                .iter()
                .map(|one| (one.name.clone(), one.dataset_definition()))
                .collect(),
            connections: connections
                .iter()
                .map(|one| (one.name.clone(), one.connection()))
                .collect(),
        })
    }

    fn decide(
        &self,
        dataset: &StoredDataset,
        now: Timestamp,
    ) -> Result<Decision, store::Unreadable> {
        let agenda = self.agenda_of(dataset)?;
        let due = dataset
            .next_due_at
            .map(instant)
            .filter(|due| *due <= now && !dataset.replan);
        let Some(due) = due else {
            // Definitions changed: planned again, and not fetched for that reason.
            return Ok(Decision::Later(agenda.next_after(now)));
        };
        let first_sync = instant(dataset.created_at)
            .saturating_add(FIRST_SYNC_AFTER)
            .unwrap_or(now);
        if due <= first_sync {
            if dataset.last_success_at.is_some() {
                // Somebody synced it since it was made.
                return Ok(Decision::Later(agenda.next_after(now)));
            }
            if now < first_sync {
                return Ok(Decision::Later(agenda.next_after(now).map(|_| first_sync)));
            }
        }
        if agenda.rests() || dataset.paused_reason.is_some() {
            return Ok(Decision::Later(None));
        }
        if self.connection_rests(dataset)? {
            return Ok(Decision::Later(agenda.next_after(now)));
        }
        let slot = agenda.newest_due(due, now);
        Ok(Decision::Open(DueSlot {
            workspace: dataset.workspace.clone(),
            dataset: dataset.id.clone(),
            slot: slot.as_millisecond(),
            windows: agenda
                .windows(now)
                .into_iter()
                .map(|window| window.map(store::Interval::from))
                .collect(),
            next_due: agenda.next_after(now).map(Timestamp::as_millisecond),
        }))
    }

    fn agenda_of(&self, dataset: &StoredDataset) -> Result<Agenda, store::Unreadable> {
        let metrics = self.metrics.get(&dataset.id).map_or(&[][..], Vec::as_slice);
        let named = dataset.name.as_ref().and_then(|name| self.named.get(name));
        let named = named.map(Result::as_ref).transpose();
        Agenda::of(dataset, named.map_err(Clone::clone)?, metrics)
    }

    fn connection_rests(&self, dataset: &StoredDataset) -> Result<bool, store::Unreadable> {
        match self.connections.get(&dataset.connection) {
            None => Ok(false),
            Some(Ok(connection)) => Ok(connection.paused),
            Some(Err(error)) => Err(error.clone()),
        }
    }
}
