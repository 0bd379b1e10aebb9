//! `validate`, `apply`, `get`, `delete`, `schema`.

use std::path::{Path, PathBuf};

use connectors::Catalogued;
use definition::{Bundle, Problem, Severity};
use serde_json::Value;

use super::{Done, read_input};
use crate::cli::{Apply, Delete, Files, Get, Output};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, cell};

/// Problems that a lone file cannot help having: what it refers to may be applied already.
const NEEDS_THE_STORE: &[&str] = &[
    "definition.connection_unknown",
    "definition.dataset_unknown",
    "definition.metric_unknown",
];

/// Checks definitions by themselves, all files together.
pub(crate) fn validate(arguments: &Files) -> Done {
    let (count, problems) = check(&read_files(&arguments.files)?);
    let errors = problems.iter().filter(|problem| is_fatal(problem)).count();
    match arguments.output {
        Output::Json => {
            let list: Vec<Value> = problems.iter().map(problem_json).collect();
            say!(
                "{}",
                output::json(&serde_json::json!({ "valid": errors == 0, "problems": list }))
            );
        }
        Output::Table | Output::Csv => {
            for problem in &problems {
                eprintln!("{}", output::problem_line(&problem_json(problem)));
            }
            if errors == 0 {
                say!("valid: {}", counted(count, "definition"));
            }
        }
    }
    if errors > 0 {
        return Err(Failure::invalid(counted(errors, "problem")));
    }
    Ok(())
}

/// A file's name and text.
struct File {
    name: String,
    text: String,
}

fn read_files(paths: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let file = |path: &PathBuf| {
        Ok(File {
            text: read_input(path)?,
            name: name_of(path),
        })
    };
    paths.iter().map(file).collect()
}

/// Counts the definitions and finds every problem in them, as one bundle.
fn check(files: &[File]) -> (usize, Vec<Problem>) {
    let (mut bundle, mut problems) = (Bundle::default(), Vec::new());
    for file in files {
        let (more, unread) = definition::read(&file.text, &file.name);
        bundle.append(more);
        problems.extend(unread);
    }
    connectors::fill(&mut bundle, &Catalogued);
    problems.extend(bundle.validate(&Catalogued));
    problems.extend(expression::check_bundle(&bundle));
    (bundle.definitions.len(), definition::in_order(problems))
}

/// Tells whether a gateway would refuse it too, whatever is applied there.
fn is_fatal(problem: &Problem) -> bool {
    problem.severity == Severity::Error && !NEEDS_THE_STORE.contains(&problem.code)
}

fn problem_json(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Error if NEEDS_THE_STORE.contains(&problem.code) => "warning",
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    serde_json::json!({
        "code": problem.code, "severity": severity, "source": problem.source, "line": problem.line,
        "column": problem.column, "path": problem.path, "message": problem.message, "hint": problem.hint,
    })
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Applies files together, all or nothing.
pub(crate) async fn apply(arguments: &Apply) -> Done {
    let client = Client::new(&arguments.remote)?;
    let files = read_files(&arguments.files)?;
    let (text, source) = match files.as_slice() {
        [only] => (only.text.clone(), only.name.clone()),
        several => (joined(several)?, "bundle".to_owned()),
    };
    // What is called JSON is read as nothing else; without a name that says it, the gateway finds out.
    let media_type = if Path::new(&source)
        .extension()
        .is_some_and(|suffix| suffix == "json")
    {
        "application/json"
    } else {
        "application/yaml"
    };
    let mut query = vec![("source", source)];
    if arguments.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    let answer = client.post_text("/apply", &query, media_type, text).await?;
    for warning in list(&answer, "warnings") {
        eprintln!("{}", output::problem_line(warning));
    }
    let rows: Vec<Vec<String>> = list(&answer, "definitions")
        .iter()
        .map(|one| {
            ["kind", "name", "outcome", "revision", "dataset"]
                .map(|field| cell(one.get(field)))
                .to_vec()
        })
        .collect();
    print_rows(
        client.output,
        &answer,
        &["kind", "name", "outcome", "revision", "dataset"],
        &rows,
    );
    Ok(())
}

/// Several files become one bundle of YAML documents; JSON is YAML.
fn joined(files: &[File]) -> Result<String, Failure> {
    // Told here, since the gateway knows the lines of the whole only, not of each file.
    let (_, problems) = check(files);
    let fatal: Vec<String> = problems
        .iter()
        .filter(|problem| is_fatal(problem))
        .map(|problem| output::problem_line(&problem_json(problem)))
        .collect();
    if !fatal.is_empty() {
        return Err(Failure::invalid(fatal.join("\n")));
    }
    let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    Ok(texts.join("\n---\n"))
}

fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Shows definitions of a kind, or one.
pub(crate) async fn get(arguments: &Get) -> Done {
    let client = Client::new(&arguments.remote)?;
    let kind = plural(&arguments.kind)?;
    if let Some(name) = &arguments.name {
        let answer = client
            .get(&format!("/{kind}/{}", segment(name)?), &[])
            .await?;
        match client.output {
            Output::Json => say!("{}", output::json(&answer)),
            Output::Table | Output::Csv => print_one(&answer),
        }
        return Ok(());
    }
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "500".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = client.get(&format!("/{kind}"), &query).await?;
        items.extend(list(&page, "items").iter().cloned());
        cursor = page
            .get("next_cursor")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|one| {
            let mut row = ["name", "title"].map(|field| cell(one.get(field))).to_vec();
            row.push(match kind {
                "connections" => cell(one.pointer("/definition/base_url")),
                "goals" | "alerts" => cell(one.pointer("/definition/metric")),
                "boards" | "scorecards" => cell(one.pointer("/definition/range")),
                _ => cell(one.get("dataset")),
            });
            row.push(cell(one.get("updated_at")));
            row
        })
        .collect();
    let third = match kind {
        "connections" => "base_url",
        "goals" | "alerts" => "metric",
        "boards" | "scorecards" => "range",
        _ => "dataset",
    };
    print_rows(
        client.output,
        &Value::Array(items),
        &["name", "title", third, "updated_at"],
        &rows,
    );
    Ok(())
}

fn print_one(answer: &Value) {
    for (field, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) | Value::Array(_) => {
                say!("{field}:");
                for line in output::json(value).lines() {
                    say!("  {line}");
                }
            }
            other => say!("{field}: {}", cell(Some(other))),
        }
    }
    if let Some(budget) = answer.pointer("/state/budget") {
        for line in budget_lines(budget) {
            say!("{line}");
        }
    }
}

/// A connection's budget in words.
fn budget_lines(budget: &Value) -> Vec<String> {
    let field = |name: &str| cell(budget.get(name));
    let is_there = |name: &str| budget.get(name).is_some_and(|value| !value.is_null());
    let mut lines = Vec::new();
    if is_there("limit") {
        let (used, limit, per) = (field("used"), field("limit"), field("per_seconds"));
        lines.push(format!(
            "budget: {used} of {limit} requests used in the last {per} s"
        ));
    }
    if is_there("slots") {
        let (used, slots, waiting) = (field("slots_in_use"), field("slots"), field("waiting"));
        lines.push(format!(
            "budget: {used} of {slots} slots in use, {}",
            match waiting.as_str() {
                "1" => "1 run waits for one".to_owned(),
                many => format!("{many} runs wait for one"),
            }
        ));
    }
    if is_there("paused_until") {
        let (until, reason) = (field("paused_until"), field("pause_reason"));
        lines.push(format!("budget: paused until {until}: {reason}"));
    }
    lines
}

/// Deletes one definition.
pub(crate) async fn delete(arguments: &Delete) -> Done {
    let client = Client::new(&arguments.remote)?;
    let kind = plural(&arguments.kind)?;
    client
        .delete(&format!("/{kind}/{}", segment(&arguments.name)?))
        .await?;
    say!("deleted {} {}", kind.trim_end_matches('s'), arguments.name);
    Ok(())
}

/// Prints the JSON Schema.
pub(crate) fn schema() {
    say!("{}", output::json(&definition::json_schema()));
}

/// Returns the path of a kind, singular or plural.
fn plural(kind: &str) -> Result<&'static str, Failure> {
    match kind.trim_end_matches('s') {
        "connection" => Ok("connections"),
        "dataset" => Ok("datasets"),
        "metric" => Ok("metrics"),
        "goal" => Ok("goals"),
        "alert" => Ok("alerts"),
        "board" => Ok("boards"),
        "scorecard" => Ok("scorecards"),
        _ => Err(Failure::invalid(format!(
            "there is no kind `{kind}`: it is connection, dataset, metric, goal, alert, board or \
             scorecard"
        ))),
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> Result<&str, Failure> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Err(Failure::invalid(format!(
            "`{name}` is no name: names are lower-case letters, digits and _"
        )));
    }
    Ok(name)
}

/// The array under `field`, or none.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Prints an answer as the caller wants it.
pub(crate) fn print_rows(output: Output, answer: &Value, header: &[&str], rows: &[Vec<String>]) {
    match output {
        Output::Json => say!("{}", output::json(answer)),
        Output::Csv => say!("{}", output::csv(header, rows)),
        Output::Table => say!("{}", output::table(header, rows)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_is_told_in_words() {
        let budget = json!({ "limit": 120, "per_seconds": 60.0, "used": 57, "slots": 8, "slots_in_use": 3, "waiting": 1,
            "paused_until": "2026-01-01T00:00:00Z", "pause_reason": "the API answered 429 and asked for a pause" });
        assert_eq!(
            budget_lines(&budget),
            [
                "budget: 57 of 120 requests used in the last 60.0 s",
                "budget: 3 of 8 slots in use, 1 run waits for one",
                "budget: paused until 2026-01-01T00:00:00Z: the API answered 429 and asked for a pause",
            ]
        );
        assert!(
            budget_lines(&json!({ "limit": null, "slots": null, "paused_until": null })).is_empty()
        );
    }
}
