//! Tables for people, JSON for programs, CSV for spreadsheets.

use std::fmt;
use std::io::{ErrorKind, Write as _};

use serde_json::Value;

/// Prints to stdout; the `say!` of a whole line does it by this.
///
/// A reader that has gone wants no more: the program ends, and that is no failure. Any other trouble with stdout is
/// one, and is told on stderr.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        let gone = error.kind() == ErrorKind::BrokenPipe;
        if !gone {
            eprintln!("error: stdout cannot be written: {error}");
        }
        std::process::exit(i32::from(!gone));
    }
}

/// Prints a header and rows as a table without lines.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = header.iter().map(|name| name.to_uppercase()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Prints a header and rows as CSV (RFC 4180).
pub(crate) fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<String> = std::iter::once(&head)
        .chain(rows)
        .map(|row| {
            row.iter()
                .map(|cell| csv_cell(cell))
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect();
    lines.join("\r\n")
}

fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Prints JSON on one line, for what reads line by line.
pub(crate) fn line(value: &Value) -> String {
    value.to_string()
}

/// Prints JSON over several lines.
pub(crate) fn json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns a JSON value as one cell of a table.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Returns one problem of a definition as one line: place, code, text, hint.
pub(crate) fn problem_line(problem: &Value) -> String {
    let text = |name: &str| cell(problem.get(name));
    let place = match (text("source"), text("line"), text("column")) {
        (source, line, column) if !line.is_empty() && line != "0" => {
            format!("{source}:{line}:{column}: ")
        }
        (source, ..) if !source.is_empty() => format!("{source}: "),
        _ => String::new(),
    };
    let severity = match text("severity") {
        severity if severity.is_empty() => "error".to_owned(),
        severity => severity,
    };
    let path = match text("path") {
        path if path.is_empty() => String::new(),
        path => format!(" {path}:"),
    };
    let hint = match text("hint") {
        hint if hint.is_empty() => String::new(),
        hint => format!("\n  hint: {hint}"),
    };
    format!(
        "{place}{severity}[{}]{path} {}{hint}",
        text("code"),
        text("message")
    )
}

/// A number with its noun: `1 page`, `12 pages`, `100 of 300 records`.
pub(crate) fn counted(number: &str, noun: &str) -> String {
    if number == "1" {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["münchen".to_owned(), "1".to_owned()],
            vec!["x".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            table(&["city", "n"], &rows),
            "CITY     N\nmünchen  1\nx        22"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let rows = vec![vec!["a,b".to_owned(), "say \"hi\"".to_owned()]];
        assert_eq!(csv(&["x", "y"], &rows), "x,y\r\n\"a,b\",\"say \"\"hi\"\"\"");
    }
}
