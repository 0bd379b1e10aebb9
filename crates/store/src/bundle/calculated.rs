//! Calculated metrics of a bundle: what they are made of, and that it is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bundle, MetricRow, STEP};
use crate::calculated;
use crate::database::{Tx, values};
use crate::definitions::{Action, Change, Kind, Put};
use crate::error::{Error, Result};

impl Bundle<'_> {
    /// Takes the points of metrics away that were fetched and are calculated now, or the other way round.
    /// Their versions and revisions go on.
    pub(crate) async fn change_sides(&mut self, tx: &mut Tx, changes: &[Change]) -> Result<()> {
        for change in changes.iter().filter(|change| change.kind == Kind::Metric) {
            let Action::Put(put) = &change.action else {
                continue;
            };
            let Some(known) = self.metrics.get(&change.name) else {
                continue;
            };
            if known.dataset.is_some() != put.uses.is_empty() {
                let id = known.id;
                let sql = "SELECT version, revision FROM metrics WHERE id = $1 §lock";
                if let Some(row) = tx.row(STEP, sql, values![id]).await? {
                    let before = (row.int(0)?, row.int(1)?);
                    self.former.insert(change.name.clone(), before);
                }
                self.delete_metric(tx, &change.name).await?;
                let sql = "DELETE FROM definition_uses WHERE workspace = $1 AND kind = 'metric' AND name = $2";
                tx.run(STEP, sql, values![self.ws, &change.name]).await?;
            }
        }
        Ok(())
    }

    /// Returns whether the calculation changed, and the revision in force.
    pub(crate) fn put_calculated(&mut self, name: &str, put: &Put) -> (bool, i64) {
        let evaluation = put
            .evaluation
            .clone()
            .unwrap_or_else(|| put.document.clone());
        let document = put.document.clone();
        if let Some(known) = self.metrics.get_mut(name) {
            if known.evaluation == evaluation {
                return (false, known.revision);
            }
            known.revision += 1;
            known.evaluation.clone_from(&evaluation);
            let revision = known.revision;
            self.changed_metrics
                .push(values![known.id, None::<String>, revision, &evaluation]);
            self.new_revisions
                .push((name.to_owned(), revision, document, evaluation));
            self.calculated.insert(name.to_owned());
            return (true, revision);
        }
        let (version, revision) = self.former.get(name).copied().unwrap_or_default();
        let revision = revision + 1;
        self.has_new_metrics = true;
        self.new_metrics.push(values![
            self.ws,
            name,
            None::<String>,
            revision,
            version,
            self.now,
            &evaluation,
        ]);
        let row = MetricRow {
            id: 0,
            dataset: None,
            revision,
            evaluation: evaluation.clone(),
        };
        self.metrics.insert(name.to_owned(), row);
        self.new_revisions
            .push((name.to_owned(), revision, document, evaluation));
        self.calculated.insert(name.to_owned());
        (true, revision)
    }

    /// Refuses metrics that would be calculated from themselves; that their inputs are there is checked with
    /// all that definitions name.
    pub(crate) async fn check_inputs(&self, tx: &mut Tx) -> Result<()> {
        if self.calculated.is_empty() {
            return Ok(());
        }
        let sql = "SELECT name, used_name FROM definition_uses \
                   WHERE workspace = $1 AND kind = 'metric' AND used_kind = 'metric'";
        let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in tx.rows(STEP, sql, values![self.ws]).await? {
            inputs.entry(row.text(0)?).or_default().push(row.text(1)?);
        }
        match cycle(&inputs, self.calculated.iter()) {
            None => Ok(()),
            Some(name) => Err(Error::Invalid(format!(
                "the metric `{name}` would be calculated from itself"
            ))),
        }
    }

    /// Gives what was calculated anew a new version, and all that is calculated from it.
    pub(crate) async fn raise_calculated(&mut self, tx: &mut Tx) -> Result<()> {
        let names: Vec<String> = std::mem::take(&mut self.calculated).into_iter().collect();
        if names.is_empty() {
            return Ok(());
        }
        let epoch = calculated::epoch(tx).await?;
        let mut changed: BTreeSet<String> = names.iter().cloned().collect();
        changed.extend(calculated::dependents(tx, self.ws, &names).await?);
        calculated::raise(tx, self.ws, changed.into_iter().collect(), epoch, self.now).await
    }
}

/// Returns a metric that is reached from itself, starting at any of `names`.
fn cycle<'a>(
    inputs: &'a BTreeMap<String, Vec<String>>,
    names: impl Iterator<Item = &'a String>,
) -> Option<&'a str> {
    /// A metric on the way down, or one whose inputs are all done.
    enum Step<'a> {
        Down(&'a str),
        Done(&'a str),
    }
    let (mut open, mut done) = (BTreeSet::new(), BTreeSet::new());
    let mut steps: Vec<Step<'a>> = names.map(|name| Step::Down(name.as_str())).collect();
    while let Some(step) = steps.pop() {
        match step {
            Step::Done(name) => {
                open.remove(name);
                done.insert(name);
            }
            Step::Down(name) if done.contains(name) => {}
            Step::Down(name) => {
                if !open.insert(name) {
                    return Some(name);
                }
                steps.push(Step::Done(name));
                let below = inputs.get(name).into_iter().flatten();
                for input in below {
                    if open.contains(input.as_str()) {
                        return Some(input);
                    }
                    steps.push(Step::Down(input));
                }
            }
        }
    }
    None
}
