//! Reading an answer: interim heads, the head, the body in whichever of its framings.

use super::send::Upload;
use super::{Fault, Wire, scratch};
use crate::upstream::connect::is_reset;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use monodon_http1::{Answer, AnswerLimits, Chunk, Chunks, Ending};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;

const LIMITS: AnswerLimits = AnswerLimits { head: 128 << 10, fields: 200 };
/// Room for the read that brings the head. Most answers fit wholly.
const HEAD_READ: usize = 8 << 10;
/// Room for one read of a body.
const BODY_READ: usize = 32 << 10;
/// Interim answers before the one that counts; a few hints are usual.
const INTERIM: u8 = 16;

/// What of the answer is still to come.
pub enum Rest {
    Head,
    Done,
    Length(u64),
    Chunked(Box<Chunks>),
    /// To the end of the connection.
    Close,
    /// Broken off or malformed.
    Failed,
}

impl Wire {
    /// The answer's head; [`Wire::take_head`] has it then.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.send(cx);
        loop {
            if let Some(fault) = self.upload_fault() {
                return self.fault(fault);
            }
            if !self.buf.is_empty() {
                // RFC 9112, section 9.2: what is there before anything was asked answers nobody.
                if !self.begun {
                    return self.fault(Fault::Unsent);
                }
                match self.answer.parse(&self.buf, self.to_head, &LIMITS) {
                    Ok(true) if self.answer.is_interim() => {
                        self.interim = self.interim.saturating_add(1);
                        if self.interim > INTERIM {
                            return self.fault(Fault::Malformed("too_many_interim_answers"));
                        }
                        self.buf.advance(self.answer.len);
                        self.answer.clear();
                        continue;
                    }
                    Ok(true) => {
                        self.keep = self.answer.keep_alive;
                        self.rest = match self.answer.ending {
                            Ending::None => Rest::Done,
                            Ending::Length(length) => Rest::Length(length),
                            Ending::Chunked => Rest::Chunked(Box::new(Chunks::new(u64::MAX).with_trailers())),
                            Ending::Close => Rest::Close,
                        };
                        return Poll::Ready(Ok(()));
                    }
                    Ok(false) => {}
                    Err(reject) => return self.fault(Fault::Malformed(reject.reason())),
                }
            }
            match ready!(self.poll_fill(cx, HEAD_READ)) {
                Ok(read) if read > 0 => {}
                _ if !self.begun => return self.fault(Fault::Unsent),
                _ => return self.fault(Fault::Ended),
            }
        }
    }

    /// Who takes no more of the request has said all he needs; but who waits for the rest of one that broke off waits for ever.
    fn upload_fault(&mut self) -> Option<Fault> {
        let Upload::Failed(error) = &mut self.upload else { return None };
        error.take().map(Fault::Upload)
    }

    fn fault(&mut self, fault: Fault) -> Poll<Result<(), Fault>> {
        self.rest = Rest::Failed;
        Poll::Ready(Err(fault))
    }

    /// The parsed head and its bytes, once it is there.
    pub fn take_head<T>(&mut self, read: impl FnOnce(&Answer, &Bytes) -> T) -> T {
        let head = self.buf.split_to(self.answer.len.min(self.buf.len())).freeze();
        let taken = read(&self.answer, &head);
        scratch::return_answer(std::mem::take(&mut self.answer));
        taken
    }

    /// Bytes of the body that are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.rest {
            Rest::Done => Some(0),
            Rest::Length(left) => Some(left),
            _ => None,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.rest, Rest::Done)
    }

    /// Bytes that have come and are not taken.
    pub fn here(&self) -> usize {
        self.buf.len()
    }

    /// All that is left of a body of known length, in one piece. Only for small ones.
    pub fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Fault>> {
        self.send(cx);
        let left = match self.rest {
            Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Rest::Done => 0,
            _ => return Poll::Ready(Err(Fault::Ended)),
        };
        while self.buf.len() < left {
            if let Some(fault) = self.upload_fault() {
                self.rest = Rest::Failed;
                return Poll::Ready(Err(fault));
            }
            let wanted = left - self.buf.len();
            // A large buffer is this answer's alone.
            self.large |= wanted > BODY_READ;
            match ready!(self.poll_fill(cx, wanted)) {
                Ok(read) if read > 0 => {}
                _ => {
                    self.rest = Rest::Failed;
                    return Poll::Ready(Err(Fault::Ended));
                }
            }
        }
        self.rest = Rest::Done;
        Poll::Ready(Ok(self.buf.split_to(left).freeze()))
    }

    /// The next part of the body; `None` at its end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.send(cx);
        loop {
            let wanted = match &mut self.rest {
                Rest::Done => return Poll::Ready(None),
                Rest::Head | Rest::Failed => return Poll::Ready(Some(Err(Fault::Ended))),
                Rest::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buf.len());
                    if here > 0 {
                        *left -= here as u64;
                        if *left == 0 {
                            self.rest = Rest::Done;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(self.buf.split_to(here).freeze()))));
                    }
                    usize::try_from(*left).unwrap_or(usize::MAX).min(BODY_READ)
                }
                Rest::Chunked(chunks) => match chunks.next(&self.buf) {
                    Ok(Chunk::Data { start, end }) => {
                        self.buf.advance(start);
                        let data = self.buf.split_to(end.saturating_sub(start)).freeze();
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Ok(Chunk::More { consume }) => {
                        self.buf.advance(consume);
                        BODY_READ
                    }
                    Ok(Chunk::End { consume }) => {
                        self.buf.advance(consume);
                        let trailers = trailers(chunks);
                        self.rest = Rest::Done;
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    Err(_) => {
                        self.rest = Rest::Failed;
                        return Poll::Ready(Some(Err(Fault::Ended)));
                    }
                },
                Rest::Close if !self.buf.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(self.buf.split().freeze()))));
                }
                Rest::Close => BODY_READ,
            };
            if let Some(fault) = self.upload_fault() {
                self.rest = Rest::Failed;
                return Poll::Ready(Some(Err(fault)));
            }
            let room = self.room(wanted);
            match ready!(self.poll_fill(cx, room)) {
                Ok(0) if matches!(self.rest, Rest::Close) => self.rest = Rest::Done,
                Ok(read) if read > 0 => {}
                _ => {
                    self.rest = Rest::Failed;
                    return Poll::Ready(Some(Err(Fault::Ended)));
                }
            }
        }
    }

    /// For the next read of a body. Parts of the block may be held elsewhere: what is left of it is filled before there is another, or a
    /// part of a few bytes would hold a block of its own.
    fn room(&mut self, wanted: usize) -> usize {
        let spare = self.buf.capacity() - self.buf.len();
        if spare >= HEAD_READ && !self.buf.try_reclaim(wanted) { spare } else { wanted }
    }

    /// Reads once, whatever there is. 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.buf.capacity() == 0 {
            self.buf = scratch::read();
        }
        self.buf.reserve(room);
        let read = ready!(pin!(self.stream.read_buf(&mut self.buf)).poll(cx));
        match &read {
            Ok(0) => {
                self.ended = true;
                // What we sent after the other end had closed was reset, but its orderly end is what is read.
                self.reset |= self.stream.pending_error();
            }
            Ok(_) => {}
            Err(error) => {
                self.ended = true;
                self.reset |= is_reset(error);
            }
        }
        Poll::Ready(read)
    }
}

fn trailers(chunks: &Chunks) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in chunks.trailers() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    Some(map).filter(|map| !map.is_empty())
}
