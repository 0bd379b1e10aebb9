use serde::{Serialize, Serializer};

use crate::words::words;

/// How an answer is written, and how it is read into JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// JSON, or what becomes JSON before anything else looks at it.
    pub format: ResponseFormat,
    /// CSV: what stands between two values; a comma when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// CSV: where the names of the columns are.
    #[serde(skip_serializing_if = "CsvHeader::is_default")]
    pub header: CsvHeader,
    /// XML: elements that are lists however many there are, as dotted paths from the root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
    /// The charset, over what the answer says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Whether the body is a compressed file.
    #[serde(skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
}

impl Response {
    /// The most elements that `lists` may name.
    pub const MAX_LISTS: usize = 32;
    /// The most columns that `header` may name.
    pub const MAX_COLUMNS: usize = 4_096;

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

words! {
    /// How an answer is written.
    #[derive(Default)]
    pub enum ResponseFormat {
        /// One JSON document a page.
        #[default]
        Json = "json",
        /// One JSON document a line.
        Ndjson = "ndjson",
        /// Values in columns.
        Csv = "csv",
        /// Elements and attributes.
        Xml = "xml",
    }
}

words! {
    /// Whether an answer's body is a compressed file, besides what HTTP itself decompresses.
    #[derive(Default)]
    pub enum Compression {
        /// The first bytes tell (the default).
        #[default]
        Auto = "auto",
        /// A gzip file; anything else is an error.
        Gzip = "gzip",
        /// A zip archive with one member; anything else is an error.
        Zip = "zip",
    }
}

impl Compression {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::Auto
    }
}

/// Where the names of CSV columns are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CsvHeader {
    /// In the first line (`header: true`, the default).
    #[default]
    FirstLine,
    /// Nowhere (`header: false`): they are `column_1`, `column_2` and so on.
    Absent,
    /// Here; the first line is already a record.
    Named(Vec<String>),
}

impl CsvHeader {
    fn is_default(&self) -> bool {
        *self == Self::FirstLine
    }
}

impl Serialize for CsvHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::FirstLine => serializer.serialize_bool(true),
            Self::Absent => serializer.serialize_bool(false),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}
