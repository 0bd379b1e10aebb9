//! The metrics that a run is for, as their definitions stand now.

use definition::{Dataset, Definition, Metric, MetricType};
use jiff::{SignedDuration, Timestamp};
use rollup::Rules;
use store::{Kind, Store, StoredMetric};

use crate::error::Error;

/// A metric with everything that its evaluation needs.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) name: String,
    /// The revision it is evaluated at.
    pub(crate) revision: i64,
    /// Its definition.
    pub(crate) metric: Metric,
    /// What rollups obey.
    pub(crate) rules: Rules,
}

/// Reads the metrics of a dataset, and the dataset's own definition when it has a name.
pub(crate) async fn of_dataset(
    store: &Store,
    workspace: &str,
    dataset: &str,
) -> Result<(Vec<Subject>, Option<Dataset>), Error> {
    let named = named_dataset(store, workspace, dataset).await?;
    let stored = store.metrics_of(workspace, dataset).await?;
    let subjects: Result<Vec<Subject>, Error> = stored
        .iter()
        .map(|stored| subject(stored, named.as_ref()))
        .collect();
    Ok((subjects?, named))
}

fn subject(stored: &StoredMetric, named: Option<&Dataset>) -> Result<Subject, Error> {
    let metric = stored.metric()?;
    Ok(Subject {
        name: stored.name.clone(),
        revision: stored.revision,
        rules: Rules::of(&metric, named),
        metric,
    })
}

/// Reads one metric as it is now, with the dataset's own definition when it has a name.
pub(crate) async fn now(
    store: &Store,
    workspace: &str,
    name: &str,
) -> Result<Option<(Subject, Option<Dataset>)>, Error> {
    let Some(stored) = store.definition(workspace, Kind::Metric, name).await? else {
        return Ok(None);
    };
    at_revision(store, workspace, name, stored.revision.unwrap_or_default()).await
}

/// Reads one metric as it was at a revision; as it is now, where that revision is not kept.
pub(crate) async fn at_revision(
    store: &Store,
    workspace: &str,
    name: &str,
    revision: i64,
) -> Result<Option<(Subject, Option<Dataset>)>, Error> {
    let Some(stored) = store.definition(workspace, Kind::Metric, name).await? else {
        return Ok(None);
    };
    let named = match &stored.dataset {
        Some(dataset) => named_dataset(store, workspace, dataset).await?,
        None => None,
    };
    let kept = store.revision(workspace, name, revision).await?;
    let earlier = kept.and_then(|kept| {
        let document = serde_json::from_str(&kept.document).ok()?;
        match Definition::from_document(&document) {
            Ok(Definition::Metric(metric)) => Some((kept.revision, metric)),
            _ => None,
        }
    });
    let (revision, metric) = match earlier {
        Some(earlier) => earlier,
        None => (stored.revision.unwrap_or_default(), stored.metric()?),
    };
    let subject = Subject {
        name: name.to_owned(),
        revision,
        rules: Rules::of(&metric, named.as_ref()),
        metric,
    };
    Ok(Some((subject, named)))
}

async fn named_dataset(
    store: &Store,
    workspace: &str,
    dataset: &str,
) -> Result<Option<Dataset>, Error> {
    let Some(stored) = store.dataset(workspace, dataset).await? else {
        return Ok(None);
    };
    let Some(name) = stored.name else {
        return Ok(None);
    };
    let Some(stored) = store.definition(workspace, Kind::Dataset, &name).await? else {
        return Ok(None);
    };
    Ok(Some(stored.dataset_definition()?))
}

impl Subject {
    /// Whether a scheduled slot is one of this metric's own instants.
    ///
    /// Several metrics may share a dataset that is due at the union of their instants; a level
    /// takes a sample at its own only.
    pub(crate) fn samples_at(
        &self,
        named: Option<&Dataset>,
        dataset: &str,
        slot: Timestamp,
    ) -> bool {
        if self.rules.metric_type != MetricType::Levels {
            return true;
        }
        let before = slot
            .saturating_sub(SignedDuration::from_millis(1))
            .unwrap_or(slot);
        let seed = definition::Schedule::spread_seed(dataset);
        let schedule = self.metric.schedule(named);
        schedule.next_after(before, &self.metric.zone(), seed) == Some(slot)
    }
}
