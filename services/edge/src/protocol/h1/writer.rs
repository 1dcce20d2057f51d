//! Putting bytes on the wire: head and body together where they fit, and no reader slower than is allowed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::AsyncWrite;

use super::wire::Wire;
use crate::protocol::pace::Pace;
use crate::timer::Timer;

/// A body of up to this many bytes is copied behind the head where the transport cannot write two parts at once.
const SMALL: usize = 16 * 1024;
/// The same where it can: the kernel takes one part at less cost than two.
const TINY: usize = 4 * 1024;

/// What is to be written next: the head or a chunk's size line, data, and what closes a chunk.
pub struct Parts<'a> {
    pub head: &'a mut Vec<u8>,
    pub data: &'a [u8],
    pub tail: &'a [u8],
}

/// Writes all parts and empties `head`. The transport is borrowed for one poll at a time, because the request's body shares it.
pub async fn write_all<I: AsyncWrite + Unpin>(
    wire: &RefCell<Wire<I>>,
    parts: Parts<'_>,
    pace: &mut Pace,
    timer: &mut Timer,
) -> io::Result<()> {
    let Parts { head, mut data, mut tail } = parts;
    let vectored = wire.borrow().io.is_write_vectored();
    if data.len() <= if vectored { TINY } else { SMALL } {
        head.extend_from_slice(data);
        head.extend_from_slice(tail);
        (data, tail) = (&[], &[]);
    }
    let mut first = head.as_slice();
    let result = poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        while !(first.is_empty() && data.is_empty() && tail.is_empty()) {
            let io = Pin::new(&mut wire.io);
            let written = match [first, data, tail].map(|part| !part.is_empty()) {
                [true, false, false] => io.poll_write(cx, first),
                [true, ..] if !vectored => io.poll_write(cx, first),
                [false, true, false] => io.poll_write(cx, data),
                [false, true, true] if !vectored => io.poll_write(cx, data),
                [false, false, _] => io.poll_write(cx, tail),
                _ => io.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(data), IoSlice::new(tail)]),
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(mut written)) => {
                    pace.wrote(written)?;
                    for part in [&mut first, &mut data, &mut tail] {
                        let taken = written.min(part.len());
                        *part = part.get(taken..).unwrap_or_default();
                        written -= taken;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Ready(Err(ready!(pace.wait(timer, cx)))),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await;
    timer.clear();
    head.clear();
    result
}

/// Everything written so far leaves (TLS holds records back).
pub async fn flush<I: AsyncWrite + Unpin>(
    wire: &RefCell<Wire<I>>,
    pace: &mut Pace,
    timer: &mut Timer,
) -> io::Result<()> {
    let result = poll_fn(|cx| match Pin::new(&mut wire.borrow_mut().io).poll_flush(cx) {
        Poll::Pending => Poll::Ready(Err(ready!(pace.wait(timer, cx)))),
        ready => ready,
    })
    .await;
    timer.clear();
    pace.wrote(0)?;
    result
}
