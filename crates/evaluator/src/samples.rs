//! What a sync of levels says besides the values of its rows: that nothing is there, and who is gone.

use std::collections::{BTreeSet, HashSet};

use rollup::{Coverage, Ended, Folded, SeriesKey, State};
use store::{Cell, CellChange, Commit};

use crate::commit::RunOfMetrics;
use crate::error::Error;
use crate::extract::Extracted;
use crate::subjects::Subject;

/// Whether a run without rows knows that there are none: it saw everything, read all of it, and had the fields that
/// decide which records count. Of what an expression gives nothing for, nobody can say.
pub(crate) fn says_nothing_is_there(
    run: &RunOfMetrics,
    subject: &Subject,
    extracted: &Extracted,
) -> bool {
    let decides = |part: &str| matches!(part, "where" | "value");
    run.ended == Ended::Complete
        && subject.metric.expression.is_none()
        && extracted.rows.is_empty()
        && extracted.rejected_count == 0
        && extracted.records_missing.is_none()
        && !extracted
            .fields
            .nowhere
            .iter()
            .any(|one| decides(&one.part))
}

/// For levels, what each series was at the sync before: the old value of its announcement.
pub(crate) async fn previous_samples(
    commit: &mut Commit,
    subject: &Subject,
    existing: &[Coverage],
    run: &RunOfMetrics,
) -> Result<Vec<Cell>, Error> {
    let last = existing
        .iter()
        .filter(|old| old.as_of < run.slot)
        .map(|old| old.as_of)
        .max();
    match last {
        Some(last) if subject.rules.accumulates() => {
            let at = last.as_millisecond();
            Ok(commit.cells(&subject.name, at, at + 1).await?)
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether a sample says that nothing was there.
fn is_nothing(cell: &Cell) -> bool {
    State::decode(&cell.state).is_ok_and(|state| state.count() == 0)
}

/// The units of the sync before, in which nothing is 0 now; none where there was no sync, or it knew no unit.
pub(crate) fn units(before: &[Cell]) -> BTreeSet<Option<Box<str>>> {
    let keys = before.iter().map(|cell| SeriesKey::parse(&cell.series));
    let units: BTreeSet<_> = keys.flatten().map(|key| key.unit).collect();
    if units.is_empty() {
        return BTreeSet::from([None]);
    }
    units
}

/// Members of a level that were there at the sync before and are not at this one: their value is nothing now.
pub(crate) fn gone(before: &[Cell], folded: &Folded, at: i64) -> Vec<CellChange> {
    if before.is_empty() {
        return Vec::new();
    }
    let here: HashSet<String> = folded.cells.keys().map(SeriesKey::canonical).collect();
    let gone = before
        .iter()
        .filter(|cell| !here.contains(&cell.series) && !is_nothing(cell));
    gone.map(|cell| CellChange {
        series: cell.series.clone(),
        start: at,
        old: Some(cell.state.clone()),
        new: None,
    })
    .collect()
}
