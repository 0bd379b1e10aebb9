//! A year of days by five states, asked for again and again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use house_tests::CommandLine;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::house::{self, Cluster};
use super::load;
use super::own::SampleApi;
use super::report::{Row, quantile};
use super::usage;

const CONNECTIONS: usize = 32;
const LENGTH: Duration = Duration::from_secs(8);
const WARM_UP: Duration = Duration::from_secs(1);
/// A token may ask 5,000 times a second; several share the load.
const TOKENS: usize = 8;
/// Enough that every state has somebody on most days.
const SUBSCRIBERS: u32 = 50_000;

/// Measures the gateway of a standalone, on SQLite.
pub(crate) async fn measure_sqlite() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(SUBSCRIBERS, 500).await?;
    let house = house::standalone(&api).await?;
    rows("SQLite", &house.cli, house::pid(&house.process)?).await
}

/// Measures a gateway alone, on PostgreSQL.
pub(crate) async fn measure_postgres() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(SUBSCRIBERS, 500).await?;
    let cluster = Cluster::start(&api.host()).await?;
    house::prepare(&cluster.cli, &api).await?;
    house::first_sync(&cluster.cli).await?;
    rows("PostgreSQL", &cluster.cli, house::pid(&cluster.gateway)?).await
}

async fn rows(store: &str, cli: &CommandLine, pid: u32) -> anyhow::Result<Vec<Row>> {
    let tokens = tokens(cli).await?;
    let midnight = Timestamp::now().to_zoned(TimeZone::UTC).start_of_day()?;
    let (from, to) = (midnight.checked_sub(365.days())?.date(), midnight.date());
    let path = format!(
        "/api/v1/metrics/{}/series?granularity=day&group_by=state&from={from}",
        house::METRIC
    );

    let same = format!("{path}&to={to}");
    check(cli, &same).await?;
    let mut rows = one(
        &format!("series query, {store}"),
        cli,
        &tokens,
        pid,
        move |_| same.clone(),
    )
    .await?;
    // Another end for every request within the last hours: no kept answer fits.
    let base = midnight.timestamp().as_millisecond();
    let varied = move |number: u64| {
        let spread =
            i64::try_from((number >> 32) * 100_000 + (number & 0xffff_ffff) % 100_000).unwrap_or(0);
        let to = Timestamp::from_millisecond(base - 1 - spread).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{path}&to={to}")
    };
    match one(
        &format!("the same, every question another one, {store}"),
        cli,
        &tokens,
        pid,
        varied,
    )
    .await
    {
        Ok(more) => rows.extend(more),
        Err(error) => rows.push(Row::failed(
            &format!("the same, every question another one, {store}"),
            &error,
        )),
    }
    Ok(rows)
}

async fn one(
    what: &str,
    cli: &CommandLine,
    tokens: &[String],
    pid: u32,
    path: impl Fn(u64) -> String + Clone + Send + Sync + 'static,
) -> anyhow::Result<Vec<Row>> {
    let address = cli.url.trim_start_matches("http://");
    load::run(address, tokens, CONNECTIONS, WARM_UP, path.clone()).await?;
    let own = std::process::id();
    let postgres = |cpu: fn(u32) -> f64| {
        usage::named(own, "postgres")
            .into_iter()
            .map(cpu)
            .fold(0.0, f64::max)
    };
    let before = (usage::cpu(pid), postgres(usage::cpu));
    let done = load::run(address, tokens, CONNECTIONS, LENGTH, path).await?;
    let (gateway, database) = (usage::cpu(pid) - before.0, postgres(usage::cpu) - before.1);
    let answered = done.times.len() as f64;
    let note = format!(
        "{:.0} requests/s in fact, with {:.0} % of one core ({:.0} % PostgreSQL); {} bytes each",
        answered / done.wall,
        gateway / done.wall * 100.0,
        database / done.wall * 100.0,
        done.bytes
    );
    Ok(vec![
        Row::at_least(
            what,
            answered / gateway,
            2_000.0,
            " requests per CPU second",
        )
        .note(note),
        Row::at_most(
            &format!("{what}, p99 at {CONNECTIONS} connections"),
            quantile(&done.times, 0.99),
            15.0,
            " ms",
        )
        .note(format!(
            "median {:.1} ms; with the generator on the same machine",
            quantile(&done.times, 0.5)
        )),
    ])
}

async fn tokens(cli: &CommandLine) -> anyhow::Result<Vec<String>> {
    let mut tokens = Vec::new();
    for _ in 0..TOKENS {
        let made = cli
            .run(&["token", "create", "--role", "viewer", "-o", "json"])
            .await
            .json();
        tokens.push(
            made["value"]
                .as_str()
                .with_context(|| {
                    format!(
                        "no token in the answer's {} fields",
                        made.as_object().map_or(0, serde_json::Map::len)
                    )
                })?
                .to_owned(),
        );
    }
    Ok(tokens)
}

/// Makes sure that the answer is what the bar speaks of.
async fn check(cli: &CommandLine, path: &str) -> anyhow::Result<()> {
    let request = reqwest::Client::new()
        .get(format!("{}{path}", cli.url))
        .bearer_auth(&cli.token);
    let answer = request.send().await?.error_for_status()?.bytes().await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let series = answer["series"].as_array().context("series")?;
    let points: usize = series
        .iter()
        .filter_map(|one| Some(one["points"].as_array()?.len()))
        .sum();
    ensure!(
        series.len() == 5 && points > 1_000,
        "{} series with {points} points",
        series.len()
    );
    Ok(())
}
