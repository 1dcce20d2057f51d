//! Files over plain connections, from the page cache to the socket without a copy through us: sendfile(2).

use super::wire::Wire;
use crate::body::Body;
use crate::protocol::pace::Pace;
use crate::timer::Timer;
use rustix::io::{Errno, ReadWriteFlags};
use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// As much at once; then others have their turn (nginx's `sendfile_max_chunk` is 2 MB).
const WINDOW: u64 = 1 << 20;
/// Less is not worth a system call of its own.
const LEAST: u64 = 64 << 10;

/// What is next of the body, where it is a file's part and the connection is the kernel's alone.
pub fn next<I: Any>(wire: &RefCell<Wire<I>>, body: &Body) -> Option<(Arc<File>, u64, u64)> {
    let (file, start, end) = body.file()?;
    let plain = (&wire.borrow().io as &dyn Any).is::<TcpStream>();
    (plain && end.saturating_sub(start) >= LEAST).then(|| (file.clone(), start, end))
}

/// Sends a window of the file: so many bytes went out, whatever came then. `Ok(false)`: this file system cannot do that.
pub async fn send<I>(
    wire: &RefCell<Wire<I>>,
    (file, start, end): (Arc<File>, u64, u64),
    pace: &mut Pace,
    timer: &mut Timer,
) -> (u64, io::Result<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let end = end.min(start.saturating_add(WINDOW));
    if !is_cached(&file, start, end) {
        let file = file.clone();
        let read = tokio::task::spawn_blocking(move || read_ahead(&file, start, end)).await;
        if let Err(error) = read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            return (0, Err(error));
        }
    }
    let mut at = start;
    let result = poll_fn(|cx| {
        let wire = wire.borrow();
        let Some(stream) = (&wire.io as &dyn Any).downcast_ref::<TcpStream>() else { return Poll::Ready(Ok(false)) };
        while at < end {
            match stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Poll::Ready(Err(ready!(pace.wait(timer, cx)))),
            }
            let count = usize::try_from(end - at).unwrap_or(usize::MAX);
            let sent = stream.try_io(Interest::WRITABLE, || {
                rustix::fs::sendfile(stream, &*file, Some(&mut at), count).map_err(io::Error::from)
            });
            match sent {
                // It has become shorter than was said.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => pace.wrote(sent)?,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if at == start && is_impossible(&error) => return Poll::Ready(Ok(false)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(true))
    })
    .await;
    timer.clear();
    (at - start, result)
}

fn is_impossible(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

/// By its first and its last page: what the disk must be waited for would hold the thread.
fn is_cached(file: &File, start: u64, end: u64) -> bool {
    let here = |at: u64| {
        let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0; 1])], at, ReadWriteFlags::NOWAIT);
        // Where nobody can tell, as nginx does.
        !matches!(read, Err(Errno::AGAIN))
    };
    here(start) && here(end.saturating_sub(1))
}

fn read_ahead(file: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut at = start;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(buffer.get_mut(..most).unwrap_or_default(), at)? {
            0 => break,
            size => at += size as u64,
        }
    }
    Ok(())
}
