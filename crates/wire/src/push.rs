//! Values that come from elsewhere, by request and reply over core NATS.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{RowsPushed, RowsTaken};

impl Message for RowsPushed {
    const NAME: &'static str = "RowsPushed";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::rows_pushed(&self.workspace)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![("workspace", &self.workspace), ("metric", &self.metric)]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }
}

impl Message for RowsTaken {
    const NAME: &'static str = "RowsTaken";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::rows_pushed(&self.workspace)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![("workspace", &self.workspace), ("metric", &self.metric)]
    }
}
