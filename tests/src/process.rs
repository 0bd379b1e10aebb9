//! A child process that is ended by its handle, whatever becomes of the test.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Returns the built `tidemark`: `$TIDEMARK_BINARY`, else the one of the same profile as this program.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TIDEMARK_BINARY") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test knows where it is");
    // Tests lie in target/PROFILE/deps, programs beside the binary.
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    let built = folder.expect("a program lies somewhere").join("tidemark");
    assert!(
        built.is_file(),
        "{} is not there: build the workspace's binaries first",
        built.display()
    );
    built
}

/// A running `tidemark` with everything it has said.
pub struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts it with these arguments and variables, and nothing of the caller's own settings.
    pub fn start(arguments: &[String], variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        for name in [
            "TIDEMARK_TOKEN",
            "TIDEMARK_URL",
            "TIDEMARK_ALLOW_HOST",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        Self::of(command)
    }

    /// Starts any program.
    pub fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let (output, errors) = (Arc::default(), Arc::default());
        let readers = [
            collect(
                child.stdout.take().expect("stdout is piped"),
                Arc::clone(&output),
            ),
            collect(
                child.stderr.take().expect("stderr is piped"),
                Arc::clone(&errors),
            ),
        ];
        Self {
            child,
            output,
            errors,
            readers,
        }
    }

    /// What it has said on stdout so far.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .expect("nobody panics while reading")
            .clone()
    }

    /// What it has logged so far.
    pub fn errors(&self) -> String {
        self.errors
            .lock()
            .expect("nobody panics while reading")
            .clone()
    }

    /// Waits for a line of stdout that begins with `prefix`, and returns its rest.
    pub async fn line(&mut self, prefix: &str) -> String {
        let deadline = tokio::time::Instant::now() + crate::PATIENCE;
        loop {
            let said = self.output();
            if let Some(line) = said.lines().find_map(|line| line.strip_prefix(prefix)) {
                return line.trim().to_owned();
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(
                ended.is_none(),
                "it ended ({ended:?}): {said}\n{}",
                self.errors()
            );
            assert!(
                tokio::time::Instant::now() < deadline,
                "no line `{prefix}`: {said}\n{}",
                self.errors()
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Kills it at once, as a lost machine would.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Asks it to end, waits, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(crate::PATIENCE, self.child.wait()).await;
        ended
            .expect("it ends after SIGTERM")
            .expect("a child can be waited for")
            .code()
    }

    /// Waits for its own end and returns its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(crate::PATIENCE, self.child.wait()).await;
        let code = ended
            .expect("it ends by itself")
            .expect("a child can be waited for")
            .code();
        for reader in &mut self.readers {
            // Its last words; a child of its own may keep the pipe open.
            let _ = tokio::time::timeout(Duration::from_secs(2), reader).await;
        }
        code
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

fn collect(
    stream: impl AsyncRead + Unpin + Send + 'static,
    into: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = into.lock().expect("nobody panics while reading");
            text.push_str(&line);
            text.push('\n');
        }
    })
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
