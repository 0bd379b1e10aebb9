//! A standalone, or a cluster of single services, with a metric that can be synced.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bus::testing::TestServer;
use house_tests::{CommandLine, Process, Standalone, numbered_metric};
use serde::Deserialize;
use store::testing::TestPostgres;
use tempfile::TempDir;

use super::own::{SECRET, SampleApi};

/// The metric of [`numbered_metric`]: subscribers by day and state.
pub(crate) const METRIC: &str = "new_subscribers";
/// A sync on a busy machine, of a thousand pages.
const PATIENCE: Duration = Duration::from_mins(4);

#[derive(Deserialize)]
struct Accepted {
    run: String,
    runs: Vec<AcceptedRun>,
}

#[derive(Deserialize)]
struct AcceptedRun {
    run: String,
}

#[derive(Deserialize)]
struct Run {
    is_ended: bool,
    state: String,
}

/// Starts a standalone that may fetch from the sample API, with the metric synced once.
pub(crate) async fn standalone(api: &SampleApi) -> anyhow::Result<Standalone> {
    let house = Standalone::start(&[api.host()]).await;
    prepare(&house.cli, api).await?;
    first_sync(&house.cli).await?;
    Ok(house)
}

/// Keeps the secret and applies the metric.
pub(crate) async fn prepare(cli: &CommandLine, api: &SampleApi) -> anyhow::Result<()> {
    cli.secret("kit_api_secret", SECRET).await;
    cli.apply(&numbered_metric(&api.url)).await;
    Ok(())
}

/// Syncs once and waits, so that nothing is done for the first time afterwards.
pub(crate) async fn first_sync(cli: &CommandLine) -> anyhow::Result<()> {
    let ended = cli.sync(METRIC).await;
    ensure!(ended["state"] == "final", "the first sync: {ended}");
    Ok(())
}

/// Asks for syncs without a process of their own for each.
pub(crate) struct Asker {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Asker {
    /// Asks this gateway.
    pub(crate) fn of(cli: &CommandLine) -> Self {
        Self {
            client: reqwest::Client::new(),
            url: cli.url.clone(),
            token: cli.token.clone(),
        }
    }

    /// Asks for a sync and returns its run.
    pub(crate) async fn sync(&self, metric: &str) -> anyhow::Result<String> {
        let request = self
            .client
            .post(format!("{}/api/v1/metrics/{metric}/sync", self.url));
        let answer = request
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        Ok(serde_json::from_slice::<Accepted>(&answer.bytes().await?)?.run)
    }

    /// Asks for a past range and returns its runs.
    pub(crate) async fn backfill(
        &self,
        metric: &str,
        from: &str,
        until: &str,
    ) -> anyhow::Result<Vec<String>> {
        let request = self
            .client
            .post(format!("{}/api/v1/metrics/{metric}/backfill", self.url));
        let range = serde_json::json!({ "from": from, "until": until }).to_string();
        let answer = request
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(range)
            .send()
            .await?
            .error_for_status()?;
        let accepted: Accepted = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(accepted.runs.into_iter().map(|one| one.run).collect())
    }

    /// Waits until a run has ended well.
    pub(crate) async fn wait_for(&self, run: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = self.client.get(format!("{}/api/v1/runs/{run}", self.url));
            let answer = request
                .bearer_auth(&self.token)
                .send()
                .await?
                .error_for_status()?;
            let found: Run = serde_json::from_slice(&answer.bytes().await?)?;
            if found.is_ended {
                ensure!(found.state == "final", "run {run} is {}", found.state);
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "run {run} is still {}",
                found.state
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Every service in a process of its own, on PostgreSQL and one NATS.
pub(crate) struct Cluster {
    pub(crate) scheduler: Process,
    pub(crate) fetcher: Process,
    _more_fetchers: Vec<Process>,
    pub(crate) evaluator: Process,
    pub(crate) gateway: Process,
    pub(crate) cli: CommandLine,
    pub(crate) nats: TestServer,
    _postgres: TestPostgres,
    _folder: TempDir,
}

impl Cluster {
    /// Starts one that may fetch from this address.
    pub(crate) async fn start(allow: &str) -> anyhow::Result<Self> {
        Self::with_fetchers(allow, 1).await
    }

    /// Starts one with so many fetchers, at least one.
    pub(crate) async fn with_fetchers(allow: &str, fetchers: usize) -> anyhow::Result<Self> {
        let nats = TestServer::start().await;
        drop(nats.provisioned().await);
        let postgres = TestPostgres::start().await?;
        let store = postgres.database().await?;
        let opened = store::Store::open(&store).await?;
        opened.migrate().await?;
        opened.close().await;

        let folder = tempfile::tempdir()?;
        let (recipient, identity) = keys(folder.path())?;
        let listen = format!("127.0.0.1:{}", house_tests::free_port());
        let token = "tm_a_token_of_the_bench_that_nobody_else_knows";
        let broker = nats.url();
        let start = |service: &str, extra: &[&str]| {
            let words = [&[service, "--nats", &broker], extra].concat();
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            Process::start(&words, &[("TIDEMARK_TOKEN", token.to_owned())])
        };
        let gateway = start(
            "gateway",
            &[
                "--store",
                &store,
                "--listen",
                &listen,
                "--secret-recipient",
                &recipient,
            ],
        );
        let scheduler = start("scheduler", &["--store", &store]);
        let fetch = || {
            start(
                "fetcher",
                &["--allow-host", allow, "--secret-identity", &identity],
            )
        };
        let fetcher = fetch();
        let more_fetchers = (1..fetchers).map(|_| fetch()).collect();
        let evaluator = start("evaluator", &["--store", &store]);
        let cli = CommandLine {
            url: format!("http://{listen}"),
            token: token.to_owned(),
        };
        let ready = format!("{}/readyz", cli.url);
        house_tests::eventually("the gateway is ready", || async {
            reqwest::get(&ready)
                .await
                .ok()?
                .status()
                .is_success()
                .then_some(())
        })
        .await;
        Ok(Self {
            scheduler,
            fetcher,
            _more_fetchers: more_fetchers,
            evaluator,
            gateway,
            cli,
            nats,
            _postgres: postgres,
            _folder: folder,
        })
    }
}

/// Returns the id of a process that has to be running.
pub(crate) fn pid(process: &Process) -> anyhow::Result<u32> {
    process
        .id()
        .with_context(|| format!("it has ended: {}", process.errors()))
}

fn keys(folder: &Path) -> anyhow::Result<(String, String)> {
    let path = folder.join("identity.txt");
    let identities = service::Identity::load_or_create(&path)?;
    let recipient = identities
        .first()
        .context("an identity")?
        .recipient()
        .to_string();
    Ok((recipient, path.display().to_string()))
}
