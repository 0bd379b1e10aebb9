//! How far a sync has come: a bar on a terminal, plain lines elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Plain lines come no more often than this.
const LINES_EVERY: Duration = Duration::from_secs(3);

/// Shows the progress of one metric's runs on stderr.
pub(crate) struct Progress {
    bar: ProgressBar,
    name: String,
    is_terminal: bool,
    began: Instant,
    said: Mutex<Option<Instant>>,
}

impl Progress {
    /// Begins to show.
    pub(crate) fn new(name: &str, is_terminal: bool) -> Self {
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // Names are cut and the bar takes what is left, so that a line of 80 characters is enough.
        let style = ProgressStyle::with_template("{prefix:18!} {wide_bar:.cyan/blue} {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Self {
            bar,
            name: name.to_owned(),
            is_terminal,
            began: Instant::now(),
            said: Mutex::new(None),
        }
    }

    /// Shows what was heard of the runs so far.
    pub(crate) fn show<'a>(
        &self,
        heard: impl Iterator<Item = &'a Value>,
        ended: usize,
        runs: usize,
    ) {
        let (mut pages, mut stated, mut records) = (0, Some(0), 0);
        let mut waiting = "";
        for one in heard {
            let why = one.get("waiting_for").and_then(Value::as_str);
            waiting = why.filter(|why| !why.is_empty()).unwrap_or(waiting);
            let number = |field: &str| one.get(field).and_then(Value::as_u64);
            pages += number("pages").unwrap_or_default();
            records += number("records").unwrap_or_default();
            stated = stated
                .zip(number("stated_pages"))
                .map(|(sum, more)| sum + more);
        }
        if pages == 0 && waiting.is_empty() {
            return;
        }
        let took = self.began.elapsed();
        let text = text(pages, stated, records, (ended, runs), took, waiting);
        self.bar.set_length(stated.unwrap_or(pages).max(pages));
        self.bar.set_position(pages);
        self.bar.set_message(text.clone());
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.is_terminal
            && said.is_none_or(|last| last.elapsed() >= LINES_EVERY)
            && ended < runs
        {
            *said = Some(Instant::now());
            eprintln!("{}: {text}", self.name);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn text(
    pages: u64,
    stated: Option<u64>,
    records: u64,
    (ended, runs): (usize, usize),
    took: Duration,
    waiting: &str,
) -> String {
    let of = stated
        .map(|stated| format!(" of {stated}"))
        .unwrap_or_default();
    let rate = records as f64 / took.as_secs_f64().max(0.001);
    let parts = if runs > 1 {
        format!(", {ended} of {runs} windows")
    } else {
        String::new()
    };
    let noun = if pages == 1 && stated.is_none_or(|stated| stated == 1) {
        "page"
    } else {
        "pages"
    };
    let waiting = match waiting {
        "" => String::new(),
        why => format!("; {why}"),
    };
    format!("{pages}{of} {noun}, {records} records, {rate:.0} records/s{parts}{waiting}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_waits_for_stands_behind_what_it_has() {
        let took = Duration::from_secs(2);
        let why = "retrying 503, 3rd try, in 4 s";
        assert_eq!(
            text(3, Some(10), 30, (0, 1), took, why),
            "3 of 10 pages, 30 records, 15 records/s; retrying 503, 3rd try, in 4 s"
        );
        assert_eq!(
            text(1, None, 3, (1, 2), took, ""),
            "1 page, 3 records, 2 records/s, 1 of 2 windows"
        );
    }
}
