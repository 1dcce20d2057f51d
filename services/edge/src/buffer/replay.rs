//! A request's body that has been taken in whole: of known length, and sent as often as needed.

use super::spool::SpoolFile;
use crate::body::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

#[derive(Clone, Debug, Default)]
pub struct Buffered(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Memory(Bytes),
    File(Arc<SpoolFile>, u64),
}

impl Buffered {
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub fn memory(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Kind::Empty } else { Kind::Memory(bytes) })
    }

    pub(super) fn file(file: Arc<SpoolFile>, length: u64) -> Self {
        Self(Kind::File(file, length))
    }

    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Empty => 0,
            Kind::Memory(bytes) => bytes.len() as u64,
            Kind::File(_, length) => *length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn in_file(&self) -> bool {
        matches!(self.0, Kind::File(..))
    }

    /// All of it, where it is in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Memory(bytes) => Some(bytes),
            Kind::File(..) => None,
        }
    }

    /// From its beginning.
    pub fn replay(&self) -> Replay {
        Replay(match &self.0 {
            Kind::Empty => State::Done,
            Kind::Memory(bytes) => State::Memory(bytes.clone()),
            Kind::File(file, length) => State::File(Reading { file: file.clone(), at: 0, length: *length, next: None }),
        })
    }
}

/// A request's body for the upstream: taken in before, or to be sent as it comes.
pub enum Outgoing {
    Buffered(Buffered),
    /// No body once it is on its way. `timed`: somebody counts how long its client pauses.
    Live {
        body: Option<Body>,
        timed: bool,
    },
}

impl From<Buffered> for Outgoing {
    fn from(buffered: Buffered) -> Self {
        Self::Buffered(buffered)
    }
}

impl Outgoing {
    pub fn live(body: Body, timed: bool) -> Self {
        if body.is_end_stream() { Self::Buffered(Buffered::empty()) } else { Self::Live { body: Some(body), timed } }
    }

    /// Whether it comes to its end, or to an error, by itself.
    pub fn is_timed(&self) -> bool {
        matches!(self, Self::Buffered(_) | Self::Live { timed: true, .. })
    }

    pub fn is_buffered(&self) -> bool {
        matches!(self, Self::Buffered(_))
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Buffered(buffered) if buffered.is_empty())
    }

    /// Where it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Buffered(buffered) => Some(buffered.len()),
            Self::Live { body, .. } => body.as_ref().and_then(|body| body.size_hint().exact()),
        }
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Buffered(buffered) => buffered.bytes(),
            Self::Live { .. } => None,
        }
    }

    /// Of a sending that did not begin. False: it cannot be sent again.
    pub fn take_back(&mut self, unsent: Option<Body>) -> bool {
        if let Self::Live { body, .. } = self {
            *body = unsent;
            return body.is_some();
        }
        true
    }
}

/// The body on its way to the upstream.
pub struct Replay(State);

enum State {
    Done,
    Memory(Bytes),
    File(Reading),
}

struct Reading {
    file: Arc<SpoolFile>,
    at: u64,
    length: u64,
    next: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>>>>>,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            State::Done => Poll::Ready(None),
            State::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = State::Done;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            State::File(reading) => {
                if reading.at >= reading.length {
                    self.0 = State::Done;
                    return Poll::Ready(None);
                }
                let next =
                    reading.next.get_or_insert_with(|| Box::pin(reading.file.clone().read(reading.at, reading.length)));
                let part = ready!(next.as_mut().poll(cx));
                reading.next = None;
                Poll::Ready(Some(match part {
                    Ok(bytes) => {
                        reading.at += bytes.len() as u64;
                        Ok(Frame::data(bytes))
                    }
                    Err(error) => {
                        self.0 = State::Done;
                        Err(BodyError::Io(error))
                    }
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Done => true,
            State::Memory(_) => false,
            State::File(reading) => reading.at >= reading.length,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            State::Done => 0,
            State::Memory(bytes) => bytes.len() as u64,
            State::File(reading) => reading.length - reading.at,
        })
    }
}
