//! How an attempt to fetch ended.

use crate::message::{Message, Part};
use crate::subject::{self, InvalidToken, Subject};
use crate::vocabulary::words;

pub use crate::generated::{RunError, RunManifest};

words! {
    /// What came of an attempt.
    RunOutcome {
        /// All there was to fetch was fetched.
        Complete = "complete",
        /// A bound was met before the end.
        Truncated = "truncated",
        /// It failed; the pages must not be evaluated.
        Failed = "failed",
        /// It was interrupted and goes on later as the same run.
        Checkpoint = "checkpoint",
    }
}

words! {
    /// Which rule ended an attempt.
    RunEnd {
        /// The stated total was reached.
        TotalReached = "total_reached",
        /// The answer said that there is no more.
        HasMoreFalse = "has_more_false",
        /// A page without records.
        EmptyPage = "empty_page",
        /// A page with fewer records than its size.
        ShortPage = "short_page",
        /// No link or cursor to a next page.
        NoNext = "no_next",
        /// The bound on pages was met.
        PageCap = "page_cap",
        /// A page or cursor repeated itself.
        RepeatedPage = "repeated_page",
        /// Every record of the parent dataset was asked for.
        AllParents = "all_parents",
        /// The bound on records of the parent dataset was met.
        ParentCap = "parent_cap",
        /// The request has no pagination.
        SinglePage = "single_page",
        /// It failed.
        Failed = "failed",
        /// It was interrupted.
        Checkpoint = "checkpoint",
    }
}

impl RunManifest {
    /// Splits the manifest so that no part lists more than `pages_per_part` pages.
    ///
    /// The sequences of the earlier parts are written into the last one when they are known, after publishing.
    pub fn into_parts(mut self, pages_per_part: usize) -> Vec<Self> {
        let pages = std::mem::take(&mut self.pages);
        let mut chunks: Vec<Vec<_>> = Vec::new();
        for page in pages {
            match chunks.last_mut() {
                Some(chunk) if chunk.len() < pages_per_part.max(1) => chunk.push(page),
                _ => chunks.push(vec![page]),
            }
        }
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        (1..=parts)
            .zip(chunks)
            .map(|(part, pages)| Self {
                pages,
                part,
                parts,
                ..self.clone()
            })
            .collect()
    }
}

/// Required by a manifest whose pages belong to records of a parent dataset.
pub const PARENT: &str = "pages.parent";

impl Message for RunManifest {
    const NAME: &'static str = "RunManifest";

    const ABILITIES: &'static [&'static str] = &[PARENT];

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::run(&self.workspace, &self.dataset)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("dataset", &self.dataset),
            ("run", &self.run),
            ("outcome", &self.outcome),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }

    fn run(&self) -> Option<(&str, u32)> {
        Some((&self.run, self.attempt))
    }

    fn part(&self) -> Part<'_> {
        if self.parts <= 1 {
            Part::Whole
        } else if self.part < self.parts {
            Part::Earlier
        } else {
            Part::Last(&self.part_sequences)
        }
    }

    fn join(&mut self, earlier: Vec<Self>) {
        let own = std::mem::take(&mut self.pages);
        self.pages = earlier
            .into_iter()
            .flat_map(|part| part.pages)
            .chain(own)
            .collect();
        (self.part, self.parts) = (1, 1);
        self.part_sequences.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageEntry;

    #[test]
    fn a_manifest_in_parts_joins_to_what_it_was() {
        let page = |number| PageEntry {
            number,
            ..PageEntry::default()
        };
        let whole = RunManifest {
            run: "r_1".to_owned(),
            pages: (1..=7).map(page).collect(),
            part: 1,
            parts: 1,
            ..RunManifest::default()
        };
        let mut parts = whole.clone().into_parts(3);
        assert_eq!(
            parts
                .iter()
                .map(|part| part.pages.len())
                .collect::<Vec<_>>(),
            [3, 3, 1]
        );
        let mut last = parts.pop().unwrap();
        last.part_sequences = vec![1, 2];
        assert_eq!(last.part(), Part::Last(&[1, 2]));
        last.join(parts);
        assert_eq!(last, whole);
    }

    #[test]
    fn a_failed_run_without_pages_is_one_part() {
        assert_eq!(RunManifest::default().into_parts(100).len(), 1);
    }
}
