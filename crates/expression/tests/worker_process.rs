//! A worker as a process of its own: what a hostile expression costs, and what it does not.
//!
//! The test runs itself with one argument to be that process, with the allocator and the limit that
//! the binary sets, which is why it has no harness.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test, though without a harness"
)]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use expression::budget::{FRAME_BYTES, Limits, MEMORY_BYTES};
use expression::frame::{self, Reply};
use expression::{FrameError, Page, Reading, RunContext, Task};
use jiff::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(limit) = arguments
        .get(1)
        .and_then(|text| text.strip_prefix("worker="))
    {
        let (resource, bytes) = limit.split_once(':').unwrap();
        let resource = match resource {
            "as" => rlimit::Resource::AS,
            _ => rlimit::Resource::DATA,
        };
        let bytes: u64 = bytes.parse().unwrap();
        resource.set(bytes, bytes).unwrap();
        // A worker's answers go to its output; why it ended is of no use to anyone.
        std::panic::set_hook(Box::new(|_| {}));
        expression::worker_loop(std::io::stdin().lock(), std::io::stdout().lock()).unwrap();
        return;
    }
    a_worker_answers_page_after_page();
    a_worker_sees_a_run_whole();
    bounded_hostility_is_an_error_and_the_worker_lives();
    more_than_a_frame_holds_is_an_error_and_the_worker_lives();
    nested_ranges_cost_the_worker_and_nothing_else("data");
    a_worker_of_the_wrong_protocol_ends();
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// The most resident memory seen, in KiB.
    peak: Arc<AtomicU64>,
}

impl Worker {
    fn start(resource: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("worker={resource}:{MEMORY_BYTES}"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let peak = Arc::new(AtomicU64::new(0));
        let (seen, status) = (Arc::clone(&peak), format!("/proc/{}/status", child.id()));
        std::thread::spawn(move || {
            // Ends with the process, whose status is then gone.
            while let Ok(text) = std::fs::read_to_string(&status) {
                let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
                    break;
                };
                let kib: u64 = line
                    .trim()
                    .trim_end_matches(" kB")
                    .trim()
                    .parse()
                    .unwrap_or(0);
                seen.fetch_max(kib, Ordering::Relaxed);
            }
        });
        Self {
            child,
            input,
            output,
            peak,
        }
    }

    fn ask(&mut self, request: &[u8]) -> std::io::Result<Reply> {
        frame::write_frame(&mut self.input, request)?;
        let message = frame::read_message(&mut self.output)?
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?;
        Ok(frame::reply(&message).unwrap())
    }

    fn end(mut self) -> (ExitStatus, u64) {
        drop(self.input);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.peak.load(Ordering::Relaxed));
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
            }
            std::thread::yield_now();
        }
    }
}

fn task(id: u32, expression: &str, whole_run: bool) -> Task {
    Task {
        id,
        expression: expression.to_owned(),
        whole_run,
        reading: Reading::default(),
    }
}

fn compiled(tasks: &[Task], limits: &Limits) -> Vec<u8> {
    frame::compile(tasks, &RunContext::default(), limits).unwrap()
}

fn page(body: &str, number: u32) -> Page<'_> {
    Page {
        bytes: body.as_bytes(),
        number,
        first: number == 0,
        fetched_at: Timestamp::UNIX_EPOCH,
        parent: None,
    }
}

fn a_worker_answers_page_after_page() {
    let mut worker = Worker::start("data");
    let tasks = [
        task(
            1,
            "items.{ \"value\": n, \"dimensions\": { \"d\": d }, \"key\": id }",
            false,
        ),
        task(2, "a.", false),
    ];
    let Reply::Ready(problems) = worker.ask(&compiled(&tasks, &Limits::default())).unwrap() else {
        panic!()
    };
    assert_eq!(problems.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
    let first = r#"{"items":[{"n":1,"d":"x","id":9007199254740993},{"n":2.5,"d":"y","id":2},{"n":"?","d":"y","id":3}]}"#;
    let pages = [
        page(first, 0),
        page(r#"{"items":[{"n":4,"d":"x","id":4}]}"#, 1),
        page("{", 2),
    ];
    let Reply::Pages(results) = worker.ask(&frame::pages(&pages).unwrap()).unwrap() else {
        panic!()
    };
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|results| {
            results[0]
                .rows
                .iter()
                .map(|row| format!("{:?} {:?}", row.value, row.dimensions))
                .collect()
        })
        .collect();
    assert_eq!(rows[0].len(), 2);
    assert!(
        rows[0][1].contains("2.5") && rows[0][1].contains('y'),
        "{rows:?}"
    );
    assert_eq!(
        results[0][0].rows[0].key.as_deref(),
        Some("9007199254740993")
    );
    assert_eq!(
        (
            results[0][0].rejected_count,
            results[0][0].rejected[0].index
        ),
        (1, 2)
    );
    assert_eq!(results[1][0].rows[0].page, 1);
    assert_eq!(
        results[2][0].error.as_ref().unwrap().code,
        "upstream.not_json"
    );
    let (status, _) = worker.end();
    assert!(status.success());
}

fn a_worker_sees_a_run_whole() {
    let mut worker = Worker::start("data");
    let tasks = [task(1, "{ \"value\": $count(items) }", true)];
    worker.ask(&compiled(&tasks, &Limits::default())).unwrap();
    for number in 0..3 {
        let body = format!("{{\"items\":[{number},{number}]}}");
        let held = worker
            .ask(&frame::hold(&[page(&body, number)]).unwrap())
            .unwrap();
        assert_eq!(held, Reply::Held(None));
    }
    let Reply::Run(results) = worker.ask(&frame::run().unwrap()).unwrap() else {
        panic!()
    };
    assert_eq!(format!("{:?}", results[0].rows[0].value), "Number(6)");
    worker.end();
}

fn bounded_hostility_is_an_error_and_the_worker_lives() {
    let mut worker = Worker::start("data");
    for (expression, code) in [
        ("$pad(\"x\", 1000000000)", "expression.string_limit"),
        (
            "($f := function($x){ $f($x+1)+1 }; $f(1))",
            "expression.stack",
        ),
        ("($f := function(){ $f() }; $f())", "expression.timeout"),
        ("[1..10000000]", "expression.sequence_limit"),
        (
            "$match(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\", /^(a+)+$/)",
            "expression.timeout",
        ),
        (
            "($s := function($t, $n) { $n = 0 ? $t : $s($t & $t, $n - 1) }; $s(\"xxxxxxxx\", 40))",
            "expression.string_limit",
        ),
    ] {
        let task = task(1, &format!("{{ \"value\": {expression} }}"), false);
        worker.ask(&compiled(&[task], &Limits::default())).unwrap();
        let Reply::Pages(results) = worker
            .ask(&frame::pages(&[page("{}", 0)]).unwrap())
            .unwrap()
        else {
            panic!()
        };
        assert_eq!(
            results[0][0].error.as_ref().unwrap().code,
            code,
            "{expression}"
        );
    }
    let (status, peak) = worker.end();
    assert!(status.success());
    assert!(peak * 1024 < MEMORY_BYTES, "{peak} KiB");
}

fn more_than_a_frame_holds_is_an_error_and_the_worker_lives() {
    // A page that no frame takes is refused before anything is sent.
    let large = "x".repeat(FRAME_BYTES + 1);
    assert!(matches!(
        frame::pages(&[page(&large, 0)]),
        Err(FrameError::TooLong(_))
    ));
    // Rows that each page may have, and no answer to all of them.
    let mut worker = Worker::start("data");
    let limits = Limits {
        page_time_ms: 60_000,
        ..Limits::default()
    };
    let rows = "[1..90000].{ \"value\": 1, \"key\": $pad($string($), 400, \"k\") }";
    worker
        .ask(&compiled(&[task(1, rows, false)], &limits))
        .unwrap();
    let ask = |worker: &mut Worker, pages: &[Page<'_>]| {
        let Reply::Pages(results) = worker.ask(&frame::pages(pages).unwrap()).unwrap() else {
            panic!()
        };
        results
    };
    let alone = ask(&mut worker, &[page("{}", 0)]);
    assert_eq!(
        (alone[0][0].rows.len(), &alone[0][0].error),
        (90_000, &None)
    );
    let together = ask(&mut worker, &[page("{}", 0), page("{}", 1), page("{}", 2)]);
    for results in &together {
        let error = results[0].error.as_ref().unwrap();
        assert_eq!(error.code, "expression.output_too_large");
    }
    let (status, peak) = worker.end();
    assert!(status.success());
    assert!(peak * 1024 < MEMORY_BYTES, "{peak} KiB");
}

/// With the time and size limits taken away, memory is what ends it: the worker dies by itself,
/// never past its limit, and the next one answers.
fn nested_ranges_cost_the_worker_and_nothing_else(resource: &str) {
    let limits = Limits {
        page_time_ms: 60_000,
        items: 100_000_000,
        text_bytes: 1 << 40,
        result_bytes: 1 << 40,
        steps: u64::MAX,
        depth: 1_000_000,
    };
    for expression in [
        "[1..10000].[[1..10000]]",
        "$map([1..1000000], function($i) { [1..1000000] })",
        "$pad(\"x\", 9999999) ~> $split(\"\")",
        "($s := function($t, $n) { $n = 0 ? $t : $s($t & $t, $n - 1) }; $length($s(\"xxxxxxxx\", 40)))",
    ] {
        let mut worker = Worker::start(resource);
        worker
            .ask(&compiled(&[task(1, expression, false)], &limits))
            .unwrap();
        let answer = worker.ask(&frame::pages(&[page("{}", 0)]).unwrap());
        let (status, peak) = worker.end();
        assert!(
            answer.is_err() && !status.success() || answer.is_ok(),
            "{expression}: {answer:?} {status}"
        );
        assert!(
            peak * 1024 <= MEMORY_BYTES + (64 << 20),
            "{expression}: {peak} KiB {status}"
        );
        if !expression.starts_with("$pad") {
            assert!(
                answer.is_err(),
                "{expression} should have met the memory limit: {peak} KiB"
            );
        }
    }
    a_worker_answers_page_after_page();
}

fn a_worker_of_the_wrong_protocol_ends() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[3, 0, 0, 0, 9, 9, 9],
    ] {
        let mut worker = Worker::start("data");
        // It may end before it has read everything.
        let _ = worker.input.write_all(bytes);
        let _ = worker.input.flush();
        let (status, _) = {
            let Worker {
                child,
                input,
                mut output,
                peak,
            } = worker;
            drop(input);
            let mut rest = Vec::new();
            let _ = output.read_to_end(&mut rest);
            assert!(rest.is_empty());
            let (input, output) = unused();
            Worker {
                child,
                input,
                output,
                peak,
            }
            .end()
        };
        assert!(!status.success());
    }
}

/// Pipes of a process that has ended, to fill the place of those used up.
fn unused() -> (ChildStdin, ChildStdout) {
    let mut child = Command::new("true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pipes = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    child.wait().unwrap();
    pipes
}
