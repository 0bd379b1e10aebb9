//! `deliveries`, `goal` and `board`: what was sent to people, how far goals are, all numbers of a board.

use serde_json::Value;

use super::Done;
use super::definitions::{list, print_rows, segment};
use crate::cli::{Deliveries, Output, ShowOne};
use crate::client::Client;
use crate::output::{self, cell};

/// Lists messages to people and what became of them.
pub(crate) async fn deliveries(arguments: &Deliveries) -> Done {
    let client = Client::new(&arguments.remote)?;
    let mut query = vec![("limit", arguments.limit.to_string())];
    for (field, value) in [("name", &arguments.name), ("state", &arguments.state)] {
        query.extend(value.clone().map(|value| (field, value)));
    }
    let answer = client.get("/deliveries", &query).await?;
    let header = [
        "created_at",
        "kind",
        "name",
        "event",
        "channel",
        "recipient",
        "state",
        "attempts",
        "error",
    ];
    let rows: Vec<Vec<String>> = list(&answer, "items")
        .iter()
        .map(|one| header.iter().map(|field| cell(one.get(*field))).collect())
        .collect();
    print_rows(client.output, &answer, &header, &rows);
    Ok(())
}

/// Tells how far a goal is.
pub(crate) async fn goal(arguments: &ShowOne) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/goals/{}/progress", segment(&arguments.name)?);
    let answer = client.get(&path, &[]).await?;
    let header = [
        "goal", "phase", "value", "target", "percent", "expected", "ahead", "forecast", "from",
        "to",
    ];
    let row = header
        .iter()
        .map(|field| cell(answer.get(*field)))
        .collect();
    print_rows(client.output, &answer, &header, &[row]);
    Ok(())
}

/// Prints every block of a board with its value.
pub(crate) async fn board(arguments: &ShowOne) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/boards/{}/data", segment(&arguments.name)?);
    let answer = client.get(&path, &[]).await?;
    if client.output == Output::Json {
        say!("{}", output::json(&answer));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list(&answer, "blocks").iter().map(block).collect();
    let header = ["type", "title", "of", "value", "change_percent", "problem"];
    print_rows(client.output, &answer, &header, &rows);
    Ok(())
}

fn block(block: &Value) -> Vec<String> {
    let data = block.get("data").unwrap_or(&Value::Null);
    let total = data
        .get("value")
        .or_else(|| data.pointer("/series/0/total"));
    let change = data
        .get("percent")
        .or_else(|| data.pointer("/comparison/series/0/percent"));
    let of = block
        .get("metric")
        .filter(|name| !name.is_null())
        .or_else(|| block.get("goal"));
    vec![
        cell(block.get("type")),
        cell(block.get("title")),
        cell(of),
        cell(total),
        cell(change),
        cell(block.get("problem")),
    ]
}
