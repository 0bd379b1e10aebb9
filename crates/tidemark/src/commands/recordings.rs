//! `record` and `test`: the pages of a run kept as files, and definitions held to what they gave.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::definitions::{list, segment};
use super::{Done, read_input};
use crate::cli::{Record, Test};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{cell, counted};
use crate::recording::{Manifest, Masks, RecordedPage, Recording, Window, parsed};

/// Runs looked through for the last one whose pages may still be there.
const RUNS: u32 = 20;
/// Differences that are printed for one recording.
const DIFFERENCES: usize = 20;

/// Keeps the pages of a metric's last run, its definition, and the rows they give.
pub(crate) async fn record(arguments: &Record) -> Done {
    let client = Client::new(&arguments.remote)?;
    let name = segment(&arguments.name)?;
    let run = run_of(&client, name, arguments.run.as_deref()).await?;
    let id = cell(run.get("id"));
    let listed = client
        .get(&format!("/runs/{}/pages", segment(&id)?), &[])
        .await?;
    let mut masks = Masks::of(&arguments.mask);
    let (mut pages, mut bodies) = (Vec::new(), Vec::new());
    for page in list(&listed, "items") {
        let is_used = page.get("duplicate").and_then(Value::as_bool) != Some(true)
            && page.get("bytes").and_then(Value::as_u64) != Some(0);
        let number = page.get("number").and_then(Value::as_u64);
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
            continue;
        };
        if !is_used {
            continue;
        }
        let body = client
            .get_text(&format!("/runs/{id}/pages/{number}"))
            .await?;
        bodies.push(masks.page(&body));
        pages.push(RecordedPage {
            number,
            file: format!("{number:04}.json"),
            fetched_at: instant(page.get("fetched_at"))?,
            url: cell(page.get("url")),
            parent: masked(&mut masks, page.get("parent"))?,
            parent_number: page
                .get("parent_number")
                .and_then(Value::as_u64)
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or_default(),
        });
    }
    let window = run.get("window").filter(|window| !window.is_null());
    let window = window
        .map(|window| {
            Ok::<Window, Failure>(Window {
                start: instant(window.get("start"))?,
                end: instant(window.get("end"))?,
            })
        })
        .transpose()?;
    let manifest = Manifest {
        metric: name.to_owned(),
        run: id.clone(),
        window,
        masked: arguments.mask.clone(),
        pages,
    };
    let folder = arguments.to.join(name);
    let definitions = definitions(&client, name).await?;
    let recording = Recording::write(&folder, manifest, &definitions, &bodies)?;
    let golden = recording.evaluate(&recording.definitions()?)?;
    recording.keep(&golden)?;
    say!(
        "recorded {} of {id} in {}: {}",
        counted(&bodies.len().to_string(), "page"),
        folder.display(),
        counted(&list(&golden, "rows").len().to_string(), "row")
    );
    if bodies.iter().any(|body| body.contains('@')) {
        eprintln!(
            "these pages hold e-mail addresses or the like: `--mask FIELD` masks a field before it is written"
        );
    }
    Ok(())
}

/// A record of the parent with its fields masked as in pages.
fn masked(masks: &mut Masks, parent: Option<&Value>) -> Result<Option<Value>, Failure> {
    let Some(parent) = parent.filter(|parent| !parent.is_null()) else {
        return Ok(None);
    };
    Ok(Some(serde_json::from_str(
        &masks.page(&parent.to_string()),
    )?))
}

/// The run that is named, or the last that ended well.
async fn run_of(client: &Client, metric: &str, named: Option<&str>) -> Result<Value, Failure> {
    if let Some(id) = named {
        return client.get(&format!("/runs/{}", segment(id)?), &[]).await;
    }
    let runs = client
        .get(
            &format!("/metrics/{metric}/runs"),
            &[("limit", RUNS.to_string())],
        )
        .await?;
    let last = list(&runs, "items")
        .iter()
        .find(|run| run.get("state").and_then(Value::as_str) == Some("final"));
    last.cloned().ok_or_else(|| {
        Failure::failed(format!(
            "`{metric}` has no run to record yet: `tidemark sync {metric} --wait` makes one"
        ))
    })
}

/// The metric, and the dataset that it names; no connection, since nothing is fetched.
async fn definitions(client: &Client, metric: &str) -> Result<Value, Failure> {
    let read = client.get(&format!("/metrics/{metric}"), &[]).await?;
    let metric = read.get("definition").cloned().unwrap_or_default();
    let mut all = Vec::new();
    if let Some(dataset) = metric.get("dataset").and_then(Value::as_str) {
        let read = client
            .get(&format!("/datasets/{}", segment(dataset)?), &[])
            .await?;
        all.extend(read.get("definition").cloned());
    }
    all.push(metric);
    Ok(json!(all))
}

fn instant(value: Option<&Value>) -> Result<jiff::Timestamp, Failure> {
    let text = cell(value);
    text.parse()
        .map_err(|_| Failure::failed(format!("the gateway sent `{text}` for an instant")))
}

/// Evaluates definitions over recordings and compares with what they gave; exit code 1 on a difference.
pub(crate) fn test(arguments: &Test) -> Done {
    let recordings = Recording::find(&arguments.folder)?;
    if recordings.is_empty() {
        return Err(Failure::invalid(format!(
            "there is no recording in {}: `tidemark record NAME --to DIR` makes one",
            arguments.folder.display()
        )));
    }
    let mut text = String::new();
    for file in &arguments.definitions {
        if !text.is_empty() {
            text.push_str("\n---\n");
        }
        text.push_str(&read_input(file)?);
    }
    let given = if arguments.definitions.is_empty() {
        None
    } else {
        Some(parsed(&text, "definitions")?)
    };
    let mut differing = 0;
    for recording in &recordings {
        let own;
        let bundle = if let Some(given) = &given {
            given
        } else {
            own = recording.definitions()?;
            &own
        };
        let got = recording.evaluate(bundle)?;
        let name = shown(recording.folder(), &arguments.folder);
        if arguments.update {
            recording.keep(&got)?;
            say!("updated  {name}: {} rows", list(&got, "rows").len());
            continue;
        }
        let differences = differences(&recording.golden()?, &got);
        if differences.is_empty() {
            say!("ok       {name}: {} rows", list(&got, "rows").len());
            continue;
        }
        differing += 1;
        say!("differs  {name}: {} places", differences.len());
        for line in differences.iter().take(DIFFERENCES).flatten() {
            say!("  {line}");
        }
        if differences.len() > DIFFERENCES {
            say!("  … {} more", differences.len() - DIFFERENCES);
        }
    }
    if differing > 0 {
        return Err(Failure::failed(format!(
            "{differing} of {} recordings differ; `--update` keeps what they give now",
            recordings.len()
        )));
    }
    Ok(())
}

fn shown(folder: &Path, root: &Path) -> String {
    match folder.strip_prefix(root) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
        _ => folder.display().to_string(),
    }
}

/// The places where two results differ, each as lines to be printed.
fn differences(expected: &Value, got: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let error = |result: &Value| cell(result.get("error"));
    if error(expected) != error(got) {
        found.push(vec![
            "error".to_owned(),
            format!("  - {}", error(expected)),
            format!("  + {}", error(got)),
        ]);
    }
    for (part, noun) in [("rows", "row"), ("rejected", "rejected row")] {
        let (old, new) = (by_place(expected, part), by_place(got, part));
        let mut places: Vec<_> = old.keys().chain(new.keys()).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            let (before, after) = (old.get(place), new.get(place));
            if before == after {
                continue;
            }
            let (page, row, _) = place;
            let mut lines = vec![format!("page {page}, {noun} {row}")];
            lines.extend(before.map(|row| format!("  - {row}")));
            lines.extend(after.map(|row| format!("  + {row}")));
            found.push(lines);
        }
    }
    found
}

/// Rows by page, row, and how many came before them at the same place.
fn by_place<'r>(result: &'r Value, part: &str) -> BTreeMap<(u64, u64, usize), &'r Value> {
    let mut rows = BTreeMap::new();
    for row in list(result, part) {
        let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (page, index) = (number("page"), number("row"));
        let before = rows.range((page, index, 0)..=(page, index, usize::MAX));
        let again = before.count();
        rows.insert((page, index, again), row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_place_with_both_rows() {
        let result = |value: u64, code: &str| {
            json!({ "error": null, "rows": [{ "page": 1, "row": 0, "value": 1 }, { "page": 1, "row": 1, "value": value }],
                "rejected": [{ "page": 2, "row": 0, "code": code }] })
        };
        assert!(differences(&result(2, "a"), &result(2, "a")).is_empty());
        assert_eq!(
            differences(&result(2, "a"), &result(3, "b")),
            [
                vec![
                    "page 1, row 1".to_owned(),
                    "  - {\"page\":1,\"row\":1,\"value\":2}".to_owned(),
                    "  + {\"page\":1,\"row\":1,\"value\":3}".to_owned(),
                ],
                vec![
                    "page 2, rejected row 0".to_owned(),
                    "  - {\"page\":2,\"row\":0,\"code\":\"a\"}".to_owned(),
                    "  + {\"page\":2,\"row\":0,\"code\":\"b\"}".to_owned(),
                ],
            ]
        );
    }
}
