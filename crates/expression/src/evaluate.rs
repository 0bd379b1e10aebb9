//! Evaluates the tasks of a run: bytes of a page in, rows out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use definition::window::Interval;
use jiff::Timestamp;
use jlens_core::reads::Read;
use jlens_core::{Bindings, Document};

use crate::budget::Limits;
use crate::compiled::{Compiled, Parsed};
use crate::error::from_engine;
use crate::operands::Long;
use crate::page::{MARK, joined, parse_error, prepare, with_numbers};
use crate::tree::Tree;
use crate::{Checked, EvaluationError, Task, TaskResult};

/// One page of a run, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The body, untouched.
    pub bytes: &'a [u8],
    /// Its number in the run; rows carry it.
    pub number: u32,
    /// Whether it is the first page of the run: `page: first` values come from it, and records
    /// must be in it.
    pub first: bool,
    /// When it was fetched: the clock of the expression.
    pub fetched_at: Timestamp,
    /// The record of the parent dataset that it was asked for, as JSON: `$parent`.
    pub parent: Option<&'a str>,
}

/// What a run binds besides its pages.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    /// The window of the run: `$window.start` and `$window.end`, as RFC 3339 text in UTC.
    pub window: Option<Interval>,
    /// The parent record: `$parent`.
    pub parent: Option<serde_json::Value>,
}

/// The tasks of a run, compiled.
#[derive(Debug)]
pub struct Evaluator {
    tasks: Vec<Compiled>,
    limits: Limits,
    tree: Tree,
    /// What must be parsed of the first page, and of the others.
    reads: [Read; 2],
}

impl Evaluator {
    /// Compiles the tasks of a run; tasks that cannot be compiled are returned with their reason.
    pub fn new(
        tasks: Vec<Task>,
        context: &RunContext,
        limits: Limits,
    ) -> (Self, Vec<(u32, EvaluationError)>) {
        let mut compiled = Vec::with_capacity(tasks.len());
        let mut problems = Vec::new();
        for task in tasks {
            let id = task.id;
            match Compiled::new(&task, context) {
                Ok(task) => compiled.push(task),
                Err(error) => problems.push((id, error)),
            }
        }
        let reads = [true, false].map(|first| {
            let tasks = compiled.iter().filter(|task| task.sees_page(first));
            tasks.fold(nothing(), |read, task| {
                task.reads().map_or(read.clone(), |own| read.union(&own))
            })
        });
        (
            Self {
                tasks: compiled,
                limits,
                tree: Tree::default(),
                reads,
            },
            problems,
        )
    }

    /// Evaluates every `scope: page` task on one page; one result for each task that sees it.
    pub fn eval_page(&mut self, page: &Page<'_>) -> Vec<TaskResult> {
        let limits = self.limits.clone();
        let Self {
            tasks, tree, reads, ..
        } = self;
        let tasks: Vec<&mut Compiled> = tasks
            .iter_mut()
            .filter(|task| task.sees_page(page.first))
            .collect();
        if tasks.is_empty() {
            return Vec::new();
        }
        let text = match prepare(page.bytes) {
            Ok(text) => text,
            Err(error) => return all_failed(&tasks, &error),
        };
        let is_long = matches!(text, Cow::Owned(_));
        let parsed = Parsed::of(&text, &reads[usize::from(!page.first)], is_long);
        evaluate_all(tasks, &parsed, page, &limits, tree)
    }

    /// Whether any task needs the whole run at once.
    pub fn needs_run(&self) -> bool {
        self.tasks.iter().any(|task| task.whole_run)
    }

    /// Evaluates every `scope: run` task on all pages of the run as one array, in order.
    pub fn eval_run(&mut self, pages: &[Page<'_>]) -> Vec<TaskResult> {
        let mut limits = self.limits.clone();
        // A run has as many records as all its pages: it gets the time of a few.
        limits.page_time_ms *= 4;
        let Self { tasks, tree, .. } = self;
        let tasks: Vec<&mut Compiled> = tasks.iter_mut().filter(|task| task.whole_run).collect();
        if tasks.is_empty() {
            return Vec::new();
        }
        let text = match joined(pages) {
            Ok(text) => text,
            Err(error) => return all_failed(&tasks, &error),
        };
        let is_long = text.contains(MARK);
        let read = tasks
            .iter()
            .filter_map(|task| task.reads())
            .fold(nothing(), |read, own| read.union(&own));
        let fetched_at = pages
            .last()
            .map_or(Timestamp::UNIX_EPOCH, |page| page.fetched_at);
        let whole = Page {
            bytes: text.as_bytes(),
            number: 0,
            first: true,
            fetched_at,
            parent: None,
        };
        let parsed = Parsed::of(&text, &read, is_long);
        evaluate_all(tasks, &parsed, &whole, &limits, tree)
    }
}

/// Returns what the engine returns, as JSON: for people who try an expression.
///
/// Whole numbers keep their digits where they are passed on, as they do for a metric; beyond 64 bits they are text.
pub fn evaluate_json(
    checked: &Checked,
    bytes: &[u8],
    fetched_at: Timestamp,
) -> Result<Option<serde_json::Value>, EvaluationError> {
    evaluate_json_within(checked, bytes, fetched_at, &Limits::default())
}

/// The same within other limits.
pub(crate) fn evaluate_json_within(
    checked: &Checked,
    bytes: &[u8],
    fetched_at: Timestamp,
    limits: &Limits,
) -> Result<Option<serde_json::Value>, EvaluationError> {
    let text = prepare(bytes)?;
    let options = limits.options(fetched_at.as_millisecond());
    if matches!(text, Cow::Owned(_)) {
        let long = Long::of(&checked.expression, &Bindings::new());
        let document = Document::parse(&text).map_err(|error| parse_error(&error, &text))?;
        let found = guarded(|| {
            long.expression
                .evaluate_document(&document, &long.bindings, &options)
                .map_err(|error| from_engine(&error, limits))
        })?;
        return Ok(found.map(with_numbers));
    }
    let read = checked
        .expression
        .reads()
        .input()
        .cloned()
        .unwrap_or_else(nothing);
    let document = Document::parse_cut(&text, &read).map_err(|error| parse_error(&error, &text))?;
    guarded(|| {
        checked
            .expression
            .evaluate_document(&document, &Bindings::new(), &options)
            .map_err(|error| from_engine(&error, limits))
    })
}

fn evaluate_all(
    tasks: Vec<&mut Compiled>,
    parsed: &Parsed<'_>,
    page: &Page<'_>,
    limits: &Limits,
    tree: &mut Tree,
) -> Vec<TaskResult> {
    tasks
        .into_iter()
        .map(|task| task.evaluate(parsed, page, limits, tree))
        .collect()
}

fn all_failed(tasks: &[&mut Compiled], error: &EvaluationError) -> Vec<TaskResult> {
    tasks
        .iter()
        .map(|task| TaskResult::failed(task.id, error.clone()))
        .collect()
}

/// A read of nothing but whether the page is JSON.
fn nothing() -> Read {
    Read::Fields(BTreeMap::new())
}

/// A panic of the engine is one failed evaluation.
pub(crate) fn guarded<T>(
    evaluate: impl FnOnce() -> Result<T, EvaluationError>,
) -> Result<T, EvaluationError> {
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
        Err(EvaluationError::new(
            "expression.engine",
            "the engine failed on this expression and page",
        ))
    })
}
