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
    println!(
        "three fields into structs by hand: {:.0} ns a record",
        measure_structs(&pages)
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
    median(pages, |number, body| {
        for result in evaluator.eval_page(&page(body, number)) {
            assert_eq!(result.rejected_count, 0, "{:?}", result.rejected);
            assert!(result.rows.len() > 10);
        }
    })
}

/// The least that anything can do: the three fields into structs of their own.
fn measure_structs(pages: &[String]) -> f64 {
    #[derive(serde::Deserialize)]
    struct Body {
        subscribers: Vec<Record>,
    }
    #[derive(serde::Deserialize)]
    struct Record {
        created_at: String,
        state: String,
    }
    median(pages, |_, body| {
        let body: Body = serde_json::from_str(body).unwrap();
        assert!(
            body.subscribers
                .iter()
                .all(|record| record.created_at.len() + record.state.len() > 20)
        );
    })
}

/// A whole worker over pipes in memory, sixteen pages a frame: compiling, encoding, evaluating,
/// decoding.
fn measure_frames(pages: &[String]) -> f64 {
    let task = Task {
        id: 1,
        expression: "subscribers.{ \"date\": created_at, \"value\": 1, \"dimensions\": { \"state\": state } }[]".to_owned(),
        whole_run: false,
        reading: Reading { dated: true, ..Reading::default() },
    };
    let compile = frame::compile(
        std::slice::from_ref(&task),
        &RunContext::default(),
        &Limits::default(),
    )
    .unwrap();
    let batches: Vec<String> = pages.chunks(16).map(|batch| batch.join("\n")).collect();
    let records = f64::from(RECORDS) * 16.0;
    let whole = median(&batches[..6], |_, batch| {
        let batch: Vec<Page<'_>> = (0..)
            .zip(batch.lines())
            .map(|(number, body)| page(body, number))
            .collect();
        let input = [&compile[..], &frame::pages(&batch).unwrap()].concat();
        let mut output = Vec::new();
        expression::worker_loop(&input[..], &mut output).unwrap();
        let mut output = &output[..];
        while let Some(message) = frame::read_message(&mut output).unwrap() {
            frame::reply(&message).unwrap();
        }
    });
    whole * f64::from(RECORDS) / records
}

/// The median time of one page, by its records: pages are short enough to be undisturbed.
fn median(pages: &[String], mut work: impl FnMut(u32, &str)) -> f64 {
    let mut times = Vec::with_capacity(ROUNDS * pages.len());
    for _ in 0..ROUNDS {
        for (number, body) in (0..).zip(pages) {
            let start = Instant::now();
            work(number, body);
            times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(RECORDS));
        }
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn page(body: &str, number: u32) -> Page<'_> {
    Page {
        bytes: body.as_bytes(),
        number,
        first: number == 0,
        fetched_at: Timestamp::from_second(1_795_000_000).unwrap(),
        parent: None,
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
