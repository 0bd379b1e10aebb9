//! Tables for people, JSON for programs, CSV for spreadsheets.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints a header and rows as a table without lines.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Prints a header and rows as CSV (RFC 4180).
pub(crate) fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<String> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(","))
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
        (source, line, column) if !line.is_empty() && line != "0" => format!("{source}:{line}:{column}: "),
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
    format!("{place}{severity}[{}]{path} {}{hint}", text("code"), text("message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it() {
        let rows = vec![vec!["a,b".to_owned(), "say \"hi\"".to_owned()]];
        assert_eq!(csv(&["x", "y"], &rows), "x,y\r\n\"a,b\",\"say \"\"hi\"\"\"");
    }
}
