//! What the whole-system tests share: the built binary, processes ended by handle, a command line
//! and a plain NATS client.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot set up its house must end there"
)]

mod command_line;
mod definitions;
mod figures;
mod hearing;
mod orders;
mod process;
mod real_server;
mod receivers;
pub mod revenue;
mod shelf;
mod standalone;

pub use command_line::{CommandLine, Said};
pub use definitions::{cursor_metric, numbered_house, numbered_metric};
pub use figures::{points, truth};
pub use hearing::Hearing;
pub use orders::Orders;
pub use process::{Process, binary, free_port};
pub use real_server::{RealServer, install_real_servers, root};
pub use receivers::{Hook, Mailbox, Posted};
pub use shelf::Shelf;
pub use standalone::Standalone;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Conditions in tests come true within this, or the test fails.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until `condition` gives something.
pub async fn eventually<T, F, Fut>(what: &str, condition: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Installs the TLS provider of the test process, as the binary does for itself.
pub fn crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
