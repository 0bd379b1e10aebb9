//! A run's records into the store one by one: each counts once, as it was seen last, wherever it counted before.
//!
//! An API that returns only what changed says nothing about a range of time, so nothing is restated by range. What
//! each record counts for is kept by its key. A record that is seen again leaves its old bucket and enters the new
//! one; a bucket that something left is folded again from the records that are still in it, so that its state is the
//! one that a full read would give.

mod buckets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use definition::{Aggregation, Covers};
use jiff::{Timestamp, ToSpan};
use rollup::bucket::Finder;
use rollup::{Contribution, Coverage, Ended, Row, SeriesKey};
use store::{CellPlace, Commit, RECORDS_A_STATEMENT, Record};

use self::buckets::Buckets;
use crate::commit::{News, Restated, RunOfMetrics, announce, coverage_of, stored_coverage};
use crate::error::Error;
use crate::extract::Extracted;
use crate::subjects::Subject;

/// Brings a run's records in, inside the transaction.
pub(crate) async fn apply(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    extracted: Extracted,
) -> Result<Restated, Error> {
    let name = subject.name.as_str();
    let placed_by = commit.records_revision(name)?;
    let mut buckets = Buckets::new(run.ended == Ended::Complete);
    if placed_by.is_none() {
        // What was counted without keys cannot be moved: it makes room.
        buckets.clear(commit, subject).await?;
    }
    let (incoming, facts) = incoming(run, subject, extracted);
    let mut overflow = 0;
    for chunk in incoming.chunks(RECORDS_A_STATEMENT) {
        overflow += bring(commit, run, subject, chunk, &mut buckets).await?;
    }
    if is_everything(run, subject) {
        let began = run.seen.values().min().copied().unwrap_or(run.fetched_at);
        let gone = commit
            .drop_unseen_records(name, began.as_millisecond())
            .await?;
        for place in gone {
            buckets.left(place);
        }
    }
    if placed_by.is_some_and(|revision| revision != subject.revision) {
        buckets.place_again(commit, subject).await?;
    }
    if placed_by != Some(subject.revision) {
        commit
            .set_records_revision(name, Some(subject.revision))
            .await?;
    }
    let replaced = buckets.write(commit, subject).await?;
    cover(commit, run, subject, &facts).await?;
    let (version, listed) =
        announce(commit, run, subject, &replaced.changes, News::default()).await?;
    Ok(Restated {
        rows: facts.rows,
        version,
        changed: replaced.changes.len() as u64,
        overflow: overflow + replaced.overflow,
        left_out: facts.left_out,
        listed,
        ..Restated::default()
    })
}

/// Whether the run saw every record there is, so that what it did not see is gone.
fn is_everything(run: &RunOfMetrics, subject: &Subject) -> bool {
    run.window.is_none() && run.ended == Ended::Complete && subject.metric.covers == Covers::All
}

/// What a run says of one record.
struct Incoming {
    key: String,
    seen_at: i64,
    page: i64,
    /// Where it counts, and what for; none: nowhere.
    counts: Option<(CellPlace, Vec<u8>)>,
}

/// What is known of a run's records together.
#[derive(Default)]
struct Facts {
    rows: u64,
    left_out: u64,
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
}

/// Reads rows and deletions as what they say of each record; the last word on a key is the one that counts. Sorted
/// by key, so that every transaction takes them in one order.
fn incoming(run: &RunOfMetrics, subject: &Subject, extracted: Extracted) -> (Vec<Incoming>, Facts) {
    let rules = &subject.rules;
    let mut facts = Facts::default();
    let mut finder = Finder::of(rules);
    let mut names: HashMap<SeriesKey, String> = HashMap::new();
    let from = store::kept_from(&subject.metric, run.fetched_at);
    let mut words: HashMap<String, ((u32, u32), Incoming)> =
        HashMap::with_capacity(extracted.rows.len());
    let seen_at = |page: u32| {
        run.seen
            .get(&page)
            .copied()
            .unwrap_or(run.fetched_at)
            .as_millisecond()
    };
    let mut say = |place: (u32, u32), word: Incoming| {
        let earlier = words.get(&word.key);
        if earlier.is_none_or(|(before, _)| place >= *before) {
            words.insert(word.key.clone(), (place, word));
        }
    };
    for row in extracted.deleted {
        let word = Incoming {
            key: kept(&row.key),
            seen_at: seen_at(row.page),
            page: i64::from(row.page),
            counts: None,
        };
        say((row.page, row.index), word);
    }
    for row in extracted.rows {
        let (place, page) = ((row.page, row.index), row.page);
        let Some(key) = row.key.as_deref().map(kept) else {
            facts.left_out += 1;
            continue;
        };
        let is_too_old = row.at.zip(from).is_some_and(|(at, from)| at < from);
        facts.left_out += u64::from(is_too_old);
        let counts = if is_too_old {
            None
        } else {
            counts(row, rules.aggregation, &mut finder, &mut names, &mut facts)
        };
        let word = Incoming {
            key,
            seen_at: seen_at(page),
            page: i64::from(page),
            counts,
        };
        say(place, word);
    }
    let mut incoming: Vec<Incoming> = words.into_values().map(|(_, word)| word).collect();
    incoming.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    facts.rows = incoming.iter().filter(|word| word.counts.is_some()).count() as u64;
    (incoming, facts)
}

/// The key as the store keeps it.
fn kept(key: &str) -> String {
    key.replace('\0', "\u{fffd}")
}

fn counts(
    row: Row,
    aggregation: Aggregation,
    finder: &mut Finder<'_>,
    names: &mut HashMap<SeriesKey, String>,
    facts: &mut Facts,
) -> Option<(CellPlace, Vec<u8>)> {
    let Some(at) = row.at else {
        facts.left_out += 1;
        return None;
    };
    let contribution = Contribution {
        at,
        value: row.value,
    };
    if !contribution.suits(aggregation) {
        facts.left_out += 1;
        return None;
    }
    facts.earliest = Some(facts.earliest.map_or(at, |earliest| earliest.min(at)));
    facts.latest = Some(facts.latest.map_or(at, |latest| latest.max(at)));
    let key = SeriesKey {
        dimensions: row.dimensions,
        unit: row.unit,
    };
    let series = if let Some(series) = names.get(&key) {
        series.clone()
    } else {
        let series = key.canonical();
        names.insert(key, series.clone());
        series
    };
    let start = finder.bucket(at).start.as_millisecond();
    Some((CellPlace { start, series }, contribution.encode()))
}

/// Brings some records in; returns how many had no room for their series.
async fn bring(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    words: &[Incoming],
    buckets: &mut Buckets,
) -> Result<u64, Error> {
    let name = subject.name.as_str();
    let keys = words.iter().map(|word| word.key.clone()).collect();
    let known = commit.records(name, keys).await?;
    let mut changed: Vec<Record> = Vec::new();
    let mut again: HashMap<(i64, i64), Vec<String>> = HashMap::new();
    for word in words {
        let before = known.get(&word.key);
        // What was seen later stays, whichever run is committed first.
        if before.is_some_and(|before| before.seen_at > word.seen_at) {
            continue;
        }
        let is_same = before.is_some_and(|before| match (&before.place, &word.counts) {
            (None, None) => true,
            (Some(old), Some((new, value))) => old == new && before.value == *value,
            _ => false,
        });
        if is_same {
            if let Some((place, _)) = &word.counts {
                buckets.seen(place);
            }
            again
                .entry((word.seen_at, word.page))
                .or_default()
                .push(word.key.clone());
            continue;
        }
        if let Some(place) = before.and_then(|before| before.place.clone()) {
            buckets.left(place);
        }
        if let Some((place, value)) = &word.counts {
            buckets.entered(subject, place, value)?;
        }
        changed.push(Record {
            key: word.key.clone(),
            place: word.counts.as_ref().map(|(place, _)| place.clone()),
            seen_at: word.seen_at,
            run: run.run.clone(),
            page: word.page,
            value: word
                .counts
                .as_ref()
                .map(|(_, value)| value.clone())
                .unwrap_or_default(),
        });
    }
    let overflow = if changed.is_empty() {
        0
    } else {
        commit.put_records(name, &changed).await?
    };
    for ((seen_at, page), keys) in again {
        commit
            .see_records(name, keys, (seen_at, &run.run, page))
            .await?;
    }
    Ok(overflow)
}

/// The coverage of a metric that is kept by records: from the earliest of them to the newest run.
async fn cover(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    facts: &Facts,
) -> Result<(), Error> {
    let name = subject.name.as_str();
    let stored = commit.coverage(name).await?;
    let known: Vec<Coverage> = stored.iter().map(coverage_of).collect();
    let hull = rollup::coverage::hull(&known);
    let newest = known.iter().max_by_key(|coverage| coverage.as_of);
    let earliest = [hull.map(|hull| hull.start), facts.earliest]
        .into_iter()
        .flatten()
        .min();
    let Some(earliest) = earliest else {
        return Ok(());
    };
    let rules = &subject.rules;
    let after = |at: Timestamp| at.checked_add(1.millisecond()).unwrap_or(at);
    let ends = [
        hull.map(|hull| hull.end),
        facts.latest.map(after),
        Some(run.fetched_at),
    ];
    let mut coverage = Coverage {
        start: rules
            .resolution
            .start_of(earliest, &rules.zone, rules.week_start),
        end: ends.into_iter().flatten().max().unwrap_or(run.fetched_at),
        as_of: run.slot,
        run: run.run.clone(),
        revision: subject.revision,
        complete: run.ended == Ended::Complete,
    };
    if let Some(newer) = newest.filter(|newest| newest.as_of > run.slot) {
        coverage = Coverage {
            start: coverage.start,
            end: coverage.end,
            revision: subject.revision,
            ..newer.clone()
        };
    }
    if known != [coverage.clone()] && coverage.start < coverage.end {
        commit
            .set_coverage(name, &[stored_coverage(&coverage)])
            .await?;
    }
    Ok(())
}
