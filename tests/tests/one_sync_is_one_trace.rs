//! Traces over OTLP: whoever looks at one finds a whole sync in it, across every process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bus::testing::TestServer;
use futures::StreamExt as _;
use house_tests::{CommandLine, Process, Standalone, eventually, free_port, numbered_metric};
use sample_api::{Config, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "sample-secret";
/// The largest export that the receiver reads.
const LARGEST: usize = 16 * 1024 * 1024;

/// What a test needs to know of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    trace: String,
    name: String,
    service: String,
    run: Option<String>,
}

/// Takes traces as a collector would.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let into = Arc::clone(&spans);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&into)));
            }
        });
        Self { url, spans, task }
    }

    fn all(&self) -> Vec<Span> {
        self.spans
            .lock()
            .expect("nobody panics while collecting")
            .clone()
    }

    /// Waits for the run's spans of these names and returns the trace ids of each.
    async fn traces_of(&self, run: &str, names: &[&str]) -> Vec<BTreeSet<String>> {
        eventually("every step of the sync is in a trace", || async {
            let all = self.all();
            let of_run: BTreeSet<&str> = all
                .iter()
                .filter(|span| span.run.as_deref() == Some(run))
                .map(|span| &*span.trace)
                .collect();
            let found = |name: &&str| -> BTreeSet<String> {
                // Pages do not repeat the run: they lie in the trace of the sync that holds them.
                let mine = |span: &&Span| match &span.run {
                    Some(other) => other == run,
                    None => of_run.contains(&*span.trace),
                };
                all.iter()
                    .filter(|span| span.name == **name)
                    .filter(mine)
                    .map(|span| span.trace.clone())
                    .collect()
            };
            let sets: Vec<_> = names.iter().map(found).collect();
            sets.iter().all(|set| !set.is_empty()).then_some(sets)
        })
        .await
    }
}

/// Reads requests of one connection until it ends.
async fn serve(mut stream: TcpStream, into: Arc<Mutex<Vec<Span>>>) {
    let mut buffer = Vec::new();
    loop {
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n");
        let length = end.map(|end| {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            assert!(head.contains("application/x-protobuf"), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            length.unwrap_or(0_usize)
        });
        if let (Some(end), Some(length)) = (end, length)
            && buffer.len() >= end + 4 + length
        {
            let body: Vec<u8> = buffer.drain(..end + 4 + length).skip(end + 4).collect();
            into.lock()
                .expect("nobody panics while collecting")
                .extend(read_export(&body));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(answer).await.is_err() {
                return;
            }
            continue;
        }
        assert!(buffer.len() < LARGEST, "an export is bounded");
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// The length-delimited fields of a protobuf message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut found = Vec::new();
    while let Some(tag) = varint(&mut bytes) {
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                continue;
            }
            1 => 8,
            5 => 4,
            _ => usize::try_from(varint(&mut bytes).expect("a length")).expect("a small length"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        if tag & 7 == 2 {
            found.push((tag >> 3, value));
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All values of a field.
fn each(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message)
        .into_iter()
        .filter(move |(field, _)| *field == number)
        .map(|(_, value)| value)
}

/// The text of an attribute; `number` is the field that holds attributes.
fn attribute(message: &[u8], number: u64, key: &str) -> Option<String> {
    let pair = each(message, number).find(|pair| each(pair, 1).next() == Some(key.as_bytes()))?;
    Some(text(each(each(pair, 2).next()?, 1).next()?))
}

/// Reads an `ExportTraceServiceRequest`.
fn read_export(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in each(body, 1) {
        let service = each(resource_spans, 1)
            .next()
            .and_then(|one| attribute(one, 1, "service.name"));
        for span in each(resource_spans, 2).flat_map(|scope| each(scope, 2)) {
            let bytes = each(span, 1).next().unwrap_or_default();
            spans.push(Span {
                trace: bytes
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<Vec<_>>()
                    .concat(),
                name: each(span, 5).next().map(text).unwrap_or_default(),
                service: service.clone().unwrap_or_default(),
                run: attribute(span, 9, "run"),
            });
        }
    }
    spans
}

async fn sample() -> Server {
    let config = Config {
        subscribers: 200,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

/// Trace ids of the updates that any subscriber hears.
async fn announced(nats: &str) -> Arc<Mutex<Vec<Option<String>>>> {
    house_tests::crypto();
    let client = async_nats::connect(nats)
        .await
        .expect("NATS can be reached");
    let mut messages = client
        .subscribe("tidemark.v1.default.update.>")
        .await
        .expect("anybody may subscribe");
    client
        .flush()
        .await
        .expect("the subscription reaches the server");
    let heard: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let into = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let parent = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("traceparent"));
            let trace =
                parent.and_then(|parent| parent.as_str().split('-').nth(1).map(str::to_owned));
            into.lock()
                .expect("nobody panics while hearing")
                .push(trace);
        }
        drop(client);
    });
    heard
}

/// A house whose services are processes of their own, sending traces to `collector`.
struct Cluster {
    processes: Vec<Process>,
    cli: CommandLine,
    nats: TestServer,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start(collector: &str, allow: &str) -> Self {
        house_tests::crypto();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let nats = TestServer::start().await;
        nats.bus()
            .await
            .provision(&bus::Provision::default())
            .await
            .expect("streams are made");
        let store = format!("sqlite:{}", folder.path().join("tidemark.db").display());
        store::Store::open(&store)
            .await
            .expect("the store opens")
            .migrate()
            .await
            .expect("it migrates");
        let path = folder.path().join("identity.txt");
        let identity = service::Identity::load_or_create(&path).expect("an identity can be made");
        let recipient = identity[0].recipient().to_string();
        let listen = format!("127.0.0.1:{}", free_port());
        let token = "tm_a_token_of_the_test_that_nobody_else_knows".to_owned();
        let identity = path.display().to_string();
        let services: [&[&str]; 4] = [
            &["scheduler", "--store", &store],
            &[
                "fetcher",
                "--allow-host",
                allow,
                "--secret-identity",
                &identity,
            ],
            &["evaluator", "--store", &store],
            &[
                "gateway",
                "--store",
                &store,
                "--listen",
                &listen,
                "--secret-recipient",
                &recipient,
            ],
        ];
        let processes = services.map(|own| {
            let mut arguments: Vec<String> = own.iter().map(|one| (*one).to_owned()).collect();
            arguments.extend([
                "--nats".into(),
                nats.url(),
                "--otlp-endpoint".into(),
                collector.into(),
            ]);
            Process::start(&arguments, &[("TIDEMARK_TOKEN", token.clone())])
        });
        let cli = CommandLine {
            url: format!("http://{listen}"),
            token,
        };
        let ready = format!("http://{listen}/readyz");
        eventually("the gateway is ready", || async {
            let answer = reqwest::get(&ready).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Self {
            processes: processes.into(),
            cli,
            nats,
            _folder: folder,
        }
    }

    fn logs(&self) -> String {
        self.processes.iter().map(Process::errors).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_first_page_to_the_rows() {
    let (collector, api) = (Collector::start().await, sample().await);
    let cluster = Cluster::start(&collector.url, &api.address().to_string()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let mut traces = BTreeSet::new();
    for _ in 0..2 {
        let done = cluster.cli.sync("new_subscribers").await;
        assert_eq!(done["state"], "final", "{done}\n{}", cluster.logs());
        let run = done["run"].as_str().expect("a run").to_owned();
        let found = collector
            .traces_of(&run, &["sync", "page", "evaluate"])
            .await;
        assert!(
            found.iter().all(|set| set == &found[0] && set.len() == 1),
            "{found:?}\n{:#?}",
            collector.all()
        );
        traces.extend(found[0].clone());
    }
    assert_eq!(traces.len(), 2, "every sync is a trace of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_span_names_its_service() {
    let (collector, api) = (Collector::start().await, sample().await);
    let cluster = Cluster::start(&collector.url, &api.address().to_string()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let done = cluster.cli.sync("new_subscribers").await;
    let run = done["run"].as_str().expect("a run").to_owned();
    collector
        .traces_of(&run, &["sync", "page", "evaluate"])
        .await;
    let all = collector.all();
    let service = |name: &str| -> BTreeSet<&str> {
        all.iter()
            .filter(|span| span.name == name)
            .map(|span| &*span.service)
            .collect()
    };
    assert_eq!(
        (service("page"), service("evaluate")),
        (["fetcher"].into(), ["evaluator"].into()),
        "{all:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_announcement_carries_the_trace_of_its_sync() {
    let (collector, api) = (Collector::start().await, sample().await);
    let cluster = Cluster::start(&collector.url, &api.address().to_string()).await;
    let heard = announced(&cluster.nats.url()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let done = cluster.cli.sync("new_subscribers").await;
    assert_eq!(done["state"], "final", "{done}");
    let run = done["run"].as_str().expect("a run").to_owned();
    let found = collector.traces_of(&run, &["sync", "evaluate"]).await;
    let first = eventually("the update is heard", || async {
        heard
            .lock()
            .expect("nobody panics while hearing")
            .first()
            .cloned()
    })
    .await;
    assert_eq!(first.as_ref(), found[0].first(), "{:#?}", collector.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_s_hand_out_is_part_of_the_trace() {
    let (collector, api) = (Collector::start().await, sample().await);
    let cluster = Cluster::start(&collector.url, &api.address().to_string()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let done = cluster.cli.sync("new_subscribers").await;
    let run = done["run"].as_str().expect("a run").to_owned();
    let found = collector.traces_of(&run, &["sync", "dispatch"]).await;
    assert_eq!(found[0], found[1], "{:#?}", collector.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_sync() {
    let api = sample().await;
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let cluster = Cluster::start(&nowhere, &api.address().to_string()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let done = cluster.cli.sync("new_subscribers").await;
    assert_eq!(done["state"], "final", "{done}\n{}", cluster.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_sent_and_everything_works() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");
    assert!(
        !house.process.errors().contains("v1/traces"),
        "{}",
        house.process.errors()
    );
}
