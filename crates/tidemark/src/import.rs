//! From what documentation shows (a curl line, an OpenAPI document) to a draft of definitions.
//!
//! Nothing is sent. Credentials are recognised and named, never written. What is a guess is marked
//! with `# unsure:`, so that a person looks there and nowhere else.

pub(crate) mod auth;
mod curl;
mod dates;
mod openapi;
mod pages;
mod schema;
mod shell;
mod written;

use serde_json::Value;

pub(crate) use curl::from_curl;
pub(crate) use openapi::from_openapi;
pub(crate) use written::write;

use crate::draft::Findings;

/// One request as documentation shows it, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Where it was found, for the first line of the draft.
    pub(crate) source: String,
    /// Scheme, host and perhaps the beginning of the path.
    pub(crate) base_url: String,
    pub(crate) path: String,
    pub(crate) is_post: bool,
    pub(crate) query: Vec<Parameter>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
    pub(crate) auth: Auth,
    /// The `pagination` of a definition.
    pub(crate) pagination: Option<Value>,
    /// Whether a template asks for the dates of a window.
    pub(crate) dated: bool,
    /// What the answer seems to hold, where a schema tells.
    pub(crate) findings: Option<Findings>,
    /// What a metric of it could be called.
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    /// What is not sure, by the part it belongs to.
    pub(crate) unsure: Vec<(Part, String)>,
}

/// A query parameter: its name, its text (perhaps a template), and what is not sure about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) unsure: Option<String>,
}

/// What a POST sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Json(Value),
    Form(Vec<(String, String)>),
}

/// How a request proves who asks: the `auth` of a definition, without any value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Auth {
    pub(crate) shape: Option<Value>,
}

/// The part of a draft that a remark belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Address,
    Auth,
    Path,
    Headers,
    Body,
    Pagination,
    Select,
}

impl Shown {
    fn remark(&mut self, part: Part, text: impl Into<String>) {
        self.unsure.push((part, text.into()));
    }

    fn parameter(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.query.push(Parameter {
            name: name.into(),
            value: value.into(),
            unsure: None,
        });
    }
}

/// Why there is no draft: in words for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests;
