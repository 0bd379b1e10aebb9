//! Resident memory of each service while a thousand pages pass.

use super::house::{self, Asker, Cluster, METRIC};
use super::own::SampleApi;
use super::report::Row;
use super::usage::{self, Watch};

/// Measures single services on PostgreSQL.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(100_000, 100).await?;
    let cluster = Cluster::start(&api.host()).await?;
    house::prepare(&cluster.cli, &api).await?;
    let gateway = usage::resident(house::pid(&cluster.gateway)?);
    let evaluator = house::pid(&cluster.evaluator)?;
    let watch = Watch::tree(evaluator);
    let asker = Asker::of(&cluster.cli);
    let started = std::time::Instant::now();
    let run = asker.sync(METRIC).await?;
    asker.wait_for(&run).await?;
    let took = started.elapsed().as_secs_f64();
    let workers = usage::pids(evaluator).len().saturating_sub(1);
    Ok(vec![
        Row::at_most("RSS of a fetcher during 1,000 pages", usage::most_resident(house::pid(&cluster.fetcher)?), 64.0, " MB")
            .note(format!("the run took {took:.1} s")),
        Row::at_most("RSS of an evaluator with its workers during 1,000 pages", watch.most(), 160.0, " MB").note(format!(
            "its own peak {:.0} MB, {workers} workers; pages of the program shared between them count each time",
            usage::most_resident(evaluator)
        )),
        Row::at_most("RSS of an idle gateway", gateway, 48.0, " MB").note(format!(
            "scheduler {:.0} MB, nats-server {:.0} MB at most",
            usage::most_resident(house::pid(&cluster.scheduler)?),
            cluster.nats.pid().map_or(f64::NAN, usage::most_resident)
        )),
    ])
}
