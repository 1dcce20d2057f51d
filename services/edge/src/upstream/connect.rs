//! Opening a connection to an address, and the connection as hyper is to see it.

use super::address::{Address, Target};
use super::driver::Driver;
use crate::buffer::Replay;
use crate::timer::Timer;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Bytes hyper reads ahead at most; an answer's head must fit too.
const READ_AHEAD: usize = 128 << 10;

/// A connection that is idle or serves one request.
pub struct Connection {
    pub sender: SendRequest<Replay>,
    pub driver: Driver,
    /// Of the request in hand.
    pub timer: Timer,
    /// The process it leads to, once an answer told.
    pub entry: Option<u32>,
    pub used: Instant,
    unread: Arc<AtomicBool>,
}

impl Connection {
    /// It ended by a reset: the other end's kernel held bytes of ours that nobody had read, or nobody was there any more.
    pub fn was_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

pub async fn open(address: &Arc<Address>, timeout: Duration) -> Result<Connection, io::Error> {
    let stream = match tokio::time::timeout(timeout, Stream::connect(&address.target)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
    };
    let unread = Arc::new(AtomicBool::new(false));
    let (sender, connection) = Builder::new()
        .max_buf_size(READ_AHEAD)
        .handshake(TokioIo::new(Io { stream, deaf: false, unread: unread.clone() }))
        .await
        .map_err(io::Error::other)?;
    // Its errors reach us through the answer they spoil; an idle connection that closes is seen by `is_closed`.
    let driver = Driver::new(async move { drop(connection.with_upgrades().await) });
    Ok(Connection { sender, driver, timer: Timer::new(), entry: None, used: Instant::now(), unread })
}

/// A plain connection, for checks.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub async fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            // A full backlog is an error here, where TCP would wait. The caller has a clock.
            Target::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    other => return other.map(Self::Unix),
                }
            },
        }
    }

    fn pending_error(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        matches!(error, Ok(Some(error)) if is_reset(&error))
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut *$self {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// An application that answers early (401, 413) and closes makes our writing fail while its answer is there to be
/// read. hyper would report the failed write; so what cannot be written is swallowed and the reading side decides.
struct Io {
    stream: Stream,
    deaf: bool,
    unread: Arc<AtomicBool>,
}

impl Io {
    fn swallow(&mut self, written: io::Result<usize>, offered: usize) -> io::Result<usize> {
        match written {
            Err(error) if is_reset(&error) => {
                self.deaf = true;
                self.unread.store(true, Ordering::Relaxed);
                Ok(offered)
            }
            other => other,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let reset = match &read {
            // What we sent after the other end had closed was reset, but its orderly end is what is read.
            Ok(()) if buf.filled().len() == before => self.stream.pending_error(),
            Ok(()) => false,
            Err(error) => is_reset(error),
        };
        if reset {
            self.unread.store(true, Ordering::Relaxed);
        }
        Poll::Ready(read)
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.swallow(written, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Mostly it is a head alone, and one part costs the kernel less when it is not a list of one.
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(offered));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.swallow(written, offered))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
