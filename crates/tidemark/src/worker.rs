//! The hidden `tidemark worker`: evaluates users' expressions over pipes, under limits it sets itself.

use std::process::ExitCode;

use expression::budget::MEMORY_BYTES;

/// Runs until the evaluator closes the pipe.
pub(crate) fn run() -> ExitCode {
    // Before anything of a stranger's is read. Without the limit nothing is evaluated.
    if bound().is_err() {
        return ExitCode::from(1);
    }
    match expression::worker_loop(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// Bounds the memory of this process; one that breaks the bound leaves no core file.
pub(crate) fn bound() -> std::io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::DATA, MEMORY_BYTES, MEMORY_BYTES)?;
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)
}
