//! The loop of a worker process: requests in, replies out, until the input ends.

use std::io::{self, Read, Write};

use definition::window::Interval;
use jiff::Timestamp;

use crate::budget::{Limits, RUN_BYTES, TASKS};
use crate::evaluate::{Evaluator, Page, RunContext};
use crate::frame::{
    PageFrame, ReplyFrame, Request, ResultFrame, encode, invalid, read_message, write_frame,
};
use crate::profile::{Look, Survey};
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
    let mut survey: Option<Survey> = None;
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
                survey = None;
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
            Request::Survey(pages) => {
                let mut problem = None;
                for page in pages.iter().map(PageFrame::page) {
                    let survey = survey.get_or_insert_with(|| Survey::new(page.fetched_at));
                    problem = problem.or(survey.page(page.bytes).err());
                }
                ReplyFrame::Held(problem)
            }
            Request::Profile => {
                let look = survey.take().map(|survey| Look::of(survey.profile()));
                ReplyFrame::Profile(
                    look.and_then(|look| serde_json::to_string(&look).ok())
                        .unwrap_or_default(),
                )
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
        ReplyFrame::Ready(_) | ReplyFrame::Held(_) | ReplyFrame::Profile(_) => {
            ReplyFrame::Held(Some(error()))
        }
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
                parent: None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::FRAME_BYTES;
    use crate::frame::{self, Reply};
    use crate::{Reading, Task};

    fn task(id: u32, expression: &str, whole_run: bool) -> Task {
        Task {
            id,
            expression: expression.to_owned(),
            whole_run,
            reading: Reading::default(),
        }
    }

    fn page(body: &str, number: u32) -> Page<'_> {
        let fetched_at = "2026-11-23T12:00:00.5Z".parse().unwrap();
        Page {
            bytes: body.as_bytes(),
            number,
            first: number == 0,
            fetched_at,
            parent: None,
        }
    }

    fn talk(requests: &[Vec<u8>]) -> Vec<Reply> {
        let mut output = Vec::new();
        worker_loop(&requests.concat()[..], &mut output).unwrap();
        let mut output = &output[..];
        let mut replies = Vec::new();
        while let Some(message) = read_message(&mut output).unwrap() {
            replies.push(frame::reply(&message).unwrap());
        }
        replies
    }

    #[test]
    fn a_worker_gives_what_an_evaluator_gives() {
        let tasks = [
            task(
                3,
                "items.{ \"value\": n, \"date\": $now(), \"unit\": u, \"key\": id, \"dimensions\": { \"d\": d } }",
                false,
            ),
            task(
                4,
                "{ \"value\": $parent.x, \"date\": $window.start }",
                false,
            ),
        ];
        let context = RunContext {
            window: interval((1_700_000_000_000, 1_800_000_000_000)),
            parent: Some(serde_json::json!({"x": 0.1})),
        };
        let bodies = [
            r#"{"items":[{"n":1,"d":"x","u":"USD","id":1},{"n":0.25,"d":"y","u":"EUR","id":2},{"n":1e300,"d":"x","id":3},{}]}"#,
            r#"{"items":[{"n":123456789012345678901234567890,"d":"x","id":4}]}"#,
            "not json",
        ];
        let pages: Vec<Page<'_>> = (0..)
            .zip(bodies)
            .map(|(number, body)| page(body, number))
            .collect();
        let (mut own, problems) = Evaluator::new(tasks.to_vec(), &context, Limits::default());
        let expected: Vec<_> = pages.iter().map(|page| own.eval_page(page)).collect();
        assert!(problems.is_empty());
        assert_eq!(expected[0][0].rows.len(), 3);
        let replies = talk(&[
            frame::compile(&tasks, &context, &Limits::default()).unwrap(),
            frame::pages(&pages).unwrap(),
        ]);
        assert_eq!(replies, [Reply::Ready(Vec::new()), Reply::Pages(expected)]);
    }

    #[test]
    fn what_pages_hold_is_told_with_what_they_offer() {
        let mut pages = vec![page(
            r#"{"items":[{"id":1,"at":"2026-01-05T10:00:00Z"}]}"#,
            0,
        )];
        let replies = talk(&[
            frame::survey(&pages).unwrap(),
            frame::survey(&[page("<html>", 1)]).unwrap(),
            frame::profile().unwrap(),
            frame::profile().unwrap(),
        ]);
        assert_eq!(replies[0], Reply::Held(None));
        assert!(
            matches!(&replies[1], Reply::Held(Some(problem)) if problem.code == "upstream.not_json")
        );
        let mut survey = Survey::new(pages[0].fetched_at);
        survey.page(pages.remove(0).bytes).unwrap();
        let look = serde_json::to_string(&Look::of(survey.profile())).unwrap();
        assert_eq!(replies[2], Reply::Profile(look));
        assert_eq!(replies[3], Reply::Profile(String::new()), "told once");
    }

    #[test]
    fn what_was_held_is_let_go_with_the_run() {
        let tasks = [task(1, "{ \"value\": $count(n) }", true)];
        let replies = talk(&[
            frame::compile(&tasks, &RunContext::default(), &Limits::default()).unwrap(),
            frame::hold(&[page("{\"n\":1}", 0)]).unwrap(),
            frame::hold(&[page("{\"n\":2}", 1)]).unwrap(),
            frame::run().unwrap(),
            frame::run().unwrap(),
        ]);
        let count = |reply: &Reply| match reply {
            Reply::Run(results) => results[0].rows[0].value.text().into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(replies[2], Reply::Held(None));
        assert_eq!(
            (count(&replies[3]), count(&replies[4])),
            ("2".to_owned(), "0".to_owned())
        );
    }

    #[test]
    fn a_run_that_is_too_large_is_refused_before_it_is_held() {
        let body = " ".repeat(RUN_BYTES / 2 + 1);
        let replies = talk(&[
            frame::hold(&[page(&body, 0)]).unwrap(),
            frame::hold(&[page(&body, 1)]).unwrap(),
        ]);
        assert_eq!(replies[0], Reply::Held(None));
        assert!(
            matches!(&replies[1], Reply::Held(Some(error)) if error.code == "expression.run_too_large")
        );
    }

    #[test]
    fn frames_are_bounded_and_cut_ones_are_errors() {
        let long = u32::try_from(FRAME_BYTES + 1).unwrap().to_le_bytes();
        assert!(frame::message_length(long).is_err());
        let mut output = Vec::new();
        assert!(worker_loop(&long[..], &mut output).is_err());
        let whole = frame::run().unwrap();
        assert!(worker_loop(&whole[..whole.len() - 1], &mut output).is_err());
        assert!(worker_loop(&whole[..2], &mut output).is_err());
        assert!(worker_loop(&[][..], &mut output).is_ok());
        assert!(output.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = frame::reply(&message);
            let length = u32::try_from(message.len()).unwrap().to_le_bytes();
            let _ = worker_loop(&[&length[..], &message].concat()[..], Vec::new());
        }

        #[test]
        fn arbitrary_pages_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:a0-9.e\\\\ -]{0,60}") {
            let tasks = vec![
                task(1, "a.{ \"value\": b, \"date\": c, \"dimensions\": { \"d\": d }, \"key\": e }", false),
                task(2, "$.{ \"value\": $ }", false),
                task(3, "**", false),
            ];
            let (mut evaluator, _) = Evaluator::new(tasks, &RunContext::default(), Limits::default());
            for bytes in [&body[..], json.as_bytes()] {
                let page = Page { bytes, ..page("", 0) };
                prop_assert_eq!(evaluator.eval_page(&page).len(), 3);
            }
        }
    }
}
