//! `try` and `check-url`: an address looked at before anything is defined.

use std::time::Duration;

use definition::ResponseFormat;
use fetcher::egress::{Guard, Verdict};
use fetcher::http::{Http, Limits};
use url::Url;

use super::Done;
use crate::cli::{CheckUrl, Try};
use crate::draft::{self, Answer};
use crate::egress_args::EgressArgs;
use crate::failure::Failure;
use crate::local;
use crate::output;

/// A person waits at the terminal.
const PATIENCE: Duration = Duration::from_mins(1);

/// Calls an address once and prints a draft.
pub(crate) async fn run(arguments: &Try) -> Done {
    let egress = egress(arguments);
    let invalid = |error: anyhow::Error| Failure::invalid(format!("{error:#}"));
    let guard = Guard::new(egress.guard().map_err(invalid)?);
    let authorities = egress.authorities().map_err(invalid)?;
    let http = Http::new(guard, Limits::default(), authorities.as_deref())
        .map_err(|error| Failure::failed(service::report::chain(&error)))?
        .through(egress.proxy().map_err(invalid)?);
    let mut headers = Vec::new();
    for header in &arguments.header {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::invalid(format!(
                "`-H {header}` is not `Name: value`"
            )));
        };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let fetching = fetcher::look(&http, &arguments.address, &headers);
    let answer = tokio::time::timeout(PATIENCE, fetching)
        .await
        .map_err(|_| Failure::failed("the API did not answer within a minute"))?
        .map_err(|error| failed(&error))?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::failed(format!("the answer is not JSON: {error}")))?;
    let url =
        Url::parse(&arguments.address).map_err(|error| Failure::invalid(error.to_string()))?;
    let read = match answer.response.format {
        ResponseFormat::Json => String::new(),
        other => format!(", {other} read as JSON"),
    };
    eprintln!(
        "{} from {}{read}",
        answer.status,
        url.host_str().unwrap_or_default()
    );
    if answer.charset_is_guessed {
        eprintln!("its charset is a guess: look whether accents are right, and correct `encoding`");
    }
    output::say(format_args!(
        "{}",
        draft::draft(&Answer {
            url: &url,
            headers: &headers,
            body: &body,
            answered: &answer.headers,
            response: &answer.response,
        })
    ));
    eprintln!("save this as draft.yaml, edit it, and run `tidemark apply draft.yaml`");
    Ok(())
}

/// Tells what went wrong, with the API's own words where it said any.
fn failed(error: &fetcher::PageError) -> Failure {
    let chain = service::report::chain(error);
    Failure::failed(with_excerpt(&chain, error.excerpt()))
}

/// Puts what an API said beneath what went wrong.
pub(super) fn with_excerpt(text: &str, excerpt: &str) -> String {
    match excerpt.trim() {
        "" => text.to_owned(),
        said => format!("{text}\n  the API said: {said}"),
    }
}

/// The flags, and what the operator of an instance on this computer has opened.
fn egress(arguments: &Try) -> EgressArgs {
    let instance = match arguments
        .remote
        .url
        .as_deref()
        .filter(|url| !url.is_empty())
    {
        Some(url) => local::find(url),
        None => local::find(crate::client::DEFAULT_URL).or_else(local::only_one),
    };
    let mut egress = arguments.egress.clone();
    let opened = instance.into_iter().flat_map(|one| one.allow_host);
    egress.allow_host.extend(opened);
    egress
}

/// Judges an address by the egress rules, without connecting.
pub(crate) fn check_url(arguments: &CheckUrl) -> Done {
    let config = arguments
        .egress
        .guard()
        .map_err(|error| Failure::invalid(format!("{error:#}")))?;
    match Guard::new(config).check_text(&arguments.address) {
        Ok(_) => {
            say!("{}", Verdict::Allowed);
            Ok(())
        }
        Err(refusal) => {
            say!("{}", Verdict::Refused(refusal));
            Err(Failure::said())
        }
    }
}
