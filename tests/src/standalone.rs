//! A `tidemark standalone` of a test's own.

use tempfile::TempDir;

use crate::command_line::CommandLine;
use crate::process::Process;

/// A running standalone with its data folder.
pub struct Standalone {
    /// The process.
    pub process: Process,
    /// A command line for it.
    pub cli: CommandLine,
    /// Where its NATS listens.
    pub nats: String,
    data: TempDir,
    allow: Vec<String>,
    more: Vec<String>,
}

impl Standalone {
    /// Starts one that may fetch from these addresses.
    pub async fn start(allow: &[String]) -> Self {
        Self::start_with(allow, &[]).await
    }

    /// Starts one with further arguments.
    pub async fn start_with(allow: &[String], more: &[String]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        Self::start_in(data, allow, more).await
    }

    async fn start_in(data: TempDir, allow: &[String], more: &[String]) -> Self {
        let mut arguments = vec![
            "standalone".to_owned(),
            "--data".to_owned(),
            data.path().display().to_string(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ];
        for host in allow {
            arguments.extend(["--allow-host".to_owned(), host.clone()]);
        }
        arguments.extend_from_slice(more);
        // The folder for notes to the command line is the test's own as well.
        let state = data.path().join("state").display().to_string();
        let mut process = Process::start(&arguments, &[("XDG_STATE_HOME", state)]);
        let nats = process.line("nats: ").await;
        let url = process.line("ready: ").await;
        let token = std::fs::read_to_string(data.path().join("token")).expect("the token is kept");
        let cli = CommandLine {
            url,
            token: token.trim().to_owned(),
        };
        Self {
            process,
            cli,
            nats,
            data,
            allow: allow.to_vec(),
            more: more.to_vec(),
        }
    }

    /// Where its data lies.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Ends it and starts another on the same data.
    pub async fn restart(mut self) -> Self {
        self.process.terminate().await;
        Self::start_in(self.data, &self.allow, &self.more).await
    }

    /// Kills it and starts another on the same data.
    pub async fn kill_and_restart(mut self) -> Self {
        self.process.kill().await;
        Self::start_in(self.data, &self.allow, &self.more).await
    }
}
