//! One request to the upstream: permit, connection, sending, perhaps a second sending (decision 4).

use super::address::{Kind, Permit};
use super::answer;
use super::connect::Connection;
use super::pool::{Lease, Pool};
use super::request;
use super::{Meta, Timing, UpstreamError};
use crate::body::Body;
use crate::buffer::{Buffered, Replay};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

static RETRY: HeaderName = HeaderName::from_static("x-monodon-retry");
/// Idle connections that may turn out to be closed before a new one is opened without further trying.
const STALE: u32 = 3;
/// Processes that may die without having read one request.
const UNREAD: u32 = 3;
/// Addresses that may refuse one request.
const ADDRESSES: usize = 3;
/// Of an answer nobody waits for any more, this much is read; else the connection is closed.
const DRAIN: u64 = 16 << 20;

type Head = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Replay>>>>>>;

/// What became of one sending.
enum Broken {
    /// Nothing of it was sent; here it is again.
    Unsent(Box<Request<Replay>>),
    /// The connection was reset before the worker had read all of it. It calls the application with whole requests
    /// only, so the application has seen nothing of this one, whatever its method.
    Unread,
    /// The connection ended before the answer did; the process it led to, where that is known.
    Reset(Option<u32>),
    Final(UpstreamError),
}

pub async fn send(
    pool: &Rc<Pool>,
    mut parts: Parts,
    body: Buffered,
    meta: &Meta,
) -> Result<Response<Body>, UpstreamError> {
    pool.begin();
    let upgrade = request::prepare(&mut parts, &body);
    let progress = body.in_file().then(|| Rc::new(Cell::new(Instant::now())));
    let spare = request::Spare::of(&parts);
    let mut may_repeat = meta.idempotent;
    let mut request = Box::new(Request::from_parts(parts, body.replay(progress.clone())));
    let mut timing = Timing::default();
    let mut avoid: Vec<u64> = Vec::new();
    let (mut stale, mut unread) = (0, 0);
    loop {
        let Lease { mut permit, connection, waited } = pool.acquire(&avoid).await?;
        timing.queue += waited;
        meta.timing.set(timing);
        let connection = match connection {
            Some(connection) if stale < STALE => connection,
            _ => match pool.connect(&mut permit).await {
                Ok(connection) => connection,
                Err(error) => {
                    pool.shard.failed("connect");
                    let id = permit.address().id;
                    let known = pool.shared.queue.list.load().all.len();
                    avoid.push(id);
                    if avoid.len() < known.min(ADDRESSES) {
                        continue;
                    }
                    return Err(error);
                }
            },
        };
        let sent = Instant::now();
        let sending = InFlight::new(pool, permit, connection, *request);
        if let Some(progress) = &progress {
            progress.set(sent);
        }
        let outcome = match sending.head(sent, progress.as_ref()).await {
            Ok((sending, response)) => {
                timing.first_byte = sent.elapsed();
                meta.timing.set(timing);
                pool.shard.answered(response.status(), timing.first_byte);
                sending.answer(response, upgrade.as_ref()).await
            }
            Err(broken) => Err(broken),
        };
        match outcome {
            Ok(response) => return Ok(response),
            Err(Broken::Unsent(again)) => {
                stale += 1;
                if stale > STALE * 2 {
                    return Err(UpstreamError::Reset);
                }
                request = again;
                // The body may have been begun.
                *request.body_mut() = body.replay(progress.clone());
            }
            Err(Broken::Unread) => {
                pool.shard.failed("reset");
                unread += 1;
                if unread > UNREAD {
                    return Err(UpstreamError::Reset);
                }
                pool.shard.retried();
                timing.retried = true;
                let parts = spare.restore();
                *request = Request::from_parts(parts, body.replay(progress.clone()));
            }
            Err(Broken::Reset(entry)) => {
                pool.shard.failed("reset");
                if !std::mem::take(&mut may_repeat) || !pool.spend_retry() {
                    return Err(UpstreamError::Reset);
                }
                let mut parts = spare.restore();
                pool.shard.retried();
                timing.retried = true;
                if let Some(entry) = entry {
                    parts.headers.insert(&RETRY, HeaderValue::from(entry));
                }
                *request = Request::from_parts(parts, body.replay(progress.clone()));
            }
            Err(Broken::Final(error)) => {
                pool.shard.failed(error.reason());
                return Err(error);
            }
        }
    }
}

/// A request that has been handed to a connection. If its client leaves, it runs on without him: Python cannot be
/// interrupted, and the permit must not come back before the process is free.
pub struct InFlight {
    pool: Rc<Pool>,
    held: Option<(Permit, Connection)>,
    stage: Stage,
}

enum Stage {
    Head(Head),
    Body(Incoming),
    Over,
}

impl InFlight {
    fn new(pool: &Rc<Pool>, permit: Permit, mut connection: Connection, request: Request<Replay>) -> Self {
        let head = Box::pin(connection.sender.try_send_request(request));
        Self { pool: pool.clone(), held: Some((permit, connection)), stage: Stage::Head(head) }
    }

    /// The answer's head, in time.
    async fn head(
        mut self,
        sent: Instant,
        progress: Option<&Rc<Cell<Instant>>>,
    ) -> Result<(Self, Response<Incoming>), Broken> {
        let limit = self.pool.shared.settings.first_byte;
        if let Some((_, connection)) = &mut self.held {
            connection.timer.set_at(sent.into(), limit);
        }
        let result = poll_fn(|cx| {
            let (Stage::Head(head), Some((_, connection))) = (&mut self.stage, &mut self.held) else {
                return Poll::Ready(None);
            };
            let mut inner = connection.driver.advance(cx);
            if let Poll::Ready(result) = head.as_mut().poll(&mut inner) {
                return Poll::Ready(Some(result));
            }
            while connection.timer.poll(cx).is_ready() {
                // While a big body is still being sent the wait has not begun.
                let left = progress.map_or(Duration::ZERO, |at| limit.saturating_sub(at.get().elapsed()));
                if left.is_zero() {
                    return Poll::Ready(None);
                }
                connection.timer.set(left);
            }
            Poll::Pending
        })
        .await;
        let Some(result) = result else {
            self.stage = Stage::Over;
            return Err(Broken::Final(UpstreamError::Timeout));
        };
        self.stage = Stage::Over;
        match result {
            Ok(response) => {
                self.learn(&response);
                Ok((self, response))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Broken::Unsent(Box::new(request)),
                None if error.error().is_parse() || error.error().is_parse_too_large() => {
                    Broken::Final(UpstreamError::BadResponse("malformed_head"))
                }
                None => match self.reset() {
                    Broken::Reset(_) if self.unread() => Broken::Unread,
                    broken => broken,
                },
            }),
        }
    }

    /// Only of our own worker do we know when it calls the application.
    fn unread(&self) -> bool {
        self.held
            .as_ref()
            .is_some_and(|(permit, connection)| permit.address().kind() == Kind::Slotted && connection.was_unread())
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

    fn learn(&mut self, response: &Response<Incoming>) {
        if let Some((permit, connection)) = &mut self.held {
            let said = answer::process(response.headers());
            permit.address().learn(said);
            connection.entry = said.map(|said| said.entry);
            if let Some(entry) = connection.entry {
                permit.bind(entry);
            }
        }
    }

    /// Turn the upstream's answer into ours.
    async fn answer(
        mut self,
        mut response: Response<Incoming>,
        upgrade: Option<&crate::upgrade::OnUpgrade>,
    ) -> Result<Response<Body>, Broken> {
        let final_error = |error| Err(Broken::Final(error));
        if let Some(killed) = answer::killed(response.headers()) {
            return final_error(UpstreamError::Killed(killed));
        }
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            let Some(upgrade) = upgrade else {
                return final_error(UpstreamError::BadResponse("unasked_upgrade"));
            };
            let permit = self.held.take().map(|(permit, mut connection)| {
                connection.driver.let_run();
                permit
            });
            return super::tunnel::begin(&mut response, upgrade, permit)
                .map_err(|reason| Broken::Final(UpstreamError::BadResponse(reason)));
        }
        let streams = answer::clean(response.headers_mut())
            .map_err(|reason| Broken::Final(UpstreamError::BadResponse(reason)))?;
        let (parts, body) = response.into_parts();
        if body.is_end_stream() {
            self.finish();
            return Ok(Response::from_parts(parts, Body::empty()));
        }
        if streams {
            return Ok(Response::from_parts(parts, self.stream(body)));
        }
        self.stage = Stage::Body(body);
        let body = self.buffer().await?;
        Ok(Response::from_parts(parts, body))
    }

    /// All has been read: the connection is for the next, then the permit.
    fn finish(&mut self) {
        self.stage = Stage::Over;
        if let Some((permit, connection)) = self.held.take() {
            self.pool.put(permit.address(), connection);
        }
    }

    fn stream(mut self, body: Incoming) -> Body {
        match self.held.take() {
            Some((permit, connection)) => {
                Body::stream(super::response::Live::new(&self.pool, body, permit, connection))
            }
            None => Body::empty(),
        }
    }

    /// A small answer of known length, or one that is all there, needs neither task nor buffer.
    async fn buffer(mut self) -> Result<Body, Broken> {
        let memory = self.pool.shared.settings.memory;
        let mut parts = super::response::Parts::default();
        loop {
            let Stage::Body(body) = &self.stage else {
                return Ok(Body::empty());
            };
            let small = body.size_hint().exact().is_some_and(|left| left + parts.len() as u64 <= memory as u64);
            let frame = match self.frame(small).await {
                Some(frame) if small || parts.len() <= memory => frame,
                Some(frame) => return Ok(self.pump(parts, frame)),
                None if !small => return Ok(self.pump(parts, None)),
                None => {
                    self.stage = Stage::Over;
                    return Err(Broken::Final(UpstreamError::Timeout));
                }
            };
            let ended = match frame {
                None => true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        parts.push(data);
                    }
                    matches!(&self.stage, Stage::Body(body) if body.is_end_stream())
                }
                Some(Err(_)) => {
                    self.stage = Stage::Over;
                    return Err(self.reset());
                }
            };
            if ended {
                self.finish();
                return Ok(Body::full(parts.into_bytes()));
            }
        }
    }

    /// The next part: what there is at once, or with `wait` what comes in time.
    async fn frame(&mut self, wait: bool) -> Option<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let limit = self.pool.shared.settings.first_byte;
        let mut waiting = false;
        poll_fn(|cx| {
            let (Stage::Body(body), Some((_, connection))) = (&mut self.stage, &mut self.held) else {
                return Poll::Ready(Some(None));
            };
            // Often it came with the head.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                return Poll::Ready(Some(frame));
            }
            if !wait {
                return Poll::Ready(None);
            }
            let mut inner = connection.driver.advance(cx);
            if let Poll::Ready(frame) = Pin::new(body).poll_frame(&mut inner) {
                return Poll::Ready(Some(frame));
            }
            if !std::mem::replace(&mut waiting, true) {
                connection.timer.set(limit);
            }
            connection.timer.poll(cx).map(|()| None)
        })
        .await
    }

    fn pump(mut self, parts: super::response::Parts, frame: Option<Result<Frame<Bytes>, hyper::Error>>) -> Body {
        match (self.held.take(), std::mem::replace(&mut self.stage, Stage::Over)) {
            (Some((permit, connection)), Stage::Body(body)) => {
                super::response::pump(&self.pool, body, permit, connection, parts, frame)
            }
            _ => Body::empty(),
        }
    }

    /// Nobody waits for the answer any more.
    async fn outlive(mut self) {
        let limit = self.pool.shared.settings.first_byte;
        let _working = self.pool.drain.working();
        if let Some((_, connection)) = &mut self.held {
            connection.driver.let_run();
        }
        if let Stage::Head(head) = &mut self.stage {
            let head = tokio::time::timeout(limit, head).await;
            self.stage = Stage::Over;
            let Ok(Ok(response)) = head else { return };
            self.learn(&response);
            if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                return;
            }
            self.stage = Stage::Body(response.into_body());
        }
        let Stage::Body(mut body) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        if drain(&mut body, limit).await {
            self.finish();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if matches!(stage, Stage::Over) {
            return;
        }
        let orphan = Self { pool: self.pool.clone(), held: self.held.take(), stage };
        self.pool.adopt(orphan);
    }
}

/// Reads and drops the rest of an answer. False when it does not end within bounds.
async fn drain(body: &mut Incoming, limit: Duration) -> bool {
    let mut total = 0;
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            total += frame.data_ref().map_or(0, |data| data.len() as u64);
            if total > DRAIN {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(limit, all).await.unwrap_or(false)
}

/// Runs a request whose client has left to its end.
pub async fn outlive(orphan: InFlight) {
    orphan.outlive().await;
}
