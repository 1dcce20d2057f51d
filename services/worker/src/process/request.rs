//! A complete request, as the interfaces get it, and what is known of its peer.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use monodon_http1::{Head, Span};
use monodon_proxy_protocol::Connection;

use super::body::Body;

/// What stays the same for all requests of a connection.
#[derive(Clone)]
pub struct Peer {
    /// The peer's address; a Unix socket has none.
    pub remote: Option<SocketAddr>,
    pub remote_host: String,
    pub remote_port: String,
    pub local_host: String,
    /// Empty for a Unix socket.
    pub local_port: String,
    /// Whether the forwarded headers of this peer are believed.
    pub trusted: bool,
    /// What a PROXY header has said.
    pub proxied: Option<Proxied>,
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
                proxied: None,
            },
            None => Self {
                remote: None,
                remote_host: String::new(),
                remote_port: String::new(),
                local_host: "localhost".to_owned(),
                local_port: String::new(),
                trusted: trust.unix(),
                proxied: None,
            },
        }
    }

    /// The same peer, of which a PROXY header has said whom it speaks for. From then on that client is the peer: what it
    /// forwards is believed only if it is trusted itself, because a proxy that sends this header passes bytes on unread.
    pub fn introduced(&self, connection: Connection, trust: &super::trust::Trust) -> Self {
        let mut peer = Self { proxied: None, ..self.clone() };
        peer.proxied = Some(match connection {
            Connection::Local => Proxied { protocol: "LOCAL", address: None },
            Connection::Unknown => Proxied { protocol: "UNKNOWN", address: None },
            Connection::Tcp { source, destination } => {
                peer.remote = Some(source);
                peer.remote_host = source.ip().to_canonical().to_string();
                peer.remote_port = source.port().to_string();
                peer.trusted = trust.peer(source.ip());
                let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let address = Some((destination.ip().to_string(), destination.port().to_string()));
                Proxied { protocol, address }
            }
        });
        peer
    }
}

/// What a PROXY header has said of a connection.
#[derive(Clone)]
pub struct Proxied {
    /// `TCP4`, `TCP6`, `LOCAL` or `UNKNOWN`.
    pub protocol: &'static str,
    /// Where the proxy has accepted it: host and port.
    pub address: Option<(String, String)>,
}

pub struct Request {
    /// The head's bytes, and whatever has been read after them.
    pub bytes: Vec<u8>,
    pub head: Head,
    pub body: Body,
    pub peer: Arc<Peer>,
    pub started: Instant,
    /// What the interface keeps for the access log, where that asks for it.
    pub kept: Option<Box<dyn Kept>>,
}

/// What an interface knows of a request after its answer.
pub trait Kept: Send {
    /// The values of these keys (in lower case) of the request's environment.
    fn environ(&self, keys: &[String]) -> Vec<Option<String>>;
    /// That environment, for handlers of Python's `logging`.
    fn object(&self) -> &pyo3::Py<pyo3::PyAny>;
}

impl Request {
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { bytes: Vec::new(), head: Head::new(), body: Body::Empty, peer, started: Instant::now(), kept: None }
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

    /// The value of the last field of that name.
    pub fn last_field(&self, name: &[u8]) -> Option<&[u8]> {
        let mut fields = self.head.fields.iter().rev();
        fields.find(|field| self.of(field.name).eq_ignore_ascii_case(name)).map(|field| self.of(field.value))
    }

    /// The id that the edge gave to this request, for logs.
    pub fn id(&self) -> &[u8] {
        self.field(b"x-request-id").unwrap_or(b"-")
    }
}
