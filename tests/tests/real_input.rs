//! Data and a server that nobody here made: datasette serves Seattle's weather, every answer is
//! compared with SQL on the same file. The script is the one that `just demo-real` runs.

use std::process::Stdio;
use std::time::Duration;

use house_tests::{binary, install_real_servers, root};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// Runs a script of the repository to its end and returns whether it went well, with all it said.
///
/// One that takes longer is asked to end, so that it takes its own children with it.
async fn run(script: &str, arguments: &[&str], patience: Duration) -> (bool, String) {
    let child = Command::new("sh")
        .arg(script)
        .args(arguments)
        .current_dir(root())
        .env("TIDEMARK_BINARY", binary())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a script starts");
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    let in_time = tokio::time::timeout(patience, &mut ended).await;
    let is_late = in_time.is_err();
    let output = if let Ok(output) = in_time {
        output
    } else {
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM);
        }
        ended.await
    };
    let output = output.expect("a script can be waited for");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success() && !is_late, said.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_over_real_data_equals_sql() {
    install_real_servers().await;
    let (is_equal, said) = run(
        "deploy/local/demo-real.sh",
        &["--all"],
        Duration::from_mins(5),
    )
    .await;
    assert!(is_equal, "{said}");
    assert!(said.contains("seattle-weather.csv: 1461 rows"), "{said}");
    assert!(said.contains("seattle-temps.csv: 8759 rows"), "{said}");
    assert!(
        said.contains("heard on tidemark.v1.default.update.rain"),
        "{said}"
    );
    assert!(
        said.contains("801 numbers compared, 801 equal, 0 different"),
        "{said}"
    );
}
