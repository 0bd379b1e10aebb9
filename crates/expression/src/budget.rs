//! The bounds of one worker and of one evaluation, each with its reason.
//!
//! # Memory: which limit holds
//!
//! The worker limits itself with `RLIMIT_DATA` before it reads anything. Measured with mimalloc by
//! `tests/worker_process.rs`, all other limits taken away: nested ranges, a text doubled without
//! end, ten million texts of one letter. `RLIMIT_DATA` and `RLIMIT_AS` both hold, the process aborts
//! by itself and its resident memory never passes the limit by more than its own code (530,000 KiB
//! at 512 MiB). `RLIMIT_DATA` is used, since it counts memory that may be written, and not the
//! address space that an allocator reserves: under `RLIMIT_AS` mimalloc's arenas of 1 GiB cannot be
//! reserved, and it falls back to small ones. `RLIMIT_RSS` has no effect on Linux.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most bytes of memory a worker process may have.
pub const MEMORY_BYTES: u64 = 512 * 1024 * 1024;

/// Longest a worker may take to answer one request before the supervising side kills it.
///
/// A request carries several pages and each may spend its own evaluation budget, so the wall
/// limit only has to be longer than honest work; what is left is a built-in that never looks at
/// the engine's clock, and for those a process is cheap to lose.
pub const REQUEST_WALL: Duration = Duration::from_secs(10);

/// Largest frame either side accepts.
///
/// A page is at most 32 MiB after decoding; two of them and their headers still fit.
pub const FRAME_BYTES: usize = 80 * 1024 * 1024;

/// Most bytes of pages a worker holds for one `scope: run` evaluation.
///
/// The whole run is parsed as one document, at three to six times its text; more would meet the
/// memory limit, and this way the error says why.
pub const RUN_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of a result. Rows need three levels; the rest is room for mistakes that are
/// then rejected with a reason instead of failing the page.
pub const OUTPUT_DEPTH: usize = 64;

/// Most keys and values in one page: about 200 MiB once parsed, whatever the text's length.
pub const PAGE_VALUES: usize = 2_000_000;

/// Most rejected rows kept as samples for one page and task.
pub const REJECTED_SAMPLES: usize = 20;

/// Longest sample of a rejected row, in bytes.
pub const SAMPLE_BYTES: usize = 1024;

/// Most tasks one worker compiles at a time.
pub const TASKS: usize = 1_000;

/// What one evaluation of one expression on one page may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time, in milliseconds. A page of 100 records takes well below one.
    pub page_time_ms: u64,
    /// Depth of nested evaluation. The engine grows its stack on the heap, so this is a memory
    /// bound; hand-written recursion over JSON needs a few dozen levels.
    pub depth: usize,
    /// Evaluation steps: the same on every machine, where time is not.
    pub steps: u64,
    /// Bytes of the longest text an expression may build.
    pub text_bytes: usize,
    /// Items of the longest sequence an expression may build.
    pub items: usize,
    /// Bytes of the result as compact JSON.
    pub result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page_time_ms: 500,
            depth: 4_000,
            steps: 50_000_000,
            text_bytes: 1024 * 1024,
            items: 100_000,
            result_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Limits for a pagination path: one value out of one page.
    pub fn for_path() -> Self {
        Self {
            page_time_ms: 100,
            depth: 200,
            steps: 5_000_000,
            text_bytes: 64 * 1024,
            items: 100_000,
            result_bytes: 256 * 1024,
        }
    }

    /// Limits for the records of a page: one list out of one page.
    pub fn for_records() -> Self {
        Self {
            page_time_ms: 250,
            depth: 200,
            steps: 5_000_000,
            text_bytes: 64 * 1024,
            items: 100_000,
            result_bytes: 32 * 1024 * 1024,
        }
    }

    pub(crate) fn options(&self, now_ms: i64) -> jlens_core::Options {
        jlens_core::Options::new()
            .timeout(Duration::from_millis(self.page_time_ms))
            .max_depth(self.depth)
            .max_steps(self.steps)
            .max_string_length(self.text_bytes)
            .max_array_length(self.items)
            .max_result_size(self.result_bytes)
            .now(now_ms)
    }
}
