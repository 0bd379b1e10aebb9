//! What a run replaces, what stays, and what is then known: decided here, done by the store.

use std::collections::BTreeMap;

use definition::{Covers, Granularity, Interval};
use jiff::{Timestamp, ToSpan};

use crate::bucket::{instant, millis, snap_outward};
use crate::coverage::{self, Coverage, subtract, tidy};
use crate::fold::{Folded, Order};
use crate::series::Rules;

/// The facts of a run that decide what it restates.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// The run's id.
    pub run: String,
    /// The revision of the metric its pages were evaluated with.
    pub revision: i64,
    /// The range the run asked for; absent, it asked for whatever there is.
    pub window: Option<Interval>,
    /// The slot: how things stood then. Samples are kept under it.
    pub as_of: Timestamp,
    /// When the pages were fetched. Hand in the run's own time, not that of the commit: the result then
    /// does not depend on when it is committed.
    pub now: Timestamp,
    /// Whether the run saw the end.
    pub ended: Ended,
    /// What it means when older records are not in a run without a window.
    pub covers: Covers,
    /// The metric's rules.
    pub rules: Rules,
    /// Whether kept pages are evaluated again.
    pub recompute: bool,
    /// How many records the run that last counted the earliest bucket saw there, with those that a condition left out,
    /// where that is known.
    pub records_before: Option<u64>,
}

/// How a run that brought pages ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the last page there was.
    Complete,
    /// At a limit; there was more.
    Truncated,
    /// With records missing, or counted twice, nobody knows where.
    Doubtful,
}

/// What is to be done with the cells of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restatement {
    /// Ranges to empty and then fill with the folded cells that start inside, sorted and apart.
    pub replace: Vec<Interval>,
    /// Whether the cells are samples added to earlier ones (levels, running totals without dates).
    pub add_samples: bool,
    /// The parts of `replace` whose cells are marked partial, sorted and apart.
    pub partial: Vec<Interval>,
    /// The metric's whole new coverage.
    pub coverage: Vec<Coverage>,
    /// Rows of the run that start in no replaced range, but not those outside of its window.
    pub left_out_rows: u64,
    /// Rows that lie outside of the run's window.
    pub outside_rows: u64,
    /// What stays as it is although the run brought rows for it.
    pub kept: Vec<Kept>,
}

/// Buckets that stay as they are although a run brought rows for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The buckets.
    pub buckets: Interval,
    /// How many rows the run has for them.
    pub rows: u64,
    /// Why they stay.
    pub because: Because,
}

/// Why buckets stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// The earliest bucket of a run without a window holds fewer rows than are stored: a rolling API may have cut it.
    Fewer {
        /// How many are stored.
        stored: u64,
    },
    /// The earliest bucket of a run without a window was counted under another revision of the metric.
    OtherRevision,
    /// A run of a newer slot covers them.
    Newer,
    /// The run is partial, and one that is complete covers them.
    Complete,
}

impl Restatement {
    /// Whether a cell that starts at `start` (unix milliseconds) is written.
    pub fn writes(&self, start: i64) -> bool {
        contains(&self.replace, instant(start))
    }

    /// Notes that buckets stay as they are, where the run has rows for them.
    fn keep(&mut self, folded: &Folded, buckets: Interval, because: Because) {
        let rows = rows_in(folded, buckets);
        if rows > 0 {
            self.kept.push(Kept {
                buckets,
                rows,
                because,
            });
        }
    }

    /// Whether a cell that starts at `start` (unix milliseconds) is marked partial.
    pub fn is_partial(&self, start: i64) -> bool {
        contains(&self.partial, instant(start))
    }
}

fn contains(ranges: &[Interval], at: Timestamp) -> bool {
    let place = ranges.partition_point(|range| range.end <= at);
    ranges.get(place).is_some_and(|range| range.contains(at))
}

/// Decides what a run that did not fail restates.
///
/// `existing` is the metric's coverage, `existing_counts` tells how many rows are stored in a range; it is
/// asked for the earliest bucket only. See the README for the rules. Pure, repeat-safe: the same run again
/// gives the same again.
pub fn restate(
    run: &RunFacts,
    existing: &[Coverage],
    folded: &Folded,
    existing_counts: &dyn Fn(Interval) -> u64,
) -> Restatement {
    if run.rules.accumulates() {
        return add_sample(run, existing, folded);
    }
    let mut result = Restatement {
        coverage: existing.to_vec(),
        ..Restatement::default()
    };
    let claims = claims(run, existing, folded, existing_counts, &mut result);
    for claim in claims {
        let facts = Coverage {
            start: claim.range.start,
            end: claim.range.end,
            as_of: run.as_of,
            run: run.run.clone(),
            revision: run.revision,
            complete: claim.complete,
        };
        // Whole buckets or nothing: what a stronger run covers in part keeps its bucket.
        let stronger = existing.iter().filter(|old| old.rank() > facts.rank());
        let blocked: Vec<(Interval, Because)> = stronger
            .map(|old| {
                let because = if old.complete && !facts.complete {
                    Because::Complete
                } else {
                    Because::Newer
                };
                (snap(run, old.interval()), because)
            })
            .collect();
        for (range, because) in &blocked {
            if let Some(buckets) = intersection(*range, claim.buckets) {
                result.keep(folded, buckets, because.clone());
            }
        }
        let blocked: Vec<Interval> = blocked.into_iter().map(|(range, _)| range).collect();
        for free in subtract(&[claim.buckets], blocked) {
            result.replace.push(free);
            if !claim.complete {
                result.partial.push(free);
            }
            let (start, end) = (free.start.max(facts.start), free.end.min(facts.end));
            result.coverage = coverage::insert(
                &result.coverage,
                &Coverage {
                    start,
                    end,
                    ..facts.clone()
                },
            );
        }
    }
    result.replace = joined(result.replace);
    result.partial = joined(result.partial);
    result.left_out_rows = left_out(folded, &result.replace);
    if run.window.is_some() {
        let inside: Vec<Interval> = extent(run, existing, folded)
            .map(|(buckets, _)| buckets)
            .into_iter()
            .collect();
        result.outside_rows = left_out(folded, &inside);
        result.left_out_rows = result.left_out_rows.saturating_sub(result.outside_rows);
    }
    result
}

/// A range a run speaks for: the buckets it would replace, and the instants it covers (an open bucket is
/// covered up to now).
struct Claim {
    buckets: Interval,
    range: Interval,
    complete: bool,
}

fn claims(
    run: &RunFacts,
    existing: &[Coverage],
    folded: &Folded,
    existing_counts: &dyn Fn(Interval) -> u64,
    result: &mut Restatement,
) -> Vec<Claim> {
    let Some((buckets, range)) = extent(run, existing, folded) else {
        return Vec::new();
    };
    let complete = match run.ended {
        Ended::Complete => Some(buckets),
        Ended::Truncated => complete_part(run, folded, buckets),
        Ended::Doubtful => None,
    };
    let counted = complete.map(|part| {
        let (free, because) = after_counting(run, existing, folded, existing_counts, part);
        if let Some(because) = because {
            result.keep(folded, Interval::new(part.start, free.start), because);
        }
        free
    });
    let mut claims = Vec::new();
    if let Some(buckets) = counted.filter(|part| part.start < part.end) {
        let range = Interval::new(buckets.start.max(range.start), buckets.end.min(range.end));
        claims.push(Claim {
            buckets,
            range,
            complete: true,
        });
    }
    if run.ended != Ended::Complete {
        // Only buckets it brings rows for: of the others it knows nothing.
        let whole = |start: i64| snap(run, Interval::new(instant(start), instant(start + 1)));
        let brought = joined(folded.counts().keys().map(|start| whole(*start)).collect());
        let inside: Vec<Interval> = brought
            .iter()
            .filter_map(|part| intersection(*part, buckets))
            .collect();
        for rest in subtract(&inside, complete) {
            let range = Interval::new(rest.start, rest.end.min(range.end.max(rest.start)));
            claims.push(Claim {
                buckets: rest,
                range,
                complete: false,
            });
        }
    }
    claims
}

/// Returns the buckets a run may replace, and the instants it speaks for.
fn extent(run: &RunFacts, existing: &[Coverage], folded: &Folded) -> Option<(Interval, Interval)> {
    if let Some(window) = run.window {
        let buckets = whole_inside(run, existing, window);
        return (buckets.start < buckets.end).then_some((buckets, window));
    }
    let known = coverage::hull(existing);
    // The end is exclusive, so the latest row's own instant is still inside.
    let after = |at: Timestamp| at.checked_add(1.millisecond()).unwrap_or(at);
    let mut end = folded
        .latest
        .map_or(run.now, |latest| run.now.max(after(latest)));
    // What this very run covers so far is its own to say again, whether or not rows are left there.
    let own = existing
        .iter()
        .filter(|old| run.recompute && old.run == run.run);
    let own = coverage::hull(&own.cloned().collect::<Vec<_>>());
    end = own.map_or(end, |own| end.max(own.end));
    let earliest = [folded.earliest, own.map(|own| own.start)];
    let earliest = earliest.into_iter().flatten().min();
    let start = match (run.covers, run.ended, earliest) {
        (Covers::All, Ended::Complete, earliest) => {
            let starts = [known.map(|known| known.start), earliest, Some(run.now)];
            end = known.map_or(end, |known| end.max(known.end));
            starts.into_iter().flatten().min()?
        }
        (_, _, Some(earliest)) => earliest,
        (_, _, None) => return None,
    };
    let buckets = snap(run, Interval::new(start, end));
    Some((buckets, Interval::new(buckets.start, end)))
}

/// Cuts a window to the buckets wholly inside it; its last bucket also counts when it is open now and no
/// later instant of it is covered already.
fn whole_inside(run: &RunFacts, existing: &[Coverage], window: Interval) -> Interval {
    let outward = snap(run, window);
    let rules = &run.rules;
    let start = if outward.start < window.start {
        rules
            .resolution
            .next(outward.start, &rules.zone, rules.week_start)
    } else {
        window.start
    };
    let mut end = window.end;
    if outward.end > window.end {
        let last = rules
            .resolution
            .start_of(window.end, &rules.zone, rules.week_start);
        let open_now = last <= run.now && run.now < outward.end;
        let known_further = existing
            .iter()
            .any(|old| old.start < outward.end && old.end > window.end);
        end = if open_now && !known_further {
            outward.end
        } else {
            last
        };
    }
    Interval::new(start, end.max(start))
}

/// Returns the buckets that a truncated run saw whole: those between the first and the last date when dates
/// came in order, without the one at the cut.
fn complete_part(run: &RunFacts, folded: &Folded, buckets: Interval) -> Option<Interval> {
    let (earliest, latest) = (folded.earliest?, folded.latest?);
    let rules = &run.rules;
    let start_of = |at| rules.resolution.start_of(at, &rules.zone, rules.week_start);
    let part = match folded.order {
        Order::Ascending => Interval::new(start_of(earliest), start_of(latest)),
        // The newest come first, so nothing newer was missed.
        Order::Descending => {
            let cut = start_of(earliest);
            Interval::new(
                rules.resolution.next(cut, &rules.zone, rules.week_start),
                buckets.end,
            )
        }
        Order::Mixed => return None,
    };
    intersection(part, buckets)
}

/// Applies the counting rule: without a window the earliest bucket, which a rolling API may have cut, is
/// replaced only when the run holds at least as many rows for it under the same revision, or saw at least as many
/// records there as the run that counted it.
fn after_counting(
    run: &RunFacts,
    existing: &[Coverage],
    folded: &Folded,
    existing_counts: &dyn Fn(Interval) -> u64,
    part: Interval,
) -> (Interval, Option<Because>) {
    let Some(earliest) = folded.earliest else {
        return (part, None);
    };
    if run.window.is_some() || (run.covers == Covers::All && run.ended == Ended::Complete) {
        return (part, None);
    }
    let bucket = snap(
        run,
        Interval::new(
            earliest,
            earliest.checked_add(1.nanosecond()).unwrap_or(earliest),
        ),
    );
    if bucket.start != part.start {
        return (part, None);
    }
    let owners: Vec<&Coverage> = existing
        .iter()
        .filter(|old| old.start < bucket.end && bucket.start < old.end)
        .collect();
    if owners.is_empty() || (run.recompute && owners.iter().all(|old| old.run == run.run)) {
        return (part, None);
    }
    let rest = Interval::new(bucket.end.min(part.end), part.end);
    if owners.iter().any(|old| old.revision != run.revision) {
        return (rest, Some(Because::OtherRevision));
    }
    let stored = existing_counts(bucket);
    let saw_as_many = folded
        .earliest_records
        .zip(run.records_before)
        .is_some_and(|(now, before)| now >= before);
    if saw_as_many || rows_in(folded, bucket) >= stored {
        return (part, None);
    }
    (rest, Some(Because::Fewer { stored }))
}

/// Counts the rows of a run in a range of buckets.
fn rows_in(folded: &Folded, buckets: Interval) -> u64 {
    let (from, until) = (millis(buckets.start), millis(buckets.end));
    folded
        .cells
        .values()
        .flat_map(|cells| cells.range(from..until))
        .map(|(_, state)| state.count())
        .sum()
}

/// Levels: one sample a sync, kept under its slot; the coverage reaches from the first sync to the last.
fn add_sample(run: &RunFacts, existing: &[Coverage], folded: &Folded) -> Restatement {
    let at = instant(millis(run.as_of));
    let sample = Interval::new(at, at.checked_add(1.millisecond()).unwrap_or(at));
    let complete = run.ended == Ended::Complete;
    let facts = Coverage {
        start: sample.start,
        end: sample.end,
        as_of: run.as_of,
        run: run.run.clone(),
        revision: run.revision,
        complete,
    };
    let mut list = existing.to_vec();
    match list.last_mut() {
        Some(last) if last.end <= sample.start => {
            if last.revision == facts.revision && last.complete == facts.complete {
                *last = Coverage {
                    start: last.start,
                    ..facts
                };
            } else {
                let start = last.end;
                list.push(Coverage { start, ..facts });
            }
        }
        Some(_) => {
            // A late or repeated sample: only where nothing newer is known, or over its own run.
            if let Some(first) = list.first().filter(|first| sample.end < first.start) {
                list.push(Coverage {
                    end: first.start,
                    ..facts
                });
            } else if let Some(place) = list.iter().position(|own| {
                own.revision != facts.revision && own.start <= sample.start && sample.end <= own.end
            }) {
                split(&mut list, place, facts);
            } else if let Some(own) = list
                .iter_mut()
                .find(|own| own.run == facts.run && own.end == facts.end)
            {
                *own = Coverage {
                    start: own.start,
                    ..facts
                };
            }
        }
        None => list.push(facts),
    }
    let replace = vec![sample];
    Restatement {
        partial: if complete {
            Vec::new()
        } else {
            replace.clone()
        },
        left_out_rows: left_out(folded, &replace),
        replace,
        add_samples: true,
        coverage: tidy(list),
        ..Restatement::default()
    }
}

/// Puts a sample that was evaluated again into what another revision covers: its neighbours were not.
fn split(list: &mut Vec<Coverage>, place: usize, facts: Coverage) {
    let Some(old) = list.get(place).cloned() else {
        return;
    };
    let before = Coverage {
        end: facts.start,
        ..old.clone()
    };
    let after = Coverage {
        start: facts.end,
        ..old
    };
    list.splice(place..=place, [before, facts, after]);
}

fn left_out(folded: &Folded, replace: &[Interval]) -> u64 {
    let counts: BTreeMap<i64, u64> = folded.counts();
    counts
        .into_iter()
        .filter(|(start, _)| !contains(replace, instant(*start)))
        .map(|(_, count)| count)
        .sum()
}

fn snap(run: &RunFacts, range: Interval) -> Interval {
    if run.rules.resolution == Granularity::All {
        return Interval::new(Timestamp::MIN, Timestamp::MAX);
    }
    snap_outward(
        range,
        run.rules.resolution,
        &run.rules.zone,
        run.rules.week_start,
    )
}

fn intersection(left: Interval, right: Interval) -> Option<Interval> {
    let both = Interval::new(left.start.max(right.start), left.end.min(right.end));
    (both.start < both.end).then_some(both)
}

/// Sorts ranges and joins those that touch.
fn joined(mut ranges: Vec<Interval>) -> Vec<Interval> {
    ranges.sort_unstable();
    ranges.dedup_by(|right, left| {
        let touches = right.start <= left.end;
        if touches {
            left.end = left.end.max(right.end);
        }
        touches
    });
    ranges
}

#[cfg(test)]
mod tests;
