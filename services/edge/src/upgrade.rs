//! The hand-over of a client's raw connection after a 101: the protocol promises it, the tunnel takes it.

use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The connection itself, with what was read of it already.
pub struct Upgraded {
    pub io: Box<dyn Io>,
    pub leftover: Bytes,
}

/// A client's connection after the hand-over, still counted among its client's, as is the request that it began with.
pub struct Counted<I> {
    pub io: I,
    pub counted: [Option<Arc<dyn std::marker::Send + Sync>>; 2],
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// In the request's extensions where the client asks for an upgrade.
#[derive(Clone)]
pub struct OnUpgrade(Arc<Mutex<Option<oneshot::Receiver<Upgraded>>>>);

/// Held by the protocol until the head of the 101 is written; dropped otherwise.
pub struct Promise(oneshot::Sender<Upgraded>);

pub fn pair() -> (Promise, OnUpgrade) {
    let (sender, receiver) = oneshot::channel();
    (Promise(sender), OnUpgrade(Arc::new(Mutex::new(Some(receiver)))))
}

impl Promise {
    /// False when nobody waits for it any more.
    pub fn fulfil(self, io: Box<dyn Io>, leftover: Bytes) -> bool {
        self.0.send(Upgraded { io, leftover }).is_ok()
    }
}

impl OnUpgrade {
    /// The wait for the connection; the first who asks gets it.
    pub fn take(&self) -> Option<oneshot::Receiver<Upgraded>> {
        self.0.lock().ok()?.take()
    }
}
