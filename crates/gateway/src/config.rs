//! What the gateway is told before it starts.

use std::net::SocketAddr;
use std::time::Duration;

/// Where the gateway listens, what it is called from outside, and how much it takes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on, unless a bound listener is handed to [`crate::run`].
    pub listen: SocketAddr,
    /// The address people use, such as `https://metrics.example.com`.
    ///
    /// Links in answers start with it; without it they are relative. The `Host` header is never
    /// used for that, since a stranger chooses it.
    pub public_url: Option<String>,
    /// Whether `/metrics` (own telemetry) is answered here; otherwise it has its own port.
    pub serves_telemetry: bool,
    /// How much is taken from strangers.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            serves_telemetry: true,
            limits: Limits::default(),
        }
    }
}

/// The bounds of what one gateway takes from strangers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest request body, checked before it is parsed.
    pub body_bytes: usize,
    /// The largest request head (request line and headers).
    pub header_bytes: usize,
    /// The most request headers.
    pub header_count: usize,
    /// How long the headers of a request may take to arrive; idle connections end after it too.
    pub header_timeout: Duration,
    /// How long an answer may take (streams only until they begin).
    pub request_timeout: Duration,
    /// The most open connections; past it the longest idle one is closed.
    pub connections: usize,
    /// The most open connections of one address.
    pub connections_per_address: usize,
    /// The most open streams (server-sent events).
    pub streams: usize,
    /// Requests a second of one token, on average.
    pub token_requests_per_second: u32,
    /// Requests one token may send at once before the average counts.
    pub token_request_burst: u32,
    /// How long a token's standing is believed before the store is asked again.
    ///
    /// A revocation on this gateway counts at once, one on another gateway after this time.
    pub token_memory: Duration,
    /// The most intervals a series answer may span, per series.
    pub intervals: usize,
    /// The most points in one answer, over all its series.
    pub points: usize,
    /// Memory for decoded series.
    pub series_cache_bytes: usize,
    /// Memory for written answers.
    pub answer_cache_bytes: usize,
    /// How long new connections are still taken after shutdown was asked for, while `/readyz`
    /// already says no, so that load balancers look away first.
    pub shutdown_notice: Duration,
    /// How long requests in hand may take to finish after that.
    pub shutdown_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 * 1024 * 1024,
            header_bytes: 64 * 1024,
            header_count: 100,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            connections: 4096,
            connections_per_address: 2048,
            streams: 1024,
            token_requests_per_second: 5_000,
            token_request_burst: 5_000,
            token_memory: Duration::from_secs(2),
            intervals: 10_000,
            points: 200_000,
            series_cache_bytes: 64 * 1024 * 1024,
            answer_cache_bytes: 16 * 1024 * 1024,
            shutdown_notice: Duration::from_secs(5),
            shutdown_patience: Duration::from_secs(15),
        }
    }
}
