//! What one request and one client may take, wherever they turn. What is counted by zones is in [`super::limits`].

use super::Cidr;
use super::limits::interval;
use super::load::Reader;
use std::time::Duration;

/// Bounds on what a request may bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The largest that any route takes; each has its own.
    pub body: u64,
    pub head: usize,
    pub line: usize,
    pub fields: usize,
    /// Bytes a second that a body must bring after its first ten seconds.
    pub min_rate: u64,
    /// Client connections over all threads.
    pub connections: usize,
    /// Requests that one connection may bring; 0 is any number.
    pub keepalive_requests: u64,
    /// Requests at a time on an HTTP/2 connection.
    pub h2_streams: u32,
    /// Frames that do nothing, on an HTTP/2 connection in ten seconds; 0 is any number.
    pub h2_glitches: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            head: 32 << 10,
            line: 8 << 10,
            fields: 100,
            min_rate: 240,
            connections: 10_000,
            keepalive_requests: 0,
            h2_streams: 128,
            h2_glitches: 1000,
        }
    }
}

/// What one client may take of connections, before it has asked for anything.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Clients {
    /// At a time; 0 is any number.
    pub connections: u32,
    /// TLS handshakes at a time; 0 is any number.
    pub handshakes: u32,
    /// From one handshake to the next, in the long run.
    pub handshake_rate: Option<Duration>,
    /// No limit by client holds for these.
    pub exempt: Vec<Cidr>,
    /// IPv6 addresses with the same so many bits are one client.
    pub v6_prefix: u8,
}

impl Reader<'_> {
    pub(super) fn limits(&mut self) -> Limits {
        let values = self.values;
        let size = |key| usize::try_from(values.size(key)).unwrap_or(usize::MAX);
        let int = |key| usize::try_from(values.int(key)).unwrap_or(0);
        let limits = Limits {
            body: values.size("body_limit"),
            head: size("head_limit"),
            line: size("line_limit"),
            fields: int("fields_limit"),
            min_rate: values.size("min_rate"),
            connections: int("connections_limit"),
            keepalive_requests: u64::try_from(values.int("keepalive_requests")).unwrap_or(0),
            h2_streams: u32::try_from(values.int("http2_max_concurrent_streams")).unwrap_or(128),
            h2_glitches: u64::try_from(values.int("http2_glitches")).unwrap_or(0),
        };
        if limits.line > limits.head {
            self.wrong("line_limit", "is larger than head_limit, which counts the request line too");
        }
        if !(1024..=1 << 20).contains(&limits.head) {
            self.wrong("head_limit", "expected a size from 1KB to 1MB");
        }
        limits
    }

    pub(super) fn clients(&mut self) -> Clients {
        let int = |key| u32::try_from(self.values.int(key)).unwrap_or(0);
        let rate = self.values.text("handshake_rate");
        let handshake_rate = interval(rate);
        let clients = Clients {
            connections: int("connections_per_client"),
            handshakes: int("handshakes_per_client"),
            handshake_rate,
            exempt: self.networks("limit_exempt"),
            v6_prefix: u8::try_from(self.values.int("limit_ipv6_prefix")).unwrap_or(64),
        };
        if handshake_rate.is_none() && !rate.is_empty() {
            self.wrong("handshake_rate", format!("expected a rate such as 10/s or 100/m, got {rate:?}"));
        }
        clients
    }
}
