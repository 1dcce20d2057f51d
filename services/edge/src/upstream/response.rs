//! A response's body on its way from the upstream: streamed as it is, or pumped into the buffer by a task.

use super::address::{Kind, Permit};
use super::connect::Connection;
use super::pool::Pool;
use crate::body::{Body, BodyError};
use crate::buffer::pipe::{Writer, pipe};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// When the client has left, this much more is read for the connection's and the process's sake.
const DRAIN: u64 = 16 << 20;

/// The parts of an answer that are there.
#[derive(Default)]
pub struct Parts {
    first: Bytes,
    more: Vec<Bytes>,
    length: usize,
}

impl Parts {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn push(&mut self, data: Bytes) {
        self.length += data.len();
        if self.first.is_empty() {
            self.first = data;
        } else if !data.is_empty() {
            self.more.push(data);
        }
    }

    /// No copy where it was one part.
    pub fn into_bytes(self) -> Bytes {
        if self.more.is_empty() {
            return self.first;
        }
        let mut all = BytesMut::with_capacity(self.length);
        all.extend_from_slice(&self.first);
        self.more.iter().for_each(|part| all.extend_from_slice(part));
        all.freeze()
    }
}

/// An event stream and its like: passed on as it comes. The permit is back already, but for a foreign upstream, where
/// it stands for the connection.
pub struct Live {
    pool: Rc<Pool>,
    body: Incoming,
    held: Option<(Permit, Connection)>,
    lent: Option<(std::sync::Arc<super::address::Address>, Connection)>,
}

impl Live {
    pub fn new(pool: &Rc<Pool>, body: Incoming, permit: Permit, mut connection: Connection) -> Self {
        connection.driver.let_run();
        let (held, lent) = if permit.address().kind() == Kind::Foreign {
            (Some((permit, connection)), None)
        } else {
            (None, Some((permit.address().clone(), connection)))
        };
        Self { pool: pool.clone(), body, held, lent }
    }

    fn finish(&mut self) {
        if let Some((permit, connection)) = self.held.take() {
            self.pool.put(permit.address(), connection);
        }
        if let Some((address, connection)) = self.lent.take() {
            self.pool.put(&address, connection);
        }
    }
}

impl http_body::Body for Live {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || (matches!(frame, Some(Ok(_))) && self.body.is_end_stream()) {
            self.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Gone)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads the rest of the answer at the upstream's speed in a task of its own.
pub fn pump(
    pool: &Rc<Pool>,
    body: Incoming,
    permit: Permit,
    mut connection: Connection,
    parts: Parts,
    frame: Option<Result<Frame<Bytes>, hyper::Error>>,
) -> Body {
    let length = body.size_hint().exact().map(|left| {
        let taken =
            frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref).map_or(0, Bytes::len);
        left + (parts.len() + taken) as u64
    });
    connection.driver.let_run();
    let (writer, reader) = pipe(&pool.shared.spool, pool.shared.settings.memory, length);
    let working = pool.drain.working();
    let pool = pool.clone();
    tokio::task::spawn_local(async move {
        let _working = working;
        let mut pump = Pump { pool, body, held: Some((permit, connection)), writer, drained: 0 };
        let end = pump.run(parts, frame).await;
        let whole = end.is_ok();
        let held = pump.held.take();
        if let (true, Some((permit, connection))) = (whole, held) {
            pump.pool.put(permit.address(), connection);
        }
        pump.writer.finish(end);
    });
    Body::stream(reader)
}

struct Pump {
    pool: Rc<Pool>,
    body: Incoming,
    held: Option<(Permit, Connection)>,
    writer: Writer,
    drained: u64,
}

impl Pump {
    async fn run(&mut self, parts: Parts, frame: Option<Result<Frame<Bytes>, hyper::Error>>) -> Result<(), BodyError> {
        self.pass(parts.first).await?;
        for part in parts.more {
            self.pass(part).await?;
        }
        if let Some(frame) = frame {
            self.frame(frame).await?;
        }
        let limit = self.pool.shared.settings.first_byte;
        // Each further part has as long as the first: the worker ends a request that takes longer.
        while !self.body.is_end_stream() {
            match tokio::time::timeout(limit, self.body.frame()).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => break,
                Ok(Some(frame)) => self.frame(frame).await?,
            }
        }
        Ok(())
    }

    async fn frame(&mut self, frame: Result<Frame<Bytes>, hyper::Error>) -> Result<(), BodyError> {
        let frame = frame.map_err(|_| BodyError::Gone)?;
        match frame.into_data() {
            Ok(data) => self.pass(data).await,
            Err(_) => Ok(()),
        }
    }

    async fn pass(&mut self, data: Bytes) -> Result<(), BodyError> {
        if self.writer.is_gone() {
            self.drained += data.len() as u64;
            if self.drained > DRAIN {
                return Err(BodyError::Gone);
            }
        }
        self.writer.write(data).await;
        Ok(())
    }
}
