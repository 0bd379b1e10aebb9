//! `sync`, `backfill`, `recompute` and `runs`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Done;
use super::definitions::{list, print_rows, segment};
use super::trying::with_excerpt;
use crate::cli::{Backfill, Named, Output, Runs, Sync};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{cell, counted};
use crate::progress::Progress;

/// A run ends by itself long before; past this the command gives up waiting, and the run goes on.
const WAIT_LIMIT: Duration = Duration::from_hours(1);
/// Runs are looked at this often at first, and four times a second later.
const FIRST_LOOKS: Duration = Duration::from_millis(25);
const LATER_LOOKS: Duration = Duration::from_millis(250);

/// Syncs a metric now.
pub(crate) async fn sync(arguments: &Sync) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/sync", segment(&arguments.name)?);
    let accepted = client.post(&path, &json!({})).await?;
    follow_or_tell(&client, &arguments.name, &accepted, arguments.wait).await
}

/// Fetches a past range again.
pub(crate) async fn backfill(arguments: &Backfill) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/backfill", segment(&arguments.name)?);
    let range = json!({ "from": arguments.from, "until": arguments.until });
    let accepted = client.post(&path, &range).await?;
    follow_or_tell(&client, &arguments.name, &accepted, arguments.wait).await
}

/// Evaluates kept pages again.
pub(crate) async fn recompute(arguments: &Named) -> Done {
    let client = Client::new(&arguments.remote)?;
    let name = segment(&arguments.name)?;
    let accepted = client
        .post(&format!("/metrics/{name}/recompute"), &json!({}))
        .await?;
    if arguments.wait {
        return recomputed(&client, name).await;
    }
    match client.output {
        Output::Json => say!("{}", crate::output::json(&accepted)),
        Output::Table | Output::Csv => {
            say!(
                "{name} will be recomputed from its kept pages; follow it with `tidemark watch {name}`"
            );
        }
    }
    Ok(())
}

/// Waits until no recompute of a metric waits or goes on, and tells what became of it.
async fn recomputed(client: &Client, name: &str) -> Done {
    let path = format!("/metrics/{name}");
    let began = Instant::now();
    let metric = loop {
        let metric = client.get(&path, &[]).await?;
        if metric
            .pointer("/state/recompute_since")
            .is_none_or(Value::is_null)
        {
            break metric;
        }
        if began.elapsed() > WAIT_LIMIT {
            return Err(Failure::failed(
                "the recompute goes on; waiting for it ended after an hour",
            ));
        }
        sleep(LATER_LOOKS).await;
    };
    let error = metric.pointer("/state/last_run/error");
    let failed = cell(metric.pointer("/state/last_run/outcome")) == "failed";
    if client.output == Output::Json {
        let state = if failed { "failed" } else { "final" };
        let told = json!({ "metric": name, "state": state, "version": metric["version"],
            "revision": metric["revision"], "error": error.filter(|_| failed) });
        say!("{}", crate::output::line(&told));
    }
    if failed {
        let message = cell(error.and_then(|error| error.get("message")));
        return Err(Failure::failed(format!(
            "{name}: {message}; what was known stays as it was"
        )));
    }
    if client.output != Output::Json {
        say!(
            "{name}: recomputed from its kept pages, version {}",
            cell(metric.get("version"))
        );
    }
    Ok(())
}

/// Lists a metric's runs.
pub(crate) async fn runs(arguments: &Runs) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/runs", segment(&arguments.name)?);
    let answer = client
        .get(&path, &[("limit", arguments.limit.to_string())])
        .await?;
    let header = [
        "id",
        "kind",
        "state",
        "ended",
        "pages",
        "records",
        "rows",
        "rejected",
        "outside",
        "changed",
        "requests",
        "duration_ms",
        "partial",
        "created_at",
        "error",
        "notes",
    ];
    let rows: Vec<Vec<String>> = list(&answer, "items")
        .iter()
        .map(|run| {
            let mut row: Vec<String> = header[..14]
                .iter()
                .map(|field| match *field {
                    "records" => fetched(run),
                    field => cell(run.get(field)),
                })
                .collect();
            row.push(cell(run.pointer("/error/message")));
            row.push(notes(run).join("; "));
            row
        })
        .collect();
    print_rows(client.output, &answer, &header, &rows);
    Ok(())
}

async fn follow_or_tell(client: &Client, metric: &str, accepted: &Value, wait: bool) -> Done {
    if wait {
        let summary = follow(client, metric, accepted).await?;
        return print_summary(client.output, metric, &summary);
    }
    match client.output {
        Output::Json => say!("{}", crate::output::json(accepted)),
        Output::Table | Output::Csv => {
            for run in list(accepted, "runs") {
                let joined = run
                    .get("joined")
                    .and_then(Value::as_bool)
                    .unwrap_or_default();
                let note = if joined { " (was open already)" } else { "" };
                say!("{}{note}", cell(run.get("run")));
            }
        }
    }
    Ok(())
}

fn print_summary(output: Output, metric: &str, summary: &Value) -> Done {
    let is_final = summary.get("state").and_then(Value::as_str) == Some("final");
    let error = cell(summary.pointer("/error/message"));
    match output {
        // One line: what reads the last line of a longer output has the whole of it.
        Output::Json => say!("{}", crate::output::line(summary)),
        Output::Table | Output::Csv if is_final => {
            let field = |name: &str| cell(summary.get(name));
            let partial = if field("partial") == "true" {
                ", partial"
            } else {
                ""
            };
            let outside = match field("outside").as_str() {
                "0" => String::new(),
                count => format!(", {count} outside of the window"),
            };
            say!(
                "{metric}: {} from {}, {}, {} rejected{outside} ({}{partial})",
                counted(&field("rows"), "row"),
                counted(&field("pages"), "page"),
                counted(&fetched(summary), "record"),
                field("rejected"),
                field("ended")
            );
            for note in notes(summary) {
                say!("{metric}: note: {note}");
            }
        }
        Output::Table | Output::Csv => {}
    }
    if is_final {
        return Ok(());
    }
    let code = cell(summary.pointer("/error/code"));
    if error.is_empty() {
        let state = cell(summary.get("state"));
        return Err(Failure::failed(format!("{metric}: the sync {state}")));
    }
    let page = match summary.pointer("/error/page").and_then(Value::as_i64) {
        Some(page) => format!(", on page {page}"),
        None => String::new(),
    };
    let code = match code.as_str() {
        "" => String::new(),
        code => format!(" [{code}]"),
    };
    let excerpt = cell(summary.pointer("/error/excerpt"));
    let text = with_excerpt(&format!("{metric}: {error}{page}{code}"), &excerpt);
    let hint = if excerpt.is_empty() {
        String::new()
    } else {
        format!("\n  `tidemark preview --metric {metric}` shows the request as it is sent")
    };
    Err(Failure::failed(format!("{text}{hint}")))
}

/// Waits until every accepted run has ended, showing progress, and sums up what came of them.
pub(crate) async fn follow(
    client: &Client,
    metric: &str,
    accepted: &Value,
) -> Result<Value, Failure> {
    let ids: Vec<String> = list(accepted, "runs")
        .iter()
        .map(|run| cell(run.get("run")))
        .collect();
    let progress = Progress::new(
        metric,
        client.output != Output::Json && std::io::stderr().is_terminal(),
    );
    let heard: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
    let listeners: Vec<_> = ids
        .iter()
        .map(|id| tokio::spawn(listen(client.clone(), id.clone(), Arc::clone(&heard))))
        .collect();
    let began = Instant::now();
    let mut ended: BTreeMap<&str, Value> = BTreeMap::new();
    while ended.len() < ids.len() {
        for id in &ids {
            if ended.contains_key(id.as_str()) {
                continue;
            }
            let run = client.get(&format!("/runs/{}", segment(id)?), &[]).await?;
            if run
                .get("is_ended")
                .and_then(Value::as_bool)
                .unwrap_or_default()
            {
                ended.insert(id, run);
            }
        }
        {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            progress.show(heard.values(), ended.len(), ids.len());
        }
        if ended.len() == ids.len() {
            break;
        }
        if began.elapsed() > WAIT_LIMIT {
            return Err(Failure::failed(
                "the run goes on; waiting for it ended after an hour",
            ));
        }
        sleep(if began.elapsed() < Duration::from_secs(2) {
            FIRST_LOOKS
        } else {
            LATER_LOOKS
        })
        .await;
    }
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
    progress.finish();
    let runs: Vec<&Value> = ids.iter().filter_map(|id| ended.get(id.as_str())).collect();
    Ok(summary(metric, &runs))
}

/// Hears a run's progress, as long as there is any.
async fn listen(client: Client, run: String, heard: Arc<Mutex<BTreeMap<String, Value>>>) {
    let Ok(mut events) = client
        .events(&format!("/runs/{run}/events"), &[], None)
        .await
    else {
        return;
    };
    while let Some(Ok(event)) = events.next().await {
        // The ledger's states say less, and would wipe away what is waited for.
        if event.name == "progress"
            && let Ok(progress) = serde_json::from_str(&event.data)
        {
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(run.clone(), progress);
        }
    }
}

/// One answer for one metric out of its runs (one for each window), newest window first.
fn summary(metric: &str, runs: &[&Value]) -> Value {
    let mut total = json!({
        "run": null, "state": "final", "ended": null, "pages": 0, "records": null, "stated_total": null,
        "rows": 0, "rejected": 0, "outside": 0, "partial": false, "error": null,
    });
    let mut said: Vec<String> = Vec::new();
    let (mut pages, mut rows, mut rejected, mut outside, mut partial) = (0, 0, 0, 0, false);
    let number = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or_default();
    for run in runs {
        pages += number(run.get("pages"));
        for field in ["records", "stated_total"] {
            if let Some(more) = run.get(field).and_then(Value::as_i64) {
                total[field] = (number(total.get(field)) + more).into();
            }
        }
        let outcome = list(run, "metrics")
            .iter()
            .find(|one| cell(one.get("metric")) == metric);
        for note in notes(run)
            .into_iter()
            .chain(outcome.map(notes).unwrap_or_default())
        {
            if !said.contains(&note) {
                said.push(note);
            }
        }
        partial |= run
            .get("partial")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        outside += number(outcome.and_then(|one| one.get("outside")));
        rows += number(outcome.and_then(|one| one.get("rows")));
        rejected += number(outcome.and_then(|one| one.get("rejected")));
        if total["run"].is_null() {
            total["run"] = run.get("id").cloned().unwrap_or_default();
            total["ended"] = run.get("ended").cloned().unwrap_or_default();
        }
        let applied = outcome.is_none_or(|one| cell(one.get("outcome")) == "applied");
        if cell(run.get("state")) != "final" || !applied {
            total["state"] = "failed".into();
            let own = outcome
                .and_then(|one| one.get("error"))
                .filter(|error| !error.is_null());
            let error = own
                .or_else(|| run.get("error"))
                .filter(|error| !error.is_null());
            if total["error"].is_null() {
                total["error"] = error.cloned().unwrap_or_else(|| {
                    let state = cell(run.get("state"));
                    json!({ "code": format!("run.{state}"), "message": format!("the run is {state}") })
                });
                total["run"] = run.get("id").cloned().unwrap_or_default();
                total["ended"] = run.get("ended").cloned().unwrap_or_default();
            }
        }
    }
    total["pages"] = pages.into();
    total["rows"] = rows.into();
    total["rejected"] = rejected.into();
    total["outside"] = outside.into();
    total["partial"] = partial.into();
    total["notes"] = said.into();
    total
}

/// How many records were fetched, of how many that the API states.
fn fetched(run: &Value) -> String {
    let records = cell(run.get("records"));
    match run.get("stated_total").and_then(Value::as_i64) {
        Some(total) => format!("{records} of {total}"),
        None => records,
    }
}

/// What a run has to say beside its figures.
fn notes(run: &Value) -> Vec<String> {
    list(run, "notes")
        .iter()
        .map(|note| cell(Some(note)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_sync_are_summed_up() {
        let run = |id: &str, rows: i64| {
            json!({ "id": id, "state": "final", "ended": "total_reached", "pages": 2, "partial": false,
                "records": 8, "stated_total": 9, "notes": ["shifted"], "metrics": [{ "metric": "m", "outcome": "applied", "rows": rows, "rejected": 1, "outside": 3, "notes": ["3 outside"] }] })
        };
        let total = summary("m", &[&run("r_2", 5), &run("r_1", 7)]);
        assert_eq!(
            total,
            json!({ "run": "r_2", "state": "final", "ended": "total_reached", "pages": 4, "records": 16,
                "stated_total": 18, "rows": 12, "rejected": 2, "outside": 6, "partial": false, "error": null, "notes": ["shifted", "3 outside"] })
        );
        assert_eq!(fetched(&total), "16 of 18");
    }

    #[test]
    fn a_metric_whose_part_failed_has_failed_even_though_the_run_is_final() {
        let run = json!({ "id": "r_1", "state": "final", "ended": "single_page", "pages": 1,
            "metrics": [{ "metric": "m", "outcome": "failed", "error": { "code": "records.missing", "message": "gone" } }] });
        let total = summary("m", &[&run]);
        assert_eq!(total["state"], "failed");
        assert_eq!(total["error"]["code"], "records.missing");
    }
}
