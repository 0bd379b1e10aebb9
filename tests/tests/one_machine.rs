//! What whoever runs everything on one machine meets: a folder in use, a kill, a closed pipe, a wrong flag.

use std::process::Stdio;
use std::time::Duration;

use house_tests::{CommandLine, Process, Standalone, binary, eventually, numbered_metric};
use sample_api::Server;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

async fn slow_api(latency: Duration) -> Server {
    let config = sample_api::Config {
        subscribers: 300,
        page_size: 10,
        latency,
        ..sample_api::Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

async fn house(api: &Server) -> Standalone {
    let host = api.url().trim_start_matches("http://").to_owned();
    let house = Standalone::start(&[host]).await;
    house.cli.secret("kit_api_secret", "sample-secret").await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_is_refused_and_its_user_goes_on() {
    let api = slow_api(Duration::ZERO).await;
    let house = house(&api).await;
    let folder = house.data().display().to_string();
    let arguments = ["standalone", "--data", &folder, "--listen", "127.0.0.1:0"];
    let mut second = Process::start(&arguments.map(str::to_owned), &[]);
    assert_eq!(second.wait().await, Some(1));
    assert!(
        second.errors().contains("is in use by another tidemark"),
        "{}",
        second.errors()
    );
    assert!(second.output().is_empty(), "{}", second.output());

    let ended = house.cli.sync("new_subscribers").await;
    assert_eq!(
        (&ended["state"], &ended["rows"]),
        (&"final".into(), &300.into()),
        "{ended}"
    );
    let errors = house.process.errors();
    assert!(!errors.contains("nats-server ended by itself"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_kill_interrupted_goes_on_at_the_next_start() {
    let api = slow_api(Duration::from_millis(150)).await;
    let mut house = house(&api).await;
    // One page after the other, so that the number of requests says which of them were asked for again.
    let one_by_one = numbered_metric(&api.url()).replace(
        "auth: {",
        "rate_limit: { requests: 100000, per: 1s, concurrency: 1 }\nauth: {",
    );
    house.cli.apply(&one_by_one).await;
    let accepted = house
        .cli
        .run(&["sync", "new_subscribers", "-o", "json"])
        .await
        .json();
    let run = accepted["runs"][0]["run"]
        .as_str()
        .expect("a run")
        .to_owned();
    eventually("some pages were asked for", || async {
        (api.ledger().requests >= 20).then_some(())
    })
    .await;
    let begun = tokio::time::Instant::now();
    house = house.kill_and_restart().await;
    let cli = &house.cli;
    eventually("the run has ended", || async {
        let runs = cli
            .run(&["runs", "new_subscribers", "-o", "json"])
            .await
            .json();
        let own = runs["items"].as_array().into_iter().flatten();
        own.into_iter()
            .find(|one| one["id"] == run.as_str() && one["state"] == "final")
            .map(|_| ())
    })
    .await;
    // The broker alone would hold the request back for two minutes.
    assert!(
        begun.elapsed() < Duration::from_secs(100),
        "{:?}",
        begun.elapsed()
    );
    let answer = cli
        .query(
            "new_subscribers",
            &["--range", "all_time", "--granularity", "all"],
        )
        .await;
    let counted = answer["series"].as_array().into_iter().flatten();
    let counted: f64 = counted.filter_map(|one| one["total"].as_f64()).sum();
    assert!((counted - 300.0).abs() < f64::EPSILON, "{answer}");
    // Only the pages of the last second before the kill are asked for again.
    let requests = api.ledger().requests;
    assert!(
        (30..45).contains(&requests),
        "{requests} requests for 30 pages, of which 20 were fetched before the kill; {}",
        house.process.errors()
    );
}

#[tokio::test]
async fn a_reader_that_has_gone_ends_a_command_without_a_word() {
    let mut child = Command::new(binary())
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut first = String::new();
    let mut reader = BufReader::with_capacity(1, stdout);
    reader.read_line(&mut first).await.expect("a line");
    drop(reader);
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(first, "{\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn wrong_flags_of_services_are_wrong_usage_and_nothing_else_is_said() {
    let nowhere = CommandLine {
        url: String::new(),
        token: String::new(),
    };
    for (arguments, told) in [
        (
            &["standalone", "--allow-host", "foo"][..],
            "--allow-host foo",
        ),
        (
            &["standalone", "--listen", "nonsense"],
            "--listen: `nonsense`",
        ),
        (&["gateway"], "--store"),
        (&["scheduler", "--store", "nonsense"], "sqlite:PATH"),
        (&["gateway", "--store", "sqlite:x.db"], "--secret-recipient"),
        (
            &["fetcher", "--secret-identity", "/no/such/file"],
            "/no/such/file",
        ),
    ] {
        let said = nowhere.run(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(
            said.errors.starts_with("error: ") && said.errors.contains(told),
            "{arguments:?}: {said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recompute_that_is_waited_for_has_ended_and_says_how() {
    let api = slow_api(Duration::ZERO).await;
    let house = house(&api).await;
    let ended = house.cli.sync("new_subscribers").await;
    assert_eq!(ended["state"], "final", "{ended}");
    let recompute = ["recompute", "new_subscribers", "--wait", "-o", "json"];
    let doubled = numbered_metric(&api.url()).replace("{ count: true }", "'id - id + 2'");
    house.cli.apply(&doubled).await;
    let said = house.cli.run(&recompute).await.json();
    assert_eq!(said["state"], "final", "{said}");
    let total = async || {
        let all = ["--range", "all_time", "--granularity", "all"];
        let answer = house.cli.query("new_subscribers", &all).await;
        let series = answer["series"].as_array().into_iter().flatten();
        series.filter_map(|one| one["total"].as_f64()).sum::<f64>()
    };
    assert!((total().await - 600.0).abs() < f64::EPSILON);

    // Every row is rejected, so what was known stays.
    let broken = numbered_metric(&api.url()).replace("{ count: true }", "no_such_field");
    house.cli.apply(&broken).await;
    let said = house.cli.run(&recompute).await;
    assert_eq!(
        (said.code, &said.any_json()["state"]),
        (Some(1), &"failed".into()),
        "{said:?}"
    );
    assert!(said.errors.contains("what was known stays"), "{said:?}");
    assert!((total().await - 600.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_tells_the_apis_own_words_and_one_line_of_json_tells_all() {
    let api = slow_api(Duration::ZERO).await;
    let house = house(&api).await;
    let said = house
        .cli
        .run(&["sync", "new_subscribers", "--wait", "-o", "json"])
        .await;
    assert_eq!(said.output.lines().count(), 1, "{said:?}");
    assert_eq!(said.json()["state"], "final");

    house.cli.secret("kit_api_secret", "wrong").await;
    let said = house.cli.run(&["sync", "new_subscribers", "--wait"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.errors.contains("the API said: "), "{said:?}");
    assert!(
        said.errors
            .contains("tidemark preview --metric new_subscribers"),
        "{said:?}"
    );

    let said = house
        .cli
        .run_with(&["secret", "set", "Bad-Name"], "x")
        .await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.errors.contains("`bad_name` would do"), "{said:?}");
}
