//! Long runs at 20 ms a page: a thousand numbered pages, a thousand by cursor, a backfill of 36 windows.

use std::time::Instant;

use anyhow::ensure;

use super::house::{self, Asker, METRIC};
use super::own::{SECRET, SampleApi};
use super::report::Row;

const PAGES: u32 = 1_000;
const LATENCY: &str = "latency?ms=20";
const WINDOWS: usize = 36;

const BY_CURSOR: &str = "all_subscribers";
const IN_WINDOWS: &str = "by_window";

/// Measures one of each, in a standalone.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(PAGES * 100, 100).await?;
    let house = house::standalone(&api).await?;
    house.cli.secret("kit_api_key", SECRET).await;
    house.cli.apply(&by_cursor(&api.url)).await;
    house.cli.apply(&in_windows()).await;
    api.control(LATENCY).await?;
    let asker = Asker::of(&house.cli);
    let numbered = timed(&asker, METRIC).await?;
    let cursor = timed(&asker, BY_CURSOR).await?;

    let started = Instant::now();
    let runs = asker
        .backfill(IN_WINDOWS, "2023-01-01", "2025-12-16")
        .await?;
    ensure!(runs.len() == WINDOWS, "{} windows", runs.len());
    for run in &runs {
        asker.wait_for(run).await?;
    }
    let backfill = started.elapsed().as_secs_f64();
    Ok(vec![
        Row::scale("1,000 pages by number at 20 ms", numbered, " s").note(format!(
            "with 8 at a time the waiting alone is {:.1} s",
            f64::from(PAGES) * 0.02 / 8.0
        )),
        Row::scale("1,000 pages by cursor at 20 ms", cursor, " s").note(format!(
            "one after the other: the waiting alone is {:.0} s",
            f64::from(PAGES) * 0.02
        )),
        Row::scale("a backfill of 36 windows at 20 ms", backfill, " s")
            .note("6 windows at a time, so that people and schedules find a place beside it"),
    ])
}

async fn timed(asker: &Asker, metric: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let run = asker.sync(metric).await?;
    asker.wait_for(&run).await?;
    Ok(started.elapsed().as_secs_f64())
}

fn by_cursor(api: &str) -> String {
    house_tests::cursor_metric(api).replace(
        "query: { per_page: 500, status: all }",
        "query: { per_page: 100, status: all }\n  max_pages: 2000",
    )
}

fn in_windows() -> String {
    format!(
        "kind: metric\nname: {IN_WINDOWS}\nconnection: kit\n\
         request:\n  path: /v3/subscribers\n  max_pages: 1000\n\
         \x20 query: {{ from: \"{{{{ window.start | date }}}}\", to: \"{{{{ window.last_day | date }}}}\" }}\n\
         \x20 pagination: {{ page: {{ param: page, total_pages: total_pages }} }}\n\
         window: {{ last: 30d, step: 30d }}\n\
         select: {{ records: subscribers, value: {{ count: true }}, date: created_at, key: id }}\n\
         resolution: day\n"
    )
}
