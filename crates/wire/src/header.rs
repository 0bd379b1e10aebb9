//! Every header name, spelled once.

/// Identity of the message, by which the server drops a repeat within two minutes.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How long the stream keeps the message, in seconds, where that is shorter than its bound.
pub const LIFE: &str = "Nats-TTL";
/// The run that a page belongs to.
pub const RUN: &str = "Tidemark-Run";
/// Which try at the run, from 1.
pub const ATTEMPT: &str = "Tidemark-Attempt";
/// Number of the page, from 1.
pub const PAGE: &str = "Tidemark-Page";
/// Number of this chunk of the page, from 1.
pub const CHUNK: &str = "Tidemark-Chunk";
/// How many chunks the page has.
pub const CHUNKS: &str = "Tidemark-Chunks";
/// HTTP status of the answer.
pub const STATUS: &str = "Tidemark-Status";
/// When the answer had arrived, RFC 3339.
pub const FETCHED_AT: &str = "Tidemark-Fetched-At";
/// SHA-256 of the whole body, lower-case hex.
pub const HASH: &str = "Tidemark-Hash";
/// Address that was asked, with credentials removed.
pub const URL: &str = "Tidemark-Url";
/// W3C trace context.
pub const TRACE_PARENT: &str = "traceparent";
/// W3C trace state.
pub const TRACE_STATE: &str = "tracestate";
/// Media type of the payload.
pub const CONTENT_TYPE: &str = "content-type";

/// CloudEvents: version of that specification.
pub const CE_SPEC_VERSION: &str = "ce-specversion";
/// CloudEvents: identity of the event.
pub const CE_ID: &str = "ce-id";
/// CloudEvents: type of the event.
pub const CE_TYPE: &str = "ce-type";
/// CloudEvents: where it happened.
pub const CE_SOURCE: &str = "ce-source";
/// CloudEvents: what it is about.
pub const CE_SUBJECT: &str = "ce-subject";
/// CloudEvents: when it happened.
pub const CE_TIME: &str = "ce-time";
