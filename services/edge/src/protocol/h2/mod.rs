//! HTTP/2 on the h2 crate, with the bounds that its known attacks call for: rapid reset (CVE-2023-44487), CONTINUATION flood
//! (CVE-2024-27316), MadeYouReset (CVE-2025-8671), stalled windows, floods of frames that do nothing. RFC 9113.
//!
//! `mod` is a connection; [`watch`] looks at what passes on it, [`seen`] keeps what is known of that; [`stream`] is one request, [`head`]
//! what it may begin with, [`unheard`] the requests that never come so far.

mod head;
mod seen;
mod stream;
mod unheard;
mod watch;

use crate::boxed::boxed;
use crate::connection::ConnInfo;
use crate::drain::{Phase, Reached};
use crate::service::{self, Refusal, Thread};
use crate::timer::Timer;
use bytes::Bytes;
use h2::server::Connection;
use h2::{Ping, PingPong, Reason};
use http::StatusCode;
use monodon_http1::Reject;
use seen::Seen;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use watch::Watched;

const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const SEND_BUFFER: usize = 64 << 10;
/// How often a connection with requests in hand is looked at for stalls.
const TICK: Duration = Duration::from_secs(1);
/// For the last words of a connection that is given up.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    let seen = Rc::new(Seen::default());
    let mut idle_since = Instant::now();
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(256))
        .max_header_list_size(head::room(&limits))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    let handshake = builder.handshake::<_, Bytes>(Watched::new(io, seen.clone()));
    let mut connection = match tokio::time::timeout(timeouts.head, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(peer = %conn.peer, %error, "no HTTP/2 connection"),
        Err(_) => return,
    };
    let mut alive = Alive { ping: connection.ping_pong(), ..Alive::default() };

    let mut announced = Reached::new(thread.drain.clone(), Phase::Announced);
    let mut draining = false;
    // A head did not end in time: the connection ends with what is still answered on it.
    let mut late = false;
    let (mut last_count, mut taken) = (0, 0);
    let tick = TICK.min(timeouts.idle).min(timeouts.head);
    // The next look is further off than a tick; it is due.
    let (mut resting, mut due) = (false, false);
    let mut look = Timer::new();
    look.set(tick);
    loop {
        let event = poll_fn(|cx| {
            if !draining && announced.poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            due |= look.poll(cx).is_ready();
            match connection.poll_accept(cx) {
                // Frames that make no request are worked on without a word.
                Poll::Pending if seen.too_many(limits.h2_glitches) => Poll::Ready(Event::TooMany),
                Poll::Pending if seen.unheard.has_answered() => Poll::Ready(Event::Unheard),
                // Only now: what has come in time, and lay unread, is not late.
                Poll::Pending if std::mem::take(&mut due) => Poll::Ready(Event::Look),
                Poll::Pending if resting && seen.head.get().is_some() => Poll::Ready(Event::Look),
                Poll::Pending if late && !connection.has_streams() => Poll::Ready(Event::Look),
                accepted => accepted.map(Event::Accepted),
            }
        });
        match event.await {
            Event::TooMany => {}
            Event::Unheard => {
                for _ in 0..seen.unheard.take() {
                    refuse(&thread, &conn, Reject::HeadTooLong.status(), Reject::HeadTooLong.reason());
                }
            }
            Event::Accepted(Some(Ok((_, mut respond)))) if late => respond.send_reset(Reason::REFUSED_STREAM),
            Event::Accepted(Some(Ok((request, respond)))) => {
                seen.unheard.given(respond.stream_id().as_u32());
                let (thread, conn, seen) = (thread.clone(), conn.clone(), seen.clone());
                // In a box: the runtime moves what it is given seven times.
                tokio::task::spawn_local(boxed(|| stream::serve(thread, conn, seen, request, respond)));
                if std::mem::take(&mut resting) {
                    look.set(tick);
                }
                taken += 1;
                if taken == limits.keepalive_requests && !draining {
                    draining = true;
                    connection.graceful_shutdown();
                }
            }
            Event::Accepted(Some(Err(error))) => {
                thread.metrics.connections.h2_errors.add(1);
                return tracing::debug!(peer = %conn.peer, %error, "an HTTP/2 connection broke");
            }
            Event::Accepted(None) => return,
            Event::Drain => {
                draining = true;
                idle_since = Instant::now();
                connection.graceful_shutdown();
            }
            Event::Look => {
                let now = Instant::now();
                let busy = conn.in_flight.get() > 0;
                let head = seen.head.get().map(|since| timeouts.head.saturating_sub(now.duration_since(since)));
                if !late && head == Some(Duration::ZERO) && seen.drained.get() {
                    late = true;
                    refuse(&thread, &conn, 408, "timeout_header");
                }
                if busy || conn.requests.get() != last_count || head.is_some() && !late {
                    last_count = conn.requests.get();
                    idle_since = now;
                }
                // A connection that never asked has as long as a head may take.
                let unasked = taken == 0;
                let allowed = if late {
                    Duration::ZERO
                } else if unasked {
                    timeouts.head
                } else {
                    timeouts.idle
                };
                let idle = now.duration_since(idle_since);
                if !draining && idle >= allowed {
                    draining = true;
                    connection.graceful_shutdown();
                }
                if (late || unasked) && idle >= allowed && !connection.has_streams() {
                    return end(&mut connection, Reason::NO_ERROR, timeouts.send).await;
                }
                // What the client does not take of answers that are finished keeps the connection from ending.
                let stuck = draining && !busy && idle >= allowed + timeouts.send;
                let blocked = seen.blocked.get().is_some_and(|since| now.duration_since(since) >= timeouts.send);
                if stuck || blocked || !alive.is(&seen, busy, now, timeouts.idle / 2, timeouts.head) {
                    return tracing::debug!(peer = %conn.peer, "an HTTP/2 client does not read or answer; its connection is closed");
                }
                let next = match head {
                    Some(left) if !left.is_zero() => tick.min(left),
                    None if !busy && !draining => tick.max(allowed.saturating_sub(idle)),
                    _ => tick,
                };
                resting = next > tick;
                look.set_at(now.into(), next);
            }
        }
        thread.metrics.connections.h2_glitches.add(seen.take_all());
        if seen.too_many(limits.h2_glitches) {
            thread.metrics.connections.h2_calmed.add(1);
            tracing::debug!(peer = %conn.peer, "too many HTTP/2 frames that do nothing; the connection is closed");
            return end(&mut connection, Reason::ENHANCE_YOUR_CALM, LAST_WORDS).await;
        }
    }
}

/// Where there is no stream that could have a page; what is left is the line in the log, and the count.
fn refuse(thread: &Rc<Thread>, conn: &Rc<ConnInfo>, status: u16, reason: &'static str) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let refusal = Refusal { status, reason, method: None, target: None, host: None };
    drop(service::refuse(thread, conn, &refusal));
}

/// GOAWAY, and the end, whatever the client has to say to it.
async fn end<I>(connection: &mut Connection<I, Bytes>, reason: Reason, patience: Duration)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    connection.abrupt_shutdown(reason);
    let _ = tokio::time::timeout(patience, poll_fn(|cx| connection.poll_closed(cx))).await;
}

/// What a connection's task wakes up for.
enum Event<A> {
    Accepted(A),
    /// The process begins to stop.
    Drain,
    /// h2 has answered what is larger than it may take in.
    Unheard,
    /// Time to look whether the client is still there.
    Look,
    /// The connection has used up its patience.
    TooMany,
}

/// Whether a client that is waited for is still there: it is asked when it has been silent.
#[derive(Default)]
struct Alive {
    ping: Option<PingPong>,
    reads: u64,
    silent_since: Option<Instant>,
    asked: Option<Instant>,
}

impl Alive {
    fn is(&mut self, seen: &Seen, busy: bool, now: Instant, ask_after: Duration, wait: Duration) -> bool {
        let Some(ping) = &mut self.ping else { return true };
        // Takes the answer to the last question, so that another can be asked.
        let _ = ping.poll_pong(&mut Context::from_waker(Waker::noop()));
        if self.reads != seen.reads.get() || !busy {
            self.reads = seen.reads.get();
            self.silent_since = Some(now);
            self.asked = None;
            return true;
        }
        if let Some(asked) = self.asked {
            return now.duration_since(asked) < wait;
        }
        if self.silent_since.is_some_and(|since| now.duration_since(since) >= ask_after)
            && ping.send_ping(Ping::opaque()).is_ok()
        {
            self.asked = Some(now);
        }
        true
    }
}
