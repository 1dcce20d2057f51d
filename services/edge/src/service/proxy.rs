//! A request's way to an upstream: its body taken in, its head made ready, its answer as it comes back.

use super::finish::filled;
use super::{Asked, Failure, aim};
use crate::access;
use crate::access_log::Record;
use crate::body::Body;
use crate::buffer::{self, BodyLimits, Buffered, Outgoing, Passing};
use crate::error_pages;
use crate::headers::forward;
use crate::upstream::{Buffering, Ends, Meta, Upstream, Waits};
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

const GRPC: &[u8] = b"application/grpc";
/// Room for the lines of [`forward::Told`].
const TOLD: usize = 512;

pub(super) async fn to_upstream(
    upstream: &Upstream,
    asked: &Asked<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    let Asked { view, conn, origin, .. } = asked;
    let config = &view.snapshot.config;
    let limit = record.options().requests.body_limit;
    let hint = http_body::Body::size_hint(&body);
    if hint.lower() > limit {
        return Err(Failure::TOO_LARGE);
    }
    let (outgoing, passed) = take_in(asked, parts, body, record).await?;
    let told = forward::prepare(parts, config, conn, origin, record.started);
    record.thread.metrics.headers_folded.add(told.folded);
    aim::tell_prefix(parts);
    let changes = &record.options().headers.request;
    let anonymous = record.known.is_none() && !record.options().auth.is_on();
    // Where nothing looks at the fields any more, ours need not stand among them.
    let mut lines = Vec::new();
    if changes.is_empty() && anonymous && upstream.takes_lines() && record.thread.trace.is_none() {
        lines.reserve(TOLD);
        told.write(&mut lines, &parts.headers);
    } else {
        told.insert(&mut parts.headers);
        access::tell(parts, record);
        changes.apply(&mut parts.headers, |template| filled(template, record, asked.host, asked.scheme));
    }
    let idempotent = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let times = &record.options().timeouts;
    let local = SocketAddr::new(conn.local.ip().to_canonical(), conn.local.port());
    let buffering = &record.options().buffering;
    let meta = Meta {
        told: lines,
        idempotent,
        waits: Waits { first_byte: times.first_byte, read: times.read },
        client: Some(origin.client_ip),
        secure: asked.scheme == "https",
        lane: view.snapshot.lanes.get(record.entry.map(|entry| entry.place), record.route).cloned(),
        buffering: Buffering { on: buffering.answers, memory: buffering.memory },
        ends: Ends { source: SocketAddr::new(origin.client_ip, conn.peer.port()), destination: local },
        timing: Cell::default(),
    };
    if let Some(trace) = &record.thread.trace {
        return Ok(trace.sent(upstream.name(), parts));
    }
    let result = upstream.send(parts, outgoing, &meta).await;
    record.timing = Some(meta.timing.get());
    if let Some(passed) = passed {
        record.bytes_in += passed.get();
    }
    if record.wants_upstream() {
        record.upstream = upstream.label(meta.timing.get().address);
    }
    Ok(error_pages::intercept(result?, record, &parts.headers))
}

/// The request's body: in whole, or what passes it on as it comes and counts it.
async fn take_in(
    asked: &Asked<'_>,
    parts: &Parts,
    body: Body,
    record: &mut Record,
) -> Result<(Outgoing, Option<Rc<Cell<u64>>>), Failure> {
    if http_body::Body::is_end_stream(&body) {
        return Ok((Buffered::empty().into(), None));
    }
    let options = record.options();
    let limits = BodyLimits {
        total: options.requests.body_limit,
        memory: options.buffering.memory,
        wait: options.timeouts.body,
        min_rate: options.timeouts.min_rate,
    };
    // Client and server of gRPC may talk to each other for hours before the request ends.
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let grpc = kind.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    if grpc || !options.buffering.requests {
        let (body, passed) = Passing::on(body, limits, grpc);
        return Ok((Outgoing::live(body, !grpc), Some(passed)));
    }
    // On the heap: most requests have no body, and all would pay for the room.
    let buffered = Box::pin(buffer::collect(body, &limits, &asked.view.snapshot.spool)).await?;
    record.bytes_in += buffered.len();
    Ok((buffered.into(), None))
}
