//! From a commit to a hundred plain subscribers.

use futures::future::try_join_all;

use super::ear::Ear;
use super::house::{self, Asker, METRIC};
use super::own::SampleApi;
use super::report::{Row, median, quantile};

const SUBSCRIBERS: usize = 100;
const SYNCS: usize = 40;

/// Measures over small runs, each of which announces one change.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(200, 100).await?;
    let house = house::standalone(&api).await?;
    let asker = Asker::of(&house.cli);
    let mut ears = try_join_all((0..SUBSCRIBERS).map(|_| Ear::open(&house.nats))).await?;
    let mut runs = Vec::new();
    for _ in 0..SYNCS {
        api.control("subscribers?count=1").await?;
        let run = asker.sync(METRIC).await?;
        for ear in &mut ears {
            ear.update_of(&run).await?;
        }
        asker.wait_for(&run).await?;
        runs.push(run);
    }
    let delays: Vec<f64> = ears.iter().flat_map(|ear| ear.delays(&runs)).collect();
    let note = format!(
        "median {:.1} ms over {} hearings; counted from `committed_at`, when the transaction began",
        median(&delays),
        delays.len()
    );
    Ok(vec![
        Row::at_most(
            "commit to subscriber, 100 NATS subscribers, p99",
            quantile(&delays, 0.99),
            25.0,
            " ms",
        )
        .note(note),
    ])
}
