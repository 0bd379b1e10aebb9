//! The evaluator's settings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How the evaluator works.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program whose `worker` command evaluates expressions: this binary.
    pub worker: WorkerProgram,
    /// Worker processes, and as many runs evaluated at once.
    pub workers: usize,
    /// Kept runs of a dataset: the pages of older slots are purged.
    pub kept_slots: usize,
    /// Changes listed in one update; more are left to the series.
    pub changes_listed: usize,
    /// How often announcements are looked for that nobody was told about.
    pub relay_every: Duration,
    /// How often watches and messages are looked for that nobody was told about.
    pub alerts_every: Duration,
    /// The address people use, for links in messages; none without it.
    pub public_url: Option<String>,
    /// How often recomputes are looked for.
    pub recompute_every: Duration,
}

/// How a worker process is started.
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Config {
    /// Returns the defaults around a worker program, with one worker for each processor (at most 8).
    pub fn new(worker: WorkerProgram) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            worker,
            workers: processors.clamp(1, 8),
            kept_slots: 3,
            changes_listed: 500,
            relay_every: Duration::from_secs(1),
            alerts_every: Duration::from_secs(1),
            public_url: None,
            recompute_every: Duration::from_secs(1),
        }
    }
}
