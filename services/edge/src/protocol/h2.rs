//! HTTP/2 on hyper, with the bounds that its known attacks call for: rapid reset (CVE-2023-44487), CONTINUATION flood
//! (CVE-2024-27316), MadeYouReset (CVE-2025-8671), stalled windows. RFC 9113.

use crate::body::{Body, BodyError};
use crate::connection::ConnInfo;
use crate::drain::Phase;
use crate::service::{self, Refusal, Thread, Unanswered};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use monodon_http1::target;
use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

const STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const SEND_BUFFER: usize = 64 << 10;
/// How often a connection is looked at for idleness and stalls.
const TICK: Duration = Duration::from_secs(1);

/// hyper's tasks stay on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Serves one connection to its end.
pub async fn serve<I>(io: I, thread: Rc<Thread>, conn: Rc<ConnInfo>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Copies: a connection may live longer than a configuration, which holds the upstream's connections.
    let (limits, timeouts) = {
        let view = thread.view();
        (view.snapshot.config.limits.clone(), view.snapshot.config.timeouts.clone())
    };
    let stalls = Rc::new(Stalls::default());
    let service = {
        let (thread, conn, stalls) = (thread.clone(), conn.clone(), stalls.clone());
        hyper::service::service_fn(move |request| {
            let (thread, conn, stalls) = (thread.clone(), conn.clone(), stalls.clone());
            async move { answer(&thread, &conn, &stalls, request).await }
        })
    };
    let mut builder = hyper::server::conn::http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(timeouts.idle / 2)
        .keep_alive_timeout(timeouts.head);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));

    let mut drain = thread.drain.clone();
    let mut draining = false;
    let mut idle_since = Instant::now();
    let mut last_count = 0;
    let mut tick = tokio::time::interval(TICK.min(timeouts.idle));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(peer = %conn.peer, %error, "an HTTP/2 connection broke");
                }
                return;
            }
            () = drain.reached(Phase::Announced), if !draining => {
                draining = true;
                idle_since = Instant::now();
                connection.as_mut().graceful_shutdown();
            }
            _ = tick.tick() => {
                let now = Instant::now();
                if conn.in_flight.get() > 0 || conn.requests.get() != last_count {
                    last_count = conn.requests.get();
                    idle_since = now;
                }
                // A connection that never asked has as long as a head may take.
                let allowed = if last_count == 0 { timeouts.head } else { timeouts.idle };
                if !draining && now.duration_since(idle_since) >= allowed {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                // What the client does not take of answers that are finished keeps the connection from ending.
                let stuck = draining && conn.in_flight.get() == 0 && now.duration_since(idle_since) >= allowed + timeouts.send;
                if stuck || stalls.longest(now) >= timeouts.send {
                    tracing::debug!(peer = %conn.peer, "an HTTP/2 client stopped reading; its connection is closed");
                    return;
                }
            }
        }
    }
}

async fn answer(
    thread: &Rc<Thread>,
    conn: &Rc<ConnInfo>,
    stalls: &Rc<Stalls>,
    request: Request<Incoming>,
) -> Result<Response<Watched>, Closed> {
    let (mut parts, incoming) = request.into_parts();
    // The same rule as for HTTP/1.1, which the application is asked in.
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if parts.method != Method::CONNECT
        && let Err(reject) = target::split(target.as_bytes())
    {
        let host = parts.uri.authority().map(|authority| authority.as_str());
        let refusal = Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: reject.reason(),
            method: Some(parts.method.as_str()),
            target: Some(target),
            host,
        };
        let response = service::refuse(thread, conn, &refusal);
        return Ok(response.map(|body| Watched { body, mark: stalls.mark() }));
    }
    join_cookies(&mut parts.headers);
    let body = if http_body::Body::is_end_stream(&incoming) { Body::empty() } else { Body::stream(Upload(incoming)) };
    let response = service::serve(thread, conn, Request::from_parts(parts, body)).await;
    if response.extensions().get::<Unanswered>().is_some() {
        return Err(Closed);
    }
    Ok(response.map(|body| Watched { body, mark: stalls.mark() }))
}

/// A request that gets no answer: its stream is reset.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a route closes this request without an answer")
    }
}

impl std::error::Error for Closed {}

/// A client may split its cookies over fields; applications know one. RFC 9113, section 8.2.3.
fn join_cookies(headers: &mut http::HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

/// A request's body, with hyper's errors in our words.
struct Upload(Incoming);

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| match error.is_body_write_aborted() || error.is_incomplete_message() {
                false if error.is_parse() => BodyError::Bad("malformed_body"),
                _ => BodyError::Gone,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Since when each answer of a connection waits for its client, for windows that never open.
#[derive(Default)]
struct Stalls(RefCell<Vec<Weak<Mark>>>);

type Mark = Cell<Option<Instant>>;

impl Stalls {
    fn mark(&self) -> Rc<Mark> {
        // hyper asks for the first frame only when the window has room for it.
        let mark = Rc::new(Mark::new(Some(Instant::now())));
        self.0.borrow_mut().push(Rc::downgrade(&mark));
        mark
    }

    fn longest(&self, now: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        self.0.borrow_mut().retain(|mark| match mark.upgrade() {
            Some(mark) => {
                longest = longest.max(mark.get().map_or(Duration::ZERO, |since| now.duration_since(since)));
                true
            }
            None => false,
        });
        longest
    }
}

/// An answer's body: before the first frame is asked for, and after a frame was taken it is the client's turn (hyper asks again only when there is room).
struct Watched {
    body: Body,
    mark: Rc<Mark>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.mark.set(None);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.mark.set(Some(Instant::now()));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
