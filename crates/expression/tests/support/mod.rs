//! Evaluates one expression on one page, and prints rows as short text.

use definition::Name;
use expression::budget::Limits;
use expression::{EvaluationError, Evaluator, Page, Reading, RunContext, Task, TaskResult};
use jiff::Timestamp;
use rollup::{Row, RowValue};

/// The instant at which every page of these tests was fetched.
pub(crate) fn fetched_at() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn task(expression: &str, reading: Reading) -> Task {
    Task {
        id: 7,
        expression: expression.to_owned(),
        whole_run: false,
        reading,
    }
}

pub(crate) fn evaluator(tasks: Vec<Task>) -> (Evaluator, Vec<(u32, EvaluationError)>) {
    Evaluator::new(tasks, &RunContext::default(), Limits::default())
}

pub(crate) fn page(body: &str, number: u32) -> Page<'_> {
    page_of(body.as_bytes(), number)
}

pub(crate) fn page_of(bytes: &[u8], number: u32) -> Page<'_> {
    Page {
        bytes,
        number,
        first: number == 0,
        fetched_at: fetched_at(),
        parent: None,
    }
}

/// The result of one expression on one page.
pub(crate) fn read(expression: &str, reading: Reading, body: &str) -> TaskResult {
    read_bytes(expression, reading, body.as_bytes())
}

pub(crate) fn read_bytes(expression: &str, reading: Reading, body: &[u8]) -> TaskResult {
    let (mut evaluator, problems) = evaluator(vec![task(expression, reading)]);
    if let Some((id, error)) = problems.into_iter().next() {
        return TaskResult {
            id,
            error: Some(error),
            ..TaskResult::default()
        };
    }
    evaluator.eval_page(&page_of(body, 0)).remove(0)
}

/// The rows of one expression on one page, none of which may be rejected.
pub(crate) fn rows(expression: &str, reading: Reading, body: &str) -> Vec<String> {
    let result = read(expression, reading, body);
    assert_eq!(result.error, None, "{expression}");
    assert_eq!(result.rejected, [], "{expression}");
    result.rows.iter().map(row_text).collect()
}

pub(crate) fn page_rows(evaluator: &mut Evaluator, body: &str, number: u32) -> Vec<String> {
    let results = evaluator.eval_page(&page(body, number));
    results
        .iter()
        .flat_map(|result| result.rows.iter().map(row_text))
        .collect()
}

pub(crate) fn row_text(row: &Row) -> String {
    let mut parts = vec![row.at.map_or("-".to_owned(), |at| at.to_string())];
    parts.push(match &row.value {
        RowValue::Number(number) => number.to_string(),
        RowValue::Text(value) => format!("'{value}'"),
    });
    parts.extend(row.unit.iter().map(ToString::to_string));
    parts.extend(
        row.dimensions
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    parts.extend(row.key.iter().map(|key| format!("#{key}")));
    parts.join(" ")
}
