//! Ten thousand metrics, each due once a minute: what the scheduler alone uses.

use std::fmt::Write as _;
use std::time::Duration;

use super::ear::Ear;
use super::house::{self, Cluster};
use super::own::{SECRET, SampleApi};
use super::report::Row;
use super::usage;

const METRICS: usize = 10_000;
const A_BUNDLE: usize = 500;
/// Metrics of one connection share its budget; so many connections are not the limit.
const CONNECTIONS: usize = 50;
const LENGTH: Duration = Duration::from_mins(1);
/// New datasets are left alone for half a minute; past this every one is due.
const SETTLING: Duration = Duration::from_secs(45);

/// Measures a scheduler on PostgreSQL, once everything is applied.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(100, 50).await?;
    let cluster = Cluster::start(&api.host()).await?;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    let started = std::time::Instant::now();
    cluster.cli.apply(&connections(&api.url)).await;
    for first in (0..METRICS).step_by(A_BUNDLE) {
        cluster.cli.apply(&metrics(first..first + A_BUNDLE)).await;
    }
    let applied = started.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLING).await;
    let ear = Ear::open(&cluster.nats.url()).await?;
    let requests = api.requests().await?;
    let all = [&cluster.scheduler, &cluster.fetcher, &cluster.evaluator];
    let before = all.map(|process| process.id().map_or(0.0, usage::cpu));
    tokio::time::sleep(LENGTH).await;
    let used: Vec<f64> = all
        .iter()
        .zip(before)
        .map(|(process, before)| {
            (process.id().map_or(0.0, usage::cpu) - before) / LENGTH.as_secs_f64() * 100.0
        })
        .collect();
    house::pid(&cluster.scheduler)?;
    let fetched = (api.requests().await? - requests) as f64;
    // Every sync of a level is a new sample, so every commit is announced.
    let committed = ear.heard() as f64;
    Ok(vec![
        Row::at_most(
            "10,000 metrics, one a minute each: scheduler",
            used[0],
            20.0,
            " % of one core",
        )
        .note(format!(
            "a fetcher beside it used {:.0} %, an evaluator {:.0} %; applied in {applied:.0} s",
            used[1], used[2]
        )),
        // Without this the row above would praise a scheduler that does nothing.
        Row::at_least(
            "the same: fetched in that minute",
            fetched,
            METRICS as f64 * 0.95,
            "",
        )
        .note("its PostgreSQL gathers no statistics, which makes some plans worse than in life"),
        Row::at_least(
            "the same: committed and announced in that minute",
            committed,
            METRICS as f64 * 0.95,
            "",
        ),
    ])
}

fn connections(api: &str) -> String {
    let mut bundle = String::new();
    for number in 0..CONNECTIONS {
        let _ = write!(
            bundle,
            "---\nkind: connection\nname: kit_{number}\nbase_url: {api}\n\
             auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}\n"
        );
    }
    bundle
}

fn metrics(numbers: std::ops::Range<usize>) -> String {
    let mut bundle = String::new();
    for number in numbers {
        let _ = write!(
            bundle,
            "---\nkind: metric\nname: tags_{number}\nconnection: kit_{}\n\
             request: {{ path: /v3/tags, query: {{ n: \"{number}\" }} }}\n\
             select: {{ records: tags, value: {{ count: true }} }}\n\
             schedule: {{ every: 60s }}\n",
            number % CONNECTIONS
        );
    }
    bundle
}
