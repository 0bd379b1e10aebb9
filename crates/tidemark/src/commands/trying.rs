//! `try` and `check-url`: an address looked at before anything is defined.

use std::time::Duration;

use fetcher::egress::{Allow, Guard, GuardConfig, Verdict, check_url as judge};
use url::Url;

use super::Done;
use crate::cli::{CheckUrl, Try};
use crate::draft::{self, Answer};
use crate::failure::Failure;
use crate::local;

/// A person waits at the terminal.
const PATIENCE: Duration = Duration::from_mins(1);

/// Calls an address once and prints a draft.
pub(crate) async fn run(arguments: &Try) -> Done {
    let guard = Guard::new(GuardConfig {
        allow: allowed(arguments)?,
        ..GuardConfig::default()
    });
    let mut headers = Vec::new();
    for header in &arguments.header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::invalid(format!(
                "`-H {header}` is not `Name: value`"
            )));
        };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let fetching = fetcher::fetch_once(&arguments.address, &headers, &guard);
    let answer = tokio::time::timeout(PATIENCE, fetching)
        .await
        .map_err(|_| Failure::failed("the API did not answer within a minute"))?
        .map_err(|error| Failure::failed(service::report::chain(&error)))?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::failed(format!("the answer is not JSON: {error}")))?;
    let url =
        Url::parse(&arguments.address).map_err(|error| Failure::invalid(error.to_string()))?;
    eprintln!(
        "{} from {}",
        answer.status,
        url.host_str().unwrap_or_default()
    );
    print!(
        "{}",
        draft::draft(&Answer {
            url: &url,
            headers: &headers,
            body: &body,
            answered: &answer.headers,
        })
    );
    eprintln!("save this as draft.yaml, edit it, and run `tidemark apply draft.yaml`");
    Ok(())
}

/// The flags, and what the operator of an instance on this computer has opened.
fn allowed(arguments: &Try) -> Result<Vec<Allow>, Failure> {
    let instance = match arguments
        .remote
        .url
        .as_deref()
        .filter(|url| !url.is_empty())
    {
        Some(url) => local::find(url),
        None => local::find(crate::client::DEFAULT_URL).or_else(local::only_one),
    };
    let mut texts = arguments.allow_host.clone();
    texts.extend(
        instance
            .into_iter()
            .flat_map(|instance| instance.allow_host),
    );
    parse(&texts)
}

fn parse(texts: &[String]) -> Result<Vec<Allow>, Failure> {
    let given = texts.iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            text.parse()
                .map_err(|error| Failure::invalid(format!("--allow-host {text}: {error}")))
        })
        .collect()
}

/// Judges an address by the egress rules, without connecting.
pub(crate) fn check_url(arguments: &CheckUrl) -> Done {
    match judge(&arguments.address, &parse(&arguments.allow_host)?) {
        Verdict::Allowed => {
            println!("allowed");
            Ok(())
        }
        refused @ Verdict::Refused(_) => {
            println!("{refused}");
            Err(Failure::said())
        }
    }
}
