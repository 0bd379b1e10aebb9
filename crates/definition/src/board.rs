use serde::Serialize;

use crate::about::{About, Where};
use crate::alert::Against;
use crate::granularity::Granularity;
use crate::name::Name;
use crate::range_name::RangeName;
use crate::words::words;

/// A page of blocks over metrics with a shared range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Board {
    /// Its name.
    pub name: Name,
    /// Title, description, owner, tags.
    #[serde(flatten)]
    pub about: About,
    /// The range of blocks that have none of their own.
    #[serde(skip_serializing_if = "is_thirty_days")]
    pub range: RangeName,
    /// The zone of its ranges; each metric's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The blocks, in the order of reading.
    pub blocks: Vec<Block>,
}

impl Board {
    /// The columns of the grid.
    pub const COLUMNS: u32 = 12;
    /// The most blocks.
    pub const MAX_BLOCKS: usize = 50;

    /// The range of a board that says none.
    pub fn default_range() -> RangeName {
        RangeName::parse("last_30_days").unwrap_or_else(RangeName::today)
    }
}

fn is_thirty_days(range: &RangeName) -> bool {
    *range == Board::default_range()
}

/// One thing on a board.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// How it is shown.
    #[serde(rename = "type")]
    pub kind: BlockKind,
    /// What stands above it; the title of its metric or goal when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The metric; every kind but progress has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Name>,
    /// The goal of a progress block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Name>,
    /// Its own range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeName>,
    /// Its step, for lines, bars and tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// Dimensions to split by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<Name>,
    /// The members of dimensions that count.
    #[serde(rename = "where", skip_serializing_if = "Where::is_empty")]
    pub where_: Where,
    /// What to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Against>,
    /// Columns of the grid, 1 to 12; absent, what suits its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Rows of the grid, 1 to 12; absent, what suits its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

impl Block {
    /// The most dimensions a block is split by.
    pub const MAX_GROUPS: usize = 5;

    /// Returns columns and rows.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = match self.kind {
            BlockKind::Number | BlockKind::Progress => (3, 2),
            BlockKind::Line | BlockKind::Bar => (6, 4),
            BlockKind::Table => (12, 4),
        };
        (self.width.unwrap_or(width), self.height.unwrap_or(height))
    }
}

words! {
    /// How a block is shown.
    pub enum BlockKind {
        /// One value, with a comparison.
        Number = "number",
        /// Points joined by a line.
        Line = "line",
        /// Points as bars.
        Bar = "bar",
        /// Values in rows, one for each group.
        Table = "table",
        /// How far a goal is.
        Progress = "progress",
    }
}
