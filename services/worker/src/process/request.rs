//! A complete request, as the interfaces get it, and what is known of its peer.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use monodon_http1::{Head, Span};

use super::body::Body;

/// What stays the same for all requests of a connection.
pub struct Peer {
    /// The peer's address; a Unix socket has none.
    pub remote: Option<SocketAddr>,
    pub remote_host: String,
    pub remote_port: String,
    pub local_host: String,
    pub local_port: String,
    /// Whether the forwarded headers of this peer are believed.
    pub trusted: bool,
}

impl Peer {
    pub fn new(addresses: Option<(SocketAddr, SocketAddr)>, trust: &super::trust::Trust) -> Self {
        match addresses {
            Some((remote, local)) => Self {
                remote: Some(remote),
                remote_host: remote.ip().to_canonical().to_string(),
                remote_port: remote.port().to_string(),
                local_host: local.ip().to_canonical().to_string(),
                local_port: local.port().to_string(),
                trusted: trust.peer(remote.ip()),
            },
            None => Self {
                remote: None,
                remote_host: String::new(),
                remote_port: String::new(),
                local_host: "localhost".to_owned(),
                local_port: "80".to_owned(),
                trusted: trust.unix(),
            },
        }
    }
}

pub struct Request {
    /// The head's bytes, and whatever has been read after them.
    pub bytes: Vec<u8>,
    pub head: Head,
    pub body: Body,
    pub peer: Arc<Peer>,
    pub started: Instant,
}

impl Request {
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { bytes: Vec::new(), head: Head::new(), body: Body::Empty, peer, started: Instant::now() }
    }

    pub fn of(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    pub fn method(&self) -> &[u8] {
        self.of(self.head.method)
    }

    pub fn target(&self) -> &[u8] {
        self.of(self.head.target)
    }

    /// The value of the first field of that name.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.head.fields.iter().find(|field| self.of(field.name).eq_ignore_ascii_case(name)).map(|f| self.of(f.value))
    }

    /// The id that the edge gave to this request, for logs.
    pub fn id(&self) -> &[u8] {
        self.field(b"x-request-id").unwrap_or(b"-")
    }
}
