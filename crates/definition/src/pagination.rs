use serde::Serialize;

use crate::words::words;

/// How the next page is found, and how the last one is known.
///
/// Paths (`total_pages`, `total`, `has_more`, `from`) are JSONata on the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pagination {
    /// One page is all there is.
    #[default]
    None,
    /// Pages have numbers.
    Page(PageNumber),
    /// Pages start at a record number.
    Offset(Offset),
    /// Each page says what to ask for the next one.
    Cursor(Cursor),
    /// Each page holds the address of the next one.
    NextUrl(NextUrl),
    /// The `Link` header (RFC 8288) holds the address of the next page.
    LinkHeader,
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
    ];

    /// Returns the strategy as it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Page(_) => "page",
            Self::Offset(_) => "offset",
            Self::Cursor(_) => "cursor",
            Self::NextUrl(_) => "next_url",
            Self::LinkHeader => "link_header",
        }
    }

    /// Tells whether this is [`Pagination::None`].
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// `page: { param: page, start: 1, total_pages: total_pages }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub total_pages: Option<String>,
    /// Where the answer states how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<String>,
}

/// `offset: { param: offset, limit_param: limit, limit: 100, total: total }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    pub total: Option<String>,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<String>,
}

/// `cursor: { from: pagination.end_cursor, param: after, has_more: pagination.has_next_page }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cursor {
    /// Where the answer holds the cursor of the next page.
    pub from: String,
    /// The name of the parameter that holds the cursor.
    pub param: String,
    /// Where the parameter is put.
    #[serde(rename = "in", skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// Where the answer states whether there are more pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<String>,
    /// The name of the parameter that holds the page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_param: Option<String>,
    /// The page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// `next_url: { from: links.next }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextUrl {
    /// Where the answer holds the address of the next page, absolute or relative.
    pub from: String,
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
