//! CPU and memory of process trees, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The kernel's unit of CPU time in `/proc`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// Peaks shorter than this are not seen.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

struct Process {
    parent: u32,
    name: String,
    ticks: u64,
}

/// Returns the CPU seconds used by a process and everything below it, ended children included.
pub(crate) fn cpu(root: u32) -> f64 {
    let all = processes();
    let ticks: u64 = tree(&all, root)
        .iter()
        .filter_map(|pid| all.get(pid))
        .map(|one| one.ticks)
        .sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// Returns a process and everything below it.
pub(crate) fn pids(root: u32) -> Vec<u32> {
    tree(&processes(), root)
}

/// Returns the process ids below `root` whose program has this name.
pub(crate) fn named(root: u32, name: &str) -> Vec<u32> {
    let all = processes();
    let of_name = |pid: &u32| all.get(pid).is_some_and(|one| one.name == name);
    tree(&all, root).into_iter().filter(of_name).collect()
}

/// Returns the resident memory of one process in MB.
pub(crate) fn resident(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

/// Returns the most resident memory one process ever had, in MB.
pub(crate) fn most_resident(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

/// Watches the resident memory of a process tree until dropped.
pub(crate) struct Watch {
    most_kb: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn tree(root: u32) -> Self {
        let most_kb = Arc::new(AtomicU64::new(0));
        let into = Arc::clone(&most_kb);
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(SAMPLE_EVERY);
            loop {
                every.tick().await;
                let total: f64 = pids(root).into_iter().map(resident).sum();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "memory in kB"
                )]
                into.fetch_max((total * 1000.0) as u64, Ordering::Relaxed);
            }
        });
        Self { most_kb, task }
    }

    /// The most seen so far, in MB.
    pub(crate) fn most(&self) -> f64 {
        self.most_kb.load(Ordering::Relaxed) as f64 / 1000.0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn status(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e6
}

fn tree(all: &BTreeMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            all.iter()
                .filter(|(_, one)| one.parent == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((
                pid,
                parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?,
            ))
        })
        .collect()
}

/// Reads `pid (name) state parent …`; the name may hold anything, so it ends at the last bracket.
fn parse(stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // After the name: state, parent, and from the twelfth on utime, stime, cutime, cstime.
    let ticks = fields
        .get(11..15)?
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        name,
        ticks,
    })
}
