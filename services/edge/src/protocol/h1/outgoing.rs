//! Sending an answer: the head with as much of the body as is there, then the body as it comes, never faster than the client reads.

use super::response::{self, Asked, Send};
use super::writer::{Parts, flush, write_all};
use super::{Connection, poll_left, scratch, sendfile};
use crate::body::{Body, BodyError};
use crate::protocol::pace::Pace;
use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use monodon_http1::encode;
use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Keep,
    Close,
    /// Not whole, and the client must see that: no last chunk, no orderly end.
    Broken,
}

type Part = Option<Result<Frame<Bytes>, BodyError>>;

/// Has the kernel answer with a reset when this is dropped. Under TLS a missing close_notify says the same.
fn reset(io: &impl Any) {
    if let Some(stream) = (io as &dyn Any).downcast_ref::<TcpStream>() {
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

impl<I> Connection<I>
where
    I: AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static,
{
    pub(super) async fn send(&mut self, response: Response<Body>, asked: Asked) -> Sent {
        let mut out = scratch::buffer();
        let (send, keep) = response::head(&mut out, &response, asked);
        let mut body = response.into_body();
        let sent = match body.sending().and_then(|sending| sending.deadline) {
            None => self.send_all(&mut out, &mut body, send).await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), self.send_all(&mut out, &mut body, send))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        scratch::return_buffer(out);
        match sent {
            Err(error) => {
                if error.kind() == io::ErrorKind::TimedOut {
                    self.thread.metrics.connections.stalled.add(1);
                }
                // Where the end of the connection is the end of the body, an orderly one would make a part look whole.
                if send == Send::UntilClose {
                    reset(&self.wire.borrow().io);
                }
                Sent::Broken
            }
            Ok(()) if keep => Sent::Keep,
            Ok(()) => Sent::Close,
        }
    }

    async fn send_all(&mut self, out: &mut Vec<u8>, body: &mut Body, send: Send) -> io::Result<()> {
        let mut pace = Pace::of(body, &self.thread);
        match (send, body.take_full()) {
            (Send::Nothing, _) => {
                self.write(out, &[], &[], &mut pace).await?;
            }
            // Chunked is for what has no known length: bytes that are there have one.
            (_, Some(data)) => self.write(out, &data, &[], &mut pace).await?,
            (_, None) => self.stream(out, body, send, &mut pace).await?,
        }
        flush(&self.wire, &mut pace, &mut self.timer).await
    }

    async fn stream(&mut self, out: &mut Vec<u8>, body: &mut Body, send: Send, pace: &mut Pace) -> io::Result<()> {
        let mut left = if let Send::Length(length) = send { length } else { u64::MAX };
        let mut by_kernel = matches!(send, Send::Length(_));
        loop {
            if by_kernel && let Some(part) = sendfile::next(&self.wire, body) {
                self.write(out, &[], &[], pace).await?;
                let (sent, result) = sendfile::send(&self.wire, part, pace, &mut self.timer).await;
                body.skip(sent);
                left = left.saturating_sub(sent);
                by_kernel = result?;
                if left == 0 && body.is_end_stream() {
                    return Ok(());
                }
                tokio::task::yield_now().await;
                continue;
            }
            // What is there already goes out together with the head.
            let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await;
            let part = match now {
                Poll::Ready(part) => part,
                Poll::Pending => {
                    self.write(out, &[], &[], pace).await?;
                    flush(&self.wire, pace, &mut self.timer).await?;
                    self.part(body).await?
                }
            };
            let data = match part {
                None => break,
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => data,
                    // Trailers go nowhere: few clients know them, and attacks do.
                    _ => continue,
                },
            };
            match send {
                Send::Chunked => {
                    encode::chunk(out, data.len());
                    let last = body.is_end_stream();
                    let tail: &[u8] = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                    self.write(out, &data, tail, pace).await?;
                    if last {
                        return Ok(());
                    }
                }
                Send::Length(_) if data.len() as u64 > left => {
                    // Longer than was said: what was said is sent, and the connection ends before a byte more.
                    let cut = usize::try_from(left).unwrap_or(usize::MAX);
                    self.write(out, data.get(..cut).unwrap_or_default(), &[], pace).await?;
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Send::Length(_) => {
                    left -= data.len() as u64;
                    self.write(out, &data, &[], pace).await?;
                    if left == 0 && body.is_end_stream() {
                        return Ok(());
                    }
                }
                Send::Nothing | Send::UntilClose => self.write(out, &data, &[], pace).await?,
            }
        }
        match send {
            Send::Chunked => {
                out.extend_from_slice(encode::LAST_CHUNK);
                self.write(out, &[], &[], pace).await
            }
            // Shorter than was said.
            Send::Length(_) if left > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => self.write(out, &[], &[], pace).await,
        }
    }

    async fn write(&mut self, head: &mut Vec<u8>, data: &[u8], tail: &[u8], pace: &mut Pace) -> io::Result<()> {
        write_all(&self.wire, Parts { head, data, tail }, pace, &mut self.timer).await
    }

    /// Waits for the body's next part; a client that leaves meanwhile ends the wait, else an event stream would wait for ever.
    async fn part(&mut self, body: &mut Body) -> io::Result<Part> {
        let (wire, timer) = (&self.wire, &mut self.timer);
        let part = poll_fn(|cx| {
            if let Poll::Ready(part) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(Ok(part));
            }
            poll_left(&mut wire.borrow_mut(), timer, cx).map(|()| Err(io::ErrorKind::BrokenPipe.into()))
        })
        .await;
        timer.clear();
        part
    }
}
