//! `secret`: credentials, write only.

use serde_json::json;

use super::definitions::{list, print_rows, segment};
use super::{Done, read_stdin};
use crate::cli::SecretAction;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::cell;

/// Longest value: keys of service accounts are a few KiB.
const MAX_VALUE: usize = 64 * 1024;

/// A name that a secret may be given; one that is only looked for may be anything.
fn new_name(name: &str) -> Result<&str, Failure> {
    match definition::Name::parse_advised(name) {
        Ok(_) => Ok(name),
        Err(error) => Err(Failure::invalid(format!(
            "no secret can be called `{name}`: {error}"
        ))),
    }
}

/// Sets, lists or deletes secrets.
pub(crate) async fn secret(action: &SecretAction) -> Done {
    match action {
        SecretAction::Set {
            name,
            origin,
            remote,
        } => {
            let client = Client::new(remote)?;
            let name = new_name(name)?;
            let mut value = String::from_utf8(read_stdin()?)
                .map_err(|_| Failure::invalid("the value is not UTF-8 text"))?;
            // `echo` and editors end the line; a secret never means to.
            while value.ends_with(['\n', '\r']) {
                value.pop();
            }
            if value.is_empty() {
                return Err(Failure::invalid(
                    "the value is read from stdin and was empty: printf %s VALUE | tidemark secret set NAME",
                ));
            }
            if value.len() > MAX_VALUE {
                return Err(Failure::invalid("the value is longer than 64 KiB"));
            }
            let mut body = json!({ "value": value });
            if !origin.is_empty() {
                body["origins"] = json!(origin);
            }
            let kept = client.put(&format!("/secrets/{name}"), &body).await?;
            let origins: Vec<String> = list(&kept, "origins")
                .iter()
                .map(|origin| cell(Some(origin)))
                .collect();
            let place = if origins.is_empty() {
                "the first connection that uses it".to_owned()
            } else {
                origins.join(", ")
            };
            say!("kept {name}; it may be sent to {place}");
        }
        SecretAction::List { remote } => {
            let client = Client::new(remote)?;
            let answer = client.get("/secrets", &[]).await?;
            let rows: Vec<Vec<String>> = list(&answer, "items")
                .iter()
                .map(|one| {
                    let origins: Vec<String> = list(one, "origins")
                        .iter()
                        .map(|origin| cell(Some(origin)))
                        .collect();
                    vec![
                        cell(one.get("name")),
                        cell(one.get("version")),
                        origins.join(" "),
                        cell(one.get("updated_at")),
                    ]
                })
                .collect();
            print_rows(
                client.output,
                &answer,
                &["name", "version", "origins", "updated_at"],
                &rows,
            );
        }
        SecretAction::Delete { name, remote } => {
            let client = Client::new(remote)?;
            client
                .delete(&format!("/secrets/{}", segment(name)?))
                .await?;
            say!("deleted secret {name}");
        }
    }
    Ok(())
}
