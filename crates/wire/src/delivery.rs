//! A message to people outside, on its way to the fetcher, and what became of it.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{Delivered, Delivery};
use crate::vocabulary::words;

words! {
    /// What became of one try at a delivery.
    Fate {
        /// The other side took it.
        Sent = "sent",
        /// It may be tried again.
        Again = "again",
        /// Trying again would tell the same.
        Dead = "dead",
    }
}

impl Message for Delivery {
    const NAME: &'static str = "Delivery";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::deliver(&self.workspace, &self.channel)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("channel", &self.channel),
            ("id", &self.id),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }
}

impl Message for Delivered {
    const NAME: &'static str = "Delivered";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::delivered(&self.workspace, &self.channel)
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("channel", &self.channel),
            ("id", &self.id),
            ("outcome", &self.outcome),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }
}
