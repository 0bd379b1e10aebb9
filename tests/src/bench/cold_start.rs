//! How long a new standalone takes until it can serve.

use std::time::Instant;

use house_tests::Standalone;

use super::report::{Row, median};

/// Measures from starting the process to its line `ready:`.
pub(crate) async fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let (mut fresh, mut again) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let mut house = Standalone::start(&[]).await;
        fresh.push(started.elapsed().as_secs_f64());
        house.process.terminate().await;
        let started = Instant::now();
        let mut house = house.restart().await;
        again.push(started.elapsed().as_secs_f64());
        house.process.terminate().await;
    }
    Ok(vec![
        Row::at_most(
            "cold start of standalone to ready",
            median(&fresh),
            1.5,
            " s",
        )
        .note(format!("on existing data {:.2} s", median(&again))),
    ])
}
