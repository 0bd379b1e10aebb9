//! The command line, as a person types it.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::process::binary;

/// A command line that talks to one gateway.
#[derive(Clone)]
pub struct CommandLine {
    /// The gateway.
    pub url: String,
    /// The token.
    pub token: String,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// stdout.
    pub output: String,
    /// stderr.
    pub errors: String,
}

impl Said {
    /// The JSON on stdout of a command that went well.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON on stdout, however the command ended.
    pub fn any_json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, when the command went well.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "often called for its assertion alone"
    )]
    pub fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl CommandLine {
    /// Runs a command without input.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "").await
    }

    /// Runs a command with text on its stdin.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new(binary())
            .args(arguments)
            .env("TIDEMARK_URL", &self.url)
            .env("TIDEMARK_TOKEN", &self.token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A command that reads nothing may have gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(crate::PATIENCE * 2, child.wait_with_output()).await;
        let output = ended
            .expect("a command ends")
            .expect("a command can be waited for");
        Said {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Applies definitions.
    pub async fn apply(&self, definitions: &str) -> Value {
        self.run_with(&["apply", "-", "-o", "json"], definitions)
            .await
            .json()
    }

    /// Syncs a metric and returns the summary, however it ended.
    pub async fn sync(&self, metric: &str) -> Value {
        self.run(&["sync", metric, "--wait", "-o", "json"])
            .await
            .any_json()
    }

    /// Keeps a secret.
    pub async fn secret(&self, name: &str, value: &str) {
        self.run_with(&["secret", "set", name], value).await.fine();
    }

    /// Asks for a series.
    pub async fn query(&self, metric: &str, arguments: &[&str]) -> Value {
        let mut all = vec!["query", metric, "-o", "json"];
        all.extend(arguments);
        self.run(&all).await.json()
    }
}
