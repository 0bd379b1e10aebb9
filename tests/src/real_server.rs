//! Servers that nobody here wrote: installed once, started on a free port, ended with the test.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::process::Process;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
        .to_owned()
}

/// Installs the real servers, unless they are there; one test at a time.
pub async fn install_real_servers() {
    let tools = root().join(".tools");
    std::fs::create_dir_all(&tools).expect("a folder for tools");
    let lock = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(tools.join(".real.lock")).expect("a lock");
        file.lock().expect("a file can be locked");
        file
    });
    let _lock = lock.await.expect("the lock is waited for");
    let mut command = Command::new("sh");
    command
        .args(["deploy/setup.sh", "real"])
        .current_dir(root());
    let done = tokio::time::timeout(crate::PATIENCE * 5, command.output()).await;
    let output = done
        .expect("an installation ends")
        .expect("a script starts");
    assert!(output.status.success(), "{output:?}");
}

/// A real server that runs.
pub struct RealServer {
    /// The process.
    pub process: Process,
    /// `HOST:PORT`.
    pub address: String,
}

impl RealServer {
    /// json-server over a file of records: pages by `_page`, a `Link` header.
    pub async fn json_server(file: &Path) -> Self {
        install_real_servers().await;
        let port = crate::free_port();
        let mut command = Command::new("node");
        command
            .arg(root().join(".tools/json-server/node_modules/json-server/lib/cli/bin.js"))
            .arg(file)
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--quiet",
            ]);
        let server = Self {
            process: Process::of(command),
            address: format!("127.0.0.1:{port}"),
        };
        server.answers("/").await;
        server
    }

    /// Kinto in memory: a `Next-Page` header, basic authentication, ETags.
    pub async fn kinto() -> Self {
        crate::crypto();
        install_real_servers().await;
        let mut command = Command::new("python3");
        command
            .arg(root().join("deploy/local/kinto_server.py"))
            .env("PYTHONPATH", root().join(".tools/kinto"));
        let mut process = Process::of(command);
        let address = process.line("kinto: http://").await;
        Self { process, address }
    }

    async fn answers(&self, path: &str) {
        crate::crypto();
        let url = format!("http://{}{path}", self.address);
        crate::eventually("the server answers", || async {
            reqwest::get(&url).await.ok()
        })
        .await;
    }
}
