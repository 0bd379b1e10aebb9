//! A load generator that costs little: plain sockets, one request after the other on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer is larger.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// A connection that is silent for this long is stuck.
const SILENCE: Duration = Duration::from_secs(30);

/// What a load did.
pub(crate) struct Done {
    /// Milliseconds of each answered request.
    pub(crate) times: Vec<f64>,
    /// Seconds from the first to the last.
    pub(crate) wall: f64,
    /// Bytes of one answer.
    pub(crate) bytes: usize,
}

/// Asks over `connections` at once for `length`; `path` gives the address of a request by its number.
pub(crate) async fn run(
    address: &str,
    tokens: &[String],
    connections: usize,
    length: Duration,
    path: impl Fn(u64) -> String + Send + Sync + 'static,
) -> anyhow::Result<Done> {
    let path = Arc::new(path);
    let started = Instant::now();
    let deadline = started + length;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, token) in (0_u64..).zip(tokens.iter().cycle().take(connections)) {
        let (address, token, path) = (address.to_owned(), token.clone(), Arc::clone(&path));
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut times = Vec::new();
            let mut bytes = 0;
            while Instant::now() < deadline {
                let path = path(number << 32 | times.len() as u64);
                let asked = Instant::now();
                bytes = connection.get(&path, &token).await?;
                times.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok((times, bytes))
        });
    }
    let mut done = Done {
        times: Vec::new(),
        wall: 0.0,
        bytes: 0,
    };
    while let Some(ended) = tasks.join_next().await {
        let (times, bytes) = ended.context("a connection's task")??;
        done.times.extend(times);
        done.bytes = bytes;
    }
    done.wall = started.elapsed().as_secs_f64();
    ensure!(!done.times.is_empty(), "nothing was answered");
    Ok(done)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// Asks, reads the whole answer, and returns the length of its body.
    async fn get(&mut self, path: &str, token: &str) -> anyhow::Result<usize> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: tidemark\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(SILENCE, read)
                .await
                .context("no answer")??;
            ensure!(read > 0, "the connection was closed");
            ensure!(self.buffer.len() <= MOST_BYTES, "an answer without end");
            if let Some(length) = whole(&self.buffer)? {
                return Ok(length);
            }
        }
    }
}

/// Returns the length of the body once all of it is there.
fn whole(buffer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&buffer[..end]);
    let body = &buffer[end + 4..];
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = match length {
        Some(length) => (body.len() >= length).then_some(length),
        None => body.ends_with(b"0\r\n\r\n").then_some(body.len()),
    };
    if length.is_some() && !head.starts_with("HTTP/1.1 200") {
        let body: String = String::from_utf8_lossy(body).chars().take(300).collect();
        bail!("{}: {body}", head.lines().next().unwrap_or_default());
    }
    Ok(length)
}
