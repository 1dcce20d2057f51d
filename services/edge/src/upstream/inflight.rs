//! A request that has been handed to a connection, until its answer is on its way.

use super::address::{Kind, Permit};
use super::answer::Head;
use super::connect::{Connection, Link};
use super::http1::{Fault, Upload};
use super::pool::Pool;
use super::response;
use super::{Buffering, UpstreamError, Waits};
use crate::body::{Body, BodyError};
use crate::buffer::Share;
use crate::upgrade::OnUpgrade;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Of an answer nobody waits for any more, this much is read; else the connection is closed.
const DRAIN: u64 = 16 << 20;

/// An answer of up to this length goes to the client when it is whole, if that takes no longer than [`HOLD`]: one that breaks off on the
/// way can be asked for again.
const HELD: u64 = 1 << 20;
const HOLD: Duration = Duration::from_millis(50);
/// Of an answer of up to this length, nearly all is in the kernel's hands at once.
const SMALL: u64 = 16 << 10;

/// What became of one sending.
pub enum Broken {
    /// Nothing of it was sent; its body where it can be had only once.
    Unsent(Option<Upload>),
    /// The upstream says that it has not looked at it: REFUSED_STREAM, or a GOAWAY that leaves it out.
    Refused,
    /// The connection was reset before the worker had read all of it. It calls the application with whole requests
    /// only, so the application has seen nothing of this one, whatever its method.
    Unread,
    /// The connection ended before the answer did; the process it led to, where that is known.
    Reset(Option<u32>),
    Final(UpstreamError),
}

/// If its client leaves, the request runs on without him: Python cannot be interrupted, and the permit must not come back
/// before the process is free.
pub struct InFlight {
    pool: Rc<Pool>,
    held: Option<(Permit, Connection)>,
    stage: Stage,
    waits: Waits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Over,
}

impl InFlight {
    pub fn new(pool: &Rc<Pool>, permit: Permit, connection: Connection, waits: Waits) -> Self {
        Self { pool: pool.clone(), held: Some((permit, connection)), stage: Stage::Head, waits }
    }

    fn first_byte(&self) -> Duration {
        self.waits.first_byte.unwrap_or(self.pool.shared.settings.first_byte)
    }

    /// Between two parts.
    fn read(&self) -> Duration {
        self.waits.read.unwrap_or_else(|| self.first_byte())
    }

    /// The answer's head, in time.
    pub async fn head(mut self, sent: Instant) -> Result<(Self, Head), Broken> {
        let limit = self.first_byte();
        if let Some((_, connection)) = &mut self.held {
            connection.timer.set_at(sent.into(), limit);
        }
        let result = poll_fn(|cx| {
            let Some((_, connection)) = &mut self.held else { return Poll::Ready(None) };
            if let Poll::Ready(result) = connection.poll_head(cx) {
                return Poll::Ready(Some(result));
            }
            connection.poll_late(cx, limit).map(|()| None)
        })
        .await;
        self.stage = Stage::Over;
        let Some(result) = result else {
            return Err(Broken::Final(UpstreamError::Timeout));
        };
        match result {
            Ok(()) => match self.take_head() {
                Ok(head) => Ok((self, head)),
                Err(reason) => Err(Broken::Final(UpstreamError::BadResponse(reason))),
            },
            Err(Fault::Unsent) => {
                let upload = self.held.as_mut().and_then(|(_, connection)| connection.take_upload());
                Err(Broken::Unsent(upload))
            }
            Err(Fault::Refused) => Err(Broken::Refused),
            Err(Fault::Malformed(reason)) => Err(Broken::Final(UpstreamError::BadResponse(reason))),
            Err(Fault::Ended) if self.unread() => Err(Broken::Unread),
            Err(fault @ (Fault::Ended | Fault::Upload(_))) => Err(self.broken(fault)),
        }
    }

    fn broken(&self, fault: Fault) -> Broken {
        match fault {
            Fault::Upload(BodyError::Io(_)) => Broken::Final(UpstreamError::Disk),
            Fault::Upload(error) => Broken::Final(UpstreamError::Upload(error)),
            _ => self.reset(),
        }
    }

    /// Only of our own worker do we know when it calls the application.
    fn unread(&self) -> bool {
        let unread = self
            .held
            .as_ref()
            .is_some_and(|(permit, connection)| permit.address().kind() == Kind::Slotted && connection.was_reset());
        if unread {
            let _ = self.reset();
        }
        unread
    }

    /// The connection broke: its process has died, as far as we can tell, and its other connections with it.
    fn reset(&self) -> Broken {
        let Some((permit, connection)) = &self.held else {
            return Broken::Reset(None);
        };
        if let Some(entry) = connection.entry {
            self.pool.forget(permit.address(), entry);
        }
        Broken::Reset(connection.entry)
    }

    fn take_head(&mut self) -> Result<Head, &'static str> {
        let Some((permit, connection)) = &mut self.held else { return Err("no_connection") };
        let head = connection.take_head()?;
        permit.address().learn(head.process, head.status);
        connection.entry = head.process.map(|said| said.entry);
        if let Some(entry) = connection.entry {
            permit.bind(entry);
        }
        Ok(head)
    }

    /// Turn the upstream's answer into ours.
    pub async fn answer(
        mut self,
        head: Head,
        upgrade: Option<&OnUpgrade>,
        buffering: Buffering,
    ) -> Result<Response<Body>, Broken> {
        let final_error = |error| Err(Broken::Final(error));
        if let Some(killed) = head.killed {
            return final_error(UpstreamError::Killed(killed));
        }
        let Some((_, connection)) = &self.held else { return final_error(UpstreamError::Reset) };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(upgrade), Some((permit, connection))) = (upgrade, self.held.take()) else {
                return final_error(UpstreamError::BadResponse("unasked_upgrade"));
            };
            return super::tunnel::begin(head, upgrade, permit, connection)
                .map_err(|reason| Broken::Final(UpstreamError::BadResponse(reason)));
        }
        if connection.is_done() {
            self.finish();
            return Ok(head.with(Body::empty()));
        }
        if head.streams || !buffering.on {
            let read = (!head.patient).then(|| self.read());
            let body = match self.held.take() {
                Some((permit, connection)) if !connection.has_sent() => {
                    response::live_both_ways(&self.pool, permit, connection, buffering.memory, read)
                }
                Some((permit, connection)) => response::live(&self.pool, permit, connection, read),
                None => Body::empty(),
            };
            return Ok(head.with(body));
        }
        self.stage = Stage::Body;
        let memory = buffering.memory;
        let left = connection.left().filter(|_| matches!(connection.link, Link::One(_)));
        let Some(left) = left.filter(|left| *left <= HELD.max(memory as u64)) else {
            return Ok(head.with(self.begin_buffering(memory)?));
        };
        // What leaves with the head needs no share of the memory: it is gone at once.
        let mut share = (left > SMALL.min(memory as u64)).then(|| Share::of_answer(&self.pool.shared.spool));
        if share.as_mut().is_some_and(|share| !share.take(left)) {
            return Ok(head.with(self.begin_buffering(memory)?));
        }
        let read = Some(self.read()).filter(|_| left <= memory as u64);
        let body = match self.whole(read).await? {
            Some(bytes) => Body::full(match share {
                Some(share) => share.keep(bytes),
                None => bytes,
            }),
            None if read.is_some() => return final_error(UpstreamError::Timeout),
            None => self.begin_buffering(memory)?,
        };
        Ok(head.with(body))
    }

    /// All has been read: the connection is for the next, then the permit.
    fn finish(&mut self) {
        self.stage = Stage::Over;
        if let Some((permit, connection)) = self.held.take() {
            self.pool.put(permit.address(), connection);
        }
    }

    /// An answer of known length that comes in time needs neither task nor buffer; and if it breaks off, its head is not out yet, so
    /// that it can be asked for again (decision 0007). `read` is what the upstream may take for each part; without it there is only
    /// [`HOLD`] for all of them, whoever is waited for.
    async fn whole(&mut self, read: Option<Duration>) -> Result<Option<Bytes>, Broken> {
        let mut before = None;
        let result = poll_fn(|cx| {
            let Some((_, connection)) = &mut self.held else { return Poll::Ready(None) };
            let Link::One(wire) = &mut connection.link else { return Poll::Ready(Some(Err(Fault::Ended))) };
            if let Poll::Ready(result) = wire.poll_whole(cx) {
                return Poll::Ready(Some(result));
            }
            let here = Some(wire.here());
            if before.is_none() || (read.is_some() && here != before) {
                connection.timer.set(read.unwrap_or(HOLD));
            }
            before = here;
            match read {
                Some(read) => connection.poll_late(cx, read),
                None => connection.timer.poll(cx),
            }
            .map(|()| None)
        })
        .await;
        match result {
            Some(Ok(bytes)) => {
                self.finish();
                Ok(Some(bytes))
            }
            Some(Err(fault)) => {
                self.stage = Stage::Over;
                Err(self.broken(fault))
            }
            None => Ok(None),
        }
    }

    /// What there is at once; if that is not all, a task reads the rest.
    fn begin_buffering(mut self, memory: usize) -> Result<Body, Broken> {
        let mut parts = response::Parts::default();
        let cx = &mut Context::from_waker(Waker::noop());
        while parts.len() <= memory {
            let Some((_, connection)) = &mut self.held else { return Ok(Body::empty()) };
            match connection.poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => parts.push_frame(frame),
                Poll::Ready(Some(Err(fault))) => {
                    self.stage = Stage::Over;
                    return Err(self.broken(fault));
                }
                Poll::Ready(None) => {}
            }
            let Some((_, connection)) = &mut self.held else { return Ok(Body::empty()) };
            if connection.is_done() {
                self.finish();
                return Ok(parts.into_body());
            }
        }
        self.stage = Stage::Over;
        let read = self.read();
        match self.held.take() {
            Some((permit, connection)) => Ok(response::pump(&self.pool, permit, connection, parts, memory, read)),
            None => Ok(Body::empty()),
        }
    }

    /// Nobody waits for the answer any more.
    async fn outlive(mut self) {
        let limit = self.first_byte();
        let _working = self.pool.drain.working();
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if stage == Stage::Head {
            let head = poll_fn(|cx| match &mut self.held {
                Some((_, connection)) => connection.poll_head(cx).map(|head| head.is_ok()),
                None => Poll::Ready(false),
            });
            if !tokio::time::timeout(limit, head).await.unwrap_or(false) {
                return;
            }
            match self.take_head() {
                // A stream has no end; and its permit comes back at its head, as for those who wait for it.
                Ok(head) if head.status != StatusCode::SWITCHING_PROTOCOLS && !head.streams => {}
                _ => return,
            }
        }
        let Some((_, connection)) = &mut self.held else { return };
        if tokio::time::timeout(limit, drain(connection)).await.unwrap_or(false) {
            self.finish();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.stage == Stage::Over {
            return;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let orphan = Self { pool: self.pool.clone(), held: self.held.take(), stage, waits: self.waits };
        self.pool.adopt(orphan);
    }
}

/// Reads and drops the rest of an answer. False when it does not end within bounds.
async fn drain(connection: &mut Connection) -> bool {
    let mut total = 0;
    loop {
        let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await else { return true };
        let Ok(frame) = frame else { return false };
        total += length(&frame);
        if total > DRAIN {
            return false;
        }
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

/// Runs a request whose client has left to its end.
pub async fn outlive(orphan: InFlight) {
    orphan.outlive().await;
}
