//! Measures how many pages a second the sample API answers: `load [SECONDS] [CONNECTIONS]`.
//!
//! The client speaks raw HTTP over kept connections, so that it is not what is measured.

use std::io::Write as _;
use std::time::{Duration, Instant};

use sample_api::{Config, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<u64>().ok());
    let seconds = arguments.next().unwrap_or(3).min(60);
    let connections = arguments.next().unwrap_or(16).min(256);
    let server = Server::start(Config {
        page_size: 100,
        ..Config::default()
    })
    .await?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let started = Instant::now();
    let callers: Vec<_> = (0..connections)
        .map(|caller| tokio::spawn(call(server.address(), caller, end)))
        .collect();
    let (mut pages, mut bytes) = (0, 0);
    for caller in callers {
        let (its_pages, its_bytes) = caller.await??;
        pages += its_pages;
        bytes += its_bytes;
    }
    let rate = f64::from(pages) / started.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{rate:.0} pages/s of {} bytes, {connections} connections, client included",
        bytes / u64::from(pages.max(1))
    )?;
    server.shutdown().await;
    Ok(())
}

async fn call(
    address: std::net::SocketAddr,
    caller: u64,
    end: Instant,
) -> anyhow::Result<(u32, u64)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut pages, mut bytes, mut page) = (0, 0, caller);
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < end {
        page = page % 100 + 1;
        let request = format!(
            "GET /v3/subscribers?api_secret=sample-secret&page={page} HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut taken = 0;
        let mut wanted = usize::MAX;
        while taken < wanted {
            if taken == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let read = stream.read(&mut buffer[taken..]).await?;
            anyhow::ensure!(read > 0, "connection ended");
            taken += read;
            if wanted == usize::MAX {
                wanted = length(&buffer[..taken]).unwrap_or(usize::MAX);
            }
        }
        pages += 1;
        bytes += wanted as u64;
    }
    Ok((pages, bytes))
}

/// Returns the length of the whole answer, once its head is there.
fn length(taken: &[u8]) -> Option<usize> {
    let end = taken.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&taken[..end]).ok()?;
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    Some(end + 4 + line.parse::<usize>().ok()?)
}
