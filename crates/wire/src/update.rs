//! The news that a metric changed.

use crate::header;
use crate::message::{self, Message};
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{Change, MetricUpdate};

/// CloudEvents type of an update.
pub const EVENT_TYPE: &str = "tidemark.metric.updated.v1";

impl MetricUpdate {
    /// Returns the identity of the news: one per version of a metric.
    pub fn id(&self) -> String {
        message::id::update(&self.workspace, &self.metric, self.version)
    }

    /// Returns the CloudEvents headers of the binary content mode.
    pub fn event_headers(&self) -> Vec<(&'static str, String)> {
        vec![
            (header::CE_SPEC_VERSION, "1.0".to_owned()),
            (header::CE_ID, self.id()),
            (header::CE_TYPE, EVENT_TYPE.to_owned()),
            (
                header::CE_SOURCE,
                format!("/tidemark/workspaces/{}", self.workspace),
            ),
            (header::CE_SUBJECT, self.metric.clone()),
            (header::CE_TIME, self.committed_at.clone()),
            (header::CONTENT_TYPE, "application/json".to_owned()),
        ]
    }
}

impl Message for MetricUpdate {
    const NAME: &'static str = "MetricUpdate";

    fn subject(&self) -> Result<Subject, InvalidToken> {
        subject::update(&self.workspace, &self.metric)
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
