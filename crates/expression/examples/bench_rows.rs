//! Prints what a record costs from bytes to rows, with the worker's allocator.
//!
//! `cargo run --release -p expression --example bench_rows`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people to run"
)]

use std::fmt::Write as _;
use std::time::Instant;

use expression::budget::Limits;
use expression::{Evaluator, Page, Reading, RunContext, Task, frame};
use jiff::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGES: u32 = 100;
const RECORDS: u32 = 100;
const ROUNDS: usize = 41;

fn main() {
    let pages: Vec<String> = (0..PAGES).map(subscribers).collect();
    let bytes: usize = pages.iter().map(String::len).sum();
    println!(
        "{PAGES} pages of {RECORDS} subscribers, {} bytes a record",
        bytes / (PAGES * RECORDS) as usize
    );
    for (name, expression) in [
        (
            "count by day and state",
            "subscribers.{ \"date\": created_at, \"value\": 1, \"dimensions\": { \"state\": state } }[]",
        ),
        (
            "the same with a key",
            "subscribers.{ \"date\": created_at, \"value\": 1, \"dimensions\": { \"state\": state }, \"key\": id }[]",
        ),
        (
            "filtered",
            "subscribers[state != \"cancelled\"].{ \"date\": created_at, \"value\": 1 }[]",
        ),
    ] {
        let task = |id| Task {
            id,
            expression: expression.to_owned(),
            whole_run: false,
            reading: Reading {
                dated: true,
                dimensions: vec!["state".to_owned()],
                ..Reading::default()
            },
        };
        println!("{name}: {:.0} ns a record", measure(vec![task(1)], &pages));
    }
    let four: Vec<Task> = (0..4)
        .map(|id| Task {
            id,
            expression: format!("subscribers.{{ \"date\": created_at, \"value\": {id} }}[]"),
            whole_run: false,
            reading: Reading::default(),
        })
        .collect();
    println!(
        "four metrics of one page: {:.0} ns a record and metric",
        measure(four, &pages) / 4.0
    );
    println!(
        "frames there and back: {:.0} ns a record",
        measure_frames(&pages)
    );
}

fn measure(tasks: Vec<Task>, pages: &[String]) -> f64 {
    let (mut evaluator, problems) =
        Evaluator::new(tasks, &RunContext::default(), Limits::default());
    assert!(problems.is_empty(), "{problems:?}");
    median(|| {
        let mut rows = 0;
        for (number, body) in (0..).zip(pages) {
            for result in evaluator.eval_page(&page(body, number)) {
                assert_eq!(result.rejected_count, 0, "{:?}", result.rejected);
                rows += result.rows.len();
            }
        }
        assert!(rows > 1000);
    })
}

/// A whole worker over pipes in memory, minus nothing: encoding, evaluation, decoding.
fn measure_frames(pages: &[String]) -> f64 {
    let task = Task {
        id: 1,
        expression: "subscribers.{ \"date\": created_at, \"value\": 1, \"dimensions\": { \"state\": state } }[]".to_owned(),
        whole_run: false,
        reading: Reading { dated: true, ..Reading::default() },
    };
    median(|| {
        let mut input = frame::compile(
            std::slice::from_ref(&task),
            &RunContext::default(),
            &Limits::default(),
        )
        .unwrap();
        for batch in pages.chunks(16) {
            let batch: Vec<Page<'_>> = (0..)
                .zip(batch)
                .map(|(number, body)| page(body, number))
                .collect();
            input.extend(frame::pages(&batch).unwrap());
        }
        let mut output = Vec::new();
        expression::worker_loop(&input[..], &mut output).unwrap();
        let mut output = &output[..];
        while let Some(message) = frame::read_message(&mut output).unwrap() {
            frame::reply(&message).unwrap();
        }
    })
}

fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e9 / f64::from(PAGES * RECORDS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn page(body: &str, number: u32) -> Page<'_> {
    Page {
        bytes: body.as_bytes(),
        number,
        first: number == 0,
        fetched_at: Timestamp::from_second(1_795_000_000).unwrap(),
    }
}

fn subscribers(page: u32) -> String {
    let mut body = format!(
        "{{\"total_subscribers\":10000,\"page\":{page},\"total_pages\":{PAGES},\"subscribers\":["
    );
    for n in 0..RECORDS {
        let id = page * RECORDS + n;
        let state = ["active", "active", "active", "cancelled", "bounced"][(id % 5) as usize];
        let (day, hour, minute) = (id % 28 + 1, id % 24, id % 60);
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(
            body,
            "{comma}{{\"id\":{id},\"first_name\":\"Name {id}\",\"email_address\":\"person{id}@example.com\",\
             \"state\":\"{state}\",\"created_at\":\"2026-{:02}-{day:02}T{hour:02}:{minute:02}:07.000Z\",\
             \"fields\":{{\"last_name\":\"Surname {id}\",\"company\":null,\"source\":\"landing page\"}}}}",
            id % 10 + 1,
        );
    }
    body.push_str("]}");
    body
}
