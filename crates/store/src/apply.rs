//! Applying a bundle of definitions: one transaction, all or nothing.

use crate::Store;
use crate::bundle::{Bundle, STEP};
use crate::database::Tx;
use crate::definitions::{Action, Applied, Change, Kind};
use crate::error::Result;

impl Store {
    /// Applies a bundle in one transaction, all or nothing, and answers in the order of `changes`.
    ///
    /// Puts happen before deletes, whatever the order given, so that a bundle may move things
    /// around. Identical documents are [`Unchanged`](crate::ApplyOutcome::Unchanged). Every real change is audited.
    /// A metric with a new revision, or a new metric on a dataset that exists, is queued for
    /// recomputing (see [`Store::claim_recompute`]). A new or revised calculated metric gets a new version, and
    /// so does everything calculated from it; each is announced in the same transaction.
    pub async fn apply(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        let mut tx = self.database.begin(STEP).await?;
        let applied = apply(&mut tx, ws, actor, changes).await?;
        tx.commit(STEP).await?;
        Ok(applied)
    }

    /// Tells what [`Store::apply`] would do or refuse, and changes nothing.
    pub async fn plan(&self, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
        let mut tx = self.database.begin(STEP).await?;
        let applied = apply(&mut tx, ws, actor, changes).await?;
        tx.roll_back(STEP).await?;
        Ok(applied)
    }
}

async fn apply(tx: &mut Tx, ws: &str, actor: &str, changes: &[Change]) -> Result<Vec<Applied>> {
    let mut bundle = Bundle::read(tx, ws, actor, changes).await?;
    bundle.change_sides(tx, changes).await?;
    for kind in Kind::ALL {
        for (at, change) in changes.iter().enumerate() {
            if let (true, Action::Put(put)) = (change.kind == kind, &change.action) {
                bundle.put(at, change, put)?;
            }
        }
        // Connections and datasets are written before what refers to them.
        bundle.write_epochs(tx).await?;
        bundle.write_datasets(tx).await?;
    }
    bundle.write_metrics(tx).await?;
    for kind in Kind::ALL.into_iter().rev() {
        for (at, change) in changes.iter().enumerate() {
            if change.kind == kind && matches!(change.action, Action::Delete) {
                bundle.delete(tx, at, change).await?;
            }
        }
    }
    bundle.write_definitions(tx).await?;
    bundle.write_uses(tx).await?;
    bundle.retire(tx).await?;
    bundle.check(tx).await?;
    bundle.check_inputs(tx).await?;
    bundle.raise_calculated(tx).await?;
    Ok(bundle.answers.into_iter().flatten().collect())
}
