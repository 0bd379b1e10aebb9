//! `query`: a metric's numbers.

use serde_json::Value;

use super::Done;
use super::definitions::{list, segment};
use crate::cli::{Output, Query};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, cell};

/// Asks for a series and prints it.
pub(crate) async fn query(arguments: &Query) -> Done {
    let client = Client::new(&arguments.remote)?;
    let mut query: Vec<(String, String)> = Vec::new();
    let given = [
        ("range", &arguments.range),
        ("from", &arguments.from),
        ("to", &arguments.to),
        ("granularity", &arguments.granularity),
        ("group_by", &arguments.group_by),
        ("timezone", &arguments.timezone),
        ("compare", &arguments.compare),
        ("fill", &arguments.fill),
    ];
    for (name, value) in given {
        query.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    let numbers = [
        ("top", arguments.top),
        ("moving_average", arguments.moving_average),
    ];
    for (name, number) in numbers {
        query.extend(number.map(|number| (name.to_owned(), number.to_string())));
    }
    if arguments.cumulative {
        query.push(("cumulative".into(), "true".into()));
    }
    if arguments.exclude_current {
        query.push(("current".into(), "exclude".into()));
    }
    for filter in &arguments.filter {
        let Some((dimension, members)) = filter.split_once('=') else {
            return Err(Failure::invalid(format!(
                "`--where {filter}` is neither DIMENSION=MEMBERS nor DIMENSION!=MEMBERS"
            )));
        };
        // `state!=a` is the parameter `where.state!`, whose value is `a`.
        query.push((format!("where.{dimension}"), members.to_owned()));
    }
    let query: Vec<(&str, String)> = query
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let path = format!("/metrics/{}/series", segment(&arguments.name)?);
    let answer = client.get(&path, &query).await?;
    match client.output {
        Output::Json => say!("{}", output::json(&answer)),
        Output::Csv => {
            let (header, rows) = rows(&answer);
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            say!("{}", output::csv(&header, &rows));
        }
        Output::Table => {
            let (header, rows) = rows(&answer);
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            if rows.is_empty() {
                say!(
                    "no points between {} and {}",
                    cell(answer.get("from")),
                    cell(answer.get("to"))
                );
            } else {
                say!("{}", output::table(&header, &rows));
            }
            for series in list(&answer, "series") {
                say!("total {}: {}", name_of(series), cell(series.get("total")));
            }
            if has_outdated(&answer) {
                say!(
                    "outdated: a part was made with an earlier revision of the metric; where a recompute finds no \
                     pages any more, `tidemark backfill {}` fetches it again",
                    arguments.name
                );
            }
            if let Some(comparison) = answer.get("comparison").filter(|one| !one.is_null()) {
                for line in compared(comparison) {
                    say!("{line}");
                }
            }
        }
    }
    Ok(())
}

/// One row for each point: start, dimensions, unit, value, count, partial, and outdated where any is.
fn rows(answer: &Value) -> (Vec<String>, Vec<Vec<String>>) {
    let mut dimensions: Vec<String> = Vec::new();
    for series in list(answer, "series") {
        for name in series
            .get("dimensions")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if !dimensions.contains(name.0) {
                dimensions.push(name.0.clone());
            }
        }
    }
    let has_unit = list(answer, "series")
        .iter()
        .any(|series| !cell(series.get("unit")).is_empty());
    let mut header = vec!["start".to_owned()];
    header.extend(dimensions.iter().cloned());
    if has_unit {
        header.push("unit".into());
    }
    header.extend(["value", "count", "partial"].map(str::to_owned));
    let has_outdated = has_outdated(answer);
    if has_outdated {
        header.push("outdated".into());
    }
    let mut rows = Vec::new();
    for series in list(answer, "series") {
        for point in list(series, "points") {
            let mut row = vec![cell(point.get("start"))];
            let members = series.get("dimensions");
            row.extend(dimensions.iter().map(|name| match rest(series) {
                Some(rest) => rest,
                None => cell(members.and_then(|members| members.get(name))),
            }));
            if has_unit {
                row.push(cell(series.get("unit")));
            }
            row.push(cell(point.get("value")));
            row.push(cell(point.get("count")));
            let mark = |name: &str| match cell(point.get(name)).as_str() {
                "true" => name.to_owned(),
                _ => String::new(),
            };
            row.push(mark("partial"));
            if has_outdated {
                row.push(mark("outdated"));
            }
            rows.push(row);
        }
    }
    (header, rows)
}

/// Whether any point was made with an earlier revision of the metric.
fn has_outdated(answer: &Value) -> bool {
    let mut points = list(answer, "series")
        .iter()
        .flat_map(|series| list(series, "points"));
    points.any(|point| cell(point.get("outdated")) == "true")
}

/// One line for each series of a comparison.
fn compared(comparison: &Value) -> Vec<String> {
    let text = |one: &Value, name: &str| match cell(one.get(name)) {
        text if text.is_empty() => "undefined".to_owned(),
        text => text,
    };
    let with = cell(comparison.get("with"));
    let line = |series: &Value| {
        let (now, base) = (text(series, "current"), text(series, "base"));
        let (change, percent) = (text(series, "change"), text(series, "percent"));
        let direction = text(series, "direction");
        let name = name_of(series);
        format!(
            "{name} against {with}: {now} was {base}, change {change}, percent {percent}, {direction}"
        )
    };
    list(comparison, "series").iter().map(line).collect()
}

/// What stands where a member would, of all that are not shown by themselves.
fn rest(series: &Value) -> Option<String> {
    let joined = series.get("rest").and_then(Value::as_u64)?;
    Some(format!("({joined} others)"))
}

/// A series as people say it: its dimensions and unit.
pub(crate) fn name_of(series: &Value) -> String {
    let mut parts: Vec<String> = series
        .get("dimensions")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, text)| format!("{name}={}", cell(Some(text))))
        .collect();
    parts.extend(rest(series));
    parts.extend(Some(cell(series.get("unit"))).filter(|unit| !unit.is_empty()));
    if parts.is_empty() {
        "all".to_owned()
    } else {
        parts.join(" ")
    }
}
