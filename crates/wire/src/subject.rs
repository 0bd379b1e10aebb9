//! Every subject, spelled once.
//!
//! A [`Subject`] is a place to publish to and can only be built from safe tokens; a [`Filter`] is what one listens
//! to and is the only thing with wildcards. nats-server accepts a publish to `raw.>`, so the type has to refuse it.

use crate::sync_request::Window;
use std::fmt;

/// What all subjects begin with.
pub const PREFIX: &str = "tidemark.v1";

/// Longest token: far above any id or name, far below what a server refuses.
const MAX_TOKEN: usize = 128;

/// A subject to publish to: no wildcard, no space, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

/// A subject to listen to; may hold wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(String);

/// A text that cannot be one token of a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{token}` cannot be one token of a subject: use letters, digits, `_` and `-`, at most 128"
)]
pub struct InvalidToken {
    /// The text, shortened and escaped.
    pub token: String,
}

/// What a subject says about a message that cannot be read otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Workspace.
    pub workspace: &'a str,
    /// What kind of message goes there: `sync`, `run`, `update` and so on.
    pub kind: &'a str,
    /// Dataset, metric, run or channel.
    pub noun: &'a str,
}

/// Where sync requests go: `tidemark.v1.{workspace}.sync.{dataset}.{window}`.
pub fn sync(
    workspace: &str,
    dataset: &str,
    window: Option<&Window>,
) -> Result<Subject, InvalidToken> {
    let window = window_token(window)?;
    build(&[workspace, "sync", dataset, &window])
}

/// Where a run's pages go: `tidemark.v1.{workspace}.page.{dataset}.{run}`.
pub fn page(workspace: &str, dataset: &str, run: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "page", dataset, run])
}

/// Where run manifests go: `tidemark.v1.{workspace}.run.{dataset}`.
pub fn run(workspace: &str, dataset: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "run", dataset])
}

/// Where a run's progress is told: `tidemark.v1.{workspace}.progress.{run}`.
pub fn progress(workspace: &str, run: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "progress", run])
}

/// Where a metric's changes are announced: `tidemark.v1.{workspace}.update.{metric}`.
pub fn update(workspace: &str, metric: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "update", metric])
}

/// Where messages to people go: `tidemark.v1.{workspace}.deliver.{channel}`.
pub fn deliver(workspace: &str, channel: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "deliver", channel])
}

/// Where is said what became of messages to people: `tidemark.v1.{workspace}.delivered.{channel}`.
pub fn delivered(workspace: &str, channel: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "delivered", channel])
}

/// Where alerts are announced: `tidemark.v1.{workspace}.alert.{name}`.
pub fn alert(workspace: &str, name: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "alert", name])
}

/// Where goals are announced: `tidemark.v1.{workspace}.goal.{name}`.
pub fn goal(workspace: &str, name: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "goal", name])
}

/// Where dead letters go: `tidemark.v1.{workspace}.dead.{dataset}`.
pub fn dead(workspace: &str, dataset: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "dead", dataset])
}

/// Where the scheduler is nudged: `tidemark.v1.{workspace}.wake.{dataset}`.
pub fn wake(workspace: &str, dataset: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "wake", dataset])
}

/// Where previews ask for pages: `tidemark.v1.{workspace}.preview.fetch`.
pub fn preview_fetch(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "preview", "fetch"])
}

/// Where previews ask for rows: `tidemark.v1.{workspace}.preview.evaluate`.
pub fn preview_evaluate(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "preview", "evaluate"])
}

/// Where provenance asks for the rows of a number: `tidemark.v1.{workspace}.rows.wanted`.
pub fn rows_wanted(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "rows", "wanted"])
}

/// Where rows are pushed: `tidemark.v1.{workspace}.rows.pushed`.
pub fn rows_pushed(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "rows", "pushed"])
}

/// Where fetchers ask for sealed secrets: `tidemark.v1.{workspace}.secret.wanted`.
pub fn secrets_wanted(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "secret", "wanted"])
}

/// Where fetchers bring a rotated refresh token: `tidemark.v1.{workspace}.secret.replaced`.
pub fn secret_replaced(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "secret", "replaced"])
}

/// Where fetchers are asked to try a connection: `tidemark.v1.{workspace}.connection.test`.
pub fn connection_test(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "connection", "test"])
}

/// Where fetchers are asked to redeem a consent: `tidemark.v1.{workspace}.connection.consent`.
pub fn connection_consent(workspace: &str) -> Result<Subject, InvalidToken> {
    build(&[workspace, "connection", "consent"])
}

/// What to listen to, over all workspaces or within one.
pub mod filter {
    use super::{Filter, InvalidToken, PREFIX, token};

    fn every(rest: &str) -> Filter {
        Filter(format!("{PREFIX}.*.{rest}"))
    }

    /// Every sync request.
    pub fn syncs() -> Filter {
        every("sync.*.*")
    }

    /// Every page.
    pub fn pages() -> Filter {
        every("page.*.*")
    }

    /// Every run manifest.
    pub fn runs() -> Filter {
        every("run.*")
    }

    /// Every update.
    pub fn updates() -> Filter {
        every("update.*")
    }

    /// The updates of one workspace: what an outside subscriber may hear.
    pub fn updates_of(workspace: &str) -> Result<Filter, InvalidToken> {
        Ok(Filter(format!("{PREFIX}.{}.update.*", token(workspace)?)))
    }

    /// Every message to people.
    pub fn deliveries() -> Filter {
        every("deliver.*")
    }

    /// Every word on what became of a message to people.
    pub fn delivered() -> Filter {
        every("delivered.*")
    }

    /// Every alert.
    pub fn alerts() -> Filter {
        every("alert.*")
    }

    /// Every goal.
    pub fn goals() -> Filter {
        every("goal.*")
    }

    /// Every dead letter.
    pub fn dead() -> Filter {
        every("dead.*")
    }

    /// Every nudge of the scheduler.
    pub fn wakes() -> Filter {
        every("wake.*")
    }

    /// The progress of all runs of one workspace.
    pub fn progress_of(workspace: &str) -> Result<Filter, InvalidToken> {
        Ok(Filter(format!("{PREFIX}.{}.progress.*", token(workspace)?)))
    }

    /// Every preview that asks for pages.
    pub fn preview_fetches() -> Filter {
        every("preview.fetch")
    }

    /// Every preview that asks for rows.
    pub fn preview_evaluates() -> Filter {
        every("preview.evaluate")
    }

    /// Every question for the rows of a number.
    pub fn rows_wanted() -> Filter {
        every("rows.wanted")
    }

    /// All rows that are pushed.
    pub fn rows_pushed() -> Filter {
        every("rows.pushed")
    }

    /// Every question for sealed secrets.
    pub fn secrets_wanted() -> Filter {
        every("secret.wanted")
    }

    /// Every rotated refresh token.
    pub fn secrets_replaced() -> Filter {
        every("secret.replaced")
    }

    /// Every connection to try.
    pub fn connection_tests() -> Filter {
        every("connection.test")
    }

    /// Every consent to redeem.
    pub fn connection_consents() -> Filter {
        every("connection.consent")
    }

    /// Everything of one workspace, for deleting it.
    pub fn workspace(workspace: &str) -> Result<Filter, InvalidToken> {
        Ok(Filter(format!("{PREFIX}.{}.>", token(workspace)?)))
    }
}

/// Returns what `subject` says of its message; nothing when it is not one of ours.
///
/// Only for messages that cannot be read, and for comparing: what a reader needs is in the message.
pub fn origin(subject: &str) -> Option<Origin<'_>> {
    let mut tokens = subject.strip_prefix(PREFIX)?.strip_prefix('.')?.split('.');
    let workspace = tokens.next()?;
    let kind = tokens.next()?;
    let noun = tokens.next()?;
    Some(Origin {
        workspace,
        kind,
        noun,
    })
}

/// Tells whether `text` can be one token of a subject; what comes from a foreign publisher may be anything.
pub fn is_token(text: &str) -> bool {
    token(text).is_ok()
}

/// Returns the token of a window: `all`, or `w` with the start and end in unix milliseconds.
pub fn window_token(window: Option<&Window>) -> Result<String, InvalidToken> {
    let Some(window) = window else {
        return Ok("all".to_owned());
    };
    let millisecond = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .map(jiff::Timestamp::as_millisecond)
            .map_err(|_| invalid(text))
    };
    Ok(format!(
        "w{}_{}",
        millisecond(&window.start)?,
        millisecond(&window.end)?
    ))
}

impl Subject {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the filter that hears exactly this subject.
    pub fn as_filter(&self) -> Filter {
        Filter(self.0.clone())
    }
}

impl Filter {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn build(tokens: &[&str]) -> Result<Subject, InvalidToken> {
    let mut text = String::from(PREFIX);
    for part in tokens {
        text.push('.');
        text.push_str(token(part)?);
    }
    Ok(Subject(text))
}

/// Returns `text` if it is safe as one token.
pub(crate) fn token(text: &str) -> Result<&str, InvalidToken> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(safe) {
        Ok(text)
    } else {
        Err(invalid(text))
    }
}

fn invalid(text: &str) -> InvalidToken {
    InvalidToken {
        token: text.chars().take(40).flat_map(char::escape_debug).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_read_as_the_design_says() {
        let window = Window {
            start: "2026-01-01T00:00:00Z".to_owned(),
            end: "2026-01-31T00:00:00Z".to_owned(),
        };
        let text = |subject: Result<Subject, InvalidToken>| subject.unwrap().to_string();
        assert_eq!(
            text(sync("default", "d_1", None)),
            "tidemark.v1.default.sync.d_1.all"
        );
        assert_eq!(
            text(sync("default", "d_1", Some(&window))),
            "tidemark.v1.default.sync.d_1.w1767225600000_1769817600000"
        );
        assert_eq!(
            text(page("default", "d_1", "r_1")),
            "tidemark.v1.default.page.d_1.r_1"
        );
        assert_eq!(text(run("default", "d_1")), "tidemark.v1.default.run.d_1");
        assert_eq!(
            text(progress("default", "r_1")),
            "tidemark.v1.default.progress.r_1"
        );
        assert_eq!(
            text(update("default", "mrr")),
            "tidemark.v1.default.update.mrr"
        );
        assert_eq!(
            text(deliver("default", "ops")),
            "tidemark.v1.default.deliver.ops"
        );
        assert_eq!(
            text(alert("default", "signups_low")),
            "tidemark.v1.default.alert.signups_low"
        );
        assert_eq!(text(dead("default", "d_1")), "tidemark.v1.default.dead.d_1");
        assert_eq!(text(wake("default", "d_1")), "tidemark.v1.default.wake.d_1");
        assert_eq!(
            text(preview_fetch("default")),
            "tidemark.v1.default.preview.fetch"
        );
    }

    #[test]
    fn a_wildcard_a_dot_a_space_or_nul_cannot_be_built() {
        let long = "a".repeat(129);
        for bad in [
            "*", ">", "a.b", "a b", "a\0b", "", "a\r\nPUB", "ü", "tA.*", &long,
        ] {
            assert!(update(bad, "mrr").is_err(), "{bad:?} as workspace");
            assert!(update("default", bad).is_err(), "{bad:?} as metric");
            assert!(page("default", "d_1", bad).is_err(), "{bad:?} as run");
            assert!(filter::updates_of(bad).is_err(), "{bad:?} in a filter");
        }
    }

    #[test]
    fn a_window_whose_dates_cannot_be_read_has_no_token() {
        let window = Window {
            start: "yesterday".to_owned(),
            end: "*".to_owned(),
        };
        assert!(sync("default", "d_1", Some(&window)).is_err());
    }

    #[test]
    fn the_origin_is_read_from_our_subjects_only() {
        assert_eq!(
            origin("tidemark.v1.acme.sync.d_1.all"),
            Some(Origin {
                workspace: "acme",
                kind: "sync",
                noun: "d_1"
            })
        );
        assert_eq!(origin("tidemark.v10.acme.sync.d_1"), None);
        assert_eq!(origin("orders.created"), None);
    }
}
