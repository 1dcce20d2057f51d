//! HTTP/2 on the h2 crate, with the bounds that its known attacks call for: rapid reset (CVE-2023-44487), CONTINUATION flood
//! (CVE-2024-27316), MadeYouReset (CVE-2025-8671), stalled windows, floods of frames that do nothing. RFC 9113.
//!
//! `mod` is a connection; [`watch`] counts what passes on it; [`stream`] is one request.

mod stream;
mod watch;

use crate::connection::ConnInfo;
use crate::drain::Phase;
use crate::service::Thread;
use bytes::Bytes;
use h2::{Ping, PingPong, Reason};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use watch::{Seen, Watched};

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
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(256))
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
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

    let mut drain = thread.drain.clone();
    let mut draining = false;
    let mut idle_since = Instant::now();
    let (mut last_count, mut taken) = (0, 0);
    let mut look = pin!(tokio::time::sleep(TICK.min(timeouts.idle)));
    loop {
        tokio::select! {
            accepted = poll_fn(|cx| {
                let accepted = connection.poll_accept(cx);
                // Frames that make no request are worked on without a word.
                let calm = accepted.is_pending() && seen.too_many(limits.h2_glitches);
                if calm { Poll::Ready(Err(TooMany)) } else { accepted.map(Ok) }
            }) => match accepted {
                Err(TooMany) => {}
                Ok(Some(Ok((request, respond)))) => {
                    let (thread, conn, seen) = (thread.clone(), conn.clone(), seen.clone());
                    tokio::task::spawn_local(stream::serve(thread, conn, seen, request, respond));
                    if look.deadline() > (Instant::now() + TICK).into() {
                        look.as_mut().reset((Instant::now() + TICK).into());
                    }
                    taken += 1;
                    if taken == limits.keepalive_requests && !draining {
                        draining = true;
                        connection.graceful_shutdown();
                    }
                }
                Ok(Some(Err(error))) => {
                    thread.metrics.connections.h2_errors.add(1);
                    return tracing::debug!(peer = %conn.peer, %error, "an HTTP/2 connection broke");
                }
                Ok(None) => return,
            },
            () = drain.reached(Phase::Announced), if !draining => {
                draining = true;
                idle_since = Instant::now();
                connection.graceful_shutdown();
            }
            () = look.as_mut() => {
                let now = Instant::now();
                let busy = conn.in_flight.get() > 0;
                if busy || conn.requests.get() != last_count {
                    last_count = conn.requests.get();
                    idle_since = now;
                }
                // A connection that never asked has as long as a head may take.
                let allowed = if last_count == 0 { timeouts.head } else { timeouts.idle };
                let idle = now.duration_since(idle_since);
                if !draining && idle >= allowed {
                    draining = true;
                    connection.graceful_shutdown();
                }
                // What the client does not take of answers that are finished keeps the connection from ending.
                let stuck = draining && !busy && idle >= allowed + timeouts.send;
                let blocked = seen.blocked.get().is_some_and(|since| now.duration_since(since) >= timeouts.send);
                if stuck || blocked || !alive.is(&seen, busy, now, timeouts.idle / 2, timeouts.head) {
                    return tracing::debug!(peer = %conn.peer, "an HTTP/2 client does not read or answer; its connection is closed");
                }
                let next = if busy || draining { TICK } else { TICK.max(allowed.saturating_sub(idle)) };
                look.as_mut().reset((now + next.min(timeouts.idle)).into());
            }
        }
        thread.metrics.connections.h2_glitches.add(seen.take_all());
        if seen.too_many(limits.h2_glitches) {
            thread.metrics.connections.h2_calmed.add(1);
            tracing::debug!(peer = %conn.peer, "too many HTTP/2 frames that do nothing; the connection is closed");
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            let _ = tokio::time::timeout(LAST_WORDS, poll_fn(|cx| connection.poll_closed(cx))).await;
            return;
        }
    }
}

/// A connection has used up its patience.
struct TooMany;

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
