//! This program started again as something else, so that its CPU and memory are its own.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The argument that makes this program the floor.
pub(crate) const FLOOR: &str = "floor-process";
/// The argument that makes this program the sample API.
pub(crate) const SAMPLE_API: &str = "sample-api-process";
/// What callers of the sample API need.
pub(crate) const SECRET: &str = "sample-secret";

/// Making a million records takes seconds on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A child that is this program.
pub(crate) struct Own {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Own {
    /// Starts this program with other arguments.
    pub(crate) fn start(arguments: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        Ok(Self { child, lines })
    }

    /// Returns its next line.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(START, self.lines.next_line())
            .await
            .context("it says nothing")??;
        line.context("it ended")
    }

    /// Takes its input.
    pub(crate) fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }
}

/// The sample API in a process of its own.
pub(crate) struct SampleApi {
    _process: Own,
    /// Where it answers.
    pub(crate) url: String,
}

impl SampleApi {
    /// Starts one with this many subscribers on pages of this size.
    pub(crate) async fn start(subscribers: u32, page_size: u32) -> anyhow::Result<Self> {
        let arguments = [
            SAMPLE_API.to_owned(),
            subscribers.to_string(),
            page_size.to_string(),
        ];
        let mut process = Own::start(&arguments)?;
        let url = process.line().await?;
        Ok(Self {
            _process: process,
            url,
        })
    }

    /// What a guard must allow.
    pub(crate) fn host(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// How many requests it has answered.
    pub(crate) async fn requests(&self) -> anyhow::Result<i64> {
        let ledger = reqwest::get(format!("{}/control/ledger", self.url)).await?;
        let ledger: serde_json::Value = serde_json::from_slice(&ledger.bytes().await?)?;
        ledger["requests"].as_i64().context("a number of requests")
    }

    /// Tells it something.
    pub(crate) async fn control(&self, what: &str) -> anyhow::Result<()> {
        let request = reqwest::Client::new().post(format!("{}/control/{what}", self.url));
        request.send().await?.error_for_status()?;
        Ok(())
    }
}

/// What the child does: serves until its input closes.
pub(crate) fn sample_api_process(arguments: &[String]) -> anyhow::Result<()> {
    let [subscribers, page_size] = arguments else {
        bail!("two numbers are needed")
    };
    let config = sample_api::Config {
        subscribers: subscribers.parse()?,
        page_size: page_size.parse()?,
        secret: SECRET.to_owned(),
        ..sample_api::Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = sample_api::Server::start(config).await?;
        writeln!(std::io::stdout(), "{}", server.url())?;
        let mut input = BufReader::new(tokio::io::stdin()).lines();
        while input.next_line().await?.is_some() {}
        server.shutdown().await;
        anyhow::Ok(())
    })
}
