//! A response between the upstream and the client: read at the upstream's speed, so that its slot is free soon, and
//! taken at the client's.
//!
//! What does not fit into memory goes to a file. A client that keeps up gets everything from memory; one that only
//! hesitates is given a moment before the disk is asked. Where the spool cannot take more, the upstream is read at the
//! client's speed: slower, but nothing is lost.

use super::spool::{Spool, SpoolFile};
use crate::body::BodyError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// The moment a client is given to make room in memory.
const MOMENT: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    memory: VecDeque<Bytes>,
    held: usize,
    file: Option<Arc<SpoolFile>>,
    /// What of the file has been written, and taken.
    written: u64,
    taken: u64,
    end: Option<Result<(), BodyError>>,
    trailers: Option<HeaderMap>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    gone: bool,
}

impl State {
    fn file_is_drained(&self) -> bool {
        self.taken == self.written
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// The upstream's side.
pub struct Writer {
    state: Rc<RefCell<State>>,
    spool: Arc<Spool>,
    memory: usize,
    /// The client did not use its moment: straight to the file from now on.
    slow: bool,
    ended: bool,
}

/// The client's side: a body.
pub struct Reader {
    state: Rc<RefCell<State>>,
    next: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>>>>>,
    left: Option<u64>,
}

/// `length` is the response's, where it is known.
pub fn pipe(spool: &Arc<Spool>, memory: usize, length: Option<u64>) -> (Writer, Reader) {
    let state = Rc::new(RefCell::new(State::default()));
    let writer = Writer { state: state.clone(), spool: spool.clone(), memory, slow: false, ended: false };
    (writer, Reader { state, next: None, left: length })
}

impl Writer {
    /// The client has left: what is written goes nowhere.
    pub fn is_gone(&self) -> bool {
        self.state.borrow().gone
    }

    pub async fn write(&mut self, data: Bytes) {
        if data.is_empty() || self.fits(&data) || self.is_gone() {
            return self.push(data);
        }
        if !self.slow {
            self.slow = tokio::time::timeout(MOMENT, self.room(&data)).await.is_err();
            if !self.slow {
                return self.push(data);
            }
        }
        if self.spill(data.clone()).await.is_err() {
            self.room(&data).await;
            self.push(data);
        }
    }

    /// To be said behind the body.
    pub fn trailers(&self, trailers: HeaderMap) {
        self.state.borrow_mut().trailers = Some(trailers);
    }

    pub fn finish(&mut self, end: Result<(), BodyError>) {
        self.ended = true;
        let mut state = self.state.borrow_mut();
        state.end = Some(end);
        state.wake_reader();
    }

    fn fits(&self, data: &Bytes) -> bool {
        let state = self.state.borrow();
        state.file_is_drained() && (state.held == 0 || state.held + data.len() <= self.memory)
    }

    fn push(&self, data: Bytes) {
        let mut state = self.state.borrow_mut();
        if !state.gone && !data.is_empty() {
            state.held += data.len();
            state.memory.push_back(data);
            state.wake_reader();
        }
    }

    async fn room(&self, data: &Bytes) {
        poll_fn(|cx| {
            if self.is_gone() || self.fits(data) {
                return Poll::Ready(());
            }
            self.state.borrow_mut().writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn spill(&self, data: Bytes) -> io::Result<()> {
        let file = self.state.borrow().file.clone();
        let file = match file {
            Some(file) => file,
            None => {
                let file = SpoolFile::create(&self.spool).await?;
                self.state.borrow_mut().file = Some(file.clone());
                file
            }
        };
        let at = {
            let mut state = self.state.borrow_mut();
            // All of it has been taken: begin anew, so that a long response needs no more room than it lags behind.
            if state.file_is_drained() {
                state.written = 0;
                state.taken = 0;
            }
            state.written
        };
        let size = data.len() as u64;
        file.write(data, at).await?;
        let mut state = self.state.borrow_mut();
        state.written = at + size;
        state.wake_reader();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Never let a response that broke off look complete.
        if !self.ended {
            self.finish(Err(BodyError::Gone));
        }
    }
}

impl Reader {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(next) = &mut self.next {
                let part = ready!(next.as_mut().poll(cx));
                self.next = None;
                let mut state = self.state.borrow_mut();
                return Poll::Ready(Some(match part {
                    Ok(bytes) => {
                        state.taken += bytes.len() as u64;
                        if state.file_is_drained() {
                            state.wake_writer();
                        }
                        Ok(Frame::data(bytes))
                    }
                    Err(error) => Err(BodyError::Io(error)),
                }));
            }
            let mut state = self.state.borrow_mut();
            if let Some(bytes) = state.memory.pop_front() {
                state.held -= bytes.len();
                state.wake_writer();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let (Some(file), false) = (&state.file, state.file_is_drained()) {
                let read = file.clone().read(state.taken, state.written);
                drop(state);
                self.next = Some(Box::pin(read));
                continue;
            }
            return match state.end.take() {
                Some(Ok(())) => {
                    state.end = Some(Ok(()));
                    Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
                }
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let part = ready!(self.poll_part(cx));
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &part) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.borrow();
        let drained = state.memory.is_empty() && state.file_is_drained() && self.next.is_none();
        drained && matches!(state.end, Some(Ok(()))) && state.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        state.gone = true;
        state.memory.clear();
        state.held = 0;
        state.wake_writer();
    }
}
