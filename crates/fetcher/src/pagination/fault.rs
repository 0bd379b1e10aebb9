//! What ends a run because its pages cannot follow one another.

use super::EMPTY_LIMIT;

/// Why pages cannot follow one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaginationFault {
    /// Something repeats itself.
    #[error("{0}")]
    Loop(String),
    /// Empty pages without end.
    #[error("{EMPTY_LIMIT} empty pages in a row, and the API says that there is more")]
    EmptyLoop,
    /// A next link that must not be followed.
    #[error("{0}")]
    OriginRefused(String),
    /// The answer contradicts itself or cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A path of the pagination cannot be evaluated.
    #[error("pagination path `{path}` cannot be read: {message}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        message: String,
    },
}

impl PaginationFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            PaginationFault::Loop(_) => "pagination.loop",
            PaginationFault::EmptyLoop => "pagination.empty_loop",
            PaginationFault::OriginRefused(_) => "pagination.origin_refused",
            PaginationFault::Unreadable(_) => "pagination.unreadable",
            PaginationFault::Path { .. } => "pagination.path",
        }
    }
}
