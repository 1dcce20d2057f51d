//! A connection's transport and what was read of it, shared by the loop and the body of the request in hand.

use bytes::{Buf, Bytes, BytesMut};
use monodon_http1::{Chunk, Chunks, Framing, Reject};
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::body::BodyError;

/// A first read goes through the stack, so that a connection that waits holds no buffer. Most heads fit.
const FIRST: usize = 4096;
/// Room for one read of a body.
const BODY_READ: usize = 32 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of the request's body is still on the wire.
pub enum Rest {
    Done,
    Length(u64),
    Chunked(Chunks),
    /// Broken off or malformed: nothing more on this connection can be understood.
    Failed,
}

/// `Expect: 100-continue`, from the demand to the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    No,
    Wanted,
    /// This many bytes of [`CONTINUE`] are written.
    Sending(usize),
    /// All are, and perhaps not sent yet.
    Flushing,
}

pub struct Wire<I> {
    pub io: I,
    pub buf: BytesMut,
    /// The peer sends no more.
    pub eof: bool,
    pub rest: Rest,
    pub expect: Expect,
    /// Counts requests, so that a body that outlives its own cannot read another's.
    pub turn: u64,
    body_limit: u64,
    /// Who waits for the client to leave, and cannot read while the body is still to come.
    watch: Option<Waker>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Wire<I> {
    pub fn new(io: I) -> Self {
        Self {
            io,
            buf: BytesMut::new(),
            eof: false,
            rest: Rest::Done,
            expect: Expect::No,
            turn: 0,
            body_limit: 0,
            watch: None,
        }
    }

    /// The next request's head has been taken out of the buffer; what follows is its body.
    pub fn begin(&mut self, framing: Framing, expect: bool, body_limit: u64) {
        self.turn += 1;
        self.body_limit = body_limit;
        self.rest = match framing {
            Framing::None | Framing::Length(0) => Rest::Done,
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunks::new(body_limit)),
        };
        self.expect = if expect { Expect::Wanted } else { Expect::No };
        self.watch = None;
    }

    pub fn body_done(&self) -> bool {
        matches!(self.rest, Rest::Done)
    }

    /// Reads once, whatever there is. 0 is the end. A connection that waits here holds no buffer when it had none.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let read = if self.buf.is_empty() && room <= FIRST {
            // Not even an empty handle on the last request's bytes.
            self.buf = BytesMut::new();
            let mut stack = [MaybeUninit::<u8>::uninit(); FIRST];
            let mut first = ReadBuf::uninit(&mut stack);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut first))?;
            self.buf = BytesMut::from(first.filled());
            first.filled().len()
        } else {
            self.buf.reserve(room);
            ready!(pin!(self.io.read_buf(&mut self.buf)).poll(cx))?
        };
        self.eof = read == 0;
        Poll::Ready(Ok(read))
    }

    /// Has this task woken when the body is over: another may be the one that reads it.
    pub fn watch(&mut self, cx: &Context<'_>) {
        if !matches!(self.rest, Rest::Done | Rest::Failed) {
            self.watch.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
    }

    /// The next part of the body, wherever one has arrived; `None` at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let part = self.poll_part(cx);
        if matches!(self.rest, Rest::Done | Rest::Failed)
            && let Some(waker) = self.watch.take()
            && !waker.will_wake(cx.waker())
        {
            waker.wake();
        }
        part
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let wanted = match &mut self.rest {
                Rest::Done => return Poll::Ready(None),
                Rest::Failed => return Poll::Ready(Some(Err(BodyError::Gone))),
                Rest::Length(left) if *left > self.body_limit => return self.fail(BodyError::TooLarge),
                Rest::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buf.len());
                    if here > 0 {
                        // RFC 9110 10.1.1: who has begun to send does not wait for `100 Continue`.
                        self.expect = Expect::No;
                        *left -= here as u64;
                        self.body_limit -= here as u64;
                        if *left == 0 {
                            self.rest = Rest::Done;
                        }
                        return Poll::Ready(Some(Ok(self.buf.split_to(here).freeze())));
                    }
                    usize::try_from(*left).unwrap_or(usize::MAX).min(BODY_READ)
                }
                Rest::Chunked(chunks) => match chunks.next(&self.buf) {
                    Ok(Chunk::Data { start, end }) => {
                        self.expect = Expect::No;
                        self.buf.advance(start);
                        return Poll::Ready(Some(Ok(self.buf.split_to(end.saturating_sub(start)).freeze())));
                    }
                    Ok(Chunk::More { consume }) => {
                        self.buf.advance(consume);
                        BODY_READ
                    }
                    Ok(Chunk::End { consume }) => {
                        self.buf.advance(consume);
                        self.rest = Rest::Done;
                        return Poll::Ready(None);
                    }
                    Err(Reject::BodyTooLarge) => return self.fail(BodyError::TooLarge),
                    Err(reject) => return self.fail(BodyError::Bad(reject.reason())),
                },
            };
            // An error of the client's connection is its end like any other; `Io` is for our own files.
            if ready!(self.poll_continue(cx)).is_err() {
                return self.fail(BodyError::Gone);
            }
            match ready!(self.poll_fill(cx, wanted)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return self.fail(BodyError::Gone),
            }
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.rest = Rest::Failed;
        Poll::Ready(Some(Err(error)))
    }

    /// RFC 9110 10.1.1: `100 Continue` when the body is wanted and nothing of it has come.
    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.expect == Expect::Wanted {
            // A client that has begun to send does not wait for it.
            self.expect = if self.buf.is_empty() { Expect::Sending(0) } else { Expect::No };
        }
        while let Expect::Sending(sent) = self.expect {
            let left = CONTINUE.get(sent..).unwrap_or_default();
            if left.is_empty() {
                self.expect = Expect::Flushing;
                break;
            }
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.expect = Expect::Sending(sent + written);
        }
        if self.expect == Expect::Flushing {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.expect = Expect::No;
        }
        Poll::Ready(Ok(()))
    }
}
