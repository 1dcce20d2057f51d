//! What is known of a client's connection before its first request.

use std::net::SocketAddr;

/// One accepted connection; requests on it share this.
#[derive(Debug)]
pub struct ConnInfo {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub tls: Option<TlsInfo>,
    pub protocol: Protocol,
}

/// What the handshake agreed on.
#[derive(Debug)]
pub struct TlsInfo {
    /// Lower case, as the client sent it.
    pub sni: Option<Box<str>>,
    pub version: &'static str,
}

/// Chosen by ALPN; plain connections speak HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}
