//! An answer that was given early reaches a peer that is still sending.
//!
//! When a connection is closed with bytes unread, the kernel resets it and the peer may lose the
//! answer that says why. So what still comes is read and thrown away for a while.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// A peer that has sent this much without looking up will not look up.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// A slow line sends a few megabytes in this time; more is not worth the place it holds.
const LONGEST: Duration = Duration::from_secs(10);
/// A peer that is silent for this long has read the answer, or will not.
const SILENCE: Duration = Duration::from_secs(1);

/// A connection that gives its stream back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    stream: Option<TcpStream>,
    back: Returned,
}

/// Where a lent stream comes back to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returned(Arc<Mutex<Option<TcpStream>>>);

impl Returned {
    /// Lends `stream` until the loan is dropped.
    pub(crate) fn lend(&self, stream: TcpStream) -> Lent {
        Lent {
            stream: Some(stream),
            back: self.clone(),
        }
    }

    /// Says that nothing more will be sent, and reads what still comes, within bounds.
    pub(crate) async fn drain(&self) {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut stream) = lock().take() else {
            return;
        };
        let reading = async {
            let _ = stream.shutdown().await;
            let (mut read, mut waste) = (0, vec![0; 16 * 1024]);
            while read < MOST_BYTES {
                match tokio::time::timeout(SILENCE, stream.read(&mut waste)).await {
                    Ok(Ok(count)) if count > 0 => read += count as u64,
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST, reading).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut back = self.back.0.lock().unwrap_or_else(PoisonError::into_inner);
        *back = self.stream.take();
    }
}

impl Lent {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
