//! What is only told: a run's progress, and the nudge of the scheduler. Nobody depends on hearing either.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{Progress, Wake};

impl Message for Progress {
    const NAME: &'static str = "Progress";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::progress(&self.workspace, &self.run)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![("workspace", &self.workspace), ("run", &self.run)]
    }
}

impl Message for Wake {
    const NAME: &'static str = "Wake";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::wake(&self.workspace, &self.dataset)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![("workspace", &self.workspace), ("dataset", &self.dataset)]
    }
}
