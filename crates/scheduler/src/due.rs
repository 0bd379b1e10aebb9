//! Opens runs for datasets whose time has come, many in one transaction.

use jiff::{SignedDuration, Timestamp};
use store::{DueSlot, Kind, Store, StoredDataset};

use crate::agenda::{Agenda, read_definition};
use crate::error::Error;

/// Datasets handled in one transaction: small enough that nobody waits long for the store.
const BATCH: u32 = 200;
/// A new dataset is left alone this long, so that whoever made it may sync it first.
const FIRST_SYNC_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Opens what is due at `now`; returns how many runs were opened and whether more may be due.
pub(crate) async fn open_due(store: &Store, now: Timestamp) -> Result<(usize, bool), Error> {
    let datasets = store.due_datasets(now.as_millisecond(), BATCH).await?;
    let more = datasets.len() >= BATCH as usize;
    let mut slots = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        match decide(store, &dataset, now).await {
            Ok(Decision::Open(slot)) => slots.push(slot),
            Ok(Decision::Later(next)) => {
                let next = next.map(Timestamp::as_millisecond);
                store
                    .set_next_due(&dataset.workspace, &dataset.id, next)
                    .await?;
            }
            Err(Error::Unreadable(error)) => {
                tracing::error!(dataset = %dataset.id, %error, "dataset cannot be planned");
                store
                    .set_next_due(&dataset.workspace, &dataset.id, None)
                    .await?;
                let reason = error.to_string();
                store
                    .set_attention(&dataset.workspace, &dataset.id, Some(&reason))
                    .await?;
            }
            Err(error) => return Err(error),
        }
    }
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

async fn decide(store: &Store, dataset: &StoredDataset, now: Timestamp) -> Result<Decision, Error> {
    let agenda = agenda_of(store, dataset).await?;
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
    if agenda.rests() {
        return Ok(Decision::Later(None));
    }
    if connection_rests(store, dataset).await? {
        return Ok(Decision::Later(agenda.next_after(now)));
    }
    let slot = agenda.newest_due(due, now);
    let last_window_end = dataset.last_window_end.map(instant);
    Ok(Decision::Open(DueSlot {
        workspace: dataset.workspace.clone(),
        dataset: dataset.id.clone(),
        slot: slot.as_millisecond(),
        windows: agenda
            .windows(last_window_end, now)
            .into_iter()
            .map(|window| window.map(stored_interval))
            .collect(),
        next_due: agenda.next_after(now).map(Timestamp::as_millisecond),
    }))
}

async fn agenda_of(store: &Store, dataset: &StoredDataset) -> Result<Agenda, Error> {
    let metrics = store.metrics_of(&dataset.workspace, &dataset.id).await?;
    let named = match &dataset.name {
        Some(name) => {
            store
                .definition(&dataset.workspace, Kind::Dataset, name)
                .await?
        }
        None => None,
    };
    let named = match named {
        Some(stored) => match read_definition("dataset", &stored.name, &stored.document)? {
            definition::Definition::Dataset(named) => Some(named),
            _ => None,
        },
        None => None,
    };
    Ok(Agenda::of(dataset, named.as_ref(), &metrics)?)
}

async fn connection_rests(store: &Store, dataset: &StoredDataset) -> Result<bool, Error> {
    let connection = store
        .definition(&dataset.workspace, Kind::Connection, &dataset.connection)
        .await?;
    let Some(stored) = connection else {
        return Ok(false);
    };
    let read = read_definition("connection", &stored.name, &stored.document)?;
    Ok(matches!(read, definition::Definition::Connection(connection) if connection.paused))
}

fn stored_interval(interval: definition::Interval) -> store::Interval {
    store::Interval {
        start: interval.start.as_millisecond(),
        end: interval.end.as_millisecond(),
    }
}

/// Reads an instant of the store.
pub(crate) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
