//! What the edge is told to do, as types: one struct a concern, every value checked before anything starts.
//!
//! The names, defaults and words of the settings are in [`table`], the reading and checking in [`load`].

pub mod effective;
mod files;
pub mod limits;
pub mod load;
pub mod options;
pub mod proxies;
mod routes;
mod sites;
pub mod table;
mod transport;
mod upstreams;

pub use files::{FileTree, StaticDir, Try};
pub use options::Options;
pub use options::slots::MaxSlots;
pub use routes::{Action, HeaderMatch, PathMatch, Pattern, Route, Target, When};
pub use sites::{Host, Site};
pub use transport::{Pem, ProxyProtocol, Transport, UpstreamTls};
pub use upstreams::{Balance, Balancing, Check, DEFAULT, FailOn, HashBy, Health, Named, Server, Sticky, StickyKey};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// One consistent configuration. Immutable: a reload makes a new one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// The first is the one of the flat settings, which may have no address.
    pub upstreams: Vec<Named>,
    /// `[limits.NAME]`, which options name by their places.
    pub zones: Vec<limits::Zone>,
    pub clients: Clients,
    /// At least one.
    pub sites: Vec<Site>,
    /// For requests that are no site's.
    pub options: Options,
    pub spool: Spool,
    pub tls: Tls,
    pub files: Vec<StaticDir>,
    pub proxies: proxies::Proxies,
    /// Fields by which the application is told who somebody is: no client may send them.
    pub reserved: Vec<http::HeaderName>,
    pub headers: Headers,
    pub log: Log,
    pub status_page: Option<StatusPage>,
    /// Reload when a file that the configuration is made of has changed.
    pub reload_on_change: bool,
}

/// Where the edge listens, and under which ports the world sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub admin: SocketAddr,
    /// Empty: none is asked for.
    pub admin_token: String,
    pub threads: usize,
    /// The port clients see, where it is not the one we bind (a published container port).
    pub public_http_port: Option<u16>,
    pub public_https_port: Option<u16>,
}

impl Listen {
    /// The port that clients see.
    pub fn public_port(&self, tls: bool) -> u16 {
        let (public, bound, usual) =
            if tls { (self.public_https_port, &self.https, 443) } else { (self.public_http_port, &self.http, 80) };
        public.or_else(|| bound.first().map(SocketAddr::port)).unwrap_or(usual)
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 9101)),
            admin_token: String::new(),
            threads: 1,
            public_http_port: None,
            public_https_port: None,
        }
    }
}

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

/// Where the application is.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub servers: Vec<Server>,
    pub check: Option<UpstreamCheck>,
    pub queue_per_slot: usize,
    /// Connections to an upstream that does not say how many slots it has.
    pub max_connections: usize,
    pub balancing: Balancing,
    pub health: Health,
    pub transport: Transport,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            check: None,
            queue_per_slot: 100,
            max_connections: 512,
            balancing: Balancing::default(),
            health: Health::default(),
            transport: Transport::default(),
        }
    }
}

/// One `upstream` as it was written; a name is resolved again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl std::fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is asked at each address every second; without a port, the application's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCheck {
    pub port: Option<u16>,
    pub path: String,
}

/// The folder for bodies that outgrow memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Spool {
    pub dir: PathBuf,
    pub limit: u64,
    /// Of bodies in memory, those of requests together, and as much of answers.
    pub memory: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { dir: std::env::temp_dir().join("monodon-spool"), limit: 1 << 30, memory: 64 << 20 }
    }
}

/// Names, certificates and the folder they are kept in.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tls {
    /// The edge's state folder: certificates, keys, the reload socket.
    pub state: PathBuf,
    /// Lower case, without port. Empty: any valid host is served.
    pub domains: Vec<String>,
    pub acme_email: Option<String>,
    pub acme_directory: String,
    pub acme_ca: Option<PathBuf>,
    pub local_names: Vec<String>,
    /// Ports of the http-01 and tls-alpn-01 answers are our own listeners; this says whether there is a plain one.
    pub http_listener: bool,
}

/// Where browsers tell of violations.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Headers {
    /// Where reports on violated policies are taken, if there is a policy that sends them there.
    pub csp_report_path: Option<String>,
}

/// A network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub bits: u8,
}

/// Logs.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `stdout`, `off` or a path.
    pub access: String,
    pub line: crate::access_log::Line,
    /// Query strings too.
    pub query: bool,
    pub level: String,
    pub format: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            access: "stdout".into(),
            line: crate::access_log::Line::Json,
            query: false,
            level: "info".into(),
            format: "auto".into(),
        }
    }
}

/// The sidecar's page under a path of ours, only with a password.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPage {
    pub prefix: String,
    pub upstream: UpstreamAddress,
    pub password: String,
}
