//! The datasets that a draft descends from: how they are fetched, and which of their records count.

use definition::window::plan;
use definition::{
    Bundle, Connection, Dataset, Definition, Known as _, Metric, Parent, Records, Select,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use wire::SyncRequest;
use wire::preview::PreviewParent;

use super::draft::secrets;
use crate::apply::InForce;
use crate::problem::Problem;
use crate::router::Gateway;

/// A dataset whose records are asked for one by one.
pub(super) struct Above {
    dataset: Dataset,
    connection: Connection,
    /// How the one below uses it.
    used: Parent,
    records: Option<Records>,
    key: Option<String>,
}

/// The datasets from `parent` upwards, the uppermost first.
pub(super) async fn line(
    gateway: &Gateway,
    workspace: &str,
    bundle: &Bundle,
    known: &InForce,
    parent: Option<&Parent>,
) -> Result<Vec<Above>, Problem> {
    let mut line = Vec::new();
    let mut next = parent.cloned();
    while let Some(used) = next.take() {
        let name = used.dataset.as_str();
        let missing = |what: String| Problem::body("definition.invalid", what);
        let dataset = dataset_of(bundle, known, name)
            .ok_or_else(|| missing(format!("there is no dataset `{name}`")))?;
        let connection = connection_of(bundle, known, dataset.connection.as_str())
            .ok_or_else(|| missing(format!("there is no connection `{}`", dataset.connection)))?;
        let (records, key) = match &dataset.records {
            Some(_) => (dataset.records.clone(), dataset.key.clone()),
            None => of_a_metric(gateway, workspace, bundle, &dataset).await?,
        };
        next.clone_from(&dataset.parent);
        line.push(Above {
            dataset,
            connection,
            used,
            records,
            key,
        });
        // Definitions that descend from themselves were refused.
        if line.len() > Parent::MAX_DEPTH {
            break;
        }
    }
    line.reverse();
    Ok(line)
}

/// A dataset of the bundle, else the one in force.
pub(super) fn dataset_of(bundle: &Bundle, known: &InForce, name: &str) -> Option<Dataset> {
    let mut all = bundle.definitions.iter();
    let own = all.find_map(|located| match &located.definition {
        Definition::Dataset(own) if own.name.as_str() == name => Some(own.clone()),
        _ => None,
    });
    own.or_else(|| known.dataset(name))
}

/// A connection of the bundle, else the one in force.
pub(super) fn connection_of(bundle: &Bundle, known: &InForce, name: &str) -> Option<Connection> {
    let mut all = bundle.definitions.iter();
    let own = all.find_map(|located| match &located.definition {
        Definition::Connection(own) if own.name.as_str() == name => Some(own.clone()),
        _ => None,
    });
    own.or_else(|| known.connection(name))
}

/// Where the first metric of a dataset that says so has its records.
async fn of_a_metric(
    gateway: &Gateway,
    workspace: &str,
    bundle: &Bundle,
    dataset: &Dataset,
) -> Result<(Option<Records>, Option<String>), Problem> {
    let of = |select: Select| (select.records, dataset.key.clone().or(select.key));
    let drafts = bundle
        .definitions
        .iter()
        .filter_map(|located| match &located.definition {
            Definition::Metric(metric) if metric.dataset.as_ref() == Some(&dataset.name) => {
                Some(metric)
            }
            _ => None,
        });
    if let Some(own) = drafts
        .into_iter()
        .find(|metric| metric.select.records.is_some())
    {
        return Ok(of(own.select.clone()));
    }
    let store = gateway.store();
    let Some(stored) = store
        .dataset_named(workspace, dataset.name.as_str())
        .await?
    else {
        return Ok((None, dataset.key.clone()));
    };
    for stored in store.metrics_of(workspace, &stored.id).await? {
        let metric = stored.metric()?;
        if metric.select.records.is_some() {
            return Ok(of(metric.select));
        }
    }
    Ok((None, dataset.key.clone()))
}

impl Above {
    /// What is fetched, for telling drafts apart.
    pub(super) fn identity(&self) -> String {
        let connection = Definition::Connection(self.connection.clone()).to_document();
        format!(
            "{}{connection}{:?}",
            self.dataset.fetch().identity(),
            self.used
        )
    }

    /// How a fetcher gets its records; `metric` says in which zone and steps its windows are cut.
    pub(super) async fn question(
        &self,
        gateway: &Gateway,
        workspace: &str,
        metric: &Metric,
        now: Timestamp,
    ) -> Result<PreviewParent, Problem> {
        let fetch = self.dataset.fetch();
        let window = fetch.window.as_ref().and_then(|window| {
            let (zone, start) = (metric.zone(), metric.week_start);
            let windows = plan(window, &[], None, now, &zone, metric.resolution, start);
            windows.first().map(|newest| wire::Window {
                start: newest.start.to_string(),
                end: newest.end.to_string(),
            })
        });
        let connection = Definition::Connection(self.connection.clone()).to_document();
        let request = serde_json::to_value(&fetch.request).unwrap_or_default();
        let sync = SyncRequest {
            attempt: 1,
            slot: now.to_string(),
            window,
            timezone: fetch.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            connection: Some(connection.into()),
            request: Some(request.into()),
            secrets: secrets(gateway, workspace, &self.connection).await?,
            ..SyncRequest::default()
        };
        Ok(PreviewParent {
            dataset: self.dataset.name.to_string(),
            sync: Some(sync),
            select: Some(self.select().into()),
            skip_missing: self.used.skip_missing,
        })
    }

    fn select(&self) -> Value {
        let mut select = Map::new();
        let records = self.records.as_ref();
        let records = records.and_then(|records| serde_json::to_value(records).ok());
        select.extend(records.map(|records| ("records".to_owned(), records)));
        let condition = self.used.where_.clone();
        select.extend(condition.map(|condition| ("where".to_owned(), condition.into())));
        let key = self.key.clone();
        select.extend(key.map(|key| ("key".to_owned(), key.into())));
        Value::Object(select)
    }
}
