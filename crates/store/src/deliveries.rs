//! Messages to people: what waits to be sent, what is on its way, and what became of it.

use crate::Store;
use crate::database::{Row, Value, values};
use crate::definitions::Kind;
use crate::error::Result;

/// A message handed to the queue that nothing was heard of for so long is handed over again.
pub const QUEUED_FOR: i64 = 15 * 60_000;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Which fact it tells and whom; the same again is not sent twice.
    pub key: String,
    /// The event: `firing`, `resolved`, `reached`, `broken`, `digest` …
    pub event: String,
    /// What it goes by: `nats`, `webhook` or `email`.
    pub channel: String,
    /// Whom it goes to, fit to be shown.
    pub recipient: String,
    /// Not before this instant.
    pub not_before: i64,
    /// Where it goes: JSON.
    pub target: String,
    /// What it tells: JSON.
    pub content: String,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its time.
    Waiting,
    /// A fetcher has it.
    Queued,
    /// It was taken by the other side.
    Sent,
    /// It was given up on.
    Dead,
    /// What it was about is over or gone.
    Cancelled,
}

impl DeliveryState {
    /// The word used in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Waiting,
            Self::Queued,
            Self::Sent,
            Self::Dead,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Its place in the log.
    pub id: i64,
    /// Workspace.
    pub workspace: String,
    /// Which fact it tells and whom.
    pub key: String,
    /// The kind of definition it is of.
    pub kind: String,
    /// That definition's name.
    pub name: String,
    /// The event.
    pub event: String,
    /// What it goes by.
    pub channel: String,
    /// Whom it goes to.
    pub recipient: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was handed over.
    pub attempts: u32,
    /// When it is handed over, again.
    pub not_before: i64,
    /// When it was ordered.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// What the other side answered: an HTTP status or SMTP code.
    pub status: Option<i64>,
    /// What went wrong last; redacted.
    pub error: Option<String>,
    /// Where it goes: JSON.
    pub target: String,
    /// What it tells: JSON.
    pub content: String,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// It was taken.
    Sent {
        /// What the other side answered.
        status: Option<i64>,
    },
    /// It is to be tried again.
    Again {
        /// When.
        not_before: i64,
        /// What the other side answered.
        status: Option<i64>,
        /// What went wrong.
        error: String,
    },
    /// It is given up on.
    Dead {
        /// What the other side answered.
        status: Option<i64>,
        /// What went wrong.
        error: String,
    },
}

/// Which messages are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only of this kind of definition.
    pub kind: Option<Kind>,
    /// Only of the definition of this name.
    pub name: Option<String>,
    /// Only those that are so far.
    pub state: Option<DeliveryState>,
}

pub(crate) const INSERT: &str = "INSERT INTO deliveries (workspace, key, kind, name, event, channel, recipient, state, \
     attempts, not_before, created_at, target, content) VALUES §values ON CONFLICT (workspace, key) DO NOTHING";

pub(crate) fn row(ws: &str, kind: Kind, name: &str, now: i64, new: &NewDelivery) -> Vec<Value> {
    values![
        ws,
        &new.key,
        kind.as_str(),
        name,
        &new.event,
        &new.channel,
        &new.recipient,
        DeliveryState::Waiting.as_str(),
        0_i64,
        new.not_before,
        now,
        &new.target,
        &new.content,
    ]
}

/// A query of deliveries with the given end.
macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT id, workspace, key, kind, name, event, channel, recipient, state, attempts, not_before, ",
            "created_at, ended_at, status, error, target, content FROM deliveries ",
            $end
        )
    };
}

impl Store {
    /// Reads messages whose time has come, and those that were handed over and never heard of, oldest first.
    pub async fn due_deliveries(&self, now: i64, limit: u32) -> Result<Vec<StoredDelivery>> {
        let sql = select!(
            "WHERE state IN ('waiting', 'queued') AND not_before <= $1 ORDER BY not_before, id LIMIT $2"
        );
        let rows = self
            .database
            .rows("read messages to send", sql, values![now, limit])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a message is being handed over for the `attempts + 1`th time; `false` when somebody else did.
    pub async fn claim_delivery(&self, delivery: &StoredDelivery, now: i64) -> Result<bool> {
        let sql = "UPDATE deliveries SET state = 'queued', attempts = attempts + 1, not_before = $3 \
                   WHERE id = $1 AND attempts = $2 AND state IN ('waiting', 'queued')";
        let values = values![delivery.id, delivery.attempts, now + QUEUED_FOR];
        let claimed = self
            .database
            .run("hand a message over", sql, values)
            .await?;
        Ok(claimed > 0)
    }

    /// Takes a claim back: the queue was away, and the try does not count.
    pub async fn unclaim_delivery(&self, delivery: &StoredDelivery, not_before: i64) -> Result<()> {
        let sql = "UPDATE deliveries SET state = 'waiting', attempts = attempts - 1, not_before = $3 \
                   WHERE id = $1 AND attempts = $2 AND state = 'queued'";
        let values = values![delivery.id, delivery.attempts + 1, not_before];
        self.database
            .run("take a message back", sql, values)
            .await
            .map(drop)
    }

    /// Keeps what became of a try; `false` when the message has ended already.
    pub async fn end_delivery(&self, ws: &str, key: &str, end: &DeliveryEnd) -> Result<bool> {
        let now = self.now().await?;
        let (state, ended, not_before, status, error) = match end {
            DeliveryEnd::Sent { status } => ("sent", Some(now), now, *status, None),
            DeliveryEnd::Again {
                not_before,
                status,
                error,
            } => ("waiting", None, *not_before, *status, Some(error)),
            DeliveryEnd::Dead { status, error } => ("dead", Some(now), now, *status, Some(error)),
        };
        let sql = "UPDATE deliveries SET state = $3, ended_at = $4, not_before = $5, status = $6, error = $7 \
                   WHERE workspace = $1 AND key = $2 AND state IN ('waiting', 'queued')";
        let error = error.map(String::as_str);
        let values = values![ws, key, state, ended, not_before, status, error];
        let done = self.database.run("end a message", sql, values).await?;
        Ok(done > 0)
    }

    /// Reads one message.
    pub async fn delivery(&self, ws: &str, key: &str) -> Result<Option<StoredDelivery>> {
        let sql = select!("WHERE workspace = $1 AND key = $2");
        let row = self
            .database
            .row("read a message", sql, values![ws, key])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Lists messages, the newest first, after the one at `before`.
    pub async fn deliveries(
        &self,
        ws: &str,
        filter: &DeliveryFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredDelivery>> {
        let sql = select!(
            "WHERE workspace = $1 AND id < $2 AND ($3 = '' OR kind = $3) AND ($4 = '' OR name = $4) \
             AND ($5 = '' OR state = $5) ORDER BY id DESC LIMIT $6"
        );
        let values = values![
            ws,
            before.unwrap_or(i64::MAX),
            filter.kind.map_or("", Kind::as_str),
            filter.name.as_deref().unwrap_or(""),
            filter.state.map_or("", DeliveryState::as_str),
            limit.min(1_000),
        ];
        let rows = self.database.rows("list messages", sql, values).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<StoredDelivery> {
    Ok(StoredDelivery {
        id: row.int(0)?,
        workspace: row.text(1)?,
        key: row.text(2)?,
        kind: row.text(3)?,
        name: row.text(4)?,
        event: row.text(5)?,
        channel: row.text(6)?,
        recipient: row.text(7)?,
        state: DeliveryState::parse(&row.text(8)?).unwrap_or(DeliveryState::Waiting),
        attempts: row.count(9)?,
        not_before: row.int(10)?,
        created_at: row.int(11)?,
        ended_at: row.int_or_null(12)?,
        status: row.int_or_null(13)?,
        error: row.text_or_null(14)?,
        target: row.text(15)?,
        content: row.text(16)?,
    })
}
