//! A run's pages through its metrics' expressions: rows, and what could not be used.
//!
//! All metrics of a dataset are evaluated together on one worker. When that worker dies or gets
//! stuck, each metric is tried alone on a fresh one, so that only the guilty one fails.

use std::collections::BTreeMap;

use bus::Bus;
use expression::budget::TASKS;
use expression::{
    DeletedRow, EvaluationError, FieldsSeen, Page, RejectedRow, RunContext, Task, TaskResult,
};
use jiff::Timestamp;
use rollup::Row;
use store::REJECTED_SAMPLES_KEPT;
use wire::RunManifest;

use crate::error::Error;
use crate::instruments::Instruments;
use crate::read_pages::{self, FetchedPage};
use crate::workers::{WorkerError, Workers};

/// Pages sent to a worker in one frame: few enough that a long run does not fill memory.
const PAGES_A_FRAME: usize = 16;
/// Bytes sent to a worker in one frame, unless a single page is larger.
const BYTES_A_FRAME: usize = 4 * 1024 * 1024;

/// Rows that there is room for from the start, over all tasks: most runs have fewer, and nothing is moved.
const ROWS_AT_FIRST: usize = 100_000;

/// What one task got out of all pages.
#[derive(Debug, Default)]
pub(crate) struct Extracted {
    /// Rows in the order of pages and records.
    pub(crate) rows: Vec<Row>,
    /// Records that count no more, where they are followed by their keys.
    pub(crate) deleted: Vec<DeletedRow>,
    /// Rows that could not be used.
    pub(crate) rejected_count: u64,
    /// How many of them there are for each reason's code.
    pub(crate) rejected_by: BTreeMap<String, u64>,
    /// Some of them.
    pub(crate) rejected: Vec<RejectedRow>,
    /// Why the records are not in the first page.
    pub(crate) records_missing: Option<String>,
    /// What the records have shown of the fields that the expression names.
    pub(crate) fields: FieldsSeen,
    /// Why there is nothing at all.
    pub(crate) error: Option<EvaluationError>,
    /// The dates of all records in their order, also of those that a condition leaves out; empty where there is no
    /// condition, or nobody asks.
    pub(crate) seen: Vec<Timestamp>,
    /// Whether rows are let go once their dates are known.
    pub(crate) only_dates: bool,
}

impl Extracted {
    /// Has room for so many rows of a task.
    fn of(task: &Task, rows: usize) -> Self {
        let only_dates = task.reading.only_dates;
        Self {
            rows: Vec::with_capacity(if only_dates { 0 } else { rows }),
            only_dates,
            ..Self::default()
        }
    }

    /// Takes in what one page, or one push, brought.
    pub(crate) fn take_in(&mut self, result: TaskResult) {
        self.rejected_count += result.rejected_count;
        for (code, count) in result.rejected_by {
            *self.rejected_by.entry(code).or_default() += count;
        }
        let room = REJECTED_SAMPLES_KEPT.saturating_sub(self.rejected.len());
        self.rejected.extend(result.rejected.into_iter().take(room));
        // What came last knows of all pages before.
        if let Some(fields) = result.fields {
            self.fields = fields;
        }
        if self.records_missing.is_none() {
            self.records_missing = result.records_missing;
        }
        if self.error.is_none() {
            self.error = result.error;
        }
        if self.only_dates {
            self.seen
                .extend(result.rows.iter().filter_map(|row| row.at));
        } else if self.error.is_none() {
            self.rows.extend(result.rows);
            self.deleted.extend(result.deleted);
        } else {
            self.rows = Vec::new();
            self.deleted = Vec::new();
        }
    }
}

/// What is evaluated, and with what.
pub(crate) struct Extraction<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) workers: &'a Workers,
    pub(crate) instruments: &'a Instruments,
    pub(crate) context: RunContext,
    pub(crate) manifest: &'a RunManifest,
}

impl Extraction<'_> {
    /// Evaluates like [`all`](Self::all), and finds the dates of all records where a condition leaves some out.
    pub(crate) async fn with_all_records(
        &self,
        tasks: &[Task],
        alone: bool,
    ) -> Result<Vec<Extracted>, Error> {
        let mut asked = tasks.to_vec();
        let mut of = Vec::new();
        for (place, task) in tasks.iter().enumerate() {
            if asked.len() < TASKS
                && let Some(task) = task.of_all_records()
            {
                let id = u32::try_from(asked.len()).unwrap_or(u32::MAX);
                asked.push(Task { id, ..task });
                of.push(place);
            }
        }
        let mut extracted = self.all(&asked, alone).await?;
        let seen = extracted.split_off(tasks.len().min(extracted.len()));
        for (place, seen) in of.into_iter().zip(seen) {
            // Where the dates cannot be had, the rows alone tell what was seen.
            if let Some(one) = extracted.get_mut(place).filter(|_| seen.error.is_none()) {
                one.seen = seen.seen;
            }
        }
        Ok(extracted)
    }

    /// Evaluates `tasks` (whose ids are their places) on every page; answers in their order.
    ///
    /// `alone` begins with one metric at a time: for a run that failed together before.
    pub(crate) async fn all(&self, tasks: &[Task], alone: bool) -> Result<Vec<Extracted>, Error> {
        if !alone || tasks.len() < 2 {
            match self.together(tasks).await {
                Ok(extracted) => return Ok(extracted),
                Err(Error::Worker(error)) if error.is_fatal() => {
                    self.instruments.worker_lost();
                    tracing::warn!(run = self.manifest.run, %error, "a worker was lost; its metrics are tried one by one");
                }
                Err(error) => return Err(error),
            }
        }
        let mut extracted = Vec::with_capacity(tasks.len());
        for task in tasks {
            let single = Task {
                id: 0,
                ..task.clone()
            };
            match self.together(std::slice::from_ref(&single)).await {
                Ok(mut one) => extracted.push(one.pop().unwrap_or_default()),
                Err(Error::Worker(error)) if error.is_fatal() => {
                    self.instruments.worker_lost();
                    extracted.push(Extracted {
                        error: Some(killed(&error)),
                        ..Extracted::default()
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(extracted)
    }

    /// Two records of a parent may have records of the same key: each is a record of its own.
    fn tell_apart(&self, result: &mut TaskResult) {
        let pages = &self.manifest.pages;
        for row in &mut result.rows {
            let Some(key) = &row.key else { continue };
            let entry = pages.binary_search_by_key(&row.page, |page| page.number);
            if let Ok(place) = entry
                && let number @ 1.. = pages[place].parent_number
            {
                row.key = Some(format!("{number}/{key}").into());
            }
        }
    }

    async fn together(&self, tasks: &[Task]) -> Result<Vec<Extracted>, Error> {
        let records = usize::try_from(self.manifest.records).unwrap_or(0);
        let room = records.min(ROWS_AT_FIRST / tasks.len().max(1));
        let mut extracted: Vec<Extracted> =
            tasks.iter().map(|task| Extracted::of(task, room)).collect();
        if tasks.is_empty() {
            return Ok(extracted);
        }
        let (mut worker, problems) = self.workers.lend(tasks, &self.context).await?;
        for (id, error) in problems {
            if let Some(one) = extracted.get_mut(id as usize) {
                one.error = Some(error);
            }
        }
        let whole_run = tasks.iter().any(|task| task.whole_run);
        let by_page = tasks.iter().any(|task| !task.whole_run);
        let mut reader = read_pages::Reader::new(self.bus, self.manifest);
        let mut held: Option<EvaluationError> = None;
        let first = Box::pin(reader.next_batch(PAGES_A_FRAME, BYTES_A_FRAME));
        let mut batch = first.await?;
        while let Some(fetched) = batch {
            let pages: Vec<Page<'_>> = fetched.iter().map(FetchedPage::page).collect();
            // The next pages are read while the worker thinks about these.
            let evaluating = async {
                if by_page {
                    for mut result in worker.pages(&pages).await?.into_iter().flatten() {
                        self.tell_apart(&mut result);
                        if let Some(one) = extracted.get_mut(result.id as usize) {
                            one.take_in(result);
                        }
                    }
                }
                if whole_run && held.is_none() {
                    held = worker.hold(&pages).await?;
                }
                Ok::<_, Error>(())
            };
            let reading = Box::pin(reader.next_batch(PAGES_A_FRAME, BYTES_A_FRAME));
            ((), batch) = tokio::try_join!(evaluating, reading)?;
        }
        if whole_run {
            let results = match held {
                None => worker.run().await?,
                Some(error) => failed_runs(tasks, &error),
            };
            for result in results {
                if let Some(one) = extracted.get_mut(result.id as usize) {
                    one.take_in(result);
                }
            }
        }
        Ok(extracted)
    }
}

fn failed_runs(tasks: &[Task], error: &EvaluationError) -> Vec<TaskResult> {
    let whole = tasks.iter().filter(|task| task.whole_run);
    whole
        .map(|task| TaskResult {
            id: task.id,
            error: Some(error.clone()),
            ..TaskResult::default()
        })
        .collect()
}

fn killed(error: &WorkerError) -> EvaluationError {
    let message = match error {
        WorkerError::Stuck => "the expression ran too long and was stopped from outside",
        _ => "the expression used too much memory or brought its process down",
    };
    EvaluationError {
        code: "expression.killed".into(),
        message: message.into(),
    }
}
