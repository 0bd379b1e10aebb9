//! `connection`: try one, and let a person authorize one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Done;
use super::definitions::{list, segment};
use crate::cli::{ConnectionAction, Output};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::cell;

/// How often is asked whether a person has consented.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A consent is good for ten minutes.
const PATIENCE: Duration = Duration::from_mins(11);

/// Tries or authorizes a connection.
pub(crate) async fn connection(action: &ConnectionAction) -> Done {
    match action {
        ConnectionAction::Test { name, path, remote } => {
            let client = Client::new(remote)?;
            let body = path
                .as_ref()
                .map_or(json!({}), |path| json!({ "path": path }));
            let address = format!("/connections/{}/test", segment(name)?);
            let tried = client.post(&address, &body).await?;
            if client.output == Output::Json {
                say!("{tried:#}");
            } else {
                show(&tried);
            }
            if tried.get("ok").and_then(Value::as_bool) == Some(true) {
                Ok(())
            } else {
                Err(Failure::failed(format!("connection {name} does not work")))
            }
        }
        ConnectionAction::Authorize { name, remote } => {
            let client = Client::new(remote)?;
            let address = format!("/connections/{}/authorize", segment(name)?);
            let begun = client.post(&address, &json!({})).await?;
            say!(
                "open this address and consent:\n\n{}\n",
                cell(begun.get("authorize_url"))
            );
            say!(
                "the API's settings must allow to come back to {}; waiting until {}",
                cell(begun.get("redirect_url")),
                cell(begun.get("expires_at"))
            );
            let state = cell(begun.get("state"));
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                tokio::time::sleep(ASK_EVERY).await;
                let standing = client.get(&address, &[("state", state.clone())]).await?;
                match cell(standing.get("state")).as_str() {
                    "done" => {
                        say!("connection {name} is authorized");
                        return Ok(());
                    }
                    "failed" => {
                        let reason = cell(standing.get("error"));
                        return Err(Failure::failed(format!(
                            "connection {name} is not authorized: {reason}"
                        )));
                    }
                    _ => {}
                }
            }
            Err(Failure::failed("nobody consented within ten minutes"))
        }
    }
}

fn show(tried: &Value) {
    for step in list(tried, "steps") {
        let mark = match step.get("outcome").and_then(Value::as_str) {
            Some("passed") => "ok     ",
            _ => "failed ",
        };
        say!(
            "{mark}{:8} {}",
            cell(step.get("step")),
            cell(step.get("message"))
        );
    }
    if let Some(excerpt) = tried
        .pointer("/error/excerpt")
        .and_then(Value::as_str)
        .filter(|excerpt| !excerpt.is_empty())
    {
        say!("it says: {excerpt}");
    }
    if let Some(cure) = tried.get("cure").and_then(Value::as_str) {
        say!("what helps: {cure}");
    }
}
