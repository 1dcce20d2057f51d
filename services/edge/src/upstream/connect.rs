//! A connection to an address: how it is opened, and what it is to those who use it.

use super::address::Target;
use super::answer::Head;
use super::http1::{Fault, Upload, Wire};
use super::http2;
use super::metrics::Open;
use super::tls::Tls;
use crate::config::{self, ProxyProtocol};
use crate::timer::Timer;
use bytes::Bytes;
use http_body::Frame;
use monodon_proxy_protocol as proxy_protocol;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection that is idle or serves one request; of HTTP/2, a request's place on a connection that others share.
pub struct Connection {
    pub link: Link,
    /// Of the request in hand.
    pub timer: Timer,
    /// Its client's pauses have a bound of their own, and are not counted as the other end's.
    pub timed: bool,
    /// The process it leads to, once an answer told.
    pub entry: Option<u32>,
    /// When it was last idle, to the second.
    pub used: Instant,
    /// Whose it is, where the upstream has been told so.
    pub client: Option<Ends>,
    /// Of HTTP/2, the session has it.
    pub open: Option<Open>,
}

pub enum Link {
    One(Box<Wire>),
    Two(Box<http2::Exchange>),
}

/// A client's connection: from where, and to where of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

macro_rules! either {
    ($self:ident, $link:ident => $call:expr) => {
        match &$self.link {
            Link::One($link) => $call,
            Link::Two($link) => $call,
        }
    };
    (mut $self:ident, $link:ident => $call:expr) => {
        match &mut $self.link {
            Link::One($link) => $call,
            Link::Two($link) => $call,
        }
    };
}

impl Connection {
    pub fn new(link: Link) -> Self {
        Self { link, timer: Timer::new(), timed: false, entry: None, used: Instant::now(), client: None, open: None }
    }

    /// Whether a request may be sent on it. `now` is the pool's: one that has been idle for longer is asked of the kernel, for its end
    /// may have come since the runtime last looked.
    pub fn is_open(&mut self, now: Instant) -> bool {
        match &mut self.link {
            Link::One(wire) if now > self.used => wire.is_open_now(),
            Link::One(wire) => wire.is_open(),
            Link::Two(_) => false,
        }
    }

    /// Whether it can be kept for another request. A session of HTTP/2 is kept by itself.
    pub fn is_reusable(&self) -> bool {
        matches!(&self.link, Link::One(wire) if wire.is_reusable())
    }

    pub fn rest(&mut self) {
        if let Link::One(wire) = &mut self.link {
            wire.rest();
        }
    }

    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        either!(mut self, link => link.poll_head(cx))
    }

    pub fn take_head(&mut self) -> Result<Head, &'static str> {
        match &mut self.link {
            Link::One(wire) => wire.take_head(Head::read),
            Link::Two(exchange) => exchange.take_head(),
        }
    }

    /// Sends on what is left of the request. A session of HTTP/2 does so by itself.
    pub fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Link::One(wire) = &mut self.link {
            wire.send(cx);
        }
    }

    /// Whether no more of the request is to be sent from here.
    pub fn has_sent(&self) -> bool {
        match &self.link {
            Link::One(wire) => wire.has_sent(),
            Link::Two(_) => true,
        }
    }

    /// The next part of the answer's body; `None` at its end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        either!(mut self, link => link.poll_frame(cx))
    }

    /// Bytes of the answer's body that are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        either!(self, link => link.left())
    }

    pub fn is_done(&self) -> bool {
        either!(self, link => link.is_done())
    }

    /// Ready when the other end has let us wait for `limit`, since the timer was set or since it took a part of a big request body.
    /// While the rest of that is still to come to us, it is not the other end that is waited for: somebody else counts that time.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        while self.timer.poll(cx).is_ready() {
            let pauses = self.timed && either!(self, link => link.wants_more());
            let moved = if pauses { Some(Instant::now()) } else { either!(self, link => link.moved()) };
            let left = moved.map_or(Duration::ZERO, |moved| limit.saturating_sub(moved.elapsed()));
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.set(left);
        }
        Poll::Pending
    }

    /// The body of a request of which nothing was sent.
    pub fn take_upload(&mut self) -> Option<Upload> {
        either!(mut self, link => link.take_upload())
    }

    /// Whether it ended by a reset.
    pub fn was_reset(&self) -> bool {
        matches!(&self.link, Link::One(wire) if wire.was_reset())
    }
}

/// How connections to an upstream are made.
#[derive(Default)]
pub struct Transport {
    pub http2: bool,
    /// Never left out because it cannot be made: then there is no connection at all.
    tls: Option<Result<Tls, String>>,
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Transport {
    pub fn new(settings: &config::Transport) -> Self {
        // That it can be made was tried when the configuration was read.
        let tls = settings.tls.as_ref().map(|tls| Tls::new(tls, settings.http2).map_err(|(_, wrong)| wrong));
        Self { http2: settings.http2, tls, proxy_protocol: settings.proxy_protocol }
    }

    /// A connection, in time; with `ends`, one that says whose it is.
    pub async fn open(&self, target: &Target, timeout: Duration, ends: Option<Ends>) -> io::Result<Stream> {
        match tokio::time::timeout(timeout, self.connect(target, ends)).await {
            Ok(stream) => stream,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        }
    }

    async fn connect(&self, target: &Target, ends: Option<Ends>) -> io::Result<Stream> {
        let mut stream = Stream::connect(target).await?;
        if let Some(version) = self.proxy_protocol {
            let client = ends.map_or(proxy_protocol::Connection::Local, |ends| proxy_protocol::Connection::Tcp {
                source: ends.source,
                destination: ends.destination,
            });
            let header = match version {
                ProxyProtocol::V1 => proxy_protocol::line(client).into_bytes(),
                ProxyProtocol::V2 => proxy_protocol::block(client),
            };
            stream.write_all(&header).await?;
        }
        match (&self.tls, stream) {
            (None, stream) => Ok(stream),
            (Some(Ok(tls)), stream) => Ok(Stream::Tls(Box::new(tls.connect(stream).await?))),
            (Some(Err(wrong)), _) => Err(io::Error::other(wrong.clone())),
        }
    }
}

/// The bytes' way.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Over one of the others.
    Tls(Box<TlsStream<Stream>>),
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

    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The kernel has an error for us that no read has shown: our bytes were reset.
    pub fn pending_error(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Tls(stream) => return stream.get_ref().0.pending_error(),
        };
        matches!(error, Ok(Some(error)) if is_reset(&error))
    }

    /// The runtime has seen neither bytes nor an end since the last read. Nobody is told when that changes.
    pub fn has_nothing(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            // Cheaper than to poll them: nobody's waker is to be kept.
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(stream) => {
                let cx = &mut Context::from_waker(Waker::noop());
                return Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending();
            }
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The kernel has neither bytes nor an end nor an error for us. Of TLS, what lies there is taken in: a session ticket is no news, but
    /// an end, an alert and bytes of an answer are.
    pub fn is_quiet(&mut self) -> bool {
        let Self::Tls(tls) = self else {
            return matches!(self.receive(&mut [0; 1], RecvFlags::PEEK), Err(Errno::AGAIN));
        };
        let (stream, session) = tls.get_mut();
        loop {
            match session.read_tls(&mut Raw(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(1..) => match session.process_new_packets() {
                    Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                    _ => return false,
                },
                _ => return false,
            }
        }
    }

    /// From the kernel, whatever the runtime knows of it.
    fn receive(&self, buf: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        let fd = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => return stream.get_ref().0.receive(buf, flags),
        };
        rustix::net::recv(fd, buf, flags | RecvFlags::DONTWAIT).map(|(_, read)| read)
    }
}

struct Raw<'s>(&'s Stream);

impl io::Read for Raw<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.receive(buf, RecvFlags::empty())?)
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
            Stream::Tls($stream) => $call,
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
