//! What is known of a client's connection before its first request.

use http::HeaderValue;
use std::cell::{Cell, OnceCell};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Touched once a connection, not once a request.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// One accepted connection; requests on it share this.
pub struct ConnInfo {
    /// Whose connection it is: the socket's other end, or whom a PROXY header names. IPv4 where it is mapped into IPv6.
    pub peer: SocketAddr,
    /// Where it was accepted: here, or by the proxy that sent the header.
    pub local: SocketAddr,
    pub tls: Option<TlsInfo>,
    pub protocol: Protocol,
    /// The peer's address as a header's value, prepared once.
    pub address: HeaderValue,
    /// Counts the process's connections.
    pub serial: u64,
    /// Requests that are being answered on it.
    pub in_flight: Cell<u32>,
    /// Requests begun on it.
    pub requests: Cell<u64>,
    /// What it is counted by, over all threads, for as long as it is open; a tunnel holds it too.
    pub counted: OnceCell<Arc<dyn Send + Sync>>,
    /// What the request is counted by that made a tunnel of it: for as long.
    pub kept: OnceCell<Arc<dyn Send + Sync>>,
}

/// What the handshake agreed on.
#[derive(Debug)]
pub struct TlsInfo {
    /// Lower case, as the client sent it.
    pub sni: Option<Box<str>>,
    pub version: &'static str,
    /// As OpenSSL calls it.
    pub cipher: &'static str,
}

/// Chosen by ALPN; plain connections speak HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl ConnInfo {
    pub fn new(peer: SocketAddr, local: SocketAddr, tls: Option<TlsInfo>, protocol: Protocol) -> Self {
        // An IPv4 client on an IPv6 socket is an IPv4 client.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self {
            peer,
            local,
            tls,
            protocol,
            address: address_value(peer.ip()),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
            counted: OnceCell::new(),
            kept: OnceCell::new(),
        }
    }

    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

/// An address as a header's value.
pub fn address_value(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
