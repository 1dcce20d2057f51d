//! The request's body as the pipeline sees it: a stream that reads the connection when it is polled, and not before.

use super::wire::{Rest, Wire};
use crate::body::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

pub struct Reader<I> {
    wire: Rc<RefCell<Wire<I>>>,
    turn: u64,
}

impl<I> Reader<I> {
    pub fn new(wire: Rc<RefCell<Wire<I>>>) -> Self {
        let turn = wire.borrow().turn;
        Self { wire, turn }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> http_body::Body for Reader<I> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut wire = self.wire.borrow_mut();
        if wire.turn != self.turn {
            return Poll::Ready(Some(Err(BodyError::Gone)));
        }
        wire.poll_body(cx).map(|part| part.map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let wire = self.wire.borrow();
        wire.turn == self.turn && wire.body_done()
    }

    fn size_hint(&self) -> SizeHint {
        let wire = self.wire.borrow();
        match wire.rest {
            Rest::Done => SizeHint::with_exact(0),
            Rest::Length(left) if wire.turn == self.turn => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}
