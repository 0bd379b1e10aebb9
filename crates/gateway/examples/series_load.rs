//! How many series questions a gateway answers: one year of days, five dimension members, 32
//! connections. Run it with `cargo run --release -p gateway --example series_load`.
//!
//! The clients run in a thread of their own; divide by what `top` shows for the server's threads to
//! compare with a bar for one core.

use std::time::{Duration, Instant};

use bus::testing::TestServer;
use gateway::{Config, Limits};
use service::{Context, Identity, Shutdown};
use store::{
    Action, Cell, Change, Coverage, FetchIdentity, Interval, Kind, NewRuns, NewToken, Put, RunEnd,
    RunKind, RunState, Store,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 32;
const SECONDS: u64 = 8;
const DAY_MS: i64 = 86_400_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats = TestServer::start().await;
    let bus = nats.provisioned().await;
    let folder = tempfile::tempdir()?;
    let store = match std::env::var("STORE") {
        Ok(url) => Store::open(&url).await?,
        Err(_) => {
            Store::open(&format!(
                "sqlite:{}",
                folder.path().join("store.db").display()
            ))
            .await?
        }
    };
    store.migrate().await?;
    let token = gateway::generate_token();
    let bearer = NewToken {
        hash: gateway::hash_token(&token),
        workspace: Some("default".into()),
        role: "viewer".into(),
        name: "load".into(),
        expires_at: None,
    };
    store.insert_token("load", &bearer).await?;
    furnish(&store).await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let limits = Limits {
        token_requests_per_second: 1_000_000,
        token_request_burst: 1_000_000,
        shutdown_notice: Duration::ZERO,
        ..Limits::default()
    };
    let context = Context::new("gateway", Shutdown::new());
    let config = Config {
        limits,
        ..Config::default()
    };
    let serving = tokio::spawn(gateway::run_on(
        listener,
        config,
        context.clone(),
        store,
        bus,
        Identity::generate().recipient(),
    ));
    for path in [
        "/api/v1/metrics/sold/series?from=2025-01-01&to=2026-01-01&group_by=state",
        "/api/v1/metrics/sold/series?from=2025-01-01&to=2026-01-01&granularity=month",
        "/api/v1/metrics/sold/value?from=2025-01-01&to=2026-01-01",
        "/api/v1/me",
    ] {
        let (token, path) = (token.clone(), path.to_owned());
        let clients = std::thread::spawn(move || clients(address, &token, &path));
        while !clients.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        clients.join().map_err(|_| "the clients panicked")??;
    }
    context.shutdown.request();
    serving.await?;
    Ok(())
}

async fn furnish(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let text = "kind: connection\nname: kit\nbase_url: https://api.example.com\n---\n\
                kind: metric\nname: sold\nconnection: kit\nrequest: { path: /sold }\nresolution: day\n\
                select: { records: sold, value: { count: true }, date: at, dimensions: { state: state } }\n";
    let bundle = definition::parse(text, "load").map_err(|problems| format!("{problems:?}"))?;
    let mut changes = Vec::new();
    let mut rules = None;
    for located in &bundle.definitions {
        let document = located.definition.to_document().to_string();
        let (kind, put) = match &located.definition {
            definition::Definition::Metric(metric) => {
                rules = Some(rollup::Rules::of(metric, None));
                let fetch = metric.fetch(None).ok_or("a request")?;
                let fetch = FetchIdentity {
                    identity: fetch.identity(),
                    connection: "kit".into(),
                    document: fetch.to_document().to_string(),
                };
                let evaluation = Some(metric.evaluation_document(None).to_string());
                (
                    Kind::Metric,
                    Put {
                        document,
                        evaluation,
                        fetch: Some(fetch),
                        ..Put::default()
                    },
                )
            }
            _ => (
                Kind::Connection,
                Put {
                    document,
                    ..Put::default()
                },
            ),
        };
        let name = located.definition.name().to_string();
        changes.push(Change {
            kind,
            name,
            action: Action::Put(put),
            if_match: None,
        });
    }
    let applied = store.apply("default", "load", &changes).await?;
    let dataset = applied[1].dataset.clone().ok_or("a dataset")?;
    let first: jiff::Timestamp = "2025-01-01T00:00:00Z".parse()?;
    let rows = (0..365_u32).flat_map(|day| {
        let at = first + jiff::SignedDuration::from_hours(24 * i64::from(day));
        ["active", "bounced", "cancelled", "inactive", "trial"]
            .into_iter()
            .map(move |state| rollup::Row {
                value: rollup::RowValue::Number(rollup::Decimal::from(i64::from(day % 7 + 1))),
                at: Some(at),
                dimensions: rollup::Dimensions::of([("state", state)]),
                unit: None,
                key: None,
                page: 0,
                index: day,
            })
    });
    let folded = rollup::fold(rows, &rules.ok_or("a metric")?, first);
    let mut cells = Vec::new();
    for (key, points) in &folded.cells {
        for (start, state) in points {
            cells.push(Cell {
                series: key.canonical(),
                start: *start,
                state: state.encode(),
                partial: false,
            });
        }
    }
    let new = NewRuns {
        workspace: "default".into(),
        dataset: dataset.clone(),
        slot: 1,
        kind: RunKind::Manual,
        windows: Vec::new(),
        reason: None,
    };
    let run = store.open_runs(&new).await?[0].run.clone();
    let mut commit = store
        .begin_commit("default", &dataset, &run)
        .await?
        .ok_or("a commit")?;
    let start = first.as_millisecond();
    let covered = Interval {
        start,
        end: start + 365 * DAY_MS,
    };
    commit.replace("sold", &[covered], &cells).await?;
    let coverage = Coverage {
        start,
        end: covered.end,
        as_of: 1,
        run,
        revision: 1,
        complete: true,
    };
    commit.set_coverage("sold", &[coverage]).await?;
    commit.bump_version("sold")?;
    commit.finish(RunState::Final, &RunEnd::default()).await?;
    commit.commit().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the numbers are what it is for")]
fn clients(address: std::net::SocketAddr, token: &str, path: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {token}\r\n\r\n");
        let end = Instant::now() + Duration::from_secs(SECONDS);
        let mut working = Vec::new();
        for _ in 0..CONNECTIONS {
            let request = request.clone();
            working.push(tokio::spawn(async move {
                client(address, &request, end)
                    .await
                    .map_err(|e| e.to_string())
            }));
        }
        let mut times = Vec::new();
        let mut bytes = 0;
        for one in working {
            let (took, size) = one.await.map_err(|e| e.to_string())??;
            times.extend(took);
            bytes = size;
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "{:>7.0} requests/s  p50 {:>6.2?}  p99 {:>6.2?}  {bytes:>7} bytes  {path}",
            times.len() as f64 / SECONDS as f64,
            at(500),
            at(990)
        );
        Ok(())
    })
}

async fn client(
    address: std::net::SocketAddr,
    request: &str,
    end: Instant,
) -> std::io::Result<(Vec<Duration>, usize)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut times = Vec::new();
    let mut size = 0;
    while Instant::now() < end {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let mut whole = usize::MAX;
        while filled < whole {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err(std::io::Error::other("the gateway closed the connection"));
            }
            filled += read;
            if whole == usize::MAX {
                whole = length(&buffer[..filled])?.unwrap_or(usize::MAX);
            }
        }
        size = whole;
        times.push(started.elapsed());
    }
    Ok((times, size))
}

/// The length of a whole answer, once its head is there.
fn length(answer: &[u8]) -> std::io::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(head.into_owned()));
    }
    let body = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(str::to_owned)
        })
        .and_then(|text| text.trim().parse::<usize>().ok())
        .unwrap_or(0);
    Ok(Some(end + 4 + body))
}
