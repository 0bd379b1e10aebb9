//! Provenance: the rows of a run that made a number, by request and reply over core NATS.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{PageRows, RowsFound, RowsWanted};

/// The pages of the run are not kept any more.
pub const PAGES_GONE: &str = "provenance.pages_gone";

impl Message for RowsWanted {
    const NAME: &'static str = "RowsWanted";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::rows_wanted(&self.workspace)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("metric", &self.metric),
            ("run", &self.run),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }
}

impl Message for RowsFound {
    const NAME: &'static str = "RowsFound";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::rows_wanted(&self.workspace)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("metric", &self.metric),
            ("run", &self.run),
        ]
    }
}
