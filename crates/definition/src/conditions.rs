use serde::Serialize;

use crate::decode::{Decoder, Fields};

/// How an answer of 200 says that it is an error: JSONata on the answer.
///
/// On a connection they hold for all its requests; a request's own take their place, each for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// True when the answer is an error: the run fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_when: Option<String>,
    /// True when the answer asks for patience: the page is asked for again, as after a 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_when: Option<String>,
    /// What the answer says about its error, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl Conditions {
    /// Returns what holds for a request with these conditions under a connection with `general` ones.
    #[must_use]
    pub fn or(&self, general: &Self) -> Self {
        let one = |own: &Option<String>, general: &Option<String>| {
            own.clone().or_else(|| general.clone())
        };
        Self {
            error_when: one(&self.error_when, &general.error_when),
            retry_when: one(&self.retry_when, &general.retry_when),
            error_message: one(&self.error_message, &general.error_message),
        }
    }

    /// Returns each expression with its key.
    pub fn expressions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("error_when", &self.error_when),
            ("retry_when", &self.retry_when),
            ("error_message", &self.error_message),
        ]
        .into_iter()
        .filter_map(|(key, source)| Some((key, source.as_deref()?)))
    }

    pub(crate) fn decode(decoder: &mut Decoder, fields: &Fields<'_>) -> Self {
        let mut read = |key| fields.get(key).and_then(|place| decoder.expression(&place));
        Self {
            error_when: read("error_when"),
            retry_when: read("retry_when"),
            error_message: read("error_message"),
        }
    }
}
