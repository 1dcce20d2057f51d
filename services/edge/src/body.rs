//! The one body type of both directions: nothing, bytes that are there, or a stream.

use crate::static_files::FileParts;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A request's body as the protocols hand it in; the same type as a response's.
pub type RequestBody = Body;

type Stream = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>;

pub struct Body {
    kind: Kind,
    sent: u64,
    end: Option<Box<dyn End>>,
    sending: Option<Sending>,
}

/// How an answer's body may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// Without any progress.
    pub stall: Duration,
    /// Bytes a second.
    pub min_rate: u64,
    /// By then it has ended or is cut off.
    pub deadline: Option<Instant>,
}

enum Kind {
    Empty,
    Full(Bytes),
    /// Parts of files, which the kernel may send by itself.
    Files(Box<FileParts>),
    Stream(Stream),
}

/// Told once, when the body has been taken wholly or is dropped before that: the access log's line hangs here.
pub trait End {
    /// What the answer's head has still to say, as lines: asked for before the body is sent, by a protocol that writes lines.
    fn say(&self, out: &mut Vec<u8>);
    fn end(self: Box<Self>, bytes: u64, complete: bool);
}

/// An answer of this status has no content, whatever was meant to be it (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
pub fn goes_without(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Why a body broke off.
#[derive(Debug)]
pub enum BodyError {
    TooLarge,
    TooSlow,
    /// The other side went away in mid-body.
    Gone,
    /// The bytes are not what the framing rules allow; the reason is fit for a log.
    Bad(&'static str),
    Io(std::io::Error),
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is larger than allowed"),
            Self::TooSlow => f.write_str("the body came too slowly"),
            Self::Gone => f.write_str("the connection ended before the body did"),
            Self::Bad(reason) => write!(f, "malformed body: {reason}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

impl Body {
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// Bytes and what is said behind them (RFC 9110, section 6.5): HTTP/2 clients get both.
    pub fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self::stream(
            Full::new(bytes).map_err(|never| match never {}).with_trailers(std::future::ready(Some(Ok(trailers)))),
        )
    }

    pub fn stream(stream: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::of(Kind::Stream(Box::pin(stream)))
    }

    pub fn files(parts: FileParts) -> Self {
        Self::of(Kind::Files(Box::new(parts)))
    }

    /// What comes next, where it is a file's part: its first byte and the one after its last.
    pub fn file(&self) -> Option<(&Arc<File>, u64, u64)> {
        if let Kind::Files(parts) = &self.kind { parts.file() } else { None }
    }

    /// So many bytes of it have been sent.
    pub fn skip(&mut self, bytes: u64) {
        if let Kind::Files(parts) = &mut self.kind {
            parts.skip(bytes);
            self.sent += bytes;
        }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, sent: 0, end: None, sending: None }
    }

    /// Have `end` told when this body ends.
    pub fn on_end(mut self, end: Box<dyn End>) -> Self {
        self.end = Some(end);
        self
    }

    /// Have it taken in this way.
    pub fn taken(mut self, sending: Sending) -> Self {
        self.sending = Some(sending);
        self
    }

    /// Lines that belong to the head it goes with, behind the fields.
    pub fn say(&self, out: &mut Vec<u8>) {
        if let Some(end) = &self.end {
            end.say(out);
        }
    }

    pub fn sending(&self) -> Option<Sending> {
        self.sending
    }

    /// The bytes, where the body is nothing but bytes that are there: they can go out in one write with the head.
    /// They count as sent; keep the (now empty) body until they are.
    pub fn take_full(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.kind, Kind::Empty) {
            Kind::Empty => Some(Bytes::new()),
            Kind::Full(bytes) => {
                self.sent += bytes.len() as u64;
                Some(bytes)
            }
            stream => {
                self.kind = stream;
                None
            }
        }
    }
}

type Part = Option<Result<Frame<Bytes>, BodyError>>;

impl Body {
    fn count(&mut self, frame: Part) -> Part {
        match &frame {
            None => self.kind = Kind::Empty,
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => {}
        }
        frame
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.sent += bytes.len() as u64;
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Files(parts) => {
                let frame = ready!(Pin::new(&mut **parts).poll_frame(cx));
                Poll::Ready(this.count(frame))
            }
            Kind::Stream(stream) => {
                let frame = ready!(stream.as_mut().poll_frame(cx));
                Poll::Ready(this.count(frame))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Files(parts) => parts.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Files(parts) => parts.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.end(self.sent, http_body::Body::is_end_stream(self));
        }
    }
}
