//! The loop of a worker process: requests in, replies out, until the input ends.

use std::io::{self, Read, Write};

use definition::window::Interval;
use jiff::Timestamp;

use crate::budget::{Limits, RUN_BYTES, TASKS};
use crate::evaluate::{Evaluator, Page, RunContext};
use crate::frame::{
    PageFrame, ReplyFrame, Request, ResultFrame, encode, invalid, read_message, write_frame,
};
use crate::{EvaluationError, FrameError, TaskResult};

/// Answers the frames of `input` on `output` until the input ends: the whole of `tidemark worker`.
///
/// Whoever starts it sets the memory limit first (see [`budget`](crate::budget)) and kills it when
/// an answer takes longer than [`REQUEST_WALL`](crate::budget::REQUEST_WALL).
///
/// # Errors
///
/// A broken pipe, or a frame that is not of this protocol: the worker then ends, since nothing
/// behind such a frame can be trusted.
pub fn worker_loop(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let (mut evaluator, _) = Evaluator::new(Vec::new(), &RunContext::default(), Limits::default());
    let mut held = Held::default();
    while let Some(message) = read_message(&mut input)? {
        let request = postcard::from_bytes::<Request<'_>>(&message)
            .map_err(|error| invalid(FrameError::Malformed(error)))?;
        let reply = match request {
            Request::Compile {
                tasks,
                window,
                parent,
                limits,
            } => {
                if tasks.len() > TASKS {
                    return Err(invalid(FrameError::TooLong(tasks.len())));
                }
                held = Held::default();
                let context = RunContext {
                    window: window.and_then(interval),
                    parent: parent.and_then(|parent| serde_json::from_str(&parent).ok()),
                };
                let (compiled, problems) = Evaluator::new(tasks, &context, limits);
                evaluator = compiled;
                ReplyFrame::Ready(problems)
            }
            Request::Pages(pages) => ReplyFrame::Pages(
                pages
                    .iter()
                    .map(|page| packed(evaluator.eval_page(&page.page())))
                    .collect(),
            ),
            Request::Hold(pages) => ReplyFrame::Held(held.keep(&pages)),
            Request::Run => {
                let held = std::mem::take(&mut held);
                ReplyFrame::Run(packed(evaluator.eval_run(&held.pages())))
            }
        };
        let frame = match encode(&reply) {
            Ok(frame) => frame,
            Err(_) => encode(&too_large(&reply)).map_err(invalid)?,
        };
        write_frame(&mut output, &frame)?;
    }
    Ok(())
}

fn packed(results: Vec<TaskResult>) -> Vec<ResultFrame> {
    results.into_iter().map(ResultFrame::pack).collect()
}

fn interval((start, end): (i64, i64)) -> Option<Interval> {
    Some(Interval::new(
        Timestamp::from_millisecond(start).ok()?,
        Timestamp::from_millisecond(end).ok()?,
    ))
}

/// The same reply with an error in place of every result: rows that fit no frame fit no memory.
fn too_large(reply: &ReplyFrame) -> ReplyFrame {
    let error = || {
        EvaluationError::new(
            "expression.output_too_large",
            "the rows of these pages are too many",
        )
    };
    let failed = |results: &Vec<ResultFrame>| {
        packed(
            results
                .iter()
                .map(|result| TaskResult::failed(result.id(), error()))
                .collect(),
        )
    };
    match reply {
        ReplyFrame::Pages(pages) => ReplyFrame::Pages(pages.iter().map(failed).collect()),
        ReplyFrame::Run(results) => ReplyFrame::Run(failed(results)),
        ReplyFrame::Ready(_) | ReplyFrame::Held(_) => ReplyFrame::Held(Some(error())),
    }
}

/// Pages kept until the run is evaluated.
#[derive(Default)]
struct Held {
    pages: Vec<(Vec<u8>, u32, bool, Timestamp)>,
    bytes: usize,
}

impl Held {
    fn keep(&mut self, pages: &[PageFrame<'_>]) -> Option<EvaluationError> {
        for page in pages {
            let page = page.page();
            self.bytes += page.bytes.len();
            if self.bytes > RUN_BYTES {
                self.pages.clear();
                return Some(EvaluationError::new(
                    "expression.run_too_large",
                    format!(
                        "the run has more than the limit of {RUN_BYTES} bytes for `scope: run`"
                    ),
                ));
            }
            self.pages.push((
                page.bytes.to_vec(),
                page.number,
                page.first,
                page.fetched_at,
            ));
        }
        None
    }

    fn pages(&self) -> Vec<Page<'_>> {
        self.pages
            .iter()
            .map(|(bytes, number, first, fetched_at)| Page {
                bytes,
                number: *number,
                first: *first,
                fetched_at: *fetched_at,
            })
            .collect()
    }
}
