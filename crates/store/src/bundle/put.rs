//! Putting one definition: what changes, and which rows that makes.

use super::{Bundle, DatasetRow, MetricRow, identity_hash};
use crate::FetchIdentity;
use crate::database::values;
use crate::definitions::{Applied, ApplyOutcome, Change, Kind, Put};
use crate::error::{Error, Result};
use crate::push::NO_CONNECTION;
use crate::recompute::Which;
use crate::{identity, recompute};

impl Bundle<'_> {
    pub(crate) fn put(&mut self, at: usize, change: &Change, put: &Put) -> Result<()> {
        let (kind, name) = (change.kind, change.name.as_str());
        let before = self.before.get(&(kind, change.name.clone()));
        let is_same_document = before.is_some_and(|before| before.document == put.document);
        let version = self.version(kind, name);
        let (is_changed, revision, dataset) = match kind {
            Kind::Connection => {
                let is_moved = before.is_some_and(|before| before.origin != put.origin);
                if is_moved {
                    self.moved.push(name.to_owned());
                }
                (!is_same_document || is_moved, None, None)
            }
            Kind::Dataset => {
                let (id, is_changed) = self.put_dataset(name, put, !is_same_document)?;
                (is_changed || !is_same_document, None, Some(id))
            }
            Kind::Metric => {
                let (is_changed, revision, dataset) =
                    self.put_metric(name, put, !is_same_document)?;
                (is_changed || !is_same_document, Some(revision), dataset)
            }
            Kind::Goal | Kind::Alert | Kind::Board | Kind::Scorecard => {
                (!is_same_document, None, None)
            }
        };
        let outcome = match (version, is_changed) {
            (0, _) => ApplyOutcome::Created,
            (_, true) => ApplyOutcome::Updated,
            (_, false) => ApplyOutcome::Unchanged,
        };
        let version = if is_changed || version == 0 {
            version + 1
        } else {
            version
        };
        if outcome != ApplyOutcome::Unchanged {
            let search = search_text(name, &put.document);
            self.definition_rows.push(values![
                self.ws,
                kind.as_str(),
                name,
                search,
                version,
                &put.origin,
                self.now,
                self.now,
                &put.document,
            ]);
            let word = if outcome == ApplyOutcome::Created {
                "created"
            } else {
                "updated"
            };
            let detail = match revision {
                Some(revision) => format!(r#"{{"version":{version},"revision":{revision}}}"#),
                None => format!(r#"{{"version":{version}}}"#),
            };
            self.note(word, kind, name, Some(detail));
            self.put_uses(kind, name, put);
        }
        let name = change.name.clone();
        self.answers[at] = Some(Applied {
            kind,
            name,
            outcome,
            version,
            created_at: self.created_at(kind, &change.name),
            revision,
            dataset,
        });
        Ok(())
    }

    /// Returns the dataset's id, and whether what it fetches changed.
    pub(crate) fn put_dataset(
        &mut self,
        name: &str,
        put: &Put,
        is_changed: bool,
    ) -> Result<(String, bool)> {
        let Some(fetch) = &put.fetch else {
            return Err(Error::Invalid(format!(
                "dataset `{name}` says nothing to fetch"
            )));
        };
        self.needed.insert(fetch.connection.clone());
        let hash = identity_hash(&fetch.identity);
        let Some(id) = self.by_name.get(name).cloned() else {
            return Ok((self.new_dataset(Some(name), fetch), true));
        };
        let Some(known) = self.datasets.get_mut(&id) else {
            return Ok((id, false));
        };
        let is_other = known.hash != hash || known.connection != fetch.connection;
        if is_other {
            known.hash.clone_from(&hash);
            known.connection.clone_from(&fetch.connection);
            self.raised.insert(id.clone());
            self.write_dataset(&id, fetch);
        } else if is_changed {
            self.write_dataset(&id, fetch);
            self.replan.insert(id.clone());
        }
        Ok((id, is_other))
    }

    /// Returns whether anything changed, the revision in force, and the dataset.
    pub(crate) fn put_metric(
        &mut self,
        name: &str,
        put: &Put,
        is_changed: bool,
    ) -> Result<(bool, i64, Option<String>)> {
        if !put.uses.is_empty() {
            let (is_revised, revision) = self.put_calculated(name, put);
            return Ok((is_revised, revision, None));
        }
        let dataset = self.dataset_for(name, put)?;
        let evaluation = put
            .evaluation
            .clone()
            .unwrap_or_else(|| put.document.clone());
        let is_new_dataset = self
            .datasets
            .get(&dataset)
            .is_some_and(|dataset| dataset.is_new);
        let Some(known) = self.metrics.get_mut(name) else {
            let (version, revision) = self.former.get(name).copied().unwrap_or_default();
            let revision = revision + 1;
            self.has_new_metrics = true;
            self.new_metrics.push(values![
                self.ws,
                name,
                &dataset,
                revision,
                version,
                self.now,
                &evaluation,
            ]);
            let document = put.document.clone();
            self.new_revisions
                .push((name.to_owned(), revision, document, evaluation.clone()));
            if !is_new_dataset {
                self.replan.insert(dataset.clone());
                self.recomputes
                    .push(recompute::request(self.ws, name, self.now, Which::Unseen));
            }
            let row = MetricRow {
                id: 0,
                dataset: Some(dataset.clone()),
                revision,
                evaluation,
            };
            self.metrics.insert(name.to_owned(), row);
            return Ok((true, revision, Some(dataset)));
        };
        let is_moved = known.dataset.as_deref() != Some(dataset.as_str());
        let is_revised = known.evaluation != evaluation;
        if is_moved {
            self.left.extend(known.dataset.clone());
            self.replan.extend(known.dataset.clone());
        }
        if is_moved || is_changed {
            self.replan.insert(dataset.clone());
        }
        if is_revised {
            known.revision += 1;
            known.evaluation.clone_from(&evaluation);
            let revision = known.revision;
            let document = put.document.clone();
            self.new_revisions
                .push((name.to_owned(), revision, document, evaluation.clone()));
        }
        if is_revised || (is_moved && !is_new_dataset) {
            let which = if is_moved { Which::All } else { Which::Unseen };
            self.recomputes
                .push(recompute::request(self.ws, name, self.now, which));
        }
        known.dataset = Some(dataset.clone());
        if is_moved || is_revised {
            self.changed_metrics
                .push(values![known.id, &dataset, known.revision, evaluation]);
        }
        Ok((is_moved || is_revised, known.revision, Some(dataset)))
    }

    pub(crate) fn dataset_for(&mut self, metric: &str, put: &Put) -> Result<String> {
        if let Some(name) = &put.dataset_name {
            return self
                .by_name
                .get(name)
                .cloned()
                .ok_or_else(|| Error::NotFound {
                    kind: "dataset",
                    name: name.clone(),
                });
        }
        let Some(fetch) = &put.fetch else {
            return Err(Error::Invalid(format!(
                "metric `{metric}` has neither dataset nor request"
            )));
        };
        if fetch.connection != NO_CONNECTION {
            self.needed.insert(fetch.connection.clone());
        }
        match self.by_hash.get(&identity_hash(&fetch.identity)) {
            Some(id) => Ok(id.clone()),
            None => Ok(self.new_dataset(None, fetch)),
        }
    }

    pub(crate) fn new_dataset(&mut self, name: Option<&str>, fetch: &FetchIdentity) -> String {
        let mut again = 0;
        let mut id = identity::dataset(self.ws, name, &fetch.identity, again);
        while self.datasets.contains_key(&id) {
            again += 1;
            id = identity::dataset(self.ws, name, &fetch.identity, again);
        }
        self.know(DatasetRow {
            id: id.clone(),
            name: name.map(str::to_owned),
            connection: fetch.connection.clone(),
            hash: identity_hash(&fetch.identity),
            epoch: 0,
            is_new: true,
        });
        self.write_dataset(&id, fetch);
        id
    }

    pub(crate) fn write_dataset(&mut self, id: &str, fetch: &FetchIdentity) {
        let Some(dataset) = self.datasets.get(id) else {
            return;
        };
        self.dataset_rows.push(values![
            self.ws,
            id,
            &dataset.name,
            &dataset.connection,
            &dataset.hash,
            dataset.epoch,
            self.now,
            self.now,
            self.now,
            &fetch.identity,
            &fetch.document,
        ]);
    }
}

/// What a search looks at: the name and the title.
fn search_text(name: &str, document: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let title = document
        .get("title")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    format!("{name}\n{}", title.to_lowercase())
}
