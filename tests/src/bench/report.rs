//! Rows of the report, and the numbers in the middle.

use std::fmt;

/// One measured thing.
pub(crate) struct Row {
    what: String,
    measured: String,
    bar: String,
    verdict: Verdict,
    note: String,
}

enum Verdict {
    Met,
    Missed,
    /// Measured for scale only.
    NoBar,
    Failed,
}

impl Row {
    /// A number that should be at most `bar`.
    pub(crate) fn at_most(what: &str, value: f64, bar: f64, unit: &str) -> Self {
        Self::judged(
            what,
            value,
            value <= bar,
            format!("≤ {}{unit}", plain(bar)),
            unit,
        )
    }

    /// A number that should be at least `bar`.
    pub(crate) fn at_least(what: &str, value: f64, bar: f64, unit: &str) -> Self {
        Self::judged(
            what,
            value,
            value >= bar,
            format!("≥ {}{unit}", plain(bar)),
            unit,
        )
    }

    /// A number for scale.
    pub(crate) fn scale(what: &str, value: f64, unit: &str) -> Self {
        let measured = format!("{}{unit}", plain(value));
        Self {
            what: what.to_owned(),
            measured,
            bar: String::new(),
            verdict: Verdict::NoBar,
            note: String::new(),
        }
    }

    /// A measurement that did not work.
    pub(crate) fn failed(what: &str, error: &anyhow::Error) -> Self {
        let note = format!("{error:#}").chars().take(400).collect();
        let (measured, bar) = ("–".to_owned(), String::new());
        Self {
            what: what.to_owned(),
            measured,
            bar,
            verdict: Verdict::Failed,
            note,
        }
    }

    /// Adds what helps to read the number.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn judged(what: &str, value: f64, met: bool, bar: String, unit: &str) -> Self {
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        Self {
            what: what.to_owned(),
            measured: format!("{}{unit}", plain(value)),
            bar,
            verdict,
            note: String::new(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} |",
            self.what, self.measured, self.bar, self.verdict, self.note
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NoBar => "",
            Self::Failed => "FAILED",
        })
    }
}

/// Returns the whole report.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = "| what | measured | bar | | note |\n|---|---|---|---|---|".to_owned();
    let lines: Vec<String> = std::iter::once(head)
        .chain(rows.iter().map(Row::to_string))
        .collect();
    lines.join("\n")
}

/// Returns the number in the middle; nothing of nothing is not a number.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns the smallest value that is at least as large as this share of them all.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Three digits that count.
fn plain(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || (size.fract() == 0.0 && size > 0.0) {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
