//! Four fetchers on one connection with a rate: is it kept in every window, and is it used?

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::house::{Asker, Cluster};
use super::own::{SECRET, SampleApi};
use super::report::Row;

const FETCHERS: usize = 4;
const LIMIT: usize = 600;
const WINDOW: Duration = Duration::from_mins(1);
/// So many windows are to be filled.
const WINDOWS: u32 = 2;
/// Datasets that are hungry all the time: each has more pages than the rate lets through.
const DATASETS: usize = 8;
const PAGES: u32 = 1_000;
/// How often the sample API is asked how many requests it has seen.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Far above what the rate allows for.
const LONGEST: Duration = Duration::from_secs(200);

/// Measures from the first request until more came than the windows hold.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(PAGES * 100, 100).await?;
    let cluster = Cluster::with_fetchers(&api.host(), FETCHERS).await?;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    cluster.cli.apply(&definitions(&api.url)).await;
    let asker = Asker::of(&cluster.cli);
    for number in 0..DATASETS {
        asker.sync(&format!("hungry_{number}")).await?;
    }
    let wanted = LIMIT * WINDOWS as usize + 1;
    let began = Instant::now();
    let mut seen: Vec<Instant> = Vec::new();
    while seen.len() < wanted {
        ensure!(
            began.elapsed() < LONGEST,
            "only {} requests came",
            seen.len()
        );
        let requests = usize::try_from(api.requests().await?)?;
        let now = Instant::now();
        seen.extend(std::iter::repeat_n(
            now,
            requests.saturating_sub(seen.len()),
        ));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // A look sees a request up to one pause late, so the window is shorter by that.
    let most = (0..seen.len())
        .map(|first| {
            let inside = |at: &&Instant| **at < seen[first] + WINDOW.saturating_sub(LOOK_EVERY);
            seen[first..].iter().take_while(inside).count()
        })
        .max()
        .unwrap_or_default();
    let took = seen[wanted - 1].duration_since(seen[0]).as_secs_f64();
    let ideal = (WINDOW * WINDOWS).as_secs_f64();
    Ok(vec![
        Row::at_most(
            "budget, 4 fetchers: most requests in any window",
            most as f64,
            LIMIT as f64,
            "",
        ),
        Row::at_least("the same: of the rate is used", ideal / took * 100.0, 95.0, " %").note(
            format!(
                "{wanted} requests at {LIMIT} a minute took {took:.1} s; clocks may differ by half a second"
            ),
        ),
    ])
}

fn definitions(api: &str) -> String {
    let mut bundle = format!(
        "kind: connection\nname: kit\nbase_url: {api}\n\
         auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}\n\
         rate_limit: {{ requests: {LIMIT}, per: {}s }}\n",
        WINDOW.as_secs()
    );
    for number in 0..DATASETS {
        let _ = write!(
            bundle,
            "---\nkind: metric\nname: hungry_{number}\nconnection: kit\n\
             request:\n  path: /v3/subscribers\n  query: {{ n: \"{number}\" }}\n  max_pages: {PAGES}\n\
             \x20 pagination: {{ page: {{ param: page, total_pages: total_pages }} }}\n\
             select: {{ records: subscribers, value: {{ count: true }} }}\n"
        );
    }
    bundle
}
