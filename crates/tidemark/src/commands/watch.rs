//! `watch`: updates as they happen.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;

use super::Done;
use super::definitions::{list, segment};
use crate::cli::{Output, Watch};
use crate::client::Client;
use crate::output::cell;

/// The pause before a broken stream is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// Prints updates until Ctrl-C.
pub(crate) async fn watch(arguments: &Watch) -> Done {
    let client = Client::new(&arguments.remote)?;
    for name in &arguments.names {
        segment(name)?;
    }
    let mut query = Vec::new();
    if !arguments.names.is_empty() {
        query.push(("metrics", arguments.names.join(",")));
    }
    // The first time, a refusal is an error; later, a gateway that restarts is waited for.
    let mut events = client.events("/updates", &query, None).await?;
    eprintln!("listening to {}; Ctrl-C ends it", client.url());
    let mut last_id: Option<String> = None;
    loop {
        while let Some(event) = events.next().await {
            let Ok(event) = event else { break };
            last_id = event.id.clone().or(last_id);
            match event.name.as_str() {
                "update" | "message" => print(client.output, &event.data),
                "resync" => eprintln!("updates were missed: query the metrics again"),
                _ => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
        if let Ok(again) = client.events("/updates", &query, last_id.as_deref()).await {
            events = again;
        }
    }
}

fn print(output: Output, data: &str) {
    let Ok(update) = serde_json::from_str::<Value>(data) else {
        return;
    };
    if output == Output::Json {
        say!("{update}");
        return;
    }
    let (metric, version) = (cell(update.get("metric")), cell(update.get("version")));
    for change in list(&update, "changes") {
        let series = super::numbers::name_of(change);
        let (start, value) = (cell(change.get("start")), cell(change.get("value")));
        let previous = cell(change.get("previous"));
        let before = if previous.is_empty() {
            String::new()
        } else {
            format!(" (was {previous})")
        };
        say!("{metric} v{version} {start} {series}: {value}{before}");
    }
    if update
        .get("truncated")
        .and_then(Value::as_bool)
        .unwrap_or_default()
    {
        say!("{metric} v{version}: and more; query it");
    }
}
