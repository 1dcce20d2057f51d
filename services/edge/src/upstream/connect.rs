//! Opening a connection to an address.

use super::address::{Address, Target};
use super::http1::Wire;
use crate::timer::Timer;
use rustix::net::RecvFlags;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection that is idle or serves one request.
pub struct Connection {
    pub wire: Box<Wire>,
    /// Of the request in hand.
    pub timer: Timer,
    /// The process it leads to, once an answer told.
    pub entry: Option<u32>,
    /// When it was last idle, to the second.
    pub used: Instant,
}

impl Connection {
    /// Whether a request may be sent on it. `now` is the pool's: one that has been idle for longer is asked of the kernel, for its end
    /// may have come since the runtime last looked.
    pub fn is_open(&mut self, now: Instant) -> bool {
        if now > self.used { self.wire.is_open_now() } else { self.wire.is_open() }
    }
}

pub async fn open(address: &Arc<Address>, timeout: Duration) -> Result<Connection, io::Error> {
    let stream = match tokio::time::timeout(timeout, Stream::connect(&address.target)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
    };
    Ok(Connection { wire: Box::new(Wire::new(stream)), timer: Timer::new(), entry: None, used: Instant::now() })
}

/// The bytes' way.
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

    /// The kernel has an error for us that no read has shown: our bytes were reset.
    pub fn pending_error(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        matches!(error, Ok(Some(error)) if is_reset(&error))
    }

    /// The kernel has neither bytes nor an end nor an error for us.
    pub fn is_quiet(&self) -> bool {
        let fd = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        };
        let peeked = rustix::net::recv(fd, &mut [0u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
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
