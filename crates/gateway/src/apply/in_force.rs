//! What is in force already, of what a bundle refers to.

use std::collections::{BTreeSet, HashMap};

use definition::{Bundle, Connection, Dataset, Definition, Goal, Known, Metric, Name};
use store::Kind;

use super::kind_of;
use crate::definitions::dataset;
use crate::problem::Problem;
use crate::router::Gateway;

/// Metrics looked at for what calculated ones stand on.
const INPUTS: usize = 10_000;

/// What is in force already, of what a bundle refers to.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    pub(super) connections: HashMap<String, Connection>,
    pub(super) datasets: HashMap<String, Dataset>,
    pub(super) metrics: HashMap<String, Metric>,
    pub(super) goals: HashMap<String, Goal>,
}

impl InForce {
    /// Reads what the bundle refers to.
    pub(crate) async fn load(
        gateway: &Gateway,
        workspace: &str,
        bundle: &Bundle,
    ) -> Result<Self, Problem> {
        let mut known = Self::default();
        let mut connections = BTreeSet::new();
        for located in &bundle.definitions {
            match &located.definition {
                Definition::Connection(connection) => {
                    connections.insert(connection.name.to_string());
                }
                Definition::Dataset(dataset) => {
                    connections.insert(dataset.connection.to_string());
                    let parent = dataset.parent.as_ref().map(|parent| &parent.dataset);
                    known.load_line(gateway, workspace, parent).await?;
                }
                Definition::Metric(metric) => {
                    connections.extend(metric.connection.as_ref().map(ToString::to_string));
                    let own = metric.dataset.as_ref();
                    known.load_line(gateway, workspace, own).await?;
                    known.load_inputs(gateway, workspace, metric).await?;
                }
                Definition::Goal(_)
                | Definition::Alert(_)
                | Definition::Board(_)
                | Definition::Scorecard(_) => {
                    known
                        .load_used(gateway, workspace, &located.definition)
                        .await?;
                }
            }
        }
        let of_datasets = known.datasets.values();
        connections.extend(of_datasets.map(|dataset| dataset.connection.to_string()));
        for name in connections {
            if let Some(stored) = gateway
                .store()
                .definition(workspace, Kind::Connection, &name)
                .await?
            {
                known.connections.insert(name, stored.connection()?);
            }
        }
        Ok(known)
    }

    /// Reads all metrics that a calculated one stands on.
    async fn load_inputs(
        &mut self,
        gateway: &Gateway,
        workspace: &str,
        metric: &Metric,
    ) -> Result<(), Problem> {
        let names = |metric: &Metric| {
            metric
                .inputs()
                .into_iter()
                .map(ToString::to_string)
                .collect()
        };
        let mut open: Vec<String> = names(metric);
        // A bundle that stands on more is refused; nothing needs to be known of the rest.
        while !open.is_empty() && self.metrics.len() < INPUTS {
            open.retain(|name| !self.metrics.contains_key(name));
            open.sort();
            open.dedup();
            let found = gateway
                .store()
                .definitions_named(workspace, Kind::Metric, &open)
                .await?;
            open.clear();
            for stored in found {
                let input = stored.metric()?;
                open.extend::<Vec<String>>(names(&input));
                self.metrics.insert(stored.name, input);
            }
        }
        Ok(())
    }

    /// Reads a dataset and those it descends from.
    async fn load_line(
        &mut self,
        gateway: &Gateway,
        workspace: &str,
        name: Option<&Name>,
    ) -> Result<(), Problem> {
        let mut next = name.map(ToString::to_string);
        while let Some(name) = next {
            if self.datasets.contains_key(&name) {
                return Ok(());
            }
            let Some(found) = dataset(gateway, workspace, &name).await? else {
                return Ok(());
            };
            next = found
                .parent
                .as_ref()
                .map(|parent| parent.dataset.to_string());
            self.datasets.insert(name, found);
        }
        Ok(())
    }

    /// Reads the metrics and goals that a definition names, with the datasets that tell what a metric is.
    async fn load_used(
        &mut self,
        gateway: &Gateway,
        workspace: &str,
        definition: &Definition,
    ) -> Result<(), Problem> {
        for (kind, name) in definition.uses() {
            let kind = kind_of(kind);
            if self.metrics.contains_key(name.as_str()) && kind == Kind::Metric {
                continue;
            }
            let store = gateway.store();
            let Some(stored) = store.definition(workspace, kind, name.as_str()).await? else {
                continue;
            };
            match stored.definition()? {
                Definition::Metric(metric) => {
                    if let Some(used) = &metric.dataset
                        && !self.datasets.contains_key(used.as_str())
                        && let Some(found) = dataset(gateway, workspace, used.as_str()).await?
                    {
                        self.datasets.insert(used.to_string(), found);
                    }
                    self.metrics.insert(name.to_string(), metric);
                }
                Definition::Goal(goal) => {
                    self.goals.insert(name.to_string(), goal);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Known for InForce {
    fn connection(&self, name: &str) -> Option<Connection> {
        self.connections.get(name).cloned()
    }

    fn dataset(&self, name: &str) -> Option<Dataset> {
        self.datasets.get(name).cloned()
    }

    fn connector(&self, name: &str) -> bool {
        connectors::find(name).is_some()
    }

    fn metric(&self, name: &str) -> Option<Metric> {
        self.metrics.get(name).cloned()
    }

    fn goal(&self, name: &str) -> Option<Goal> {
        self.goals.get(name).cloned()
    }
}
