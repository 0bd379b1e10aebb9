//! What changed samples mean for points: a level joined over time, or a running total, shows no sample as it is.

use std::collections::{BTreeMap, BTreeSet};

use definition::{MetricType, OverTime};
use rollup::bucket::Finder;
use rollup::{Decimal, StoredCell, sample_points};
use store::{CellChange, Commit};

use crate::commit::{bucket_start, decode};
use crate::error::Error;
use crate::subjects::Subject;

/// How many days back the sample before a change is looked for, one after the other; then everywhere.
const LOOK_BACK: [i64; 3] = [3, 48, 768];

const DAY_MS: i64 = 86_400_000;

/// One point that changed.
#[derive(Debug, PartialEq)]
pub(crate) struct ToldPoint {
    pub(crate) series: String,
    /// The start of its bucket, in unix milliseconds.
    pub(crate) start: i64,
    pub(crate) value: Option<Decimal>,
    pub(crate) previous: Option<Decimal>,
}

/// Whether a point of the metric is more than its newest sample.
pub(crate) fn differ_from_samples(subject: &Subject) -> bool {
    match subject.rules.metric_type {
        MetricType::RunningTotal => true,
        MetricType::Levels => !matches!(subject.rules.over_time, None | Some(OverTime::Last)),
        MetricType::Events | MetricType::Periods => false,
    }
}

/// Returns the points that the samples changed, oldest first: as they are now, and as they were before this commit.
/// A bucket with a changed sample is told also where its value stays.
pub(crate) async fn of(
    commit: &mut Commit,
    subject: &Subject,
    changes: &[CellChange],
) -> Result<Vec<ToldPoint>, Error> {
    let mut by_series: BTreeMap<&str, Vec<&CellChange>> = BTreeMap::new();
    for change in changes {
        by_series.entry(&change.series).or_default().push(change);
    }
    let now = stored(commit, subject, changes).await?;
    let mut told = Vec::new();
    for (series, changes) in by_series {
        let now = now.get(series).map_or(&[][..], Vec::as_slice);
        let mut earlier: BTreeMap<i64, StoredCell> =
            now.iter().map(|cell| (cell.0, cell.clone())).collect();
        for change in &changes {
            match &change.old {
                Some(old) => {
                    let cell = (change.start, decode(subject, old)?, false);
                    earlier.insert(change.start, cell);
                }
                None => {
                    earlier.remove(&change.start);
                }
            }
        }
        let earlier: Vec<StoredCell> = earlier.into_values().collect();
        let before = sample_points(&earlier, &subject.rules);
        let after = sample_points(now, &subject.rules);
        let touched: BTreeSet<i64> = changes
            .iter()
            .map(|change| bucket_start(subject, change.start).as_millisecond())
            .collect();
        let starts: BTreeSet<i64> = before.keys().chain(after.keys()).copied().collect();
        for start in starts {
            let (value, previous) = (after.get(&start).copied(), before.get(&start).copied());
            if value != previous || touched.contains(&start) {
                told.push(ToldPoint {
                    series: series.to_owned(),
                    start,
                    value,
                    previous,
                });
            }
        }
    }
    told.sort_by(|one, other| (one.start, &one.series).cmp(&(other.start, &other.series)));
    Ok(told)
}

/// Reads the samples of the buckets that changed; of running totals also those after, and of each series one before.
async fn stored(
    commit: &mut Commit,
    subject: &Subject,
    changes: &[CellChange],
) -> Result<BTreeMap<String, Vec<StoredCell>>, Error> {
    let instants = || changes.iter().map(|change| change.start);
    let (Some(first), Some(last)) = (instants().min(), instants().max()) else {
        return Ok(BTreeMap::new());
    };
    let changed: BTreeSet<&str> = changes.iter().map(|one| one.series.as_str()).collect();
    let first = bucket_start(subject, first).as_millisecond();
    let is_total = subject.rules.metric_type == MetricType::RunningTotal;
    let until = if is_total {
        i64::MAX
    } else {
        let bucket = Finder::of(&subject.rules).bucket(store::instant(last));
        bucket.end.as_millisecond()
    };
    let mut cells = commit.cells(&subject.name, first, until).await?;
    if is_total {
        let mut without = changed.clone();
        let mut known_from = first;
        let steps = LOOK_BACK.map(|days| first.saturating_sub(days * DAY_MS));
        for from in steps.into_iter().chain([i64::MIN]) {
            let mut older = commit.cells(&subject.name, from, known_from).await?;
            for cell in &older {
                without.remove(cell.series.as_str());
            }
            older.append(&mut cells);
            cells = older;
            known_from = from;
            if without.is_empty() {
                break;
            }
        }
    }
    let mut found: BTreeMap<String, Vec<StoredCell>> = BTreeMap::new();
    for cell in cells {
        if changed.contains(cell.series.as_str()) {
            let sample = (cell.start, decode(subject, &cell.state)?, cell.partial);
            found.entry(cell.series).or_default().push(sample);
        }
    }
    Ok(found)
}
