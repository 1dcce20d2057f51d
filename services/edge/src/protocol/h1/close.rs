//! Ending a connection, and a request's body that nobody has read.

use super::Connection;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// All that closing may take: unread bytes make the kernel send a reset, which can overtake the answer.
const LINGER: Duration = Duration::from_secs(2);
/// The same for the small rest of a body, before the next request.
const DRAIN: Duration = Duration::from_secs(2);

impl<I> Connection<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Says that nothing more comes (RFC 9112 9.6), and with `linger` reads and drops what the peer still sends until it has closed too.
    pub(super) async fn close(mut self, linger: bool) {
        self.timer.set(LINGER);
        let (wire, timer) = (&self.wire, &mut self.timer);
        let shut = poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut wire.borrow_mut().io).poll_shutdown(cx) {
                return Poll::Ready(result.is_ok());
            }
            timer.poll(cx).map(|()| false)
        })
        .await;
        if !shut || !linger || wire.borrow().eof {
            return;
        }
        poll_fn(|cx| {
            let mut wire = wire.borrow_mut();
            let mut dropped = [MaybeUninit::<u8>::uninit(); 8192];
            // A few at a time, so that one that sends fast does not hold the thread.
            for _ in 0..16 {
                let mut buf = ReadBuf::uninit(&mut dropped);
                match Pin::new(&mut wire.io).poll_read(cx, &mut buf) {
                    Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer.poll(cx),
                }
            }
            cx.waker().wake_by_ref();
            timer.poll(cx)
        })
        .await;
    }

    /// Reads and drops what is left of the request's body, so that its bytes are never taken for a request; false: it did not come.
    pub(super) async fn drain_body(&mut self) -> bool {
        if self.wire.borrow().body_done() {
            return true;
        }
        self.timer.set(DRAIN);
        let (wire, timer) = (&self.wire, &mut self.timer);
        let drained = poll_fn(|cx| {
            let mut wire = wire.borrow_mut();
            loop {
                match wire.poll_body(cx) {
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Pending => return timer.poll(cx).map(|()| false),
                }
            }
        })
        .await;
        self.timer.clear();
        drained
    }
}
