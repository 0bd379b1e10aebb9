//! Every service in a process of its own, on PostgreSQL and one NATS, while they are killed.

use std::collections::BTreeSet;
use std::time::Duration;

use bus::testing::TestServer;
use house_tests::{
    CommandLine, Hearing, Process, eventually, free_port, numbered_metric, points, truth,
};
use sample_api::{Config, Server};
use serde_json::Value;
use store::testing::TestPostgres;

const SECRET: &str = "sample-secret";
/// How often somebody is killed.
const KILLS: usize = 32;
/// A dead fetcher's or evaluator's work is handed on after this; two minutes outside of tests.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// The services, each with what it is started with.
struct Cluster {
    processes: Vec<(Vec<String>, Process)>,
    cli: CommandLine,
    gateway_port: u16,
}

impl Cluster {
    async fn start(nats: &str, store: &str, allow: &str, folder: &std::path::Path) -> Self {
        let token = "tm_a_token_of_the_test_that_nobody_else_knows";
        let (recipient, identity) = store_identity(folder);
        let gateway_port = free_port();
        let own = |service: &str, extra: &[&str]| {
            let mut arguments: Vec<String> = vec![service.into(), "--nats".into(), nats.into()];
            arguments.extend(extra.iter().map(|one| (*one).to_owned()));
            arguments
        };
        let listen = format!("127.0.0.1:{gateway_port}");
        let fetcher = own(
            "fetcher",
            &["--allow-host", allow, "--secret-identity", &identity],
        );
        let evaluator = own("evaluator", &["--store", store, "--concurrency", "2"]);
        let services = [
            own("scheduler", &["--store", store]),
            fetcher.clone(),
            fetcher,
            evaluator.clone(),
            evaluator,
            own(
                "gateway",
                &[
                    "--store",
                    store,
                    "--listen",
                    &listen,
                    "--secret-recipient",
                    &recipient,
                ],
            ),
        ];
        let variables = [("TIDEMARK_TOKEN", token.to_owned())];
        let processes = services
            .into_iter()
            .map(|arguments| {
                let process = Process::start(&arguments, &variables);
                (arguments, process)
            })
            .collect();
        let cli = CommandLine {
            url: format!("http://{listen}"),
            token: token.to_owned(),
        };
        let cluster = Self {
            processes,
            cli,
            gateway_port,
        };
        cluster.wait_for_gateway().await;
        cluster
    }

    async fn wait_for_gateway(&self) {
        let port = self.gateway_port;
        eventually("the gateway is ready", || async move {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz"))
                .await
                .ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Kills one process without a word and starts its successor.
    async fn replace(&mut self, place: usize) {
        let (arguments, process) = &mut self.processes[place];
        process.kill().await;
        *process = Process::start(arguments, &[("TIDEMARK_TOKEN", self.cli.token.clone())]);
    }

    fn logs(&self) -> String {
        let logs: Vec<String> = self
            .processes
            .iter()
            .map(|(arguments, process)| format!("{}:\n{}", arguments[0], process.errors()))
            .collect();
        logs.join("\n")
    }
}

fn store_identity(folder: &std::path::Path) -> (String, String) {
    let path = folder.join("identity.txt");
    let identity = service::Identity::load_or_create(&path).expect("an identity can be made");
    (
        identity[0].recipient().to_string(),
        path.display().to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_nothing_is_lost_doubled_or_unannounced() {
    house_tests::crypto();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nats = TestServer::start().await;
    let bus = nats.bus().await;
    let provision = bus::Provision {
        ack_wait: Some(ACK_WAIT),
        ..bus::Provision::default()
    };
    bus.provision(&provision).await.expect("streams are made");
    let postgres = TestPostgres::start().await.expect("PostgreSQL starts");
    let url = postgres.database().await.expect("a database is made");
    store::Store::open(&url)
        .await
        .expect("the store opens")
        .migrate()
        .await
        .expect("it migrates");

    let config = Config {
        subscribers: 1_000,
        secret: SECRET.into(),
        latency: Duration::from_millis(15),
        ..Config::default()
    };
    let api = Server::start(config).await.expect("the sample API starts");
    let mut cluster =
        Cluster::start(&nats.url(), &url, &api.address().to_string(), folder.path()).await;
    let hearing = Hearing::updates(&nats.url()).await;
    cluster.cli.apply(&numbered_metric(&api.url())).await;
    cluster.cli.secret("kit_api_secret", SECRET).await;
    assert_eq!(
        cluster.cli.sync("new_subscribers").await["state"],
        "final",
        "{}",
        cluster.logs()
    );

    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..KILLS {
        api.add_subscribers(
            1 + u32::try_from(next(3)).expect("small"),
            jiff::Timestamp::now(),
        );
        let accepted = cluster
            .cli
            .run(&["sync", "new_subscribers", "-o", "json"])
            .await
            .json();
        tokio::time::sleep(Duration::from_millis(next(250))).await;
        let victim = round % cluster.processes.len();
        cluster.replace(victim).await;
        cluster.wait_for_gateway().await;
        let run = accepted["run"].as_str().expect("a run").to_owned();
        let state = wait_for_end(&cluster, &run).await;
        assert!(
            state == "final" || state == "superseded",
            "round {round}: {state}\n{}",
            cluster.logs()
        );
    }
    // One more sync with nobody killed: what came after the last run's first page is in it.
    assert_eq!(cluster.cli.sync("new_subscribers").await["state"], "final");

    let range = [
        "--range",
        "all_time",
        "--granularity",
        "day",
        "--group-by",
        "state",
    ];
    let answer = cluster.cli.query("new_subscribers", &range).await;
    assert_eq!(
        points(&answer),
        truth(&api),
        "every bucket equals what the API served"
    );
    let version = answer["version"].as_i64().expect("a version");
    let heard = eventually("every version is announced", || async {
        let heard: BTreeSet<i64> = hearing
            .all()
            .iter()
            .filter_map(|update| update["version"].as_i64())
            .collect();
        (heard.len() == usize::try_from(version).unwrap_or_default()).then_some(heard)
    })
    .await;
    assert_eq!(heard, (1..=version).collect());
}

async fn wait_for_end(cluster: &Cluster, run: &str) -> String {
    let (url, token) = (&cluster.cli.url, &cluster.cli.token);
    let client = reqwest::Client::new();
    eventually("the run ends", || {
        let request = client
            .get(format!("{url}/api/v1/runs/{run}"))
            .bearer_auth(token);
        async move {
            let text = request.send().await.ok()?.text().await.ok()?;
            let run: Value = serde_json::from_str(&text).ok()?;
            run["is_ended"]
                .as_bool()?
                .then(|| run["state"].as_str().unwrap_or_default().to_owned())
        }
    })
    .await
}
