//! What a record costs inside a worker process, from bytes to rows, frames included.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use expression::budget::Limits;
use expression::{Page, Reading, RunContext, Task, frame};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::own::{SECRET, SampleApi};
use super::report::{Row, median};
use super::usage;

const EXPRESSION: &str =
    r#"subscribers.{ "date": created_at, "value": 1, "dimensions": { "state": state } }[]"#;
const PAGES: u32 = 100;
const RECORDS: f64 = 10_000.0;
/// The kernel counts CPU in hundredths of a second; so many times make enough of them.
const REPEATS: u32 = 40;
/// As many pages as the evaluator sends at once.
const BATCH: usize = 16;
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures a worker over real pages.
pub(crate) async fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let api = SampleApi::start(10_000, 100).await?;
    let pages = pages(&api).await?;
    let mut child = Command::new(house_tests::binary())
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("the worker runs")?;
    let mut pipes = Pipes {
        input: child.stdin.take().context("stdin is piped")?,
        output: child.stdout.take().context("stdout is piped")?,
    };
    let task = Task {
        id: 1,
        expression: EXPRESSION.to_owned(),
        whole_run: false,
        reading: Reading {
            dated: true,
            dimensions: vec!["state".to_owned()],
            ..Reading::default()
        },
    };
    let compile = frame::compile(&[task], &RunContext::default(), &Limits::default())?;
    let frame::Reply::Ready(problems) = pipes.ask(&compile).await? else {
        bail!("not ready")
    };
    ensure!(problems.is_empty(), "{problems:?}");
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let batches = batches(&pages)?;
    pipes.evaluate(&batches).await?;
    let mut costs = Vec::new();
    for _ in 0..rounds {
        let before = usage::cpu(pid);
        for _ in 0..REPEATS {
            pipes.evaluate(&batches).await?;
        }
        costs.push((usage::cpu(pid) - before) * 1e6 / (RECORDS * f64::from(REPEATS)));
    }
    Ok(vec![
        Row::at_most(
            "evaluation from bytes to rows, inside the worker",
            median(&costs),
            1.2,
            " µs a record",
        )
        .note(format!(
            "CPU of `tidemark worker` with its frames; {:.0} bytes a record",
            bytes as f64 / RECORDS
        )),
    ])
}

struct Pipes {
    input: ChildStdin,
    output: ChildStdout,
}

impl Pipes {
    async fn evaluate(&mut self, batches: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut rows = 0;
        for batch in batches {
            let frame::Reply::Pages(pages) = self.ask(batch).await? else {
                bail!("not pages")
            };
            rows += pages
                .iter()
                .flatten()
                .map(|result| result.rows.len())
                .sum::<usize>();
        }
        ensure!(rows as f64 == RECORDS, "{rows} rows");
        Ok(())
    }

    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<frame::Reply> {
        let answer = async {
            self.input.write_all(request).await?;
            let mut header = [0; frame::HEADER_BYTES];
            self.output.read_exact(&mut header).await?;
            let mut message = vec![0; frame::message_length(header)?];
            self.output.read_exact(&mut message).await?;
            Ok(frame::reply(&message)?)
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .context("the worker does not answer")?
    }
}

fn batches(pages: &[Vec<u8>]) -> anyhow::Result<Vec<Vec<u8>>> {
    let fetched_at = Timestamp::now();
    let pages: Vec<Page<'_>> = (0..)
        .zip(pages)
        .map(|(number, bytes)| Page {
            bytes,
            number,
            first: number == 0,
            fetched_at,
            parent: None,
        })
        .collect();
    pages
        .chunks(BATCH)
        .map(|batch| Ok(frame::pages(batch)?))
        .collect()
}

async fn pages(api: &SampleApi) -> anyhow::Result<Vec<Vec<u8>>> {
    let client = reqwest::Client::new();
    let mut pages = Vec::new();
    for number in 1..=PAGES {
        let url = format!(
            "{}/v3/subscribers?api_secret={SECRET}&page={number}",
            api.url
        );
        pages.push(
            client
                .get(url)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await?
                .to_vec(),
        );
    }
    Ok(pages)
}
