//! The order to fetch one dataset once.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};
use crate::vocabulary::words;

pub use crate::generated::{ParentRecords, Resume, SealedSecret, SyncRequest, Window};

words! {
    /// Why a run exists.
    RunKind {
        /// Its slot was due.
        Scheduled = "scheduled",
        /// A person asked.
        Manual = "manual",
        /// A past window is fetched.
        Backfill = "backfill",
        /// What went missing is fetched again.
        Recovery = "recovery",
    }
}

/// Required by a request whose earlier pages are listed in a manifest of the stream, not in the request.
pub const RESUME_BY_MANIFEST: &str = "resume.manifest";

/// Required by a request that is made once for each record of a parent dataset.
pub const PARENT: &str = "parent";

impl Message for SyncRequest {
    const NAME: &'static str = "SyncRequest";

    const ABILITIES: &'static [&'static str] = &[RESUME_BY_MANIFEST, PARENT];

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::sync(&self.workspace, &self.dataset, self.window.as_ref())
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("dataset", &self.dataset),
            ("run", &self.run),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }

    fn run(&self) -> Option<(&str, u32)> {
        Some((&self.run, self.attempt))
    }
}
