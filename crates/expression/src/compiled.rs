//! One task of a run, compiled: how it reads a page, and what becomes of records that fail.

use std::cell::OnceCell;

use jiff::tz::TimeZone;
use jlens_core::reads::Read;
use jlens_core::{Bindings, Document, Expression};

use crate::budget::{Limits, REJECTED_SAMPLES};
use crate::calculation::Calculation;
use crate::convert::RowReader;
use crate::error::{from_engine, too_deep_text};
use crate::evaluate::guarded;
use crate::fields::{Fields, Labels};
use crate::missing::{Places, Wrong};
use crate::operands::Long;
use crate::page::parse_error;
use crate::plain::Plan;
use crate::rescue::{MOST_RECORDS, Search, Split, is_of_one_record};
use crate::tree::{Tree, Value};
use crate::{EvaluationError, Page, RunContext, Task, TaskResult, check, pattern};

/// One task, compiled.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) id: u32,
    pub(crate) whole_run: bool,
    first_page_only: bool,
    expression: Expression,
    plan: Option<Plan>,
    bindings: Bindings,
    reads_parent: bool,
    /// The parent that is bound, as it came.
    parent: Option<String>,
    /// What is evaluated on pages with long numbers, made for the first of them.
    long: OnceCell<Long>,
    reader: RowReader,
    records: Option<Places>,
    fields: Option<Fields>,
    missing_is_empty: bool,
    /// The pattern that a timeout may be due to.
    slow_pattern: Option<String>,
}

impl Compiled {
    pub(crate) fn new(task: &Task, context: &RunContext) -> Result<Self, EvaluationError> {
        let checked = check(&task.expression)
            .map_err(|problem| EvaluationError::new(problem.code, problem.message))?;
        let records = task.reading.records.as_ref().map(Places::of).transpose()?;
        let zone = match task.reading.zone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                EvaluationError::new("expression.zone", format!("there is no time zone `{name}`"))
            })?,
        };
        let root = &checked.expression.ast().root;
        let calculation = Calculation::of(root);
        let slow_pattern = pattern::slowest(root);
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
            reader: RowReader::new(
                &task.reading,
                zone,
                calculation,
                Labels::of(&checked.expression.ast().root, checked.expression.source()),
            ),
            fields: Fields::of(&checked.expression.ast().root),
            plan: Plan::of(&checked.expression.ast().root),
            expression: checked.expression,
            bindings,
            reads_parent,
            parent: None,
            long: OnceCell::new(),
            records,
            missing_is_empty: task.reading.missing_is_empty,
            slow_pattern,
        })
    }

    pub(crate) fn sees_page(&self, first: bool) -> bool {
        !self.whole_run && (first || !self.first_page_only)
    }

    pub(crate) fn reads(&self) -> Option<Read> {
        self.expression.reads().input().cloned()
    }

    pub(crate) fn evaluate(
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
                if let Some(wrong) = self.wrong_records(text, &options) {
                    return self.without_records(page, wrong);
                }
                match self.rescued(parsed, page, limits, tree, &mut result) {
                    Some(value) => Some(value),
                    None => return TaskResult::failed(self.id, self.explained(error)),
                }
            }
            Err(error) => return TaskResult::failed(self.id, self.explained(error)),
        };
        let failed: Vec<u32> = result.rejected.iter().map(|row| row.index).collect();
        if let Some(fields) = &mut self.fields {
            fields.look(text);
            result.fields = fields.news();
            if result.fields.is_some() {
                self.reader.know(fields.keys());
            }
        }
        self.reader
            .read(tree, value, page.number, now_ms, &mut result);
        put_back_places(&mut result, &failed);
        // A missing list gives no row, and a null one gives one: JSONata maps over it as over a thing.
        if result.returned() <= 1
            && let Some(wrong) = self.wrong_records(text, &options)
        {
            return self.without_records(page, wrong);
        }
        self.reject_surplus(text, page, &options, &mut result);
        result
    }

    /// The result of a page whose records are not where they should be: on later pages it is an empty page.
    fn without_records(&self, page: &Page<'_>, wrong: Wrong) -> TaskResult {
        match wrong {
            Wrong::Shape(error) => TaskResult::failed(self.id, error),
            Wrong::Missing(reason) => TaskResult {
                id: self.id,
                records_missing: (page.first && !self.missing_is_empty).then_some(reason),
                ..TaskResult::default()
            },
        }
    }

    /// Rejects what has no partner in the other arrays of a `zip`, which JSONata leaves out.
    fn reject_surplus(
        &self,
        text: &str,
        page: &Page<'_>,
        options: &jlens_core::Options,
        result: &mut TaskResult,
    ) {
        let Some(places) = self.records.as_ref().filter(|one| one.are_parallel()) else {
            return;
        };
        let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
            return;
        };
        let room = REJECTED_SAMPLES.saturating_sub(result.rejected.len());
        let Some(surplus) = places.surplus(&json, &self.bindings, options, room) else {
            return;
        };
        for _ in 0..surplus.count {
            result.count_rejected("records.unequal");
        }
        for (index, sample) in (surplus.from..).zip(surplus.samples) {
            result.rejected.push(crate::RejectedRow {
                page: page.number,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                code: "records.unequal".to_owned(),
                reason: surplus.reason.clone(),
                sample,
            });
        }
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
        self.long = OnceCell::new();
        self.parent = Some(text.to_owned());
    }

    /// An error with what may be behind it.
    fn explained(&self, mut error: EvaluationError) -> EvaluationError {
        if let (Some(pattern), "expression.timeout") = (&self.slow_pattern, error.code.as_str()) {
            error.message.push_str(&pattern::advice(pattern));
        }
        error
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
        let evaluated = self.evaluated(parsed);
        Self::write(evaluated, parsed.document()?, options, limits, tree)
    }

    /// What is evaluated on a page.
    fn evaluated(&self, parsed: &Parsed<'_>) -> (&Expression, &Bindings) {
        if !parsed.is_long {
            return (&self.expression, &self.bindings);
        }
        let long = self
            .long
            .get_or_init(|| Long::of(&self.expression, &self.bindings));
        (&long.expression, &long.bindings)
    }

    fn write(
        (expression, bindings): (&Expression, &Bindings),
        document: &Document,
        options: &jlens_core::Options,
        limits: &Limits,
        tree: &mut Tree,
    ) -> Result<Option<Value>, EvaluationError> {
        tree.clear();
        let written = guarded(|| {
            expression
                .evaluate_document_to(document, bindings, options, |out| out.write(tree))
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
        let (own, bindings) = self.evaluated(parsed);
        let split = Split::of(own.ast())?;
        let document = parsed.document().ok()?;
        let json: serde_json::Value = serde_json::from_str(parsed.text).ok()?;
        let options = limits.options(page.fetched_at.as_millisecond());
        let mut failed: Vec<usize> = Vec::new();
        let mut expression = own.clone();
        while failed.len() < MOST_RECORDS {
            let mut search = Search::in_tree(expression.ast())?;
            let traced = expression.evaluate_traced(Some(&json), bindings, &options, &mut search);
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
            expression = split.without(own.source(), &failed)?;
            if let Ok(value) =
                Self::write((&expression, bindings), document, &options, limits, tree)
            {
                result.rejected.sort_by_key(|row| row.index);
                return Some(value.unwrap_or(Value::Null));
            }
        }
        None
    }

    /// What is wrong with the place of the records in this page.
    fn wrong_records(&self, text: &str, options: &jlens_core::Options) -> Option<Wrong> {
        let places = self.records.as_ref()?;
        let json = serde_json::from_str::<serde_json::Value>(text).ok()?;
        places.wrong(&json, &self.bindings, options)
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

/// A page, parsed for the engine once and when it is first needed.
pub(crate) struct Parsed<'p> {
    text: &'p str,
    read: &'p Read,
    /// Whether it holds numbers that a double would change.
    is_long: bool,
    document: OnceCell<Result<Document, EvaluationError>>,
}

impl<'p> Parsed<'p> {
    pub(crate) fn of(text: &'p str, read: &'p Read, is_long: bool) -> Self {
        Self {
            text,
            read,
            is_long,
            document: OnceCell::new(),
        }
    }

    fn document(&self) -> Result<&Document, EvaluationError> {
        let parse = || {
            let parsed = if self.is_long {
                // A wrapped operand may be read deeper than the bare one is.
                Document::parse(self.text)
            } else {
                Document::parse_cut(self.text, self.read)
            };
            parsed.map_err(|error| parse_error(&error, self.text))
        };
        self.document
            .get_or_init(parse)
            .as_ref()
            .map_err(Clone::clone)
    }
}
