//! The hidden `tidemark keep`: runs a program that ends when stdin does.
//!
//! `standalone` holds the other end of the pipe. However it ends, killed or not, its nats-server is
//! not left behind.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// nats-server flushes its store on SIGTERM; past this it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the program is looked at while it stops.
const LOOK: Duration = Duration::from_millis(10);

/// Runs `program` until it ends by itself or stdin does.
pub(crate) fn run(program: &[OsString]) -> ExitCode {
    let Some((name, arguments)) = program.split_first() else {
        return ExitCode::from(2);
    };
    // A group of its own: Ctrl-C is for the process that holds the pipe.
    let started = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn();
    let Ok(mut child) = started else {
        return ExitCode::from(127);
    };
    let (ended, mut stdin_open) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut nothing = [0; 64];
        let mut stdin = std::io::stdin().lock();
        while stdin.read(&mut nothing).is_ok_and(|read| read > 0) {}
        drop(ended);
    });
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return if status.success() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(1)
                };
            }
            Ok(None) => {}
            Err(_) => return ExitCode::from(1),
        }
        if has_ended(&mut stdin_open) {
            return stop(&mut child);
        }
    }
}

/// Waits a moment for the end of stdin.
fn has_ended(open: &mut std::sync::mpsc::Receiver<()>) -> bool {
    matches!(
        open.recv_timeout(LOOK * 5),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
    )
}

fn stop(child: &mut Child) -> ExitCode {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        if let Ok(Some(_)) = child.try_wait() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
    ExitCode::from(1)
}
