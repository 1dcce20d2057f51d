//! A body on its way through a coder.
//!
//! What comes fast is collected; what has to be waited for does not hold back what was there before it. Work is done in
//! small pieces on the task's budget, so that a large answer never keeps the thread's other connections waiting.

use super::encoder::Encoder;
use crate::body::{Body, BodyError};
use crate::compress::Coding;
use crate::metrics::Shard;
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::coop;

/// Bytes that go into the coder at a time: less than a millisecond for all but the highest levels.
const PIECE: usize = 16 << 10;
/// What a piece costs of a task's budget of 128: after four, it is the others' turn.
const COST: usize = 32;
/// A frame's size, about.
const ENOUGH: usize = 16 << 10;
/// Coders at work on one thread; each holds up to three megabytes. What comes beyond them goes out as it is.
const CODERS: usize = 64;

thread_local! {
    static AT_WORK: Cell<usize> = const { Cell::new(0) };
}

/// A coder's place among those of its thread.
pub struct Place(());

impl Place {
    pub fn take() -> Option<Self> {
        AT_WORK.with(|count| {
            let free = count.get() < CODERS;
            count.set(count.get() + usize::from(free));
            free.then(|| Self(()))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        AT_WORK.with(|count| count.set(count.get() - 1));
    }
}

pub struct Compressed {
    inner: Body,
    /// Until the end.
    encoder: Option<(Encoder, Place)>,
    /// Not yet in the coder.
    input: Bytes,
    /// Something is in the coder that is not out.
    unflushed: bool,
    coding: Coding,
    metrics: Arc<Shard>,
}

impl Compressed {
    pub fn new(inner: Body, encoder: Encoder, place: Place, coding: Coding, metrics: Arc<Shard>) -> Self {
        Self { inner, encoder: Some((encoder, place)), input: Bytes::new(), unflushed: false, coding, metrics }
    }

    /// A frame, or `None` at the end, or what the inner body has to say of its own failure.
    fn poll_coded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let Some((encoder, _)) = &mut self.encoder else { return Poll::Ready(Ok(None)) };
            if encoder.ready() >= ENOUGH {
                return Poll::Ready(Ok(Some(encoder.take().into())));
            }
            if !self.input.is_empty() {
                for _ in 0..COST {
                    ready!(coop::poll_proceed(cx)).made_progress();
                }
                let piece = self.input.get(..PIECE).unwrap_or(&self.input);
                let length = piece.len();
                encoder.write(piece)?;
                self.unflushed = true;
                self.input.advance(length);
                self.metrics.compression.taken(self.coding, length);
                continue;
            }
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers go nowhere.
                    self.input = frame.into_data().unwrap_or_default();
                }
                // What is missing must be seen to be missing: no end of the coding.
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => {
                    let rest = match self.encoder.take() {
                        Some((encoder, _place)) => encoder.finish()?,
                        None => Vec::new(),
                    };
                    return Poll::Ready(Ok((!rest.is_empty()).then(|| rest.into())));
                }
                Poll::Pending if std::mem::take(&mut self.unflushed) => {
                    encoder.flush()?;
                    let part = encoder.take();
                    if !part.is_empty() {
                        return Poll::Ready(Ok(Some(part.into())));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let part = ready!(self.poll_coded(cx)).transpose();
        if let Some(Ok(part)) = &part {
            self.metrics.compression.given(self.coding, part.len());
        }
        Poll::Ready(part.map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.encoder.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
