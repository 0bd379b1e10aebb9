//! `provenance`: where a number comes from.

use serde_json::Value;

use super::Done;
use super::definitions::{list, segment};
use super::numbers::name_of;
use crate::cli::{Output, Provenance};
use crate::client::Client;
use crate::output::{self, cell};

/// Asks which runs, pages and records made a number, and prints that.
pub(crate) async fn provenance(arguments: &Provenance) -> Done {
    let client = Client::new(&arguments.remote)?;
    let mut query = vec![
        ("start", arguments.start.clone()),
        ("limit", arguments.limit.to_string()),
    ];
    query.extend(
        arguments
            .dimension
            .iter()
            .map(|pair| ("dimensions", pair.clone())),
    );
    query.extend(arguments.unit.clone().map(|unit| ("unit", unit)));
    query.extend(
        arguments
            .granularity
            .clone()
            .map(|word| ("granularity", word)),
    );
    let path = format!("/metrics/{}/provenance", segment(&arguments.name)?);
    let answer = client.get(&path, &query).await?;
    match client.output {
        Output::Json => say!("{}", output::json(&answer)),
        Output::Csv => say!("{}", output::csv(&HEADER, &records(&answer))),
        Output::Table => tell(&answer),
    }
    Ok(())
}

const HEADER: [&str; 7] = ["run", "page", "row", "date", "value", "series", "key"];

fn tell(answer: &Value) {
    let field = |name: &str| cell(answer.get(name));
    say!(
        "{} of {} from {} to {}: {} ({} rows)",
        field("metric"),
        name_of(answer),
        field("start"),
        field("end"),
        if field("value").is_empty() {
            "no value".to_owned()
        } else {
            field("value")
        },
        field("count"),
    );
    for (mark, words) in [
        (
            "partial",
            "partial: a run that made a part of it did not see everything",
        ),
        ("stale", "stale: two schedules have passed without success"),
    ] {
        if field(mark) == "true" {
            say!("{words}");
        }
    }
    if field("current") == "false" {
        say!(
            "made with an earlier revision; {} is in force",
            field("revision")
        );
    }
    for maker in list(answer, "made_by") {
        let of = |path: &str| cell(maker.pointer(path));
        say!(
            "\nrun {} ({}, {})",
            of("/run/id"),
            of("/run/kind"),
            of("/run/ended_at")
        );
        say!(
            "  expression of revision {}: {}",
            of("/revision"),
            of("/definition/expression")
        );
        say!("  first request: {}", of("/request"));
        for page in list(maker, "pages") {
            let at = |name: &str| cell(page.get(name));
            let rows = if at("rows").is_empty() {
                String::new()
            } else {
                format!(", {} rows", at("rows"))
            };
            say!("  page {}{rows}: {}", at("number"), at("url"));
        }
        if !of("/note").is_empty() {
            say!("  {}", of("/note"));
        }
    }
    let rows = records(answer);
    if !rows.is_empty() {
        say!("\n{}", output::table(&HEADER, &rows));
    }
}

fn records(answer: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for maker in list(answer, "made_by") {
        for record in list(maker, "records") {
            let of = |name: &str| cell(record.get(name));
            rows.push(vec![
                cell(maker.pointer("/run/id")),
                of("page"),
                of("row"),
                of("date"),
                of("value"),
                name_of(record),
                of("key"),
            ]);
        }
    }
    rows
}
