//! The least that could be done: get the pages one after the other, parse them into structs, count.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::own::{FLOOR, Own, SECRET};
use super::usage;

/// The whole work this often for one reading, since the kernel counts CPU in hundredths.
const REPEATS: u32 = 20;

#[derive(Deserialize)]
struct Page<'a> {
    total_pages: u32,
    #[serde(borrow)]
    subscribers: Vec<Subscriber<'a>>,
}

#[derive(Deserialize)]
struct Subscriber<'a> {
    created_at: &'a str,
    state: &'a str,
}

/// What the whole work takes.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds of CPU, user and system.
    pub(crate) cpu: f64,
    /// Seconds.
    pub(crate) wall: f64,
}

/// A floor that waits to be asked, with its connection open.
pub(crate) struct Floor {
    process: Own,
    input: tokio::process::ChildStdin,
}

impl Floor {
    /// Starts one over this API.
    pub(crate) fn start(api: &str) -> anyhow::Result<Self> {
        let mut process = Own::start(&[FLOOR.to_owned(), api.to_owned()])?;
        let input = process.input().context("stdin is piped")?;
        Ok(Self { process, input })
    }

    /// Does the whole work a few times.
    pub(crate) async fn round(&mut self) -> anyhow::Result<Cost> {
        use tokio::io::AsyncWriteExt as _;
        let pid = self.process.pid()?;
        let before = usage::cpu(pid);
        self.input.write_all(b"go\n").await?;
        let wall: f64 = self.process.line().await?.parse()?;
        let cpu = (usage::cpu(pid) - before) / f64::from(REPEATS);
        Ok(Cost { cpu, wall })
    }
}

/// What the child does: the whole work for every line it reads, then how long one took.
pub(crate) fn process(arguments: &[String]) -> anyhow::Result<()> {
    let [api] = arguments else {
        bail!("one address is needed")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = reqwest::Client::new();
    runtime.block_on(walk(&client, api))?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let started = Instant::now();
            runtime.block_on(walk(&client, api))?;
            times.push(started.elapsed().as_secs_f64());
        }
        writeln!(std::io::stdout(), "{}", super::report::median(&times))?;
    }
    Ok(())
}

async fn walk(
    client: &reqwest::Client,
    api: &str,
) -> anyhow::Result<BTreeMap<(String, String), u64>> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut number = 1;
    loop {
        let url = format!("{api}/v3/subscribers?api_secret={SECRET}&page={number}");
        let body = client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        let page: Page<'_> = serde_json::from_slice(&body)?;
        for one in &page.subscribers {
            let day = one.created_at.get(..10).context("a date")?;
            *counts
                .entry((day.to_owned(), one.state.to_owned()))
                .or_default() += 1;
        }
        if number >= page.total_pages {
            return Ok(counts);
        }
        number += 1;
    }
}
