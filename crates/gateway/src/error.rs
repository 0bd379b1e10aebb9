//! What can keep a gateway from starting or serving.

use std::net::SocketAddr;

/// A gateway that could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or may not be used.
    #[error("cannot listen on {address}; another process may be using it")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The gateway's own tasks could not be started or did not end well.
    #[error("a task of the gateway failed")]
    Task(#[source] Box<dyn std::error::Error + Send + Sync>),
}
