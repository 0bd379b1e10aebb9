//! What the tests of the fetcher share: a server that can send anything, a place for pages in memory, and requests.
pub(crate) mod tokens;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fetcher::egress::Allow;
use fetcher::instruments::Instruments;
use fetcher::retry::Policy;
use fetcher::sync_run::{Engine, Outlet};
use fetcher::{Config, GuardConfig};
use serde_json::{Value, json};
use service::{Clock, Identity, SealedSecret, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{PageHeaders, Progress, RunManifest, SyncRequest};

/// A request as the stub read it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many requests came before it.
    pub(crate) number: usize,
    /// `GET /x?y HTTP/1.1`
    pub(crate) line: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// What the stub does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends the first bytes, then the second ones again and again, with a pause between.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Says nothing and keeps the connection.
    Hang,
}

/// A whole JSON answer.
pub(crate) fn ok(body: &str) -> Reply {
    answer(
        "200 OK",
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Reply::Send(bytes)
}

/// A server of raw bytes on a free port.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count, reply) = (asked.clone(), connections.clone(), Arc::new(reply));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, log.clone(), reply.clone()));
            }
        });
        Stub {
            address,
            asked,
            connections,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("the log").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Asked>>>,
    reply: Arc<impl Fn(&Asked) -> Reply + Send + Sync + 'static>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .and_then(|(_, value)| value.parse::<usize>().ok())
            .unwrap_or(0);
        while buffer.len() < head_end + 4 + length {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        }
        let body = buffer[head_end + 4..head_end + 4 + length].to_vec();
        buffer.drain(..head_end + 4 + length);
        let asked = {
            let mut log = log.lock().expect("the log");
            let asked = Asked {
                number: log.len(),
                line,
                headers,
                body,
            };
            log.push(asked.clone());
            asked
        };
        match reply(&asked) {
            Reply::Send(bytes) => stream.write_all(&bytes).await?,
            Reply::SendAndClose(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await?;
                return Ok(());
            }
            Reply::Drip(first, rest, pause) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&rest).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Reply::Hang => std::future::pending().await,
        }
    }
}

/// Pages and progress in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) pages: Mutex<Vec<(PageHeaders, Bytes)>>,
    pub(crate) progress: Mutex<Vec<Progress>>,
    pub(crate) words: AtomicUsize,
    /// Pages beyond this many cannot be kept.
    pub(crate) room: Option<usize>,
}

impl Memory {
    /// The bodies in the order of their page numbers.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let mut pages = self.pages.lock().expect("pages").clone();
        pages.sort_by_key(|(headers, _)| headers.page);
        pages
            .iter()
            .map(|(_, body)| serde_json::from_slice(body).expect("json"))
            .collect()
    }
}

impl Outlet for Memory {
    async fn page(
        &self,
        _workspace: &str,
        _dataset: &str,
        headers: PageHeaders,
        body: bus::PageBody,
    ) -> Result<bus::PublishedPage, String> {
        let mut pages = self.pages.lock().expect("pages");
        if self.room.is_some_and(|room| pages.len() >= room) {
            return Err("NATS is away".to_owned());
        }
        pages.push((headers, body.bytes().clone()));
        let sequences = vec![pages.len() as u64];
        Ok(bus::PublishedPage {
            sequences,
            hash: body.hash().to_owned(),
            bytes: body.bytes().len() as u64,
        })
    }

    async fn progress(&self, progress: Progress) {
        self.progress.lock().expect("progress").push(progress);
    }

    async fn in_hand(&self) {
        self.words.fetch_add(1, Ordering::SeqCst);
    }

    async fn kept(&self, pages: &[wire::PageEntry]) -> Result<Option<Vec<Bytes>>, String> {
        let kept = self.pages.lock().expect("pages");
        Ok(pages
            .iter()
            .map(|page| {
                let place = usize::try_from(*page.sequences.first()?)
                    .ok()?
                    .checked_sub(1)?;
                let (_, body) = kept.get(place)?;
                (wire::page::hash(body) == page.hash).then(|| body.clone())
            })
            .collect())
    }

    fn keeps_pages(&self) -> bool {
        true
    }
}

/// Settings that may call `addresses` and lose no time.
pub(crate) fn config(addresses: &[SocketAddr]) -> Config {
    let allow = addresses
        .iter()
        .map(|address| address.to_string().parse::<Allow>().expect("an entry"))
        .collect();
    Config {
        guard: GuardConfig {
            allow,
            ..GuardConfig::default()
        },
        retry: Policy {
            base: Duration::from_millis(1),
            ceiling: Duration::from_millis(5),
            ..Policy::default()
        },
        ..Config::default()
    }
}

pub(crate) fn engine(config: Config) -> Engine {
    let meter = opentelemetry::global::meter("test");
    Engine::new(config, Clock::system(), None, Instruments::new(&meter)).expect("an engine")
}

/// A sync request for `request` (a definition's document) at `base_url`.
pub(crate) fn request(base_url: &str, request: Value) -> SyncRequest {
    with_connection(json!({"name": "api", "base_url": base_url}), request)
}

pub(crate) fn with_connection(connection: Value, request: Value) -> SyncRequest {
    SyncRequest {
        workspace: "default".to_owned(),
        dataset: "d_0123456789abcdef".to_owned(),
        run: "r_00000000000000000001".to_owned(),
        attempt: 1,
        slot: "2026-11-23T10:00:00Z".to_owned(),
        kind: "manual".to_owned(),
        timezone: "UTC".to_owned(),
        connection: Some(connection.into()),
        request: Some(request.into()),
        max_pages: 100,
        ..SyncRequest::default()
    }
}

/// Seals `value` for the origin of `base_url` as the secret `key`.
pub(crate) fn seal(identity: &Identity, base_url: &str, value: &str) -> wire::SealedSecret {
    let url = url::Url::parse(base_url).expect("a url");
    let origin = fetcher::auth::origin_of(&url);
    let secret = SealedSecret {
        workspace: "default".to_owned(),
        name: "key".to_owned(),
        version: 1,
        origins: vec![origin.clone()],
        value: value.into(),
    };
    let sealed = service::seal(&identity.recipient(), &secret).expect("sealed");
    wire::SealedSecret {
        name: "key".to_owned(),
        version: 1,
        sealed,
        origins: vec![origin],
    }
}

pub(crate) async fn sync(engine: &Engine, request: &SyncRequest) -> (RunManifest, Memory) {
    let memory = Memory::default();
    let manifest = engine
        .run(request, &memory, &Shutdown::new())
        .await
        .expect("a manifest");
    (manifest, memory)
}

/// Runs a plain GET of `/x` against a stub and returns the manifest, the pages, and what was asked.
pub(crate) async fn get(
    reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (RunManifest, Memory, Vec<Asked>) {
    run(json!({"path": "/x"}), |_| {}, reply).await
}

pub(crate) async fn run(
    document: Value,
    settings: impl FnOnce(&mut Config),
    reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (RunManifest, Memory, Vec<Asked>) {
    let stub = Stub::start(reply).await;
    let mut config = config(&[stub.address]);
    settings(&mut config);
    let (manifest, memory) = sync(&engine(config), &request(&stub.url(), document)).await;
    let asked = stub.asked();
    (manifest, memory, asked)
}

pub(crate) fn code(manifest: &RunManifest) -> &str {
    manifest
        .error
        .as_ref()
        .map_or("", |error| error.code.as_str())
}

pub(crate) fn message(manifest: &RunManifest) -> &str {
    manifest
        .error
        .as_ref()
        .map_or("", |error| error.message.as_str())
}

/// Serves TLS with `certificate` on a thread until the port is asked no more.
pub(crate) fn tls_server(name: &str) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};

    use rustls::pki_types::pem::PemObject as _;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
    let chain = rustls::pki_types::CertificateDer::pem_file_iter(format!("{folder}/{name}.pem"))
        .expect("a chain")
        .collect::<Result<Vec<_>, _>>()
        .expect("certificates");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(format!("{folder}/{name}.key"))
        .expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(config).expect("a connection");
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut head = [0; 4096];
                if tls.read(&mut head).is_ok_and(|read| read > 0) {
                    let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]");
                    let _ = tls.flush();
                }
            });
        }
    });
    address
}
