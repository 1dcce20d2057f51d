//! One request to the upstream: permit, connection, sending, perhaps a second sending (decision 4).

use super::address::{Fail, Permit};
use super::connect::Connection;
use super::http1::{self, Upload};
use super::inflight::{Broken, InFlight};
use super::pool::{Lease, Pool};
use super::request::{self, Length};
use super::{Meta, Timing, UpstreamError};
use crate::body::Body;
use crate::buffer::Buffered;
use http::request::Parts;
use http::{Method, Response};
use std::rc::Rc;
use std::time::Instant;

/// Idle connections that may turn out to be closed before a new one is opened without further trying.
const STALE: u32 = 3;
/// Processes that may die without having read one request.
const UNREAD: u32 = 3;
/// Addresses that may refuse one request.
const ADDRESSES: usize = 3;
/// A body of up to this many bytes is copied behind the head: the kernel takes one part at less cost than two.
const TOGETHER: u64 = 4 << 10;

pub async fn send(
    pool: &Rc<Pool>,
    mut parts: Parts,
    body: Buffered,
    meta: &Meta,
) -> Result<Response<Body>, UpstreamError> {
    pool.begin();
    let upgrade = request::prepare(&mut parts, !body.is_empty());
    let to_head = parts.method == Method::HEAD;
    let mut repeats = if meta.idempotent { pool.shared.settings.balancing.retries } else { 0 };
    let aim = pool.aim(&parts, meta);
    let mut retry = None;
    let mut timing = Timing::default();
    let mut avoid: Vec<u64> = Vec::new();
    let (mut stale, mut unread) = (0, 0);
    loop {
        let Lease { mut permit, connection, waited } = pool.acquire(&avoid, &aim).await?;
        let id = permit.address().id;
        timing.queue += waited;
        timing.address = id;
        meta.timing.set(timing);
        let mut connection = match connection {
            Some(connection) if stale < STALE => connection,
            _ => match connected(pool, &mut permit, meta, &mut timing).await {
                Ok(connection) => connection,
                Err(error) => {
                    pool.shard.failed("connect");
                    pool.failed(id, Fail::Error);
                    let known = pool.shared.queue.list.load().all.len();
                    avoid.push(id);
                    if avoid.len() < known.min(ADDRESSES) {
                        continue;
                    }
                    return Err(error);
                }
            },
        };
        let (out, upload) = written(&parts, &body, upgrade.is_some(), retry);
        connection.wire.begin(out, upload, to_head);
        let sent = Instant::now();
        let outcome = match InFlight::new(pool, permit, connection, meta.waits).head(sent).await {
            Ok((sending, head)) => {
                timing.first_byte = sent.elapsed();
                timing.status = head.status.as_u16();
                meta.timing.set(timing);
                pool.shard.answered(head.status, timing.first_byte);
                sending.answer(head, upgrade.as_ref()).await
            }
            Err(broken) => Err(broken),
        };
        match outcome {
            Ok(response) => return Ok(response),
            Err(Broken::Unsent) => {
                stale += 1;
                if stale > STALE * 2 {
                    return Err(UpstreamError::Reset);
                }
            }
            Err(Broken::Unread) => {
                pool.shard.failed("reset");
                pool.failed(id, Fail::Error);
                unread += 1;
                if unread > UNREAD {
                    return Err(UpstreamError::Reset);
                }
                pool.shard.retried();
                timing.retried = true;
                retry = None;
            }
            Err(Broken::Reset(entry)) => {
                pool.shard.failed("reset");
                pool.failed(id, Fail::Error);
                if repeats == 0 || !pool.spend_retry() {
                    return Err(UpstreamError::Reset);
                }
                repeats -= 1;
                pool.shard.retried();
                timing.retried = true;
                retry = entry;
            }
            Err(Broken::Final(error)) => {
                pool.shard.failed(error.reason());
                match error {
                    UpstreamError::Timeout => pool.failed(id, Fail::Timeout),
                    UpstreamError::BadResponse(_) => pool.failed(id, Fail::InvalidHeader),
                    _ => {}
                }
                return Err(error);
            }
        }
    }
}

/// A new connection, and how long it took.
async fn connected(
    pool: &Rc<Pool>,
    permit: &mut Permit,
    meta: &Meta,
    timing: &mut Timing,
) -> Result<Connection, UpstreamError> {
    let begun = Instant::now();
    let result = pool.connect(permit).await;
    timing.connect += begun.elapsed();
    meta.timing.set(*timing);
    result
}

/// The request as bytes, and what of its body is to follow them.
fn written(parts: &Parts, body: &Buffered, websocket: bool, retry: Option<u32>) -> (Vec<u8>, Upload) {
    let mut out = http1::buffer();
    request::write(&mut out, parts, Length::Known(body.len()), websocket, retry);
    let upload = match body.bytes() {
        Some(bytes) if bytes.len() as u64 <= TOGETHER => {
            out.extend_from_slice(bytes);
            Upload::Done
        }
        _ => Upload::Buffered(body.replay()),
    };
    (out, upload)
}
