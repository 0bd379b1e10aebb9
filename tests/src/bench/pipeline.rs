//! The whole pipeline beside the floor, in turns.
//!
//! Before every sync one subscriber joins, so that every run has something to announce.

use super::ear::Ear;
use super::floor::{Cost, Floor};
use super::house::{self, Asker, METRIC};
use super::own::SampleApi;
use super::report::{Row, median};
use super::usage;

const PAGES: f64 = 100.0;
/// The last of 100 pages has room for those who join while it is measured.
const SUBSCRIBERS: u32 = 9_901;
/// More would not fit on the last page, over all rounds.
const MOST_ROUNDS: usize = 15;
const SYNCS_A_ROUND: u16 = 5;

/// Measures CPU, wall time, and wall time at 50 ms latency.
pub(crate) async fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let rounds = rounds.min(MOST_ROUNDS);
    let api = SampleApi::start(SUBSCRIBERS, 100).await?;
    let house = house::standalone(&api).await?;
    let mut ear = Ear::open(&house.nats).await?;
    let asker = Asker::of(&house.cli);
    let pid = house::pid(&house.process)?;
    let mut floor = Floor::start(&api.url)?;
    let nats = usage::named(pid, "nats-server").first().copied();

    let (mut floors, mut walls, mut cpus, mut nats_cpus): (
        Vec<Cost>,
        Vec<f64>,
        Vec<f64>,
        Vec<f64>,
    ) = Default::default();
    for _ in 0..rounds {
        floors.push(floor.round().await?);
        let before = (usage::cpu(pid), nats.map_or(0.0, usage::cpu));
        for _ in 0..SYNCS_A_ROUND {
            walls.push(sync(&api, &asker, &mut ear).await?);
        }
        cpus.push((usage::cpu(pid) - before.0) / f64::from(SYNCS_A_ROUND));
        nats_cpus.push((nats.map_or(0.0, usage::cpu) - before.1) / f64::from(SYNCS_A_ROUND));
    }
    api.control("latency?ms=50").await?;
    let mut slow = Vec::new();
    for _ in 0..rounds {
        slow.push(sync(&api, &asker, &mut ear).await?);
    }

    let floor_cpu = median(&floors.iter().map(|cost| cost.cpu).collect::<Vec<_>>());
    let floor_wall = median(&floors.iter().map(|cost| cost.wall).collect::<Vec<_>>());
    let (cpu, wall) = (median(&cpus), median(&walls));
    let of_nats = median(&nats_cpus) * 1000.0;
    let slowest = walls.iter().copied().fold(f64::NAN, f64::max);
    Ok(vec![
        Row::scale("floor, CPU for 10,000 records", floor_cpu * 1000.0, " ms"),
        Row::scale("floor, wall", floor_wall * 1000.0, " ms"),
        Row::at_most(
            "whole pipeline, CPU for 10,000 records",
            cpu / floor_cpu,
            7.0,
            " × floor",
        )
        .note(format!(
            "{:.0} ms, of which nats-server {of_nats:.0} ms",
            cpu * 1000.0
        )),
        Row::at_most(
            "whole pipeline, 0 ms latency, request to announced update",
            wall / floor_wall,
            10.0,
            " × floor",
        ),
        Row::at_most("the same, wall", wall * 1000.0, 300.0, " ms").note(format!(
            "slowest of {}: {:.0} ms",
            walls.len(),
            slowest * 1000.0
        )),
        Row::at_most("100 pages at 50 ms, totals known", median(&slow), 1.0, " s").note(format!(
            "with 8 at a time the waiting alone is {:.2} s",
            0.05 * (1.0 + ((PAGES - 1.0) / 8.0).ceil())
        )),
    ])
}

/// One more subscriber, one sync; returns the seconds from the request to the update heard.
async fn sync(api: &SampleApi, asker: &Asker, ear: &mut Ear) -> anyhow::Result<f64> {
    api.control("subscribers?count=1").await?;
    let started = std::time::Instant::now();
    let run = asker.sync(METRIC).await?;
    let heard = ear.update_of(&run).await?;
    let seconds = heard.duration_since(started).as_secs_f64();
    // The run's bookkeeping ends after its update; the next sync must not join it.
    asker.wait_for(&run).await?;
    Ok(seconds)
}
