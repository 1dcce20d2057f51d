//! Writing a request: head and small body in one call, a big body as it is read from memory, from the spool or from the client.

use super::{Wire, scratch};
use crate::body::{Body, BodyError};
use crate::buffer::{Outgoing, Replay};
use crate::upstream::connect::is_reset;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use monodon_http1::encode;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::AsyncWrite;

/// What of a request's body is still to be written behind the head.
pub enum Upload {
    Done,
    /// Taken in whole before.
    Buffered(Replay),
    /// As the client sends it.
    Live(Body),
    /// The same, of a length that nobody knows.
    Chunked(Body),
    Failed(Option<BodyError>),
}

impl Upload {
    /// A body on its way: one that was taken in can be sent again.
    pub fn of(body: &mut Outgoing) -> Self {
        match body {
            Outgoing::Buffered(buffered) if buffered.is_empty() => Self::Done,
            Outgoing::Buffered(buffered) => Self::Buffered(buffered.replay()),
            Outgoing::Live { body, .. } => match body.take() {
                Some(live) if live.size_hint().exact().is_some() => Self::Live(live),
                Some(live) => Self::Chunked(live),
                None => Self::Failed(Some(BodyError::Gone)),
            },
        }
    }

    /// How long it was said to be in the request's head.
    pub(super) fn promised(&self) -> Option<u64> {
        match self {
            Self::Buffered(replay) => replay.size_hint().exact(),
            Self::Live(body) => body.size_hint().exact(),
            Self::Done | Self::Chunked(_) | Self::Failed(_) => None,
        }
    }

    pub fn into_live(self) -> Option<Body> {
        match self {
            Self::Live(body) | Self::Chunked(body) => Some(body),
            Self::Done | Self::Buffered(_) | Self::Failed(_) => None,
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Done | Self::Failed(_) => Poll::Ready(None),
            Self::Buffered(replay) => Pin::new(replay).poll_frame(cx),
            Self::Live(body) | Self::Chunked(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

impl Wire {
    /// Whether all of the request has been written.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.upload, Upload::Done) && self.flushed
    }

    /// Whether no more of it is to be written: all was, or the other end takes no more.
    pub fn has_sent(&self) -> bool {
        self.deaf || self.is_sent()
    }

    /// Writes as much as goes now. It never fails: who answers early and closes (401, 413) makes the writing fail while his answer is
    /// there to be read, so the reading side decides.
    pub fn send(&mut self, cx: &mut Context<'_>) {
        self.hungry = false;
        while !self.deaf && !self.flushed {
            let head = self.out.get(self.written..).unwrap_or_default();
            let stream = Pin::new(&mut self.stream);
            let written = match (head, &self.part[..]) {
                ([], []) if matches!(self.upload, Upload::Done) => match stream.poll_flush(cx) {
                    Poll::Ready(Ok(())) => {
                        self.flushed = true;
                        continue;
                    }
                    other => other.map_ok(|()| 0),
                },
                ([], []) => {
                    if self.next_part(cx).is_pending() {
                        self.hungry = true;
                        // What is there goes out meanwhile.
                        let _ = Pin::new(&mut self.stream).poll_flush(cx);
                        return;
                    }
                    continue;
                }
                // Mostly it is a head alone, and one part costs the kernel less when it is not a list of one.
                (head, []) => stream.poll_write(cx, head),
                ([], part) => stream.poll_write(cx, part),
                (head, part) if stream.is_write_vectored() => {
                    stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(part)])
                }
                (head, _) => stream.poll_write(cx, head),
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.deafen(&io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.wrote(written),
                Poll::Ready(Err(error)) => self.deafen(&error),
            }
        }
    }

    fn wrote(&mut self, written: usize) {
        self.begun = true;
        let of_head = written.min(self.out.len().saturating_sub(self.written));
        self.written = self.written.saturating_add(of_head);
        let _ = self.part.split_to(written.saturating_sub(of_head).min(self.part.len()));
        if self.moved.is_some() {
            self.moved = Some(Instant::now());
        }
        if self.written == self.out.len() && !self.out.is_empty() {
            scratch::return_buffer(std::mem::take(&mut self.out));
            self.written = 0;
        }
    }

    fn deafen(&mut self, error: &io::Error) {
        self.deaf = true;
        self.reset |= is_reset(error);
        if self.begun {
            self.upload = Upload::Failed(None);
            self.part = Bytes::new();
        }
    }

    /// The other end must not take what it has for the whole.
    fn break_off(&mut self, error: BodyError) {
        self.upload = Upload::Failed(Some(error));
        self.deaf = true;
    }

    fn next_part(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let chunked = matches!(self.upload, Upload::Chunked(_));
        let part = match self.upload.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(part) => part,
        };
        match part {
            // Whatever came next on this connection would be taken for the rest.
            None if self.owed.is_some_and(|owed| owed > 0) => self.break_off(BodyError::Gone),
            None => {
                self.upload = Upload::Done;
                self.moved = Some(Instant::now());
                if chunked {
                    self.out.extend_from_slice(encode::LAST_CHUNK);
                }
            }
            Some(Err(error)) => self.break_off(error),
            // Trailers of a request go nowhere: few applications know them, and attacks do.
            Some(Ok(frame)) => {
                if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                    if let Some(owed) = self.owed {
                        let Some(left) = owed.checked_sub(data.len() as u64) else {
                            // The rest would be taken for another request.
                            self.break_off(BodyError::Bad("longer_than_said"));
                            return Poll::Ready(());
                        };
                        self.owed = Some(left);
                    }
                    self.moved = Some(Instant::now());
                    if chunked {
                        encode::chunk(&mut self.out, data.len());
                        self.out.extend_from_slice(&data);
                        self.out.extend_from_slice(b"\r\n");
                    } else {
                        self.part = data;
                    }
                }
            }
        }
        Poll::Ready(())
    }
}
