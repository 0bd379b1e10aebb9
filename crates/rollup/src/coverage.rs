//! Which ranges of a metric are known, since when, by which run: a list of intervals without overlap.

use definition::Interval;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One covered range and its facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The first instant covered.
    pub start: Timestamp,
    /// The first instant after.
    pub end: Timestamp,
    /// The slot of the run: how things stood then.
    pub as_of: Timestamp,
    /// The run that brought it.
    pub run: String,
    /// The revision of the metric it was evaluated with.
    pub revision: i64,
    /// Whether the run saw everything there was; else the range is partial.
    pub complete: bool,
}

/// Most intervals a metric keeps. Beyond that, the oldest neighbours of one revision and completeness are
/// joined under the facts of the newer, so that provenance coarsens with age and nothing else changes.
pub const MAX_INTERVALS: usize = 1_000;

impl Coverage {
    /// Returns the range.
    pub const fn interval(&self) -> Interval {
        Interval::new(self.start, self.end)
    }

    /// What decides between two runs over one range: a complete run beats a truncated one, then the newer
    /// slot beats the older, then the later run.
    pub(crate) fn rank(&self) -> (bool, Timestamp, &str) {
        (self.complete, self.as_of, &self.run)
    }

    fn same_facts(&self, other: &Self) -> bool {
        self.rank() == other.rank() && self.revision == other.revision
    }
}

/// Returns `list` with `new` over it, wherever `list` holds nothing of a higher rank (complete before
/// truncated, then the newer slot).
pub fn insert(list: &[Coverage], new: &Coverage) -> Vec<Coverage> {
    let own = new.interval();
    let stronger = list
        .iter()
        .filter(|old| old.rank() > new.rank())
        .map(Coverage::interval);
    let pieces = subtract(&[own], stronger);
    let mut result = Vec::with_capacity(list.len() + pieces.len() + 1);
    for old in list {
        for rest in subtract(&[old.interval()], pieces.iter().copied()) {
            result.push(Coverage {
                start: rest.start,
                end: rest.end,
                ..old.clone()
            });
        }
    }
    result.extend(pieces.iter().map(|piece| Coverage {
        start: piece.start,
        end: piece.end,
        ..new.clone()
    }));
    tidy(result)
}

/// Sorts by time, joins touching neighbours with equal facts, and holds the list within [`MAX_INTERVALS`].
pub(crate) fn tidy(mut list: Vec<Coverage>) -> Vec<Coverage> {
    list.retain(|coverage| coverage.start < coverage.end);
    list.sort_by_key(|coverage| coverage.start);
    list.dedup_by(|right, left| {
        let joined = left.end == right.start && left.same_facts(right);
        if joined {
            left.end = right.end;
        }
        joined
    });
    let mut excess = list.len().saturating_sub(MAX_INTERVALS);
    if excess > 0 {
        list.dedup_by(|right, left| {
            let joined = excess > 0
                && left.end == right.start
                && left.revision == right.revision
                && left.complete == right.complete;
            if joined {
                let start = left.start;
                if right.rank() > left.rank() {
                    left.clone_from(right);
                }
                (left.start, left.end) = (start, right.end);
                excess -= 1;
            }
            joined
        });
    }
    list
}

/// Returns what is left of `ranges` (sorted, apart) without `holes`, in order.
pub(crate) fn subtract(
    ranges: &[Interval],
    holes: impl IntoIterator<Item = Interval>,
) -> Vec<Interval> {
    let mut left = ranges.to_vec();
    for hole in holes {
        left = left
            .into_iter()
            .flat_map(|range| {
                if hole.end <= range.start || range.end <= hole.start {
                    return [range, Interval::new(range.end, range.end)];
                }
                let before = Interval::new(range.start, range.end.min(hole.start));
                let after = Interval::new(range.start.max(hole.end), range.end);
                [before, after]
            })
            .filter(|range| range.start < range.end)
            .collect();
    }
    left
}

/// Returns the parts of `range` that nothing covers.
pub fn gaps(list: &[Coverage], range: Interval) -> Vec<Interval> {
    subtract(&[range], list.iter().map(Coverage::interval))
}

/// Whether all of `range` is covered.
pub fn is_covered(list: &[Coverage], range: Interval) -> bool {
    gaps(list, range).is_empty()
}

/// Whether all of `range` is covered by complete runs.
pub fn is_complete(list: &[Coverage], range: Interval) -> bool {
    subtract(
        &[range],
        list.iter()
            .filter(|coverage| coverage.complete)
            .map(Coverage::interval),
    )
    .is_empty()
}

/// Returns what another revision than `revision` covers, sorted and apart: its numbers are not what the metric
/// would make today.
pub fn outdated(list: &[Coverage], revision: i64) -> Vec<Interval> {
    let old = list.iter().filter(|coverage| coverage.revision != revision);
    let mut ranges: Vec<Interval> = old.map(Coverage::interval).collect();
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|right, left| {
        let touches = right.start <= left.end;
        if touches {
            left.end = left.end.max(right.end);
        }
        touches
    });
    ranges
}

/// Returns the range from the first instant covered to the last.
pub fn hull(list: &[Coverage]) -> Option<Interval> {
    let start = list.iter().map(|coverage| coverage.start).min()?;
    let end = list.iter().map(|coverage| coverage.end).max()?;
    Some(Interval::new(start, end))
}

#[cfg(test)]
mod tests;
