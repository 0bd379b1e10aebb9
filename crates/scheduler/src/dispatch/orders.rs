//! The requests of claimed runs, self-contained, from what is read once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use definition::{Connection, Dataset, Definition, Parent, Records};
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
    /// Named datasets as people wrote them: what their metrics leave out stands there.
    written: BTreeMap<String, Dataset>,
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
        let named = unique(datasets.iter().filter_map(|dataset| dataset.name.as_ref()));
        let written = store
            .definitions_named(workspace, Kind::Dataset, &named)
            .await?;
        Ok(Self {
            // One that cannot be read has no say in what is counted.
            written: written
                .into_iter()
                .filter_map(|one| match one.definition() {
                    Ok(Definition::Dataset(dataset)) => Some((one.name, dataset)),
                    _ => None,
                })
                .collect(),
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
        let name = dataset.name.as_ref();
        let written = name.and_then(|name| self.written.get(name));
        let metrics = self
            .metrics
            .get(&run.dataset)
            .map_or(&[][..], Vec::as_slice);
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
            records_hint: records_hint(written, metrics)?,
            requires,
            parent: None,
        };
        Ok((request, parent))
    }
}

/// The records path of the first metric that selects one, of its own or its dataset's, for counting; empty when none
/// does.
fn records_hint(
    written: Option<&Dataset>,
    metrics: &[StoredMetric],
) -> Result<String, Box<RunEnd>> {
    for stored in metrics {
        let metric = stored.metric().map_err(|error| unreadable(&error))?;
        if let Some(Records::Path(path)) = metric.selection(written).records {
            return Ok(path);
        }
    }
    // A dataset without metrics, such as one that is only a parent, is counted too.
    match written.and_then(|written| written.records.clone()) {
        Some(Records::Path(path)) => Ok(path),
        _ => Ok(String::new()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Definition> {
        let bundle = definition::parse(text, "test").expect("definitions");
        let located = bundle.definitions.into_iter();
        located.map(|located| located.definition).collect()
    }

    #[test]
    fn a_datasets_own_records_are_counted_where_its_metrics_select_none() {
        let all = of(
            "kind: dataset\nname: orders\nconnection: shop\nrequest: { path: /orders }\nrecords: data.orders\n\
            ---\nkind: metric\nname: revenue\ndataset: orders\nselect: { value: total, date: at }\n\
            ---\nkind: metric\nname: lines\ndataset: orders\nselect: { records: data.lines, value: total, date: at }\n",
        );
        let Definition::Dataset(dataset) = &all[0] else {
            panic!("{:?}", all[0]);
        };
        let [revenue, lines] = [&all[1], &all[2]].map(|definition| StoredMetric {
            name: String::new(),
            revision: 1,
            document: definition.to_document().to_string(),
            version: 1,
            windows: None,
        });
        let hint = |written, metrics: &[StoredMetric]| records_hint(written, metrics).ok();
        let own = Some("data.orders".to_owned());
        assert_eq!(hint(Some(dataset), std::slice::from_ref(&revenue)), own);
        assert_eq!(hint(Some(dataset), &[]), own);
        assert_eq!(hint(Some(dataset), &[lines]), Some("data.lines".to_owned()));
        assert_eq!(hint(None, &[revenue]), Some(String::new()));
    }
}
