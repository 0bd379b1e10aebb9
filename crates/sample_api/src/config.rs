//! What the sample API is asked to be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::civil::Date;

/// What the sample API is asked to be; the default is the demo's.
#[derive(Clone, Debug)]
pub struct Config {
    /// Decides every record; the same seed and day give the same records for ever.
    pub seed: u64,
    /// Where to listen.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The last day that has records, whole. Without it, records end with the present hour.
    pub today: Option<Date>,
    /// How many days the records span.
    pub days: u32,
    /// How many subscribers there are; there is one purchase for every four.
    pub subscribers: u32,
    /// Records on a page of version 3, and of the generic endpoints unless asked otherwise.
    pub page_size: u32,
    /// What `api_secret`, `X-Kit-Api-Key` and the credentials under `/secured` have to be.
    pub secret: String,
    /// How long every answer is held back.
    pub latency: Duration,
    /// How many requests are answered in any such span before 429 is.
    pub rate_limit: Option<(u32, Duration)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            today: None,
            days: 400,
            subscribers: 10_000,
            page_size: 50,
            secret: "sample-secret".to_owned(),
            latency: Duration::ZERO,
            rate_limit: None,
        }
    }
}

impl Config {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}
