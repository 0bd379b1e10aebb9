//! What is measured, one file for each measurement.
//!
//! | file | holds |
//! |---|---|
//! | `report` | rows, bars, medians, the table |
//! | `usage` | CPU and memory of process trees, from `/proc` |
//! | `own` | this program started again as something else: the sample API, the floor |
//! | `house` | a standalone, or a cluster, with a metric that can be synced and heard |
//! | `ear` | a plain NATS client that notes when it heard what |
//! | `load` | a cheap HTTP load generator |
//! | `floor` | pages and serde structs, nothing else |
//! | `pipeline`, `evaluation`, `series`, `announce`, `memory`, `cold_start`, `schedule`, `long`, `parents`, `budget` | the measurements |

mod announce;
mod budget;
mod cold_start;
mod ear;
mod evaluation;
mod floor;
mod house;
mod load;
mod long;
mod memory;
mod own;
mod parents;
mod pipeline;
mod report;
mod schedule;
mod series;
mod usage;

use std::time::Duration;

use anyhow::{Context as _, bail};

pub(crate) use floor::process as floor_process;
pub(crate) use own::{FLOOR, SAMPLE_API, sample_api_process};
pub(crate) use report::{Row, table};

/// Past this a measurement is given up, and the next begins.
const LONGEST: Duration = Duration::from_mins(6);

/// The measurements by name, in their order.
const NAMES: [&str; 11] = [
    "pipeline",
    "evaluation",
    "series",
    "series_postgres",
    "announce",
    "memory",
    "cold_start",
    "schedule",
    "long",
    "parents",
    "budget",
];

/// Which measurements are wanted, and how often each is repeated.
pub(crate) struct Wanted {
    names: Vec<String>,
    rounds: usize,
}

impl Wanted {
    /// Reads names of measurements and `--rounds N`; no name means all of them.
    pub(crate) fn parse(arguments: Vec<String>) -> anyhow::Result<Self> {
        let mut wanted = Self {
            names: Vec::new(),
            rounds: 5,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--rounds" {
                let rounds = arguments.next().context("--rounds needs a number")?;
                wanted.rounds = rounds
                    .parse::<usize>()
                    .context("--rounds needs a number")?
                    .clamp(1, 100);
            } else if NAMES.contains(&argument.as_str()) {
                wanted.names.push(argument);
            } else {
                bail!(
                    "`{argument}` is not measured here; what is: {}",
                    NAMES.join(", ")
                );
            }
        }
        if wanted.names.is_empty() {
            wanted.names = NAMES.map(str::to_owned).to_vec();
        }
        Ok(wanted)
    }
}

/// Measures what is wanted; one that fails does not stop the others.
pub(crate) async fn measure(wanted: &Wanted) -> Vec<Row> {
    let rounds = wanted.rounds;
    let mut rows = Vec::new();
    for name in NAMES
        .into_iter()
        .filter(|name| wanted.names.iter().any(|one| one == name))
    {
        eprintln!("measuring {name} …");
        // In a task of its own, so that a panic of a helper ends this measurement alone.
        let task = tokio::spawn(async move {
            tokio::time::timeout(LONGEST, one(name, rounds))
                .await
                .context("it took too long")
                .flatten()
        });
        match task.await.context("it panicked").flatten() {
            Ok(found) => {
                for row in &found {
                    eprintln!("  {row}");
                }
                rows.extend(found);
            }
            Err(error) => rows.push(Row::failed(name, &error)),
        }
    }
    rows
}

async fn one(name: &str, rounds: usize) -> anyhow::Result<Vec<Row>> {
    match name {
        "pipeline" => pipeline::measure(rounds).await,
        "evaluation" => evaluation::measure(rounds).await,
        "series" => series::measure_sqlite().await,
        "series_postgres" => series::measure_postgres().await,
        "announce" => announce::measure().await,
        "memory" => memory::measure().await,
        "cold_start" => cold_start::measure(rounds).await,
        "schedule" => schedule::measure().await,
        "long" => long::measure().await,
        "parents" => parents::measure().await,
        "budget" => budget::measure().await,
        _ => bail!("nothing measures `{name}`"),
    }
}
