//! What can go wrong in the store, and what a caller should do about it.

/// A failure of the store. Texts hold no SQL, no values and no secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else changed the thing since the caller read it (`If-Match`), or it exists already.
    #[error("{kind} `{name}` is at version {current}, not at the expected one")]
    Conflict {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The version it has now; 0 when it does not exist.
        current: i64,
    },
    /// The named thing does not exist in this workspace.
    #[error("{kind} `{name}` does not exist")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The thing cannot go while others use it.
    #[error("{kind} `{name}` is used by {}", .names.join(", "))]
    InUse {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Who uses it: at most 20 names.
        names: Vec<String>,
    },
    /// A limit of the workspace is reached.
    #[error("the workspace may hold at most {limit} {what}")]
    Quota {
        /// What is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: i64,
    },
    /// Two transactions met; the same call may succeed at once if repeated.
    #[error("the store asks to repeat the transaction ({step})")]
    Retryable {
        /// What was being done.
        step: &'static str,
    },
    /// The database cannot be reached, is shutting down, or is out of connections or space.
    #[error("the store is not available ({step})")]
    Unavailable {
        /// What was being done.
        step: &'static str,
    },
    /// The caller handed in something that the store cannot keep.
    #[error("invalid input for the store: {0}")]
    Invalid(String),
    /// The address of the store makes no sense.
    #[error("a store address is `sqlite:PATH` or `postgres://…`: {0}")]
    Address(String),
    /// The schema in the database is newer than this program, or was changed by hand.
    #[error("the database schema does not fit this program: {0}")]
    Schema(String),
    /// The database refused something that it should not; `code` is its own error code.
    #[error("the database failed at {step} (code {code})")]
    Database {
        /// What was being done.
        step: &'static str,
        /// The database's error code, or a word for the client's own failure.
        code: String,
    },
    /// Not built yet.
    #[error("the store cannot do this yet: {0}")]
    NotYet(&'static str),
}

/// What the store's methods return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// True when the same call, repeated by the same caller a moment later, may well succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable { .. })
    }

    /// True when the database is away: answer 503, hand the message back, try again later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// True for failures of the surroundings, as opposed to a wrong call: never count them as poison.
    pub fn is_infrastructure(&self) -> bool {
        self.is_retryable() || self.is_unavailable()
    }
}
