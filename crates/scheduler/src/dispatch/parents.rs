//! The records of a parent dataset that a run asks for one by one: where they are, or what the run waits for.
//!
//! A parent is fetched when a child needs it: its newest final run serves while it is young, else a new one is
//! opened and the child waits for it in the ledger.

use definition::{Definition, Parent, Records};
use jiff::{SignedDuration, Timestamp};
use store::{
    Interval, Kind, NewRuns, Run, RunEnd, RunKind, RunState, Store, StoredDataset, instant,
};
use wire::{ParentRecords, RunManifest};

use super::orders::{refused, unreadable};
use crate::agenda::Agenda;
use crate::error::Error;

/// A parent's run serves its children this long: records of an hour ago are asked for, those since by the next run.
const YOUNG: SignedDuration = SignedDuration::from_hours(1);

/// Final runs looked at: the windows of one slot.
const RUNS: u32 = 64;

/// Pages of a parent that one request names: the address of each has some two hundred bytes.
const MOST_PAGES: usize = 2_000;

/// Where a run stands with its parent.
pub(super) enum Standing {
    /// These are its records.
    Ready(Box<ParentRecords>),
    /// It waits, for this reason.
    Waits(String),
    /// It can never be fetched as things stand.
    Never(Box<RunEnd>),
}

/// Finds the records for `run`, whose dataset has this `parent`.
pub(super) async fn records(
    store: &Store,
    run: &Run,
    parent: &Parent,
    resume: Option<&wire::Resume>,
    now: Timestamp,
) -> Result<Standing, Error> {
    let (ws, name) = (run.workspace.as_str(), parent.dataset.as_str());
    let Some(dataset) = store.dataset_named(ws, name).await? else {
        let text = format!("the parent dataset `{name}` was deleted");
        return Ok(Standing::Never(refused("parent.missing", &text, None)));
    };
    let mut finals = store.final_runs(ws, &dataset.id, RUNS).await?;
    finals.sort_by_key(|(run, _)| std::cmp::Reverse((run.slot, run.window.map(|w| w.start))));
    let begun = resume
        .and_then(|resume| resume.next.as_ref()?.0.pointer("/parents/run")?.as_str())
        .and_then(|id| finals.iter().find(|(run, _)| run.id == id))
        .map(|(run, _)| run.slot);
    let newest = finals.first().map(|(run, _)| run.slot);
    let youngest = instant(run.slot)
        .saturating_sub(YOUNG)
        .unwrap_or_default()
        .as_millisecond();
    let slot = match (begun, newest) {
        (Some(slot), _) => Some(slot),
        (None, Some(slot)) if slot >= youngest => Some(slot),
        _ => None,
    };
    if let Some(slot) = slot {
        return ready(store, &dataset, parent, slot, &finals).await;
    }
    let recent = store.runs_of_dataset(ws, &dataset.id, RUNS, None).await?;
    if recent.iter().any(|run| !run.state.is_ended()) {
        return Ok(Standing::Waits(format!(
            "waits for the dataset `{name}`, which is being fetched"
        )));
    }
    let failed = recent.iter().find(|other| {
        matches!(other.state, RunState::Failed | RunState::Dead)
            && other.created_at >= run.created_at
    });
    match (failed, newest) {
        // What there was before is better than nothing.
        (Some(_), Some(slot)) => ready(store, &dataset, parent, slot, &finals).await,
        (Some(failed), None) => {
            let error = failed.error.as_deref().unwrap_or_default();
            let error: serde_json::Value = serde_json::from_str(error).unwrap_or_default();
            let why = error["message"].as_str().unwrap_or("its run failed");
            let text = format!("the parent dataset `{name}` could not be fetched: {why}");
            Ok(Standing::Never(refused("parent.failed", &text, None)))
        }
        (None, _) => {
            open(store, &dataset, run, now).await?;
            Ok(Standing::Waits(format!(
                "waits for the dataset `{name}`, whose records it asks for"
            )))
        }
    }
}

/// Opens a run of the parent.
async fn open(
    store: &Store,
    dataset: &StoredDataset,
    child: &Run,
    now: Timestamp,
) -> Result<(), Error> {
    let metrics = store.metrics_of(&dataset.workspace, &dataset.id).await?;
    let agenda = match Agenda::of(dataset, None, &metrics) {
        Ok(agenda) => agenda,
        Err(error) => {
            tracing::warn!(dataset = %dataset.id, %error, "a parent cannot be planned");
            return Ok(());
        }
    };
    let windows = agenda.windows(now);
    store
        .open_runs(&NewRuns {
            workspace: dataset.workspace.clone(),
            dataset: dataset.id.clone(),
            slot: now.as_millisecond(),
            kind: RunKind::Recovery,
            windows: windows
                .into_iter()
                .map(|window| window.map(Interval::from))
                .collect(),
            reason: Some(format!("run {} asks for its records", child.id)),
        })
        .await?;
    Ok(())
}

async fn ready(
    store: &Store,
    dataset: &StoredDataset,
    parent: &Parent,
    slot: i64,
    finals: &[(Run, Option<String>)],
) -> Result<Standing, Error> {
    let mut order = ParentRecords {
        max_parents: parent.max_parents,
        skip_missing: parent.skip_missing,
        ..ParentRecords::default()
    };
    let mut select = serde_json::Map::new();
    if let Some(condition) = &parent.where_ {
        select.insert("where".to_owned(), condition.clone().into());
    }
    match records_and_key(store, dataset).await? {
        Ok((records, key)) => {
            let records = records.and_then(|records| serde_json::to_value(records).ok());
            select.extend(records.map(|records| ("records".to_owned(), records)));
            select.extend(key.map(|key| ("key".to_owned(), key.into())));
        }
        Err(end) => return Ok(Standing::Never(end)),
    }
    order.select = Some(serde_json::Value::Object(select).into());
    for (run, manifest) in finals.iter().filter(|(run, _)| run.slot == slot) {
        let manifest: Option<RunManifest> = manifest
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        order.run.clone_from(&run.id);
        for page in manifest.map(|manifest| manifest.pages).unwrap_or_default() {
            order.pages.push(wire::PageEntry {
                number: page.number,
                sequences: page.sequences,
                hash: page.hash,
                bytes: page.bytes,
                duplicate: page.duplicate,
                ..wire::PageEntry::default()
            });
        }
    }
    if order.pages.len() > MOST_PAGES {
        let text = format!(
            "the parent dataset has {} pages; at most {MOST_PAGES} can be asked for",
            order.pages.len()
        );
        return Ok(Standing::Never(refused("parent.too_large", &text, None)));
    }
    Ok(Standing::Ready(Box::new(order)))
}

/// Where the parent's records are, and what makes each itself: as it says, else as the first of its metrics says.
async fn records_and_key(
    store: &Store,
    dataset: &StoredDataset,
) -> Result<Result<(Option<Records>, Option<String>), Box<RunEnd>>, Error> {
    let name = dataset.name.as_deref().unwrap_or_default();
    let stored = store
        .definition(&dataset.workspace, Kind::Dataset, name)
        .await?;
    let (mut records, mut key) = (None, None);
    if let Some(stored) = stored {
        match stored.definition() {
            Ok(Definition::Dataset(named)) => (records, key) = (named.records, named.key),
            Ok(_) => {}
            Err(error) => return Ok(Err(unreadable(&error))),
        }
    }
    if records.is_none() {
        for stored in store.metrics_of(&dataset.workspace, &dataset.id).await? {
            match stored.metric() {
                Ok(metric) if metric.select.records.is_some() => {
                    records = metric.select.records;
                    key = key.or(metric.select.key);
                    break;
                }
                Ok(_) => {}
                Err(error) => return Ok(Err(unreadable(&error))),
            }
        }
    }
    Ok(Ok((records, key)))
}
