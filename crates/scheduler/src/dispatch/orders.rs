//! The requests of claimed runs, self-contained, from what is read once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use definition::{Connection, Definition, Parent, Records};
use jiff::Timestamp;
use store::{
    Kind, Run, RunEnd, SealedSecret, Store, StoredDataset, StoredMetric, Unreadable, instant,
};
use wire::SyncRequest;

use super::parents::{self, Standing};
use crate::error::Error;

/// What is to be done about a run.
pub(super) enum Order {
    /// This is published.
    Request(Box<SyncRequest>),
    /// It waits in the ledger, for this reason.
    Wait(String),
    /// It can never be fetched as things stand.
    Never(Box<RunEnd>),
}

/// Builds the orders of `runs`, in their order.
pub(super) async fn of(store: &Store, runs: &[Run], now: Timestamp) -> Result<Vec<Order>, Error> {
    let mut by_workspace: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_workspace.entry(&run.workspace).or_default().push(run);
    }
    let mut known = BTreeMap::new();
    for (workspace, runs) in by_workspace {
        known.insert(workspace, Known::read(store, workspace, &runs).await?);
    }
    let mut orders = Vec::with_capacity(runs.len());
    for run in runs {
        let request = known
            .get(run.workspace.as_str())
            .map(|known| known.request(run));
        orders.push(match request {
            Some(Ok((request, None))) => Order::Request(Box::new(request)),
            Some(Ok((request, Some(parent)))) => {
                with_parent(store, run, request, &parent, now).await?
            }
            Some(Err(end)) => Order::Never(end),
            None => Order::Never(gone()),
        });
    }
    Ok(orders)
}

/// Adds the parent's records to a request, once they are there.
async fn with_parent(
    store: &Store,
    run: &Run,
    mut request: SyncRequest,
    parent: &Parent,
    now: Timestamp,
) -> Result<Order, Error> {
    let resume = request.resume.as_ref();
    let standing = parents::records(store, run, parent, resume, now).await?;
    Ok(match standing {
        Standing::Ready(records) => {
            request.parent = Some(*records);
            // Whoever does not know of parents would ask once, for nobody.
            request.requires.push(wire::sync_request::PARENT.to_owned());
            Order::Request(Box::new(request))
        }
        Standing::Waits(reason) => Order::Wait(reason),
        Standing::Never(end) => Order::Never(end),
    })
}

/// What the requests of one workspace need.
struct Known {
    datasets: BTreeMap<String, StoredDataset>,
    metrics: BTreeMap<String, Vec<StoredMetric>>,
    connections: BTreeMap<String, Result<Ready, Box<RunEnd>>>,
}

/// A connection with the secrets that it names.
struct Ready {
    document: serde_json::Value,
    secrets: Vec<wire::SealedSecret>,
}

impl Known {
    async fn read(store: &Store, workspace: &str, runs: &[&Run]) -> Result<Self, Error> {
        let ids = unique(runs.iter().map(|run| &run.dataset));
        let names = unique(runs.iter().map(|run| &run.connection));
        let datasets = store.datasets_by_id(workspace, &ids).await?;
        Ok(Self {
            datasets: datasets
                .into_iter()
                .map(|dataset| (dataset.id.clone(), dataset))
                .collect(),
            metrics: store.metrics_of_all(workspace, &ids).await?,
            connections: connections(store, workspace, &names).await?,
        })
    }

    /// The request for a run and the parent of its dataset, or why it can never be fetched as things stand.
    fn request(&self, run: &Run) -> Result<(SyncRequest, Option<Parent>), Box<RunEnd>> {
        let dataset = self.datasets.get(&run.dataset).ok_or_else(gone)?;
        let ready = match self.connections.get(&run.connection) {
            Some(Ok(ready)) => ready,
            Some(Err(end)) => return Err(end.clone()),
            None => {
                let text = format!("the connection `{}` was deleted", run.connection);
                return Err(refused("connection.missing", &text, Some(&text)));
            }
        };
        let fetch = dataset.fetch().map_err(|error| unreadable(&error))?;
        let request = serde_json::to_value(&fetch.request).unwrap_or_default();
        let resume = run.resume.as_deref();
        let resume: Option<wire::Resume> =
            resume.and_then(|text| serde_json::from_str(text).ok().flatten());
        let mut requires = Vec::new();
        if resume
            .as_ref()
            .is_some_and(|resume| resume.manifest.is_some())
        {
            // Whoever does not know where the pages are would begin behind them and lose them.
            requires.push(wire::sync_request::RESUME_BY_MANIFEST.to_owned());
        }
        let parent = fetch.parent.clone();
        let request = SyncRequest {
            workspace: run.workspace.clone(),
            dataset: run.dataset.clone(),
            run: run.id.clone(),
            attempt: run.attempt,
            slot: instant(run.slot).to_string(),
            kind: run.kind.as_str().to_owned(),
            window: run.window.map(|window| wire::Window {
                start: instant(window.start).to_string(),
                end: instant(window.end).to_string(),
            }),
            timezone: fetch.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            connection: Some(ready.document.clone().into()),
            max_pages: fetch.request.max_pages,
            request: Some(request.into()),
            secrets: ready.secrets.clone(),
            epoch: run.epoch,
            resume,
            records_hint: self.records_hint(run)?,
            requires,
            parent: None,
        };
        Ok((request, parent))
    }

    /// The records path that most metrics agree on, for counting; empty when none says.
    fn records_hint(&self, run: &Run) -> Result<String, Box<RunEnd>> {
        for stored in self.metrics.get(&run.dataset).into_iter().flatten() {
            let metric = stored.metric().map_err(|error| unreadable(&error))?;
            if let Some(Records::Path(path)) = metric.select.records {
                return Ok(path);
            }
        }
        Ok(String::new())
    }
}

/// Reads connections by name, each with its secrets or with the reason why it cannot be used.
async fn connections(
    store: &Store,
    workspace: &str,
    names: &[String],
) -> Result<BTreeMap<String, Result<Ready, Box<RunEnd>>>, Error> {
    let stored = store
        .definitions_named(workspace, Kind::Connection, names)
        .await?;
    let read: Vec<(String, Result<Connection, Unreadable>)> = stored
        .iter()
        .map(|one| (one.name.clone(), one.connection()))
        .collect();
    let secrets = read.iter().filter_map(|(_, read)| read.as_ref().ok());
    let secrets: Vec<String> = secrets.flat_map(secret_names).collect();
    let secrets = if secrets.is_empty() {
        Vec::new()
    } else {
        store
            .sealed_secrets(workspace, &unique(secrets.iter()))
            .await?
    };
    let mut found = BTreeMap::new();
    for (name, connection) in read {
        let ready = match connection {
            Ok(connection) => {
                sealed(store, workspace, &connection, &secrets)
                    .await?
                    .map(|secrets| Ready {
                        document: Definition::Connection(connection).to_document(),
                        secrets,
                    })
            }
            Err(error) => Err(unreadable(&error)),
        };
        found.insert(name, ready);
    }
    Ok(found)
}

/// The secrets of a connection out of those that were read, or what is missing.
async fn sealed(
    store: &Store,
    workspace: &str,
    connection: &Connection,
    known: &[SealedSecret],
) -> Result<Result<Vec<wire::SealedSecret>, Box<RunEnd>>, Error> {
    let bound_to = connection.origins();
    let mut secrets = Vec::new();
    for name in secret_names(connection) {
        let Some(secret) = known.iter().find(|one| one.name == name) else {
            let connection_name = connection.name.as_str();
            let is_consent = connection
                .auth
                .consent()
                .is_some_and(|awaited| awaited.as_str() == name);
            let text = if is_consent {
                format!(
                    "nobody has authorized the connection `{connection_name}` yet: run `tidemark connection authorize {connection_name}`"
                )
            } else {
                format!(
                    "the secret `{name}` of connection `{connection_name}` has no value yet: run `tidemark secret set {name}`"
                )
            };
            return Ok(Err(refused("secret.missing", &text, Some(&text))));
        };
        let mut origins = secret.origins.clone();
        // A value kept before any connection used it is bound to the origins of the first that does.
        if origins.is_empty()
            && let Some(wanted) = &bound_to
            && store
                .bind_secret_origins(workspace, &secret.name, secret.version, wanted)
                .await?
        {
            origins.clone_from(wanted);
        }
        secrets.push(wire::SealedSecret {
            name: secret.name.clone(),
            version: secret.version,
            sealed: secret.sealed.clone(),
            origins,
        });
    }
    Ok(Ok(secrets))
}

fn secret_names(connection: &Connection) -> Vec<String> {
    let names = connection.secrets();
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let unique: BTreeSet<&String> = names.collect();
    unique.into_iter().cloned().collect()
}

fn gone() -> Box<RunEnd> {
    refused("dataset.gone", "the dataset was deleted", None)
}

pub(super) fn unreadable(error: &Unreadable) -> Box<RunEnd> {
    let text = error.to_string();
    refused("definition.unreadable", &text, Some(&text))
}

pub(super) fn refused(code: &str, message: &str, attention: Option<&str>) -> Box<RunEnd> {
    Box::new(RunEnd {
        ended: Some("failed".into()),
        error: Some(serde_json::json!({ "code": code, "message": message }).to_string()),
        needs_attention: attention.map(str::to_owned),
        ..RunEnd::default()
    })
}
