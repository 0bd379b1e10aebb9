//! Evaluates the tasks of a run: bytes of a page in, rows out.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use definition::window::Interval;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jlens_core::ast::{BinaryOp, Node, NodeKind};
use jlens_core::reads::Read;
use jlens_core::{Bindings, Document, Expression};

use crate::budget::Limits;
use crate::convert::RowReader;
use crate::error::{from_engine, too_deep_text};
use crate::missing::{Place, place};
use crate::page::{joined, parse_error, prepare};
use crate::plain::Plan;
use crate::rescue::{MOST_RECORDS, Search, Split, is_of_one_record};
use crate::tree::{Tree, Value};
use crate::{Checked, EvaluationError, Task, TaskResult, check};

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

#[derive(Debug)]
struct Compiled {
    id: u32,
    whole_run: bool,
    first_page_only: bool,
    expression: Expression,
    plan: Option<Plan>,
    bindings: Bindings,
    reads_parent: bool,
    /// The parent that is bound, as it came.
    parent: Option<String>,
    reader: RowReader,
    records: Option<Expression>,
    missing_is_empty: bool,
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
        evaluate_all(
            tasks,
            &text,
            &reads[usize::from(!page.first)],
            page,
            &limits,
            tree,
        )
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
        evaluate_all(tasks, &text, &read, &whole, &limits, tree)
    }
}

/// Returns what the engine returns, as JSON: for people who try an expression.
///
/// Numbers that a double cannot hold are text, as they are for a metric.
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
    let read = checked
        .expression
        .reads()
        .input()
        .cloned()
        .unwrap_or_else(nothing);
    let document = Document::parse_cut(&text, &read).map_err(|error| parse_error(&error, &text))?;
    let options = limits.options(fetched_at.as_millisecond());
    guarded(|| {
        checked
            .expression
            .evaluate_document(&document, &Bindings::new(), &options)
            .map_err(|error| from_engine(&error, limits))
    })
}

impl Compiled {
    fn new(task: &Task, context: &RunContext) -> Result<Self, EvaluationError> {
        let checked = check(&task.expression)
            .map_err(|problem| EvaluationError::new(problem.code, problem.message))?;
        let records = match &task.reading.records {
            Some(path) => Some(
                check(path)
                    .map_err(|problem| EvaluationError::new(problem.code, problem.message))?
                    .expression,
            ),
            None => None,
        };
        let zone = match task.reading.zone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                EvaluationError::new("expression.zone", format!("there is no time zone `{name}`"))
            })?,
        };
        let calculated = calculates(&checked.expression.ast().root);
        let mut bindings = Bindings::new();
        if let Some(window) = &context.window {
            let window = serde_json::json!({
                "start": window.start.to_string(),
                "end": window.end.to_string(),
            });
            bindings = bindings.var("window", window);
        }
        if let Some(parent) = &context.parent {
            bindings = bindings.var("parent", parent.clone());
        }
        // Bindings are converted at each evaluation: only those that are read.
        let read = checked.expression.reads();
        let reads_parent = read.binding("parent").is_some();
        let bindings = bindings
            .iter()
            .filter(|(name, _)| read.binding(name).is_some())
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        Ok(Self {
            id: task.id,
            whole_run: task.whole_run,
            first_page_only: task.reading.first_page_only,
            reader: RowReader::new(&task.reading, zone, calculated),
            plan: Plan::of(&checked.expression.ast().root),
            expression: checked.expression,
            bindings,
            reads_parent,
            parent: None,
            records,
            missing_is_empty: task.reading.missing_is_empty,
        })
    }

    fn sees_page(&self, first: bool) -> bool {
        !self.whole_run && (first || !self.first_page_only)
    }

    fn reads(&self) -> Option<Read> {
        self.expression.reads().input().cloned()
    }

    fn evaluate(
        &mut self,
        parsed: &Parsed<'_>,
        page: &Page<'_>,
        limits: &Limits,
        tree: &mut Tree,
    ) -> TaskResult {
        self.bind_parent(page.parent);
        let now_ms = page.fetched_at.as_millisecond();
        let options = limits.options(now_ms);
        let mut result = TaskResult {
            id: self.id,
            ..TaskResult::default()
        };
        let text = parsed.text;
        let value = match self.value(parsed, &options, limits, tree) {
            Ok(value) => value,
            Err(error) if is_of_one_record(&error) => {
                match self.rescued(parsed, page, limits, tree, &mut result) {
                    Some(value) => Some(value),
                    None => return TaskResult::failed(self.id, error),
                }
            }
            Err(error) => return TaskResult::failed(self.id, error),
        };
        let failed: Vec<u32> = result.rejected.iter().map(|row| row.index).collect();
        self.reader
            .read(tree, value, page.number, now_ms, &mut result);
        put_back_places(&mut result, &failed);
        // A missing list gives no row, and a null one gives one: JSONata maps over it as over a thing.
        if result.returned() <= 1 && self.lacks_records(text, &options) {
            result = TaskResult {
                id: self.id,
                ..TaskResult::default()
            };
            result.records_missing = page.first && !self.missing_is_empty;
        }
        result
    }

    /// Binds `$parent` to the record that the page was asked for.
    fn bind_parent(&mut self, parent: Option<&str>) {
        let Some(text) = parent.filter(|_| self.reads_parent) else {
            return;
        };
        if self.parent.as_deref() == Some(text) {
            return;
        }
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        self.bindings = std::mem::replace(&mut self.bindings, Bindings::new()).var("parent", value);
        self.parent = Some(text.to_owned());
    }

    /// The result, by the short way where the expression and the page are plain.
    fn value(
        &self,
        parsed: &Parsed<'_>,
        options: &jlens_core::Options,
        limits: &Limits,
        tree: &mut Tree,
    ) -> Result<Option<Value>, EvaluationError> {
        if let Some(plan) = &self.plan
            && let Ok(value) = plan.run(parsed.text, tree, limits.items)
        {
            return Ok(value);
        }
        self.write(&self.expression, parsed.document()?, options, limits, tree)
    }

    fn write(
        &self,
        expression: &Expression,
        document: &Document,
        options: &jlens_core::Options,
        limits: &Limits,
        tree: &mut Tree,
    ) -> Result<Option<Value>, EvaluationError> {
        tree.clear();
        let written = guarded(|| {
            expression
                .evaluate_document_to(document, &self.bindings, options, |out| out.write(tree))
                .map_err(|error| from_engine(&error, limits))
        })?;
        if tree.is_too_deep() {
            return Err(EvaluationError::new(
                "expression.output_too_deep",
                too_deep_text(),
            ));
        }
        Ok(written)
    }

    /// Rejects the records that fail and evaluates the others; nothing when there are too many, or
    /// the fault is not of a record.
    fn rescued(
        &self,
        parsed: &Parsed<'_>,
        page: &Page<'_>,
        limits: &Limits,
        tree: &mut Tree,
        result: &mut TaskResult,
    ) -> Option<Value> {
        let split = Split::of(self.expression.ast())?;
        let document = parsed.document().ok()?;
        let json: serde_json::Value = serde_json::from_str(parsed.text).ok()?;
        let options = limits.options(page.fetched_at.as_millisecond());
        let mut failed: Vec<usize> = Vec::new();
        let mut expression = self.expression.clone();
        while failed.len() < MOST_RECORDS {
            let mut search = Search::in_tree(expression.ast())?;
            let traced =
                expression.evaluate_traced(Some(&json), &self.bindings, &options, &mut search);
            let error = from_engine(&traced.err()?, limits);
            let (place, sample) = search.found().filter(|_| is_of_one_record(&error))?;
            // Places are those among the records left: count the ones taken out before it.
            let place = failed
                .iter()
                .fold(place, |place, taken| place + usize::from(*taken <= place));
            failed.push(place);
            failed.sort_unstable();
            result.count_rejected(&error.code);
            result.rejected.push(crate::RejectedRow {
                page: page.number,
                index: u32::try_from(place).ok()?,
                code: error.code,
                reason: error.message,
                sample,
            });
            expression = split.without(self.expression.source(), &failed)?;
            if let Ok(value) = self.write(&expression, document, &options, limits, tree) {
                result.rejected.sort_by_key(|row| row.index);
                return Some(value.unwrap_or(Value::Null));
            }
        }
        None
    }

    /// Whether the place of the records is missing or null in this page.
    fn lacks_records(&self, text: &str, options: &jlens_core::Options) -> bool {
        let Some(records) = &self.records else {
            return false;
        };
        let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
            return false;
        };
        if let Some(found) = place(&records.ast().root, &json) {
            return found == Place::Missing;
        }
        match records.evaluate_with(Some(&json), &self.bindings, options) {
            Ok(value) => value.is_none_or(|value| value.is_null()),
            Err(_) => false,
        }
    }
}

/// Gives rows the places they had before failing records, in ascending order, were taken out.
fn put_back_places(result: &mut TaskResult, failed: &[u32]) {
    for place in failed {
        let kept = result
            .rejected
            .iter_mut()
            .skip(failed.len())
            .map(|row| &mut row.index);
        let rows = result.rows.iter_mut().map(|row| &mut row.index);
        let deleted = result.deleted.iter_mut().map(|row| &mut row.index);
        for index in rows.chain(deleted).chain(kept) {
            *index += u32::from(*index >= *place);
        }
    }
}

fn evaluate_all(
    tasks: Vec<&mut Compiled>,
    text: &str,
    read: &Read,
    page: &Page<'_>,
    limits: &Limits,
    tree: &mut Tree,
) -> Vec<TaskResult> {
    let parsed = Parsed {
        text,
        read,
        document: OnceCell::new(),
    };
    tasks
        .into_iter()
        .map(|task| task.evaluate(&parsed, page, limits, tree))
        .collect()
}

/// A page, parsed for the engine once and when it is first needed.
struct Parsed<'p> {
    text: &'p str,
    read: &'p Read,
    document: OnceCell<Result<Document, EvaluationError>>,
}

impl Parsed<'_> {
    fn document(&self) -> Result<&Document, EvaluationError> {
        let parse = || {
            Document::parse_cut(self.text, self.read)
                .map_err(|error| parse_error(&error, self.text))
        };
        self.document
            .get_or_init(parse)
            .as_ref()
            .map_err(Clone::clone)
    }
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
fn guarded<T>(evaluate: impl FnOnce() -> Result<T, EvaluationError>) -> Result<T, EvaluationError> {
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
        Err(EvaluationError::new(
            "expression.engine",
            "the engine failed on this expression and page",
        ))
    })
}

/// Whether an expression makes numbers of its own, and does not only pass on those of the page.
fn calculates(root: &Node) -> bool {
    const CALCULATING: [&str; 5] = ["sum", "average", "power", "sqrt", "reduce"];
    let mut found = false;
    root.walk(&mut |node| {
        found |= match &node.kind {
            NodeKind::Binary { op, .. } => matches!(
                op,
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod
            ),
            NodeKind::Variable { name } => CALCULATING.contains(&name.as_str()),
            _ => false,
        };
    });
    found
}
