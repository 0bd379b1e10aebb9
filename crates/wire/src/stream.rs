//! Every stream, consumer and bucket, spelled once, with its bounds.

use crate::subject::{Filter, InvalidToken, filter, token};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_hours(24);

/// Repeats are noticed for this long: longer than any publish is retried.
pub const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// Key-value bucket of the connections' rate budgets.
pub const BUDGET_BUCKET: &str = "TIDEMARK_BUDGET";

/// Key-value bucket of access tokens, sealed to the fetchers, and of the locks of those who renew them.
pub const TOKEN_BUCKET: &str = "TIDEMARK_TOKEN";

/// Key-value bucket of what fetchers remember between runs; losing it costs a few requests.
pub const MEMORY_BUCKET: &str = "TIDEMARK_MEMORY";

/// A stream of Tidemark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Sync requests: one at a time for each dataset and window.
    Sync,
    /// Page bodies.
    Page,
    /// Run manifests.
    Run,
    /// Updates.
    Update,
    /// Messages to people.
    Delivery,
    /// What became of messages to people.
    Delivered,
    /// Alerts and goals.
    Alert,
    /// Dead letters.
    Dead,
}

/// When a stream lets a message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// At its bounds.
    Limits,
    /// When it was acknowledged.
    WorkQueue,
}

/// What a full stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Lets the oldest go.
    Old,
    /// Refuses the new one.
    New,
    /// Refuses a second message on one subject: the answer "already running".
    NewPerSubject,
}

/// What a stream must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub description: &'static str,
    /// What it stores.
    pub subjects: Vec<Filter>,
    /// When it lets go.
    pub retention: Retention,
    /// What it does when full.
    pub discard: Discard,
    /// Bound on its size; an operator may set another.
    pub max_bytes: u64,
    /// Bound on the age of a message; an operator may set another.
    pub max_age: Duration,
    /// How long repeats are noticed.
    pub duplicate_window: Duration,
    /// Whether single messages may state a shorter life.
    pub short_lives: bool,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Self; 8] = [
        Self::Sync,
        Self::Page,
        Self::Run,
        Self::Update,
        Self::Delivery,
        Self::Delivered,
        Self::Alert,
        Self::Dead,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "TIDEMARK_SYNC",
            Self::Page => "TIDEMARK_PAGE",
            Self::Run => "TIDEMARK_RUN",
            Self::Update => "TIDEMARK_UPDATE",
            Self::Delivery => "TIDEMARK_DELIVERY",
            Self::Delivered => "TIDEMARK_DELIVERED",
            Self::Alert => "TIDEMARK_ALERT",
            Self::Dead => "TIDEMARK_DEAD",
        }
    }

    /// Returns what it must be like.
    pub fn spec(self) -> StreamSpec {
        let limits = |description, subjects, max_bytes, max_age| StreamSpec {
            name: self.name(),
            description,
            subjects: vec![subjects],
            retention: Retention::Limits,
            discard: Discard::Old,
            max_bytes,
            max_age,
            duplicate_window: DUPLICATE_WINDOW,
            // The pages of drafts go after minutes.
            short_lives: self == Self::Page,
        };
        match self {
            // A request that nobody took for a day is stale: its slot has been superseded since.
            Self::Sync => StreamSpec {
                retention: Retention::WorkQueue,
                discard: Discard::NewPerSubject,
                ..limits("orders to fetch", filter::syncs(), 256 * MIB, DAY)
            },
            // Ceilings only: the last runs of each dataset are kept and older ones purged by subject.
            Self::Page => limits(
                "answers of APIs, untouched",
                filter::pages(),
                8 * GIB,
                30 * DAY,
            ),
            Self::Run => limits("how runs ended", filter::runs(), GIB, 30 * DAY),
            // Enough for a reader that was away over a week-end to resume.
            Self::Update => limits("changes of metrics", filter::updates(), GIB, 7 * DAY),
            // Past a day, news by mail or webhook is no news.
            Self::Delivery => StreamSpec {
                retention: Retention::WorkQueue,
                discard: Discard::New,
                ..limits("messages to people", filter::deliveries(), 256 * MIB, DAY)
            },
            // The ledger hands a message over again that nothing is heard of.
            Self::Delivered => StreamSpec {
                retention: Retention::WorkQueue,
                ..limits(
                    "what became of messages to people",
                    filter::delivered(),
                    64 * MIB,
                    DAY,
                )
            },
            Self::Alert => StreamSpec {
                subjects: vec![filter::alerts(), filter::goals()],
                ..limits("alerts and goals", filter::alerts(), 64 * MIB, 30 * DAY)
            },
            Self::Dead => limits("messages given up on", filter::dead(), 512 * MIB, 30 * DAY),
        }
    }
}

/// A durable consumer of Tidemark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Consumer {
    /// Takes sync requests.
    Fetcher,
    /// Takes run manifests.
    Evaluator,
    /// Takes messages to people.
    Delivery,
    /// Takes what became of messages to people, so that the ledger learns of it.
    Delivered,
    /// Takes dead letters, so that the ledger learns of them.
    DeadLetters,
}

/// Who tells the broker that work on a message goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// The handler, after each step: a handler that hangs loses its message.
    Handler,
    /// The bus, while the handler runs: for handlers whose steps have limits of their own.
    Bus,
}

/// What a consumer must be like: always explicit acknowledgement and unlimited deliveries.
///
/// A bound on deliveries orphans a message silently; what is poison is decided by the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its durable name.
    pub name: &'static str,
    /// The stream that it reads.
    pub stream: Stream,
    /// How long it may keep a message without a word before another gets it.
    pub ack_wait: Duration,
    /// Who tells the broker that work on a message goes on.
    pub kept_by: KeptBy,
    /// How many messages may be unacknowledged over all replicas.
    ///
    /// Far above what replicas hold at once: a message that waits for its delayed redelivery counts here, and a low
    /// bound would let a few of them block the rest.
    pub max_ack_pending: u32,
}

impl Consumer {
    /// Every consumer.
    pub const ALL: [Self; 5] = [
        Self::Fetcher,
        Self::Evaluator,
        Self::Delivery,
        Self::Delivered,
        Self::DeadLetters,
    ];

    /// Returns its durable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetcher => "fetcher",
            Self::Evaluator => "evaluator",
            Self::Delivery => "delivery",
            Self::Delivered => "delivered",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Returns the stream that it reads.
    pub const fn stream(self) -> Stream {
        match self {
            Self::Fetcher => Stream::Sync,
            Self::Evaluator => Stream::Run,
            Self::Delivery => Stream::Delivery,
            Self::Delivered => Stream::Delivered,
            Self::DeadLetters => Stream::Dead,
        }
    }

    /// Returns what it must be like.
    pub fn spec(self) -> ConsumerSpec {
        let ack_wait = Duration::from_secs(match self {
            // The fetcher says a word after each page, and one page may take its response deadline of a minute
            // and a retry's pause.
            Self::Fetcher => 120,
            // The bus says a word meanwhile, so this is only how soon the work of a dead replica is taken over.
            Self::Evaluator | Self::Delivery | Self::Delivered | Self::DeadLetters => 30,
        });
        let kept_by = match self {
            Self::Fetcher => KeptBy::Handler,
            Self::Evaluator | Self::Delivery | Self::Delivered | Self::DeadLetters => KeptBy::Bus,
        };
        let (name, stream) = (self.name(), self.stream());
        ConsumerSpec {
            name,
            stream,
            ack_wait,
            kept_by,
            max_ack_pending: 4096,
        }
    }
}

/// Returns the key of a connection's rate budget.
pub fn budget_key(workspace: &str, connection: &str) -> Result<String, InvalidToken> {
    Ok(format!("{}.{}", token(workspace)?, token(connection)?))
}

/// What is kept of a connection's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCell {
    /// The access token, sealed.
    Access,
    /// Who renews it.
    Lock,
    /// That a refresh token was handed in and its successor is not kept yet.
    Intent,
}

/// Returns the key of what is kept of a connection's tokens.
pub fn token_key(
    workspace: &str,
    connection: &str,
    cell: TokenCell,
) -> Result<String, InvalidToken> {
    let cell = match cell {
        TokenCell::Access => "access",
        TokenCell::Lock => "lock",
        TokenCell::Intent => "intent",
    };
    Ok(format!(
        "{}.{}.{cell}",
        token(workspace)?,
        token(connection)?
    ))
}

/// Returns the key of a person's consent, by the hash of its state; never the key of a token, which has three parts.
pub fn consent_key(state_hash: &str) -> Result<String, InvalidToken> {
    Ok(format!("consent.{}", token(state_hash)?))
}

/// Returns the key of the variables that were looked up for a connection.
pub fn variables_key(workspace: &str, connection: &str) -> Result<String, InvalidToken> {
    let (workspace, connection) = (token(workspace)?, token(connection)?);
    Ok(format!("{workspace}.variables.{connection}"))
}

/// Returns the key of a piece of what a fetcher that is killed leaves to the next delivery of the same request.
pub fn trail_key(
    workspace: &str,
    run: &str,
    attempt: u32,
    piece: u32,
) -> Result<String, InvalidToken> {
    let (workspace, run) = (token(workspace)?, token(run)?);
    Ok(format!("{workspace}.trail.{run}.{attempt}.{piece}"))
}

/// Returns the key of the validators of a dataset's pages.
pub fn validators_key(workspace: &str, dataset: &str) -> Result<String, InvalidToken> {
    let (workspace, dataset) = (token(workspace)?, token(dataset)?);
    Ok(format!("{workspace}.validators.{dataset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_states_its_bounds() {
        for stream in Stream::ALL {
            let spec = stream.spec();
            assert_eq!(spec.name, stream.name());
            assert!(spec.max_bytes > 0 && !spec.max_age.is_zero());
            assert_eq!(spec.duplicate_window, Duration::from_mins(2));
        }
    }

    #[test]
    fn work_queues_refuse_and_the_rest_forgets() {
        assert_eq!(Stream::Sync.spec().discard, Discard::NewPerSubject);
        assert_eq!(Stream::Update.spec().discard, Discard::Old);
        assert_eq!(Stream::Dead.spec().max_age, Duration::from_hours(30 * 24));
    }

    #[test]
    fn a_budget_key_cannot_leave_its_workspace() {
        assert_eq!(budget_key("default", "kit").unwrap(), "default.kit");
        assert!(budget_key("default", "kit.>").is_err());
        let key = |connection| token_key("default", connection, TokenCell::Lock);
        assert_eq!(key("kit").unwrap(), "default.kit.lock");
        assert!(key("kit.>").is_err());
    }
}
