//! The news that an alert fires or is over, or that a goal is reached, missed or broken.

use crate::header;
use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::Alert;

/// CloudEvents type of an alert.
pub const ALERT_EVENT: &str = "tidemark.alert.v1";
/// CloudEvents type of a goal's news.
pub const GOAL_EVENT: &str = "tidemark.goal.v1";

impl Alert {
    /// Returns the CloudEvents headers of the binary content mode.
    pub fn event_headers(&self) -> Vec<(&'static str, String)> {
        let kind = if self.kind == "goal" {
            GOAL_EVENT
        } else {
            ALERT_EVENT
        };
        vec![
            (header::CE_SPEC_VERSION, "1.0".to_owned()),
            (header::CE_ID, format!("{}.{}", self.workspace, self.id)),
            (header::CE_TYPE, kind.to_owned()),
            (
                header::CE_SOURCE,
                format!("/tidemark/workspaces/{}", self.workspace),
            ),
            (header::CE_SUBJECT, self.name.clone()),
            (header::CE_TIME, self.at.clone()),
            (header::CONTENT_TYPE, "application/json".to_owned()),
        ]
    }
}

impl Message for Alert {
    const NAME: &'static str = "Alert";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        if self.kind == "goal" {
            subject::goal(&self.workspace, &self.name)
        } else {
            subject::alert(&self.workspace, &self.name)
        }
    }

    fn workspace(&self) -> &str {
        &self.workspace
    }

    fn identity(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("workspace", &self.workspace),
            ("name", &self.name),
            ("id", &self.id),
            ("event", &self.event),
        ]
    }

    fn requires(&self) -> &[String] {
        &self.requires
    }
}
