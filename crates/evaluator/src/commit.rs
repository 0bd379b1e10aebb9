//! A run's rows into the store, in one transaction: restated cells, coverage, versions, news.

use std::collections::BTreeMap;

use definition::{Granularity, Interval};
use expression::FieldsSeen;
use jiff::Timestamp;
use rollup::{
    Coverage, Decimal, Ended, Folded, Restatement, RunFacts, SeriesKey, State, deduplicate, fold,
    restate,
};
use store::{
    Cell, CellChange, Commit, MetricOutcome, Outcome, RejectedSample, Replaced, instant, kept_from,
};
use wire::{Change, MetricUpdate};

use crate::earliest::{self, EarliestBucket};
use crate::error::Error;
use crate::extract::Extracted;
use crate::judge::{Refused, judge};
use crate::kept;
use crate::renamed;
use crate::samples::{self, gone, previous_samples, says_nothing_is_there};
use crate::subjects::Subject;
use crate::told_points::{self, ToldPoint};
use crate::upsert;

/// Where the outbox keeps the trace of an announcement; it is no part of the message.
pub(crate) const TRACE_PARENT: &str = "traceparent";

/// What is the same for all metrics of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunOfMetrics {
    pub(crate) workspace: String,
    pub(crate) run: String,
    pub(crate) slot: Timestamp,
    pub(crate) fetched_at: Timestamp,
    pub(crate) window: Option<Interval>,
    pub(crate) ended: Ended,
    /// Records that came again on a neighbouring page; only rows with a key count once.
    pub(crate) overlap: i64,
    pub(crate) recompute: bool,
    pub(crate) changes_listed: usize,
    /// When each page was fetched.
    pub(crate) seen: BTreeMap<u32, Timestamp>,
}

/// What one metric's part of a run came to.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) rows: u64,
    pub(crate) rejected: u64,
    pub(crate) changed: u64,
    pub(crate) announced: bool,
    /// Whether what it made is marked partial.
    pub(crate) partial: bool,
}

/// Restates one metric inside the transaction.
pub(crate) async fn apply(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    extracted: Extracted,
) -> Result<Applied, Error> {
    let samples = rejected_samples(&extracted);
    let counts_twice = run.overlap > 0 && extracted.rows.iter().any(|row| row.key.is_none());
    let doubtful = RunOfMetrics {
        ended: Ended::Doubtful,
        ..run.clone()
    };
    let run = if counts_twice { &doubtful } else { run };
    let rejected_count = extracted.rejected_count;
    let says_nothing = says_nothing_is_there(run, subject, &extracted);
    let mut details = Details {
        rejected_by: extracted.rejected_by.clone(),
        ..Details::default()
    };
    let mut outcome = MetricOutcome {
        metric: subject.name.clone(),
        revision: subject.revision,
        rejected: signed(rejected_count),
        ..MetricOutcome::default()
    };
    let mut applied = Applied {
        rejected: rejected_count,
        ..Applied::default()
    };
    let judged = match judge(&subject.metric, &extracted) {
        Ok(()) => {
            let judged = fields(commit, subject, &extracted.fields).await?;
            details.notes = judged.notes;
            details.fields.clone_from(&extracted.fields.everywhere);
            judged.refused.map_or(Ok(()), Err)
        }
        refused => refused,
    };
    if let Err(refused) = judged {
        details.fields = Vec::new();
        outcome.outcome = Outcome::Failed;
        outcome.error = Some(refused.written());
    } else {
        let restated = if subject.metric.keeps_records() {
            upsert::apply(commit, run, subject, extracted).await?
        } else {
            if commit.records_revision(&subject.name)?.is_some() {
                commit.set_records_revision(&subject.name, None).await?;
            }
            let (mut rows, _) = deduplicate(extracted.rows);
            let before = rows.len();
            let from = kept_from(&subject.metric, run.fetched_at);
            if let Some(from) = from.filter(|_| !subject.rules.accumulates()) {
                rows.retain(|row| row.at.is_none_or(|at| at >= from));
            }
            let too_old = (before - rows.len()) as u64;
            let mut folded = fold(rows, &subject.rules, run.slot);
            if !subject.rules.accumulates() {
                let mut seen = extracted.seen;
                seen.retain(|at| from.is_none_or(|from| *at >= from));
                folded.saw(&seen, &subject.rules);
            }
            let restated = restate_metric(commit, run, subject, folded, says_nothing).await?;
            Restated {
                left_out: restated.left_out + too_old,
                ..restated
            }
        };
        if restated.refused.is_none() && run.ended == Ended::Complete {
            commit
                .has_whole_window(&subject.name, subject.revision)
                .await?;
        }
        if let Some(refused) = &restated.refused {
            outcome.outcome = Outcome::Failed;
            outcome.error = Some(refused.written());
            details.fields = Vec::new();
        }
        applied.rows = restated.rows;
        applied.changed = restated.changed;
        applied.announced = restated.version.is_some();
        outcome.rows = signed(applied.rows);
        outcome.changed = signed(restated.changed);
        outcome.overflow = signed(restated.overflow);
        outcome.version = restated.version.unwrap_or_default();
        details.left_out = restated.left_out;
        details.outside = restated.outside;
        details.notes.extend(restated.notes);
        details.changes = restated.listed;
        details.earliest = restated.earliest;
    }
    outcome.details = details.written()?;
    commit.metric_outcome(&outcome, &samples).await?;
    Ok(applied)
}

/// Changed points kept with a run: enough to see what it did, small enough for 90 days of runs.
const CHANGES_KEPT: usize = 20;

/// What the run log tells of a metric's part besides its counts.
#[derive(Debug, Default)]
struct Details {
    rejected_by: BTreeMap<String, u64>,
    left_out: u64,
    outside: u64,
    notes: Vec<String>,
    /// Fields that the expression names and that every record had: what a later run is held to.
    fields: Vec<String>,
    changes: Vec<Change>,
    earliest: Option<EarliestBucket>,
}

impl Details {
    /// Its JSON; nothing when there is nothing to tell.
    fn written(&self) -> Result<Option<String>, Error> {
        let is_plain = self.fields.is_empty()
            && self.left_out == 0
            && self.outside == 0
            && self.notes.is_empty()
            && self.earliest.is_none();
        if self.rejected_by.is_empty() && is_plain && self.changes.is_empty() {
            return Ok(None);
        }
        let mut written = serde_json::json!({
            "rejected_by": self.rejected_by,
            "left_out": self.left_out,
            "outside": self.outside,
            "notes": self.notes,
            "fields": self.fields,
            "changes": serde_json::to_value(&self.changes)?,
        });
        if let Some(earliest) = &self.earliest {
            written["earliest"] = serde_json::to_value(earliest)?;
        }
        Ok(Some(written.to_string()))
    }
}

/// Runs of a metric that are asked which fields every record had: those without records know of none.
const RUNS_ASKED: u32 = 20;

/// Judges the fields that the expression names against those of runs before.
async fn fields(
    commit: &mut Commit,
    subject: &Subject,
    seen: &FieldsSeen,
) -> Result<Fields, Error> {
    if seen.nowhere.is_empty() {
        return Ok(Fields::default());
    }
    let earlier = commit.earlier_details(&subject.name, RUNS_ASKED).await?;
    let before = earlier
        .iter()
        .map(|text| known_fields(text))
        .find(|fields| !fields.is_empty())
        .unwrap_or_default();
    Ok(match renamed::judge(seen, &before) {
        renamed::Verdict::Fine => Fields::default(),
        renamed::Verdict::Told(notes) => Fields {
            notes,
            ..Fields::default()
        },
        renamed::Verdict::Refused(refused) => Fields {
            refused: Some(refused),
            ..Fields::default()
        },
    })
}

/// What was found out of fields.
#[derive(Default)]
struct Fields {
    notes: Vec<String>,
    refused: Option<Refused>,
}

/// What the details of an earlier run tell of fields.
fn known_fields(details: &str) -> Vec<String> {
    let details: serde_json::Value = serde_json::from_str(details).unwrap_or_default();
    let fields = details["fields"].as_array().into_iter().flatten();
    fields
        .filter_map(|field| field.as_str().map(str::to_owned))
        .collect()
}

fn rejected_samples(extracted: &Extracted) -> Vec<RejectedSample> {
    let rejected = extracted.rejected.iter();
    rejected
        .map(|row| RejectedSample {
            page: i64::from(row.page),
            row: i64::from(row.index),
            code: row.code.clone(),
            reason: row.reason.clone(),
            sample: row.sample.clone(),
        })
        .collect()
}

/// What became of a metric's cells.
#[derive(Debug, Default)]
pub(crate) struct Restated {
    /// Rows that count.
    pub(crate) rows: u64,
    /// The version, if anything changed.
    pub(crate) version: Option<i64>,
    /// Cells changed.
    pub(crate) changed: u64,
    /// Rows without room for their series.
    pub(crate) overflow: u64,
    /// Rows of buckets that stayed as they were.
    pub(crate) left_out: u64,
    /// Rows outside of the window.
    pub(crate) outside: u64,
    /// What a person should know of both.
    pub(crate) notes: Vec<String>,
    /// Why nothing was restated.
    pub(crate) refused: Option<Refused>,
    /// The newest of what changed, for the run log.
    pub(crate) listed: Vec<Change>,
    /// What was seen in the earliest bucket, where it was written and a condition leaves records out.
    pub(crate) earliest: Option<EarliestBucket>,
}

async fn restate_metric(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    mut folded: Folded,
    says_nothing: bool,
) -> Result<Restated, Error> {
    let stored = commit.coverage(&subject.name).await?;
    let existing: Vec<Coverage> = stored.iter().map(coverage_of).collect();
    let facts = RunFacts {
        run: run.run.clone(),
        revision: subject.revision,
        window: run.window,
        as_of: run.slot,
        now: run.fetched_at,
        ended: run.ended,
        covers: subject.metric.covers,
        rules: subject.rules.clone(),
        recompute: run.recompute,
        records_before: earliest::records_before(commit, subject, &folded, &existing).await?,
    };
    let before = previous_samples(commit, subject, &existing, run).await?;
    if says_nothing {
        folded.nothing_there(&subject.rules, run.slot, samples::units(&before));
    }
    let folded = &folded;
    let counted = earliest::count(commit, subject, folded, run).await?;
    let restatement = restate(&facts, &existing, folded, &|_| counted);
    let told = Restated {
        rows: folded.rows.saturating_sub(restatement.outside_rows),
        left_out: restatement.left_out_rows,
        outside: restatement.outside_rows,
        notes: kept::notes(&restatement, run.window),
        earliest: EarliestBucket::of(subject, folded)
            .filter(|bucket| restatement.writes(bucket.start)),
        ..Restated::default()
    };
    if let Some(window) = run.window
        && restatement.outside_rows > 0
        && restatement.outside_rows == folded.rows
        && holds_any(commit, subject, &restatement).await?
    {
        let refused = Some(kept::all_outside(folded.rows, window));
        return Ok(Restated { refused, ..told });
    }
    let mut replaced = write(commit, subject, run, folded, &restatement).await?;
    let points = if told_points::differ_from_samples(subject) {
        Some(told_points::of(commit, subject, &replaced.changes).await?)
    } else {
        None
    };
    replaced
        .changes
        .extend(gone(&before, folded, run.slot.as_millisecond()));
    let coverage: Vec<store::Coverage> = restatement.coverage.iter().map(stored_coverage).collect();
    if coverage != stored {
        commit.set_coverage(&subject.name, &coverage).await?;
    }
    let (version, listed) = announce(
        commit,
        run,
        subject,
        &replaced.changes,
        News {
            before: &before,
            points: points.as_deref(),
        },
    )
    .await?;
    Ok(Restated {
        version,
        changed: replaced.changes.len() as u64,
        overflow: replaced.overflow + folded.overflow_rows,
        listed,
        ..told
    })
}

/// What changes are told as, where the cells alone do not say it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News<'a> {
    /// The samples of the sync before.
    pub(crate) before: &'a [Cell],
    /// The points that changed, where a point is more than its newest sample.
    pub(crate) points: Option<&'a [ToldPoint]>,
}

/// Raises the version and queues the announcement, if anything changed; returns the version and the newest changes.
pub(crate) async fn announce(
    commit: &mut Commit,
    run: &RunOfMetrics,
    subject: &Subject,
    changes: &[CellChange],
    news: News<'_>,
) -> Result<(Option<i64>, Vec<Change>), Error> {
    if changes.is_empty() {
        return Ok((None, Vec::new()));
    }
    let version = commit.bump_version(&subject.name)?;
    let (listed, truncated) = match news.points {
        Some(points) => points_told(run, subject, points),
        None => cells_told(run, subject, changes, news.before)?,
    };
    let update = MetricUpdate {
        metric: subject.name.clone(),
        workspace: run.workspace.clone(),
        version,
        run: run.run.clone(),
        committed_at: instant(commit.now()).to_string(),
        truncated,
        changes: listed,
        requires: Vec::new(),
    };
    let listed = update.changes.iter().take(CHANGES_KEPT).cloned().collect();
    let mut payload = serde_json::to_value(&update)?;
    // The announcement belongs to the trace of its sync, whenever and by whomever it is made.
    if let Some(trace) = bus::trace_parent() {
        payload[TRACE_PARENT] = trace.into();
    }
    let payload = payload.to_string();
    commit.outbox(&subject.name, version, &payload).await?;
    Ok((Some(version), listed))
}

/// Whether anything is stored in what would be replaced.
async fn holds_any(
    commit: &mut Commit,
    subject: &Subject,
    restatement: &Restatement,
) -> Result<bool, Error> {
    for range in &restatement.replace {
        let (from, to) = (range.start.as_millisecond(), range.end.as_millisecond());
        if !commit.cells(&subject.name, from, to).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn write(
    commit: &mut Commit,
    subject: &Subject,
    run: &RunOfMetrics,
    folded: &Folded,
    restatement: &Restatement,
) -> Result<Replaced, Error> {
    let mut cells = Vec::new();
    for (key, states) in &folded.cells {
        let series = key.canonical();
        for (start, state) in states {
            if restatement.writes(*start) {
                cells.push(Cell {
                    series: series.clone(),
                    start: *start,
                    state: state.encode(),
                    partial: restatement.is_partial(*start),
                });
            }
        }
    }
    if restatement.add_samples {
        if restatement.replace.is_empty() {
            return Ok(Replaced::default());
        }
        return Ok(commit
            .insert_samples(&subject.name, run.slot.as_millisecond(), &cells)
            .await?);
    }
    let intervals: Vec<store::Interval> = restatement
        .replace
        .iter()
        .copied()
        .map(store::Interval::from)
        .collect();
    Ok(commit.replace(&subject.name, &intervals, &cells).await?)
}

/// The newest changes of cells, as many as are told, and whether there are more.
fn cells_told(
    run: &RunOfMetrics,
    subject: &Subject,
    changes: &[CellChange],
    before: &[Cell],
) -> Result<(Vec<Change>, bool), Error> {
    let aggregation = subject.rules.aggregation;
    let value = |state: Option<&[u8]>| -> Result<Option<f64>, Error> {
        let Some(state) = state else { return Ok(None) };
        let state = decode(subject, state)?;
        if state.count() == 0 && subject.rules.nothing_there_is_zero() {
            return Ok(Some(0.0));
        }
        Ok(state.finish(aggregation).map(Decimal::to_f64))
    };
    let mut listed = Vec::with_capacity(changes.len().min(run.changes_listed));
    let mut truncated = false;
    // The newest first: they are what people wait for when not all fit.
    for change in changes.iter().rev() {
        let old = change.old.as_deref().or_else(|| {
            let earlier = before.iter().find(|cell| cell.series == change.series);
            earlier.map(|cell| cell.state.as_slice())
        });
        let (new, old) = (value(change.new.as_deref())?, value(old)?);
        // What was kept beside the value may change without it; samples of a level are always news.
        if new == old && new.is_some() && !subject.rules.accumulates() {
            continue;
        }
        if listed.len() == run.changes_listed {
            truncated = true;
            break;
        }
        let start = bucket_start(subject, change.start);
        listed.push(told(subject, &change.series, start, new, old));
    }
    Ok((listed, truncated))
}

/// The newest changes of points, as many as are told, and whether there are more.
fn points_told(run: &RunOfMetrics, subject: &Subject, points: &[ToldPoint]) -> (Vec<Change>, bool) {
    let newest = points.iter().rev().take(run.changes_listed);
    let listed = newest.map(|point| {
        let (new, old) = (point.value, point.previous);
        let (new, old) = (new.map(Decimal::to_f64), old.map(Decimal::to_f64));
        told(subject, &point.series, instant(point.start), new, old)
    });
    (listed.collect(), points.len() > run.changes_listed)
}

fn told(
    subject: &Subject,
    series: &str,
    start: Timestamp,
    value: Option<f64>,
    previous: Option<f64>,
) -> Change {
    let key = SeriesKey::parse(series).unwrap_or_default();
    let dimensions = key.dimensions.iter();
    Change {
        start: start.to_string(),
        granularity: subject.rules.resolution.as_str().to_owned(),
        dimensions: dimensions
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect(),
        unit: key.unit.map(String::from).unwrap_or_default(),
        value,
        previous,
    }
}

/// Where the change stands in a series of the metric's own resolution: samples are kept at their instants.
pub(crate) fn bucket_start(subject: &Subject, at: i64) -> Timestamp {
    let (rules, at) = (&subject.rules, instant(at));
    if !rules.samples() || rules.resolution == Granularity::All {
        return at;
    }
    rules.resolution.start_of(at, &rules.zone, rules.week_start)
}

pub(crate) fn decode(subject: &Subject, state: &[u8]) -> Result<State, Error> {
    State::decode(state).map_err(|_| Error::Damaged {
        metric: subject.name.clone(),
    })
}

pub(crate) fn coverage_of(stored: &store::Coverage) -> Coverage {
    Coverage {
        start: instant(stored.start),
        end: instant(stored.end),
        as_of: instant(stored.as_of),
        run: stored.run.clone(),
        revision: stored.revision,
        complete: stored.complete,
    }
}

pub(crate) fn stored_coverage(coverage: &Coverage) -> store::Coverage {
    store::Coverage {
        start: coverage.start.as_millisecond(),
        end: coverage.end.as_millisecond(),
        as_of: coverage.as_of.as_millisecond(),
        run: coverage.run.clone(),
        revision: coverage.revision,
        complete: coverage.complete,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
