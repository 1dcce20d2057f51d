//! One HTTP/1 connection to an upstream, on the strict codec: a request is written and its answer read by whoever waits for it.
//!
//! No task and no channel stands between the connection and who polls it. [`send`] writes, [`receive`] reads; [`scratch`] keeps the
//! buffers, which a connection has only while a request is in hand.

mod receive;
mod scratch;
mod send;

#[cfg(test)]
mod tests;

pub use receive::Rest;
pub use scratch::buffer;
pub use send::Upload;

use super::connect::Stream;
use crate::body::BodyError;
use bytes::{Bytes, BytesMut};
use monodon_http1::Answer;
use std::time::Instant;

pub struct Wire {
    stream: Stream,
    /// Read, and not taken yet.
    buf: BytesMut,
    /// It has grown beyond what is worth keeping.
    large: bool,
    /// Head and small body of the request, and how much of it has been written.
    out: Vec<u8>,
    written: usize,
    /// A part of the body, behind `out`.
    part: Bytes,
    upload: Upload,
    /// Of the length that the head has promised, so much is still to be written; `None`: it has promised none.
    owed: Option<u64>,
    /// The stream has been told to send all (TLS holds records back).
    flushed: bool,
    /// Something of the request in hand has been written.
    begun: bool,
    /// The other end takes no more; its answer may be there all the same.
    deaf: bool,
    /// The connection was reset: bytes of ours lay unread in the other end's kernel, or nobody was there any more.
    reset: bool,
    /// The other end sends no more.
    ended: bool,
    /// When a part of a big body was last taken.
    moved: Option<Instant>,
    /// All that came of the body has been written.
    hungry: bool,
    answer: Answer,
    to_head: bool,
    interim: u8,
    keep: bool,
    rest: Rest,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nothing of the request was sent: it may be, elsewhere, whatever it is.
    Unsent,
    /// The upstream says that it has not looked at it.
    Refused,
    /// The connection ended before the answer did.
    Ended,
    /// The rule that the answer breaks.
    Malformed(&'static str),
    /// The request's own body could not be had.
    Upload(BodyError),
}

/// To whom the answer's body is passed on.
impl From<Fault> for BodyError {
    fn from(fault: Fault) -> Self {
        if let Fault::Upload(error) = fault { error } else { Self::Gone }
    }
}

impl Wire {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            buf: BytesMut::new(),
            large: false,
            out: Vec::new(),
            written: 0,
            part: Bytes::new(),
            upload: Upload::Done,
            owed: None,
            flushed: true,
            begun: false,
            deaf: false,
            reset: false,
            ended: false,
            moved: None,
            hungry: false,
            answer: Answer::new(),
            to_head: false,
            interim: 0,
            keep: true,
            rest: Rest::Done,
        }
    }

    /// A request begins: `out` is its head and perhaps its body, `upload` what follows.
    pub fn begin(&mut self, out: Vec<u8>, upload: Upload, to_head: bool) {
        self.out = out;
        self.written = 0;
        self.owed = upload.promised();
        self.upload = upload;
        self.flushed = false;
        self.begun = false;
        self.reset = false;
        self.moved = None;
        self.hungry = false;
        self.to_head = to_head;
        self.interim = 0;
        self.keep = false;
        self.rest = Rest::Head;
        self.answer = scratch::answer();
    }

    /// Whether it ended by a reset.
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    /// When a part of a big body was last taken; `None` where there was none.
    pub fn moved(&self) -> Option<Instant> {
        self.moved
    }

    /// Whether what is still to be sent has yet to come from the client.
    pub fn wants_more(&self) -> bool {
        self.hungry && !self.deaf
    }

    /// Whether another request may follow: all of this one was sent, its answer was read to its end, and not a byte more came.
    pub fn is_reusable(&self) -> bool {
        self.keep
            && !self.deaf
            && !self.ended
            && self.is_sent()
            && matches!(self.rest, Rest::Done)
            && self.buf.is_empty()
    }

    /// An idle connection holds no buffer.
    pub fn rest(&mut self) {
        let buf = std::mem::take(&mut self.buf);
        if !std::mem::take(&mut self.large) {
            scratch::return_read(buf);
        }
    }

    /// Whether an idle connection is still one: neither ended nor with bytes that nobody has asked for. Costs no system call where the
    /// runtime has seen nothing happen on it.
    pub fn is_open(&mut self) -> bool {
        !self.ended && self.buf.is_empty() && self.stream.has_nothing()
    }

    /// As [`Self::is_open`], by asking the kernel: what has happened since the runtime last looked is seen too.
    pub fn is_open_now(&mut self) -> bool {
        self.is_open() && self.stream.is_quiet()
    }

    /// The body of a request of which nothing was sent.
    pub fn take_upload(&mut self) -> Option<Upload> {
        (!self.begun).then(|| std::mem::replace(&mut self.upload, Upload::Failed(None)))
    }

    /// The bare stream and what has been read of it, after a 101.
    pub fn into_tunnel(mut self) -> (Stream, Bytes) {
        (self.stream, self.buf.split().freeze())
    }
}
