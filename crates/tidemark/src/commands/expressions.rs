//! `eval`: an expression on a page from stdin.

use expression::{Evaluator, Page, Reading, RunContext, Task};
use jiff::Timestamp;
use serde_json::json;

use super::{Done, read_stdin};
use crate::cli::Eval;
use crate::failure::Failure;
use crate::output;

/// Evaluates an expression and prints what the engine returns, or the rows.
pub(crate) fn eval(arguments: &Eval) -> Done {
    let checked = expression::check(&arguments.expression)
        .map_err(|problem| Failure::invalid(format!("{} [{}]", problem.message, problem.code)))?;
    let bytes = read_stdin()?;
    let now = Timestamp::now();
    if arguments.rows {
        return rows(&arguments.expression, &bytes, now);
    }
    let result = expression::evaluate_json(&checked, &bytes, now)
        .map_err(|error| Failure::failed(format!("{} [{}]", error.message, error.code)))?;
    match result {
        Some(value) => say!("{}", output::json(&value)),
        None => eprintln!("undefined: the expression found nothing"),
    }
    Ok(())
}

fn rows(text: &str, bytes: &[u8], now: Timestamp) -> Done {
    let task = Task {
        id: 0,
        expression: text.to_owned(),
        whole_run: false,
        reading: Reading::default(),
    };
    let limits = expression::budget::Limits::default();
    let (mut evaluator, problems) = Evaluator::new(vec![task], &RunContext::default(), limits);
    if let Some((_, problem)) = problems.first() {
        return Err(Failure::invalid(format!(
            "{} [{}]",
            problem.message, problem.code
        )));
    }
    let page = Page {
        bytes,
        number: 1,
        first: true,
        fetched_at: now,
        parent: None,
    };
    let Some(result) = evaluator.eval_page(&page).pop() else {
        return Err(Failure::failed("the expression was not evaluated"));
    };
    if let Some(error) = result.error {
        return Err(Failure::failed(format!(
            "{} [{}]",
            error.message, error.code
        )));
    }
    let rows: Vec<serde_json::Value> = result.rows.iter().map(expression::row_json).collect();
    let rejected: Vec<serde_json::Value> = result
        .rejected
        .iter()
        .map(|row| json!({ "index": row.index, "code": row.code, "reason": row.reason, "sample": row.sample }))
        .collect();
    let answer =
        json!({ "rows": rows, "rejected_count": result.rejected_count, "rejected": rejected });
    say!("{}", output::json(&answer));
    Ok(())
}
