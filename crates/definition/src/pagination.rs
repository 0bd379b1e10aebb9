use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::request::{Method, QueryValue, Request};
use crate::words::words;

/// How the next page is found, and how the last one is known.
///
/// What the answer says (`total_pages`, `total`, `has_more`, `from`) is JSONata on its body, or a header of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Pagination {
    /// One page is all there is.
    #[default]
    None,
    /// To be recognised from the first answer; only previews can run it.
    Auto,
    /// Pages have numbers.
    Page(PageNumber),
    /// Pages start at a record number.
    Offset(Offset),
    /// Each page says what to ask for the next one.
    Cursor(Cursor),
    /// Each page holds the address of the next one.
    NextUrl(NextUrl),
    /// The `Link` header (RFC 8288) holds the address of the next page.
    LinkHeader(LinkHeader),
}

impl Pagination {
    /// Every strategy as it is written.
    pub const WORDS: &'static [&'static str] = &[
        "none",
        "page",
        "offset",
        "cursor",
        "next_url",
        "link_header",
        "auto",
    ];

    /// Returns the strategy as it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Auto => "auto",
            Self::Page(_) => "page",
            Self::Offset(_) => "offset",
            Self::Cursor(_) => "cursor",
            Self::NextUrl(_) => "next_url",
            Self::LinkHeader(_) => "link_header",
        }
    }

    /// Tells whether this is [`Pagination::None`].
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns how the requests behind the first one differ from it.
    pub fn next(&self) -> Option<&NextRequest> {
        match self {
            Self::None | Self::Auto => None,
            Self::Page(page) => page.next.as_ref(),
            Self::Offset(offset) => offset.next.as_ref(),
            Self::Cursor(cursor) => cursor.next.as_ref(),
            Self::NextUrl(next) => next.next.as_ref(),
            Self::LinkHeader(link) => link.next.as_ref(),
        }
    }

    /// Returns the parameter that says which page, and where it is put.
    pub fn parameter(&self) -> Option<(&str, Placement)> {
        match self {
            Self::Page(page) => Some((&page.param, page.placement)),
            Self::Offset(offset) => Some((&offset.param, offset.placement)),
            Self::Cursor(cursor) => Some((&cursor.param, cursor.placement)),
            Self::None | Self::Auto | Self::NextUrl(_) | Self::LinkHeader(_) => None,
        }
    }

    /// Returns what is read from the answers, each with the name of its key.
    pub fn sources(&self) -> Vec<(&'static str, &Source)> {
        let named: Vec<(&'static str, Option<&Source>)> = match self {
            Self::None | Self::Auto => Vec::new(),
            Self::Page(page) => vec![
                ("total_pages", page.total_pages.as_ref()),
                ("total", page.total.as_ref()),
                ("has_more", page.has_more.as_ref()),
            ],
            Self::Offset(offset) => vec![
                ("total", offset.total.as_ref()),
                ("has_more", offset.has_more.as_ref()),
            ],
            Self::Cursor(cursor) => vec![
                ("from", Some(&cursor.from)),
                ("has_more", cursor.has_more.as_ref()),
                ("total", cursor.total.as_ref()),
            ],
            Self::NextUrl(next) => vec![
                ("from", Some(&next.from)),
                ("has_more", next.has_more.as_ref()),
                ("total", next.total.as_ref()),
            ],
            Self::LinkHeader(link) => vec![("total", link.total.as_ref())],
        };
        let said = named.into_iter();
        said.filter_map(|(key, source)| Some((key, source?)))
            .collect()
    }
}

impl Serialize for Pagination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Page(page) => keyed(serializer, self.as_str(), page),
            Self::Offset(offset) => keyed(serializer, self.as_str(), offset),
            Self::Cursor(cursor) => keyed(serializer, self.as_str(), cursor),
            Self::NextUrl(next) => keyed(serializer, self.as_str(), next),
            Self::LinkHeader(link) if *link != LinkHeader::default() => {
                keyed(serializer, self.as_str(), link)
            }
            Self::None | Self::Auto | Self::LinkHeader(_) => {
                serializer.serialize_str(self.as_str())
            }
        }
    }
}

fn keyed<S: Serializer>(
    serializer: S,
    key: &'static str,
    settings: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map([(key, settings)])
}

/// Where an answer says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In its body: a path, or JSONata.
    Body(String),
    /// In a header: `{ header: X-Total-Count }`.
    Header(String),
}

impl Source {
    /// Returns the JSONata on the body, where it is that.
    pub fn expression(&self) -> Option<&str> {
        match self {
            Self::Body(path) => Some(path),
            Self::Header(_) => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body(path) => write!(formatter, "`{path}`"),
            Self::Header(name) => write!(formatter, "header `{name}`"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Body(path) => serializer.serialize_str(path),
            Self::Header(name) => serializer.collect_map([("header", name)]),
        }
    }
}

/// `page: { param: page, start: 1, total_pages: total_pages }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageNumber {
    /// The name of the parameter that holds the page number.
    pub param: String,
    /// Where the parameter is put.
    #[serde(rename = "in", skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// The number of the first page (1).
    #[serde(skip_serializing_if = "is_one")]
    pub start: i64,
    /// The name of the parameter that holds the page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_param: Option<String>,
    /// The page size; a shorter page is the last one where nothing better is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Where the answer states how many pages there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_pages: Option<Source>,
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Source>,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<Source>,
    /// How the requests behind the first one differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRequest>,
}

/// `offset: { param: offset, limit_param: limit, limit: 100, total: total }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offset {
    /// The name of the parameter that holds the number of the first record.
    pub param: String,
    /// Where the parameter is put.
    #[serde(rename = "in", skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// The number of the first record (0).
    #[serde(skip_serializing_if = "is_zero")]
    pub start: u64,
    /// The name of the parameter that holds how many records a page has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_param: Option<String>,
    /// How many records a page has; without it, the number that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Source>,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<Source>,
    /// How the requests behind the first one differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRequest>,
}

/// `cursor: { from: pagination.end_cursor, param: after, has_more: pagination.has_next_page }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cursor {
    /// Where the answer holds the cursor of the next page.
    pub from: Source,
    /// The name of the parameter that holds the cursor.
    pub param: String,
    /// Where the parameter is put.
    #[serde(rename = "in", skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<Source>,
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Source>,
    /// The name of the parameter that holds the page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_param: Option<String>,
    /// The page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// How the requests behind the first one differ from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRequest>,
}

/// `next_url: { from: links.next }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NextUrl {
    /// Where the answer holds the address of the next page, absolute or relative.
    pub from: Source,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<Source>,
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Source>,
    /// How the requests behind the first one differ from it, besides their address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRequest>,
}

/// `link_header`, or `link_header: { total: { header: X-Total-Count } }`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LinkHeader {
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Source>,
    /// How the requests behind the first one differ from it, besides their address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRequest>,
}

/// How the requests behind the first one differ from it; what is not said stays.
///
/// `next: { path: /files/list/continue, body: {} }`: what is said replaces the first request's as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NextRequest {
    /// GET, which drops the first request's body, or a POST that reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The path below the connection's `base_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<IndexMap<String, QueryValue>>,
    /// The JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The form body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<IndexMap<String, String>>,
}

impl NextRequest {
    /// Returns `first` as the requests behind it are.
    pub fn of(&self, first: &Request) -> Request {
        let mut next = first.clone();
        if let Some(method) = self.method {
            next.method = method;
        }
        if let Some(path) = &self.path {
            next.path.clone_from(path);
        }
        if let Some(query) = &self.query {
            next.query.clone_from(query);
        }
        if self.body.is_some() || self.form.is_some() || next.method == Method::Get {
            next.body.clone_from(&self.body);
            next.form.clone_from(&self.form);
        }
        next
    }
}

words! {
    /// Where a pagination parameter is put.
    #[derive(Default)]
    pub enum Placement {
        /// In the query (the default).
        #[default]
        Query = "query",
        /// In the JSON or form body; `param` may be a dotted path into it.
        Body = "body",
        /// In the path, where `{param}` stands.
        Path = "path",
        /// In the header called `param`.
        Header = "header",
    }
}

impl Placement {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Query
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(number: &i64) -> bool {
    *number == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
