//! A dataset that asks once for each of 500 records of another, at 20 ms a request.

use std::time::Instant;

use anyhow::ensure;

use super::house::{self, Asker};
use super::own::SampleApi;
use super::report::Row;

const RECORDS: u32 = 500;
const METRIC: &str = "asked_of_each";

/// Measures the child's run alone: its parent is there already.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(RECORDS, 100).await?;
    let house = house::standalone(&api).await?;
    house.cli.apply(&definitions()).await;
    // The first sync of the child brings its parent's pages with it.
    let first = house.cli.sync(METRIC).await;
    ensure!(first["rows"] == RECORDS, "the first sync: {first}");
    api.control("latency?ms=20").await?;
    let asker = Asker::of(&house.cli);
    let (before, started) = (api.requests().await?, Instant::now());
    let run = asker.sync(METRIC).await?;
    asker.wait_for(&run).await?;
    let took = started.elapsed().as_secs_f64();
    let asked = api.requests().await? - before;
    ensure!(asked >= i64::from(RECORDS), "only {asked} requests");
    Ok(vec![
        Row::scale("a parent of 500 records at 20 ms", took, " s").note(format!(
            "{asked} requests; one after the other the waiting alone is {:.0} s",
            f64::from(RECORDS) * 0.02
        )),
    ])
}

fn definitions() -> String {
    format!(
        "kind: dataset\nname: people\nconnection: kit\n\
         request:\n  path: /v3/subscribers\n  pagination: {{ page: {{ param: page, total_pages: total_pages }} }}\n\
         records: subscribers\nkey: id\n\
         ---\n\
         kind: dataset\nname: accounts\nconnection: kit\nparent: {{ dataset: people }}\n\
         request:\n  path: /v3/account\n  query: {{ of: \"{{{{ parent.id }}}}\" }}\n\
         ---\n\
         kind: metric\nname: {METRIC}\ndataset: accounts\n\
         select: {{ value: {{ count: true }}, date: $parent.created_at }}\nresolution: day\n"
    )
}
