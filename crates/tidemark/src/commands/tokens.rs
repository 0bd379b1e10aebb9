//! `token`: who may do what.

use definition::Span;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::Done;
use super::definitions::{list, print_rows, segment};
use crate::cli::{Output, TokenAction};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::cell;

/// Makes, lists or revokes tokens.
pub(crate) async fn token(action: &TokenAction) -> Done {
    match action {
        TokenAction::Create {
            role,
            name,
            expires,
            remote,
        } => {
            let client = Client::new(remote)?;
            let mut body = json!({ "role": role, "name": name });
            if let Some(expires) = expires {
                body["expires_at"] = json!(expiry(expires)?);
            }
            let made = client.post("/tokens", &body).await?;
            match client.output {
                Output::Json => say!("{}", crate::output::json(&made)),
                Output::Table | Output::Csv => {
                    say!("{}", cell(made.get("value")));
                    eprintln!(
                        "this is shown once; revoke it with `tidemark token revoke {}`",
                        cell(made.get("id"))
                    );
                }
            }
        }
        TokenAction::List { remote } => {
            let client = Client::new(remote)?;
            let answer = client.get("/tokens", &[]).await?;
            let header = [
                "id",
                "name",
                "role",
                "created_at",
                "expires_at",
                "last_used_at",
            ];
            let rows: Vec<Vec<String>> = list(&answer, "items")
                .iter()
                .map(|one| header.iter().map(|field| cell(one.get(*field))).collect())
                .collect();
            print_rows(client.output, &answer, &header, &rows);
        }
        TokenAction::Revoke { id, remote } => {
            let client = Client::new(remote)?;
            client.delete(&format!("/tokens/{}", segment(id)?)).await?;
            say!("revoked {id}");
        }
    }
    Ok(())
}

/// Reads `30d` as an instant from now, or an instant as it is.
fn expiry(text: &str) -> Result<String, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.to_string());
    }
    let span = Span::parse(text).map_err(|error| {
        Failure::invalid(format!(
            "`--expires {text}` is neither a span such as 30d nor an instant: {error}"
        ))
    })?;
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let length = now
        .timestamp()
        .duration_since(span.before(&now).timestamp());
    let end = now.timestamp().saturating_add(length);
    Ok(end
        .map_err(|error| Failure::invalid(error.to_string()))?
        .to_string())
}
