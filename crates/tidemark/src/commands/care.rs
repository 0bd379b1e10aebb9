//! `note`, `notes` and `purge`: care for a metric's numbers.

use serde_json::{Value, json};

use super::Done;
use super::definitions::{list, print_rows, segment};
use crate::cli::{NewNote, Notes, Output, Purge};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, cell};

/// Keeps a note on a point or a range.
pub(crate) async fn note(arguments: &NewNote) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/notes", segment(&arguments.name)?);
    let note = json!({ "start": arguments.start, "end": arguments.end, "text": arguments.text });
    let kept = client.post(&path, &note).await?;
    match client.output {
        Output::Json => say!("{}", output::json(&kept)),
        Output::Table | Output::Csv => {
            let of = |name: &str| cell(kept.get(name));
            say!("note {} from {} to {}", of("id"), of("start"), of("end"));
        }
    }
    Ok(())
}

/// Lists notes, or deletes one.
pub(crate) async fn notes(arguments: &Notes) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/notes", segment(&arguments.name)?);
    if let Some(id) = arguments.delete {
        client.delete(&format!("{path}/{id}")).await?;
        say!("note {id} is gone");
        return Ok(());
    }
    let answer = client.get(&path, &[]).await?;
    let header = ["id", "kind", "start", "end", "author", "text"];
    let row = |note: &Value| header.map(|field| cell(note.get(field))).to_vec();
    let rows: Vec<Vec<String>> = list(&answer, "items").iter().map(row).collect();
    print_rows(client.output, &answer, &header, &rows);
    Ok(())
}

/// Deletes all points of a metric.
pub(crate) async fn purge(arguments: &Purge) -> Done {
    let client = Client::new(&arguments.remote)?;
    let name = segment(&arguments.name)?;
    if !arguments.yes {
        return Err(Failure::invalid(format!(
            "this deletes all points of `{name}` for good; say so with --yes"
        )));
    }
    let purged = client
        .post(&format!("/metrics/{name}/purge"), &json!({}))
        .await?;
    match client.output {
        Output::Json => say!("{}", output::json(&purged)),
        Output::Table | Output::Csv => {
            say!(
                "{name} is empty, at version {}",
                cell(purged.get("version"))
            );
        }
    }
    Ok(())
}
