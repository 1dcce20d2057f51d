//! One request to the upstream: permit, connection, sending, perhaps a second sending (decision 4).

use super::address::{Address, Fail, Permit};
use super::choice::Search;
use super::connect::{Connection, Ends, Link};
use super::http1::{self, Upload};
use super::inflight::{Broken, InFlight};
use super::pool::{Lease, Pool};
use super::request::{self, More};
use super::{Meta, Timing, UpstreamError};
use crate::body::Body;
use crate::buffer::Outgoing;
use http::request::Parts;
use http::{Method, Response};
use std::rc::Rc;
use std::time::Instant;

/// Idle connections that may turn out to be closed before a new one is opened without further trying.
const STALE: u32 = 3;
/// Processes that may die without having read one request.
const UNREAD: u32 = 3;
/// How often one request may be refused unread, and how many addresses may take no connection from it in time. (That one refuses
/// connections is found out in no time.)
const PATIENCE: u32 = 3;
/// A body of up to this many bytes is copied behind the head: the kernel takes one part at less cost than two.
const TOGETHER: usize = 4 << 10;

pub async fn send(
    pool: &Rc<Pool>,
    parts: &mut Parts,
    mut body: Outgoing,
    meta: &Meta,
) -> Result<Response<Body>, UpstreamError> {
    pool.begin();
    let upgrade = request::prepare(parts, !body.is_empty());
    let ends = pool.shared.transport.proxy_protocol.map(|_| meta.ends);
    // What the client sends as we go can be sent once.
    let repeatable = meta.idempotent && body.is_buffered();
    let mut repeats = if repeatable { pool.shared.settings.balancing.retries } else { 0 };
    let mut search = pool.search(parts, meta);
    let mut retry = None;
    let mut timing = Timing::default();
    let (mut stale, mut unread, mut refused, mut late) = (0, 0, 0, 0);
    loop {
        let Lease { mut permit, connection, waited } = pool.acquire(&search, ends).await?;
        let id = permit.address().id;
        timing.queue += waited;
        timing.address = id;
        meta.timing.set(timing);
        let mut connection = match connection {
            Some(connection) if stale < STALE => connection,
            // On the heap: few requests open a connection, and all would pay for the room.
            _ => match Box::pin(connected(pool, &mut permit, meta, &mut timing, ends)).await {
                Ok(connection) => connection,
                Err(error) => {
                    pool.shard.failed("connect");
                    pool.failed(id, if error.is_late() { Fail::Timeout } else { Fail::Error });
                    search.avoid(id);
                    late += u32::from(error.is_late());
                    if late < PATIENCE && has_others(pool, &search) {
                        continue;
                    }
                    return Err(error);
                }
            },
        };
        // The number of a process means something only where it ran.
        let retry_here = retry.filter(|(of, _)| *of == id).map(|(_, entry)| entry);
        let more = More { told: &meta.told, websocket: upgrade.is_some(), retry: retry_here };
        begin(&mut connection, permit.address(), parts, &mut body, more);
        let sent = Instant::now();
        let outcome = match InFlight::new(pool, permit, connection, meta.waits).head(sent).await {
            Ok((sending, head)) => {
                timing.first_byte = sent.elapsed();
                timing.status = head.status.as_u16();
                meta.timing.set(timing);
                pool.shard.answered(head.status, timing.first_byte);
                sending.answer(head, upgrade.as_ref(), meta.buffering).await
            }
            Err(broken) => Err(broken),
        };
        match outcome {
            Ok(response) => return Ok(response),
            Err(Broken::Unsent(upload)) => {
                stale += 1;
                if stale > STALE * 2 || !body.take_back(upload.and_then(Upload::into_live)) {
                    return Err(UpstreamError::Reset);
                }
            }
            Err(Broken::Refused) => {
                pool.shard.failed("refused");
                refused += 1;
                // A connection that was being renewed, or a count of streams that crossed with ours: once that is no fault.
                if refused > 1 {
                    pool.failed(id, Fail::Error);
                    search.avoid(id);
                }
                let again = refused <= PATIENCE && has_others(pool, &search) && body.take_back(None);
                if !again || (refused > 1 && !pool.spend_retry()) {
                    return Err(UpstreamError::Refused);
                }
                pool.shard.retried();
                timing.retried = true;
            }
            Err(Broken::Unread) => {
                pool.shard.failed("reset");
                pool.failed(id, Fail::Error);
                unread += 1;
                if unread > UNREAD || !body.is_buffered() {
                    return Err(UpstreamError::Reset);
                }
                // One process that ends is no fault of the others there.
                if unread > 1 {
                    search.avoid(id);
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
                // Whether its process was killed for it, only that worker's supervisor knows (docs/decisions/0004).
                retry = entry.map(|entry| (id, entry));
                match retry {
                    Some(_) => search.go_back(id),
                    None => search.avoid(id),
                }
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

/// Whether another address may be tried. By the list of now: one may have come since; and only one that would be chosen.
fn has_others(pool: &Pool, search: &Search<'_>) -> bool {
    search.has_others(&pool.shared.live.queue.list.load())
}

/// A new connection, and how long it took.
async fn connected(
    pool: &Rc<Pool>,
    permit: &mut Permit,
    meta: &Meta,
    timing: &mut Timing,
    ends: Option<Ends>,
) -> Result<Connection, UpstreamError> {
    let begun = Instant::now();
    let result = pool.connect(permit, ends).await;
    timing.connect += begun.elapsed();
    meta.timing.set(*timing);
    result
}

/// Hands the request to its connection.
fn begin(connection: &mut Connection, address: &Address, parts: &Parts, body: &mut Outgoing, more: More<'_>) {
    let length = body.length();
    connection.timed = body.is_timed();
    match &mut connection.link {
        Link::One(wire) => {
            let mut out = http1::buffer();
            request::write(&mut out, parts, length, more);
            let upload = match body.bytes() {
                Some(bytes) if bytes.len() <= TOGETHER => {
                    out.extend_from_slice(bytes);
                    Upload::Done
                }
                _ => Upload::of(body),
            };
            wire.begin(out, upload, parts.method == Method::HEAD);
        }
        Link::Two(exchange) => exchange.begin(parts, length, Upload::of(body), address),
    }
}
