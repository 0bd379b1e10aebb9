//! Creates what must exist in NATS, and refuses what is not as it must be.

mod compare;

use crate::connect::{Bus, Live};
use crate::error::Error;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, RetentionPolicy, StorageType,
};
use compare::{compare_consumer, compare_stream};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use wire::stream::{
    BUDGET_BUCKET, Consumer, Discard, MEMORY_BUCKET, Retention, Stream, TOKEN_BUCKET,
};

/// What an operator may choose about streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// Copies of each stream: 1, or 3 in a cluster.
    pub replicas: usize,
    /// Bounds on the size of streams; a stream that is not named keeps what it has, at first the default.
    pub max_bytes: BTreeMap<Stream, u64>,
    /// How long a consumer keeps a message without a word; for tests of what happens when one dies,
    /// three seconds or more.
    pub ack_wait: Option<Duration>,
}

impl Default for Provision {
    fn default() -> Self {
        Self {
            replicas: 1,
            max_bytes: BTreeMap::new(),
            ack_wait: None,
        }
    }
}

/// Bound on the bucket of rate budgets: a few hundred bytes for each connection.
const BUDGET_BYTES: i64 = 16 << 20;

/// Bound on what fetchers remember: a few kilobytes for each dataset whose API knows validators, and for an hour what
/// a run under way has fetched.
const MEMORY_BYTES: i64 = 64 << 20;

/// A budget that was not touched for this long says nothing any more.
const BUDGET_AGE: Duration = Duration::from_hours(32 * 24);

/// Bound on the bucket of tokens: a few kilobytes for each connection.
const TOKEN_BYTES: i64 = 64 << 20;

/// No token is kept for longer.
const TOKEN_AGE: Duration = Duration::from_hours(32 * 24);

/// A bucket of small values.
struct BucketSpec {
    name: &'static str,
    description: &'static str,
    max_bytes: i64,
    max_age: Duration,
    when_full: DiscardPolicy,
}

const BUCKETS: [BucketSpec; 3] = [
    BucketSpec {
        name: BUDGET_BUCKET,
        description: "rate budgets of connections",
        max_bytes: BUDGET_BYTES,
        max_age: BUDGET_AGE,
        when_full: DiscardPolicy::New,
    },
    BucketSpec {
        name: TOKEN_BUCKET,
        description: "access tokens, sealed to the fetchers, and who renews them",
        max_bytes: TOKEN_BYTES,
        max_age: TOKEN_AGE,
        when_full: DiscardPolicy::New,
    },
    // A full memory forgets; a full ledger of budgets must not.
    BucketSpec {
        name: MEMORY_BUCKET,
        description: "what fetchers remember between runs",
        max_bytes: MEMORY_BYTES,
        max_age: BUDGET_AGE,
        when_full: DiscardPolicy::Old,
    },
];

impl Bus {
    /// Creates every stream, consumer and bucket that is missing, and checks those that exist.
    ///
    /// Calling it again changes nothing. Bounds that an operator chose are applied and others left as they are;
    /// anything else that differs is an error that lists every difference, and nothing is touched.
    pub async fn provision(&self, wanted: &Provision) -> Result<(), Error> {
        let live = self.live().await?;
        self.require_jetstream(&live).await?;
        let existing = differences(&live, Missing::Fine).await?;
        refuse(&existing)?;
        for stream in Stream::ALL {
            ensure_stream(&live, &stream_config(stream, wanted), wanted, stream).await?;
        }
        for bucket in &BUCKETS {
            ensure_bucket(&live, bucket, wanted).await?;
        }
        for consumer in Consumer::ALL {
            ensure_consumer(&live, consumer, wanted).await?;
        }
        Ok(())
    }

    /// Checks that everything exists and is as it must be; changes nothing.
    pub async fn check(&self) -> Result<(), Error> {
        let live = self.live().await?;
        self.require_jetstream(&live).await?;
        refuse(&differences(&live, Missing::Different).await?)
    }

    async fn require_jetstream(&self, live: &Live) -> Result<(), Error> {
        match live.jetstream.query_account().await {
            Ok(_) => Ok(()),
            Err(_) if !self.is_healthy() => Err(Error::Away),
            Err(cause) => Err(Error::NoJetStream {
                server: live_name(live),
                cause: Box::new(cause),
            }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fine,
    Different,
}

fn live_name(live: &Live) -> String {
    let server = live.client.server_info();
    format!("{}:{}", server.host, server.port)
}

fn refuse(differences: &[String]) -> Result<(), Error> {
    if differences.is_empty() {
        return Ok(());
    }
    let mut text = String::from("NATS is not set up as Tidemark needs it; nothing was changed:");
    for line in differences {
        let _ = write!(text, "\n  {line}");
    }
    Err(Error::Different { difference: text })
}

async fn differences(live: &Live, missing: Missing) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for stream in Stream::ALL {
        let wanted = stream_config(stream, &Provision::default());
        match existing_stream(live, &wanted.name).await? {
            Some(mut config) => {
                // What can only be switched on is, by provisioning.
                config.allow_message_ttl |= missing == Missing::Fine && wanted.allow_message_ttl;
                compare_stream(&config, &wanted, &mut found);
            }
            None if missing == Missing::Different => found.push(absent("stream", &wanted.name)),
            None => {}
        }
    }
    for bucket in &BUCKETS {
        let wanted = bucket_config(bucket, &Provision::default());
        match existing_stream(live, &wanted.name).await? {
            Some(config) => compare_stream(&config, &wanted, &mut found),
            None if missing == Missing::Different => found.push(absent("bucket", &wanted.name)),
            None => {}
        }
    }
    for consumer in Consumer::ALL {
        let wanted = consumer_config(consumer, &Provision::default());
        match existing_consumer(live, consumer).await? {
            Some(config) => compare_consumer(consumer, &config, &wanted, &mut found),
            None if missing == Missing::Different => {
                found.push(absent("consumer", consumer.name()));
            }
            None => {}
        }
    }
    Ok(found)
}

fn absent(what: &str, name: &str) -> String {
    format!("{what} `{name}` does not exist: run `tidemark provision`")
}

async fn existing_stream(live: &Live, name: &str) -> Result<Option<Config>, Error> {
    match live.jetstream.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(failed(name, "read", error)),
        },
    }
}

async fn existing_consumer(
    live: &Live,
    consumer: Consumer,
) -> Result<Option<async_nats::jetstream::consumer::Config>, Error> {
    let stream = match live
        .jetstream
        .get_stream_no_info(consumer.stream().name())
        .await
    {
        Ok(stream) => stream,
        Err(error) => return Err(failed(consumer.stream().name(), "read", error)),
    };
    match stream.consumer_info(consumer.name()).await {
        Ok(info) => Ok(Some(info.config)),
        Err(error) => {
            // Also when its stream does not exist yet; a real outage has been noticed before this.
            tracing::trace!(%error, consumer = consumer.name(), "no consumer");
            Ok(None)
        }
    }
}

fn stream_config(stream: Stream, wanted: &Provision) -> Config {
    let spec = stream.spec();
    let max_bytes = wanted
        .max_bytes
        .get(&stream)
        .copied()
        .unwrap_or(spec.max_bytes);
    Config {
        name: spec.name.to_owned(),
        description: Some(spec.description.to_owned()),
        subjects: spec.subjects.iter().map(ToString::to_string).collect(),
        retention: match spec.retention {
            Retention::Limits => RetentionPolicy::Limits,
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
        },
        discard: match spec.discard {
            Discard::Old => DiscardPolicy::Old,
            Discard::New | Discard::NewPerSubject => DiscardPolicy::New,
        },
        discard_new_per_subject: spec.discard == Discard::NewPerSubject,
        max_messages_per_subject: if spec.discard == Discard::NewPerSubject {
            1
        } else {
            -1
        },
        max_messages: -1,
        max_consumers: -1,
        max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
        max_age: spec.max_age,
        duplicate_window: spec.duplicate_window,
        storage: StorageType::File,
        num_replicas: wanted.replicas,
        allow_direct: true,
        allow_message_ttl: spec.short_lives,
        // S2 cost two to five times the read-back.
        compression: Some(Compression::None),
        ..Config::default()
    }
}

fn bucket_config(bucket: &BucketSpec, wanted: &Provision) -> Config {
    Config {
        name: format!("KV_{}", bucket.name),
        description: Some(bucket.description.to_owned()),
        subjects: vec![format!("$KV.{}.>", bucket.name)],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_consumers: -1,
        max_bytes: bucket.max_bytes,
        max_age: bucket.max_age,
        duplicate_window: wire::stream::DUPLICATE_WINDOW,
        discard: bucket.when_full,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: wanted.replicas,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_message_ttl: true,
        compression: Some(Compression::None),
        ..Config::default()
    }
}

pub(crate) fn consumer_config(consumer: Consumer, wanted: &Provision) -> pull::Config {
    let spec = consumer.spec();
    pull::Config {
        durable_name: Some(spec.name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: wanted.ack_wait.unwrap_or(spec.ack_wait),
        // Unlimited: a bound orphans a message silently.
        max_deliver: -1,
        max_ack_pending: i64::from(spec.max_ack_pending),
        ..pull::Config::default()
    }
}

async fn ensure_stream(
    live: &Live,
    config: &Config,
    wanted: &Provision,
    stream: Stream,
) -> Result<(), Error> {
    let Some(found) = existing_stream(live, &config.name).await? else {
        return create_stream(live, config).await;
    };
    let max_bytes = match wanted.max_bytes.get(&stream) {
        Some(_) => config.max_bytes,
        None => found.max_bytes,
    };
    let ttl = config.allow_message_ttl;
    adjust(live, found, max_bytes, wanted.replicas, ttl).await
}

async fn ensure_bucket(live: &Live, bucket: &BucketSpec, wanted: &Provision) -> Result<(), Error> {
    let config = bucket_config(bucket, wanted);
    match existing_stream(live, &config.name).await? {
        Some(found) => {
            let max_bytes = found.max_bytes;
            adjust(live, found, max_bytes, wanted.replicas, true).await
        }
        None => create_stream(live, &config).await,
    }
}

async fn create_stream(live: &Live, config: &Config) -> Result<(), Error> {
    match live.jetstream.create_stream(config.clone()).await {
        Ok(_) => {
            tracing::info!(stream = config.name, "created a stream");
            Ok(())
        }
        // Another process was quicker; what it made is compared like everything else.
        Err(error)
            if matches!(error.kind(), CreateStreamErrorKind::JetStream(ref cause)
                if cause.error_code() == ErrorCode::STREAM_NAME_EXIST) =>
        {
            let mut lines = Vec::new();
            if let Some(found) = existing_stream(live, &config.name).await? {
                compare_stream(&found, config, &mut lines);
            }
            refuse(&lines)
        }
        Err(error) => Err(failed(&config.name, "created", error)),
    }
}

/// Applies what an operator may change on a running stream, and the short lives of a newer version.
async fn adjust(
    live: &Live,
    found: Config,
    max_bytes: i64,
    replicas: usize,
    short_lives: bool,
) -> Result<(), Error> {
    if found.max_bytes == max_bytes
        && found.num_replicas == replicas
        && found.allow_message_ttl == short_lives
    {
        return Ok(());
    }
    let config = Config {
        max_bytes,
        num_replicas: replicas,
        allow_message_ttl: short_lives,
        ..found
    };
    let name = config.name.clone();
    live.jetstream
        .update_stream(config)
        .await
        .map_err(|error| failed(&name, "changed", error))?;
    tracing::info!(
        stream = name,
        max_bytes,
        replicas,
        "changed a stream's bounds"
    );
    Ok(())
}

async fn ensure_consumer(live: &Live, consumer: Consumer, wanted: &Provision) -> Result<(), Error> {
    let config = consumer_config(consumer, wanted);
    if let Some(found) = existing_consumer(live, consumer).await? {
        let same =
            found.ack_wait == config.ack_wait && found.max_ack_pending == config.max_ack_pending;
        if same {
            return Ok(());
        }
    }
    live.jetstream
        .create_consumer_on_stream(config, consumer.stream().name())
        .await
        .map_err(|error| failed(consumer.name(), "created", error))?;
    Ok(())
}

pub(crate) fn failed(
    name: &str,
    step: &'static str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Provision {
        name: name.to_owned(),
        step,
        cause: Box::new(cause),
    }
}
