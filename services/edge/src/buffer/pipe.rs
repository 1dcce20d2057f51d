//! A response between the upstream and the client: read at the upstream's speed, so that its slot is free soon, and
//! taken at the client's.
//!
//! What does not fit into memory goes to a file. A client that keeps up gets everything from memory; one that only
//! hesitates is given a moment before the disk is asked. Where the spool cannot take more, the upstream is read at the
//! client's speed: slower, but nothing is lost.

use super::held::Held;
use super::spool::{Share, Spool, SpoolFile};
use crate::body::BodyError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// The moment a client is given to make room in memory.
const MOMENT: Duration = Duration::from_millis(5);

struct State {
    memory: Held,
    /// Of the memory that all answers have together.
    share: Share,
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
    fn new(spool: &Arc<Spool>) -> Self {
        Self {
            memory: Held::default(),
            share: Share::of_answer(spool),
            file: None,
            written: 0,
            taken: 0,
            end: None,
            trailers: None,
            reader: None,
            writer: None,
            gone: false,
        }
    }

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
    let state = Rc::new(RefCell::new(State::new(spool)));
    let writer = Writer { state: state.clone(), spool: spool.clone(), memory, slow: false, ended: false };
    (writer, Reader { state, next: None, left: length })
}

impl Writer {
    /// The client has left: what is written goes nowhere.
    pub fn is_gone(&self) -> bool {
        self.state.borrow().gone
    }

    pub async fn write(&mut self, data: Bytes) {
        if data.is_empty() || self.is_gone() {
            return;
        }
        if self.fits(&data) {
            return self.push(data);
        }
        if !self.slow {
            self.slow = tokio::time::timeout(MOMENT, self.room(&data)).await.is_err();
            if !self.slow {
                return self.push(data);
            }
        }
        if self.spill(data.clone()).await.is_err() {
            self.emptiness().await;
            if !self.is_gone() {
                // One part, without which nothing would ever go on.
                self.state.borrow_mut().share.insist(data.len() as u64);
            }
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

    /// Whether it may be pushed; its share of the memory is taken then.
    fn fits(&self, data: &Bytes) -> bool {
        let mut state = self.state.borrow_mut();
        let waiting = state.memory.len();
        let fits = state.file_is_drained() && (waiting == 0 || waiting + data.len() <= self.memory);
        fits && state.share.take(data.len() as u64)
    }

    fn push(&self, data: Bytes) {
        let mut state = self.state.borrow_mut();
        if !state.gone && !data.is_empty() {
            state.memory.push(data);
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

    /// Ready once the client has left.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.gone {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The client has taken all there is.
    pub async fn emptiness(&self) {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.gone || (state.memory.is_empty() && state.file_is_drained()) {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
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
            if let Some(bytes) = state.memory.pop() {
                state.share.give(bytes.len() as u64);
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
        state.memory = Held::default();
        state.share.give_back();
        state.wake_writer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn spool(memory: u64, limit: u64) -> (tempfile::TempDir, Arc<Spool>) {
        let dir = tempfile::tempdir().unwrap();
        let config = crate::config::Spool { dir: dir.path().to_owned(), limit, memory };
        (dir, Arc::new(Spool::open(&config).unwrap()))
    }

    fn figure(spool: &Spool, name: &str) -> u64 {
        let mut out = String::new();
        spool.render(&mut out);
        let line = out.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn all_answers_together_have_one_bound_in_memory() {
        let (_dir, spool) = spool(100, 1 << 20);
        let part = Bytes::from(vec![7; 60]);
        let mut pipes = Vec::new();
        for _ in 0..3 {
            let (mut writer, reader) = pipe(&spool, 64 << 10, None);
            writer.write(part.clone()).await;
            writer.finish(Ok(()));
            pipes.push((writer, reader));
        }
        assert_eq!(figure(&spool, "monodon_edge_answer_memory_bytes"), 60);
        assert_eq!(figure(&spool, "monodon_edge_body_spool_used_bytes"), 120);
        for (_, reader) in pipes {
            assert_eq!(reader.collect().await.unwrap().to_bytes(), part);
        }
        assert_eq!(figure(&spool, "monodon_edge_answer_memory_bytes"), 0);
        assert_eq!(figure(&spool, "monodon_edge_body_spool_used_bytes"), 0);
    }

    #[tokio::test]
    async fn without_memory_and_without_disk_it_goes_at_the_client_s_speed() {
        let (_dir, spool) = spool(0, 0);
        let (mut writer, mut reader) = pipe(&spool, 64 << 10, None);
        let write = async {
            for at in 0..10u8 {
                writer.write(Bytes::from(vec![at; 1000])).await;
            }
            writer.finish(Ok(()));
        };
        let read = async {
            let mut all = Vec::new();
            while let Some(frame) = reader.frame().await {
                all.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            all
        };
        let ((), all) = tokio::join!(write, read);
        assert_eq!(all, (0..10u8).flat_map(|at| vec![at; 1000]).collect::<Vec<_>>());
    }

    /// Each part gives back what it has taken, not what another has.
    #[tokio::test]
    async fn what_is_in_memory_beyond_the_bound_counts_there_too() {
        let (_dir, spool) = spool(100, 0);
        let held = || figure(&spool, "monodon_edge_answer_memory_bytes");
        let (mut writer, mut reader) = pipe(&spool, 64 << 10, None);
        for at in 0..2u8 {
            // Too large for the bound, and there is no disk: it waits for its turn.
            writer.write(Bytes::from(vec![at; 150])).await;
            assert_eq!(held(), 150);
            reader.frame().await.unwrap().unwrap();
            assert_eq!(held(), 0);
            writer.write(Bytes::from(vec![at; 40])).await;
            assert_eq!(held(), 40);
            reader.frame().await.unwrap().unwrap();
            assert_eq!(held(), 0);
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_gives_its_memory_back() {
        let (_dir, spool) = spool(1000, 1 << 20);
        let (mut writer, reader) = pipe(&spool, 64 << 10, None);
        writer.write(Bytes::from(vec![7; 60])).await;
        drop(reader);
        assert!(writer.is_gone());
        writer.write(Bytes::from(vec![7; 60])).await;
        assert_eq!(figure(&spool, "monodon_edge_answer_memory_bytes"), 0);
    }
}
