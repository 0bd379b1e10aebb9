//! `eval`: an expression on a page from stdin.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use expression::budget::MEMORY_BYTES;
use expression::{Checked, Evaluator, Page, Reading, RunContext, Task};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Done, read_stdin};
use crate::cli::Eval;
use crate::failure::Failure;
use crate::output;
use crate::worker;

/// The engine stops an expression long before; a built-in that never looks at the clock is stopped by this.
const WALL: Duration = Duration::from_secs(8);

/// Evaluates an expression in a process of its own that has a memory limit and is killed when it takes too long.
pub(crate) async fn eval(arguments: &Eval) -> Done {
    checked(&arguments.expression)?;
    let bytes = read_stdin()?;
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut child = Command::new(program)
        .args(["eval", "--bounded"])
        .args(arguments.rows.then_some("--rows"))
        .args(["--", &arguments.expression])
        .env_clear()
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the expression's process cannot be started")?;
    let input = child.stdin.take();
    let whole = async {
        if let Some(mut input) = input {
            // It may end before it has read everything, and then says why itself.
            let _ = input.write_all(&bytes).await;
            let _ = input.shutdown().await;
        }
        child.wait_with_output().await
    };
    let Ok(ended) = timeout(WALL, whole).await else {
        return Err(Failure::failed(format!(
            "the expression ran longer than {} s and was stopped from outside [expression.killed]",
            WALL.as_secs()
        )));
    };
    let ended = ended.context("the expression's process cannot be waited for")?;
    let own = ended.status.code().and_then(|code| u8::try_from(code).ok());
    let Some(code @ 0..=2) = own else {
        return Err(Failure::failed(format!(
            "the expression used more than the limit of {} MiB of memory or brought its process down [expression.killed]",
            MEMORY_BYTES / 1024 / 1024
        )));
    };
    // What it says of its own death is of no use to anybody; what it says of the expression is.
    eprint!("{}", String::from_utf8_lossy(&ended.stderr));
    match code {
        0 => Ok(()),
        code => Err(Failure::said_with(code)),
    }
}

/// Says what is wrong with the text of an expression, before anybody types a page for it.
fn checked(expression: &str) -> Result<Checked, Failure> {
    expression::check(expression)
        .map_err(|problem| Failure::invalid(format!("{} [{}]", problem.message, problem.code)))
}

/// Evaluates an expression and prints what the engine returns, or the rows.
pub(crate) fn eval_here(arguments: &Eval) -> Done {
    worker::bound().context("the memory of this process cannot be bounded")?;
    let checked = checked(&arguments.expression)?;
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
