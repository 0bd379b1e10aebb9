//! Bodies that arrive whole, or do not.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// What was written has left a loopback socket's buffer by then.
const MOMENT: Duration = Duration::from_millis(20);

/// A body on its way.
pub(crate) struct PageBody {
    rest: Bytes,
    /// What the caller is told to expect.
    stated: u64,
    manner: Manner,
}

enum Manner {
    Whole,
    /// So many bytes, a moment in which they can leave, then the connection ends.
    Cut(Pin<Box<Sleep>>),
    /// So many bytes, then nothing for ever.
    Stall,
    /// One byte after each pause.
    Drip(Duration, Pin<Box<Sleep>>),
}

impl PageBody {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self {
            stated: body.len() as u64,
            rest: body,
            manner: Manner::Whole,
        }
    }

    pub(crate) fn cut(body: &Bytes) -> Self {
        Self {
            stated: body.len() as u64,
            rest: body.slice(..body.len() / 2),
            manner: Manner::Cut(Box::pin(tokio::time::sleep(MOMENT))),
        }
    }

    pub(crate) fn stalled(body: &Bytes) -> Self {
        Self {
            stated: body.len() as u64,
            rest: body.slice(..body.len() / 2),
            manner: Manner::Stall,
        }
    }

    pub(crate) fn dripping(body: Bytes, pause: Duration) -> Self {
        let sleep = Box::pin(tokio::time::sleep(pause));
        Self {
            stated: body.len() as u64,
            rest: body,
            manner: Manner::Drip(pause, sleep),
        }
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Manner::Drip(pause, sleep) = &mut self.manner {
            let pause = *pause;
            std::task::ready!(sleep.as_mut().poll(context));
            sleep.as_mut().reset(Instant::now() + pause);
            if self.rest.is_empty() {
                return Poll::Ready(None);
            }
            let first = self.rest.split_to(1);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        match &mut self.manner {
            Manner::Cut(moment) => {
                std::task::ready!(moment.as_mut().poll(context));
                Poll::Ready(Some(Err(std::io::Error::other("cut on request"))))
            }
            // Nothing wakes it: the caller's patience decides.
            Manner::Stall => Poll::Pending,
            Manner::Whole | Manner::Drip(..) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.manner, Manner::Whole) && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.stated)
    }
}
