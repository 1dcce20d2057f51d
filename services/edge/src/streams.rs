//! WebSockets and event streams have no end of their own: when the edge stops, each is ended in order at a moment of its own
//! (see [`Drain::spread`]), instead of all of them being cut off when the grace period is over.

use crate::access_log::Record;
use crate::body::{Body, BodyError};
use crate::drain::{Drain, Working};
use bytes::Bytes;
use http::{Response, header};
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection after its 101: at the end it reads as closed, and the tunnel closes both sides in order.
pub struct Tunnel<I> {
    io: I,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    /// The edge waits for it.
    _working: Working,
}

impl<I> Tunnel<I> {
    pub fn new(io: I, drain: Drain, spread: Duration) -> Self {
        let working = drain.working();
        Self { io, end: Box::pin(drain.spread(spread)), ended: false, _working: working }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Tunnel<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended || self.end.as_mut().poll(cx).is_ready() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Tunnel<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Gives an event stream its end; any other answer stays as it is.
pub fn ends_with_the_edge(response: &mut Response<Body>, record: &Record) {
    // Most answers have a length, and are not looked at any further.
    if http_body::Body::size_hint(response.body()).exact().is_some() {
        return;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if !kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream")) {
        return;
    }
    let spread = record.view.snapshot.config.timeouts.close_spread;
    let end = Box::pin(record.thread.drain.clone().spread(spread));
    let body = std::mem::replace(response.body_mut(), Body::empty());
    *response.body_mut() = Body::stream(Events { body, end, ended: false });
}

struct Events {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()>>>,
    ended: bool,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // What is there goes out before the end.
        if !self.ended
            && let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx)
        {
            self.ended = frame.is_none();
            return Poll::Ready(frame);
        }
        if self.ended || self.end.as_mut().poll(cx).is_ready() {
            self.ended = true;
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
