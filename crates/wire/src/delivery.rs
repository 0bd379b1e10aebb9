//! A message to people outside, on its way to the fetcher.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::Delivery;

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
