//! Why a turn of the scheduler did not end well. The next turn tries again.

/// A failure of one turn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not do what was asked.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// NATS did not do what was asked.
    #[error("NATS failed")]
    Bus(#[from] bus::Error),
}
