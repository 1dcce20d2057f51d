//! How long is waited for whom.

use super::load::Reader;
use std::time::Duration;

/// Every wait has an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    pub head: Duration,
    pub body: Duration,
    pub send: Duration,
    pub idle: Duration,
    pub handshake: Duration,
    pub connect: Duration,
    pub first_byte: Duration,
    pub queue: Duration,
    pub shutdown_delay: Duration,
    pub graceful: Duration,
    /// Streams without end are closed within this time, when it stops.
    pub close_spread: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            head: s(10),
            body: s(30),
            send: s(30),
            idle: s(60),
            handshake: s(10),
            connect: s(1),
            first_byte: s(35),
            queue: s(10),
            shutdown_delay: s(0),
            graceful: s(30),
            close_spread: s(5),
        }
    }
}

impl Reader<'_> {
    pub(super) fn timeouts(&mut self) -> Timeouts {
        for key in ["head_timeout", "idle_timeout", "connect_timeout"] {
            if self.values.duration(key).is_zero() {
                self.wrong(key, "expected more than 0");
            }
        }
        let of = |key| self.values.duration(key);
        Timeouts {
            head: of("head_timeout"),
            body: of("body_timeout"),
            send: of("send_timeout"),
            idle: of("idle_timeout"),
            handshake: of("head_timeout"),
            connect: of("connect_timeout"),
            first_byte: of("first_byte_timeout"),
            queue: of("queue_timeout"),
            shutdown_delay: of("shutdown_delay"),
            graceful: of("graceful_timeout"),
            close_spread: of("close_spread").min(of("graceful_timeout")),
        }
    }
}
