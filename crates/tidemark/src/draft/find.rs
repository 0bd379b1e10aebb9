//! What an answer seems to hold: its tree, the metrics it offers, and how it pages.

use expression::profile::{Profile, Suggestion, Survey, suggestions};
use fetcher::detect::{Candidate, FirstAnswer, detect, stated_pages};
use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, select};

/// Suggestions told in the comments of a draft; the first is written out.
const TOLD: usize = 6;

/// What was found in an answer.
#[derive(Debug)]
pub(crate) struct Findings {
    /// What stands where.
    pub(crate) profile: Profile,
    /// Metrics that it seems to offer, the likeliest first; never empty.
    pub(crate) suggestions: Vec<Suggestion>,
    /// How the next page may be found, the best first.
    pub(crate) pagination: Vec<Candidate>,
    /// How many pages the answer states.
    pub(crate) pages: Option<u64>,
}

impl Findings {
    /// Looks at an answer.
    pub(crate) fn of(answer: &Answer<'_>) -> Self {
        let mut survey = Survey::new(Timestamp::now());
        // It was one JSON document already; what cannot be surveyed offers nothing.
        let _ = survey.page(answer.body.to_string().as_bytes());
        let profile = survey.profile();
        let first = FirstAnswer {
            url: answer.url,
            sent: None,
            headers: answer.answered,
            body: answer.body,
            records: None,
        };
        Self {
            suggestions: suggestions(&profile),
            profile,
            pagination: detect(&first),
            pages: stated_pages(&first),
        }
    }

    /// What was found, for people.
    pub(crate) fn suggestions(&self) -> Vec<String> {
        let mut lines = vec!["what could be a metric; the first is written below:".to_owned()];
        for one in self.suggestions.iter().take(TOLD) {
            lines.push(format!("  {} ({})", one.title, one.why));
            let written = serde_json::to_value(&one.select).unwrap_or(Value::Null);
            lines.push(format!(
                "    select: {{ {} }}",
                select::lines(&written).join(", ")
            ));
        }
        lines.extend(self.paging());
        lines
    }

    /// How it pages, for people.
    fn paging(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.pagination.split_first() {
            Some((best, others)) => {
                let how = best.pagination.as_str();
                let seen = best.reasons.join("; ");
                lines.push(format!(
                    "pagination: {how} ({}): {seen}",
                    best.certainty.as_str()
                ));
                for doubt in &best.doubts {
                    lines.push(format!("  to be checked: {doubt}"));
                }
                for other in others {
                    let written = super::yaml::pagination(other);
                    lines.push(format!("  or {written}: {}", other.reasons.join("; ")));
                }
            }
            None if self
                .suggestions
                .iter()
                .any(|one| one.select.records.is_some()) =>
            {
                lines.push(
                    "pagination: none was recognised; look into the API's documentation".into(),
                );
            }
            None => {}
        }
        lines
    }
}
