//! A response's body on its way from the upstream: streamed as it is, or pumped into the buffer by a task. One that is streamed while
//! its request is still being sent is pumped, too: its client may read nothing before it has sent everything.

use super::address::{Address, Kind, Permit};
use super::connect::Connection;
use super::pool::Pool;
use crate::body::{Body, BodyError};
use crate::buffer::pipe::{Writer, pipe};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// When the client has left, this much more is read for the connection's and the process's sake.
const DRAIN: u64 = 16 << 20;

/// The parts of an answer that are there.
#[derive(Default)]
pub struct Parts {
    first: Bytes,
    more: Vec<Bytes>,
    length: usize,
    trailers: Option<HeaderMap>,
}

impl Parts {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn push_frame(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.push(data),
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }

    fn push(&mut self, data: Bytes) {
        self.length += data.len();
        if self.first.is_empty() {
            self.first = data;
        } else if !data.is_empty() {
            self.more.push(data);
        }
    }

    /// Of a whole answer. No copy where it was one part.
    pub fn into_body(self) -> Body {
        let bytes = if self.more.is_empty() {
            self.first
        } else {
            let mut all = BytesMut::with_capacity(self.length);
            all.extend_from_slice(&self.first);
            self.more.iter().for_each(|part| all.extend_from_slice(part));
            all.freeze()
        };
        match self.trailers {
            None => Body::full(bytes),
            Some(trailers) => Body::with_trailers(bytes, trailers),
        }
    }
}

/// An event stream and its like: passed on as it comes. The permit is back already, but for a foreign upstream, where
/// it stands for the connection.
struct Live {
    pool: Rc<Pool>,
    held: Option<(Arc<Address>, Connection)>,
    permit: Option<Permit>,
    /// For each further part. `None`: it may be silent.
    read: Option<Duration>,
}

/// Passes an answer's body on as it comes.
pub fn live(pool: &Rc<Pool>, permit: Permit, mut connection: Connection, read: Option<Duration>) -> Body {
    let address = permit.address().clone();
    let permit = Some(permit).filter(|_| address.kind() == Kind::Foreign);
    connection.timer.clear();
    Body::stream(Live { pool: pool.clone(), held: Some((address, connection)), permit, read })
}

impl http_body::Body for Live {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some((_, connection)) = &mut this.held else { return Poll::Ready(None) };
        let Poll::Ready(frame) = connection.poll_frame(cx) else {
            let Some(read) = this.read else { return Poll::Pending };
            // Its time begins when it is waited for: not while the client takes what it has said before.
            if !connection.timer.is_set() {
                connection.timer.set(read);
            }
            return connection.poll_late(cx, read).map(|()| Some(Err(BodyError::TooSlow)));
        };
        connection.timer.clear();
        if connection.is_done()
            && let Some((address, connection)) = this.held.take()
        {
            // The connection first, so that whoever waits for the permit finds it.
            this.pool.put(&address, connection);
            this.permit = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.held.as_ref().map_or(Some(0), |(_, connection)| connection.left());
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads the rest of the answer at the upstream's speed in a task of its own.
pub fn pump(
    pool: &Rc<Pool>,
    permit: Permit,
    connection: Connection,
    parts: Parts,
    memory: usize,
    read: Duration,
) -> Body {
    let address = permit.address().clone();
    let working = Some(pool.drain.working());
    let pace = Pace { live: false, read: Some(read) };
    Pump::start(pool, (address, connection), (Some(permit), working), parts, memory, pace)
}

/// Passes an answer's body on as it comes, and its request's meanwhile.
pub fn live_both_ways(
    pool: &Rc<Pool>,
    permit: Permit,
    connection: Connection,
    memory: usize,
    read: Option<Duration>,
) -> Body {
    let address = permit.address().clone();
    let permit = Some(permit).filter(|_| address.kind() == Kind::Foreign);
    Pump::start(pool, (address, connection), permit, Parts::default(), memory, Pace { live: true, read })
}

#[derive(Clone, Copy)]
struct Pace {
    /// It ends with its client, and is buffered only while its request is being sent.
    live: bool,
    /// For each further part: the worker ends a request that takes longer. `None`: it may be silent.
    read: Option<Duration>,
}

struct Pump {
    connection: Connection,
    writer: Writer,
    drained: u64,
    left: Option<Instant>,
    pace: Pace,
}

impl Pump {
    /// `held` is let go when the connection is.
    fn start(
        pool: &Rc<Pool>,
        (address, mut connection): (Arc<Address>, Connection),
        held: impl Sized + 'static,
        parts: Parts,
        memory: usize,
        pace: Pace,
    ) -> Body {
        let length = connection.left().map(|left| left + parts.len() as u64);
        let (writer, reader) = pipe(&pool.shared.spool, memory, length);
        let pool = pool.clone();
        connection.timer.clear();
        tokio::task::spawn_local(async move {
            let mut pump = Self { connection, writer, drained: 0, left: None, pace };
            let end = pump.run(parts).await;
            if end.is_ok() {
                pool.put(&address, pump.connection);
            } else {
                drop(pump.connection);
            }
            drop(held);
            pump.writer.finish(end);
        });
        Body::stream(reader)
    }

    async fn run(&mut self, parts: Parts) -> Result<(), BodyError> {
        self.pass(parts.first).await?;
        for part in parts.more {
            self.pass(part).await?;
        }
        loop {
            let Self { connection, writer, pace: Pace { live, read }, .. } = self;
            if let Some(read) = *read {
                connection.timer.set(read);
            }
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = connection.poll_frame(cx) {
                    return Poll::Ready(Ok(frame));
                }
                if *live && writer.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(BodyError::Gone));
                }
                match *read {
                    Some(read) => connection.poll_late(cx, read).map(|()| Err(BodyError::TooSlow)),
                    None => Poll::Pending,
                }
            });
            match frame.await? {
                None => return Ok(()),
                Some(Err(fault)) => return Err(fault.into()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pass(data).await?,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.writer.trailers(trailers);
                        }
                    }
                },
            }
        }
    }

    async fn pass(&mut self, data: Bytes) -> Result<(), BodyError> {
        if self.writer.is_gone() {
            self.drained += data.len() as u64;
            // An answer that trickles for ever holds its permit no longer than one part may take.
            let left = *self.left.get_or_insert_with(Instant::now);
            let Pace { live, read } = self.pace;
            if live || self.drained > DRAIN || read.is_some_and(|read| left.elapsed() > read) {
                return Err(BodyError::Gone);
            }
        }
        let Self { writer, connection, pace, .. } = self;
        if pace.live && connection.has_sent() {
            writer.emptiness().await;
        }
        // Its client may read nothing before it has sent everything: the upload goes on while the answer waits for it.
        let mut writing = pin!(writer.write(data));
        poll_fn(|cx| {
            connection.send_on(cx);
            writing.as_mut().poll(cx)
        })
        .await;
        Ok(())
    }
}
