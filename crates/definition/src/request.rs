use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::conditions::Conditions;
use crate::pagination::Pagination;
use crate::response::Response;
use crate::words::words;

/// What to ask of the API, with placeholders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// GET, or a POST that reads.
    #[serde(skip_serializing_if = "Method::is_default")]
    pub method: Method,
    /// The path below the connection's `base_url`; starts with `/` or is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The query parameters, in order.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, QueryValue>,
    /// Headers besides the connection's.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The JSON body of a POST: an object or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The form body of a POST, instead of `body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<IndexMap<String, String>>,
    /// How the answer is written.
    #[serde(skip_serializing_if = "Response::is_default")]
    pub response: Response,
    /// How the next page is found.
    #[serde(skip_serializing_if = "Pagination::is_none")]
    pub pagination: Pagination,
    /// After this many pages a run is truncated, and marked so.
    #[serde(skip_serializing_if = "is_default_max_pages")]
    pub max_pages: u32,
    /// How an answer of 200 says that it is an error.
    #[serde(flatten)]
    pub conditions: Conditions,
}

impl Request {
    /// Pages of a run when a request does not say.
    pub const DEFAULT_MAX_PAGES: u32 = 100;
    /// The most pages a request may ask for.
    pub const MAX_MAX_PAGES: u32 = 10_000;
    /// The longest address, in bytes.
    pub const MAX_URL_BYTES: usize = 8192;
    /// The largest body, in bytes.
    pub const MAX_BODY_BYTES: usize = 1024 * 1024;
    /// The most headers of a connection or request.
    pub const MAX_HEADERS: usize = 64;
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: Method::Get,
            path: String::new(),
            query: IndexMap::new(),
            headers: IndexMap::new(),
            body: None,
            form: None,
            response: Response::default(),
            pagination: Pagination::None,
            max_pages: Self::DEFAULT_MAX_PAGES,
            conditions: Conditions::default(),
        }
    }
}

/// The value of one query parameter; each text may be a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum QueryValue {
    /// `name=value`; numbers and booleans are kept as they were written.
    One(String),
    /// `name=a&name=b`
    Many(Vec<String>),
}

impl QueryValue {
    /// Returns the texts, one for each time the parameter is sent.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

words! {
    /// The HTTP method; Tidemark only reads.
    pub enum Method {
        /// The default.
        Get = "GET",
        /// For APIs that search by POST, and for GraphQL.
        Post = "POST",
    }
}

impl Method {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Get
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_default_max_pages(pages: &u32) -> bool {
    *pages == Request::DEFAULT_MAX_PAGES
}
