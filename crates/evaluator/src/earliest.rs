//! The earliest bucket of a run without a window: the API may have cut it, so what is in it is counted.

use definition::Interval;
use rollup::bucket::Finder;
use rollup::{Coverage, Folded};
use serde::{Deserialize, Serialize};
use store::Commit;

use crate::commit::{RunOfMetrics, decode};
use crate::error::Error;
use crate::subjects::Subject;

/// What a run saw in its earliest bucket; kept with the run, for the next one to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarliestBucket {
    /// Where the bucket starts, in unix milliseconds.
    pub(crate) start: i64,
    /// The records in it, with those that a condition left out.
    pub(crate) records: u64,
}

impl EarliestBucket {
    /// What the run saw, where a condition leaves records out.
    pub(crate) fn of(subject: &Subject, folded: &Folded) -> Option<Self> {
        Some(Self {
            start: bucket(subject, folded)?.start.as_millisecond(),
            records: folded.earliest_records?,
        })
    }
}

/// How many records the run that counted the earliest bucket saw in it.
pub(crate) async fn records_before(
    commit: &mut Commit,
    subject: &Subject,
    folded: &Folded,
    existing: &[Coverage],
) -> Result<Option<u64>, Error> {
    let Some(bucket) = bucket(subject, folded).filter(|_| folded.earliest_records.is_some()) else {
        return Ok(None);
    };
    let mut owners = existing
        .iter()
        .filter(|one| one.start < bucket.end && bucket.start < one.end);
    let Some(owner) = owners.next() else {
        return Ok(None);
    };
    if owners.any(|other| other.run != owner.run) {
        return Ok(None);
    }
    let details = commit.details_of(&subject.name, &owner.run).await?;
    let earliest = details.and_then(|text| {
        let mut details: serde_json::Value = serde_json::from_str(&text).ok()?;
        serde_json::from_value::<EarliestBucket>(details["earliest"].take()).ok()
    });
    let same = earliest.filter(|one| one.start == bucket.start.as_millisecond());
    Ok(same.map(|one| one.records))
}

/// The earliest bucket.
fn bucket(subject: &Subject, folded: &Folded) -> Option<Interval> {
    Some(Finder::of(&subject.rules).bucket(folded.earliest?))
}

/// Counts the stored rows of the earliest bucket that a run without a window brings.
pub(crate) async fn count(
    commit: &mut Commit,
    subject: &Subject,
    folded: &Folded,
    run: &RunOfMetrics,
) -> Result<u64, Error> {
    if run.window.is_some() || subject.rules.accumulates() {
        return Ok(0);
    }
    let Some(bucket) = bucket(subject, folded) else {
        return Ok(0);
    };
    let (from, to) = (bucket.start.as_millisecond(), bucket.end.as_millisecond());
    let mut count = 0;
    for cell in commit.cells(&subject.name, from, to).await? {
        count += decode(subject, &cell.state)?.count();
    }
    Ok(count)
}
