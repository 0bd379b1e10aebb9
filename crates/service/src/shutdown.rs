//! The signal that everything waits for.

use tokio_util::sync::CancellationToken;

/// Says, once and for all clones, that the process is to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Returns a signal that nobody has given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a signal that SIGTERM or SIGINT gives.
    ///
    /// A second signal ends the process at once with code 130: whoever asks twice does not want
    /// to wait for the drain. Must be called inside a tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let given = shutdown.clone();
        let mut signals = Signals::listen()?;
        // The one task that is not spawned through `Tasks`: it has to outlive the drain.
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "stopping: finishing what is in hand");
            given.request();
            signals.next().await;
            std::process::exit(130);
        });
        Ok(shutdown)
    }

    /// Gives the signal; giving it again changes nothing.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Returns once the signal has been given.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether the signal has been given.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns a signal that is given with this one, and may be given alone before it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Returns the token inside, for libraries that want one.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}

impl From<CancellationToken> for Shutdown {
    fn from(token: CancellationToken) -> Self {
        Self(token)
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_alone_but_never_stops_its_parent() {
        let parent = Shutdown::new();
        let first = parent.child();
        let second = parent.child();

        first.request();
        assert!(first.is_requested());
        assert!(!parent.is_requested());

        parent.request();
        second.requested().await;
        assert!(second.is_requested());
    }
}
