//! A client's connection, over TCP or a Unix socket, with the three operations the worker needs.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    pin::pin,
    task::Poll,
};

use tokio::{
    io::{AsyncReadExt, Interest},
    net::{TcpStream, UnixStream},
};

use super::watch::{Interrupt, Watch};

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a wait on the connection ended without result.
pub enum Stopped {
    Interrupted(Interrupt),
    Io(io::Error),
}

impl Stream {
    /// Takes over a connected, non-blocking socket of either family.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let tcp = socket2::SockRef::from(&fd).domain()? != socket2::Domain::UNIX;
        if tcp {
            let stream = std::net::TcpStream::from(fd);
            stream.set_nodelay(true)?;
            Ok(Self::Tcp(TcpStream::from_std(stream)?))
        } else {
            Ok(Self::Unix(UnixStream::from_std(fd.into())?))
        }
    }

    /// The client's address and ours; nothing for a Unix socket.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => Some((stream.peer_addr().ok()?, stream.local_addr().ok()?)),
            Self::Unix(_) => None,
        }
    }

    /// Appends what has arrived to `buf`; 0 is the end.
    pub async fn read(&mut self, buf: &mut Vec<u8>, watch: &Watch) -> Result<usize, Stopped> {
        match self {
            Self::Tcp(stream) => read(stream, buf, watch).await,
            Self::Unix(stream) => read(stream, buf, watch).await,
        }
    }

    /// As [`Stream::read`], but never more than `most` bytes.
    pub async fn read_at_most(&mut self, buf: &mut Vec<u8>, most: usize, watch: &Watch) -> Result<usize, Stopped> {
        let mut limited = bytes::BufMut::limit(buf, most);
        match self {
            Self::Tcp(stream) => interruptible(stream.read_buf(&mut limited), watch).await,
            Self::Unix(stream) => interruptible(stream.read_buf(&mut limited), watch).await,
        }
    }

    pub fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, parts) {
            // The kernel sends one part sooner than it looks through a list of one.
            (Self::Tcp(stream), [part]) => stream.try_write(part),
            (Self::Unix(stream), [part]) => stream.try_write(part),
            (Self::Tcp(stream), _) => stream.try_write_vectored(parts),
            (Self::Unix(stream), _) => stream.try_write_vectored(parts),
        }
    }

    pub async fn readable(&self, watch: &Watch) -> Result<(), Stopped> {
        match self {
            Self::Tcp(stream) => interruptible(stream.readable(), watch).await,
            Self::Unix(stream) => interruptible(stream.readable(), watch).await,
        }
    }

    pub async fn writable(&self, watch: &Watch) -> Result<(), Stopped> {
        match self {
            Self::Tcp(stream) => interruptible(stream.writable(), watch).await,
            Self::Unix(stream) => interruptible(stream.writable(), watch).await,
        }
    }

    /// Sends from a file without copying it through this process.
    pub fn try_send_file(&self, file: &std::fs::File, offset: &mut u64, len: usize) -> io::Result<usize> {
        let send = || Ok(rustix::fs::sendfile(self.as_fd(), file, Some(offset), len)?);
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, send),
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, send),
        }
    }

    /// Ends a connection whose socket another process may still have open, so that closing it here ends nothing.
    pub fn finish(&self) {
        let socket = socket2::SockRef::from(self);
        let reset = matches!(socket.linger(), Ok(Some(time)) if time.is_zero());
        if !(reset && rustix::net::connect_unspec(self).is_ok()) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Ends the sending side, so that the peer reads an end after what was sent.
    pub fn shutdown_write(&self) {
        let _ = socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write);
    }

    /// Closing this connection resets it: the only way to say "incomplete" where the end of the connection is the end
    /// of the body.
    pub fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(std::time::Duration::ZERO));
    }
}

async fn read(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    buf: &mut Vec<u8>,
    watch: &Watch,
) -> Result<usize, Stopped> {
    interruptible(stream.read_buf(buf), watch).await
}

async fn interruptible<T>(work: impl Future<Output = io::Result<T>>, watch: &Watch) -> Result<T, Stopped> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        // Work first: what has arrived counts even if the time is up.
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done.map_err(Stopped::Io));
        }
        watch.poll(cx).map(|interrupt| Err(Stopped::Interrupted(interrupt)))
    })
    .await
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
