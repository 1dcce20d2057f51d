//! The way to the application: addresses, permits, queue, connections, second sendings, tunnels (decision 4).
//!
//! [`Shared`] is what all threads have in common of one configuration's upstream: the control thread publishes the
//! addresses in it ([`control`]), the data threads count permits; what of it outlives a reload is in [`live`]. [`Upstream`] is
//! one thread's half, with the connections. A request meets: [`request`] → [`acquire`] ([`bulkhead`], [`choice`]) → [`queue`] → [`connect`] →
//! [`exchange`] → [`inflight`] → [`http1`] → [`answer`] → [`response`] or [`tunnel`].

mod acquire;
mod address;
mod answer;
mod bulkhead;
mod capacity;
mod check;
mod choice;
mod connect;
mod control;
mod dns;
mod drained;
mod exchange;
mod headers;
mod health;
mod http1;
mod http2;
mod inflight;
mod lanes;
mod learn;
mod list;
mod live;
mod metrics;
mod permit;
mod pool;
mod process;
mod queue;
mod request;
mod response;
mod state;
mod sticky;
mod tls;
mod tunnel;
mod watch;

pub use answer::Accel;
pub use bulkhead::Lane;
pub use connect::Ends;
pub use dns::Resolve;
pub use lanes::Lanes;
pub use live::Memory;
pub use metrics::render;
pub use state::{AddressState, AddressStatus, State};

use crate::body::{Body, BodyError};
use crate::buffer::{Outgoing, Spool};
use crate::config::{self, HashBy, Named};
use crate::drain::Drain;
use crate::headers::cookie;
use http::request::Parts;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What all threads share of one configuration's upstream: its settings, and what outlives them.
pub struct Shared {
    live: Arc<live::Live>,
    settings: Settings,
    transport: connect::Transport,
    spool: Arc<Spool>,
    resolver: Arc<dyn Resolve>,
}

struct Settings {
    name: String,
    servers: Vec<config::Server>,
    transport: config::Transport,
    balancing: config::Balancing,
    health: config::Health,
    fail_on: Arc<config::FailOn>,
    sticky_key: Option<aws_lc_rs::hmac::Key>,
    check: Option<config::UpstreamCheck>,
    max_connections: u32,
    connect: Duration,
    /// How long an idle connection is kept. The worker keeps it longer: we must be the one that lets go.
    idle: Duration,
    first_byte: Duration,
    queue: Duration,
}

impl Settings {
    /// Whether a new address gets nothing before its check says that it is ready.
    fn asks_first(&self) -> bool {
        self.check.is_some() && self.health.check.first
    }
}

/// One thread's half: its connections.
pub struct Upstream(Rc<pool::Pool>);

/// What the pipeline knows of a request beside its head.
pub struct Meta {
    /// Lines that stand behind the head's fields, for an upstream that [takes them](Upstream::takes_lines).
    pub told: Vec<u8>,
    /// GET, HEAD or OPTIONS: may be sent a second time.
    pub idempotent: bool,
    /// The client's own address, where it is known.
    pub client: Option<IpAddr>,
    /// It came over TLS.
    pub secure: bool,
    /// Its route's way to the upstream, where that is bounded or measured.
    pub lane: Option<Arc<Lane>>,
    pub waits: Waits,
    pub buffering: Buffering,
    /// For an upstream that is told whose connection it is.
    pub ends: Ends,
    /// Filled in on the way, whatever becomes of the request.
    pub timing: Cell<Timing>,
}

/// What the request's route has otherwise than the upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    pub first_byte: Option<Duration>,
    /// Between two parts of the answer.
    pub read: Option<Duration>,
}

/// What becomes of the answer's body.
#[derive(Clone, Copy, Debug)]
pub struct Buffering {
    /// Else it is passed on as it comes.
    pub on: bool,
    /// Bytes of it in memory; the rest goes to the spool.
    pub memory: usize,
}

/// For the access log and the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    pub queue: Duration,
    /// From sending the request to the head of the answer.
    pub first_byte: Duration,
    pub retried: bool,
    /// Until a new connection stood, where one was needed.
    pub connect: Duration,
    /// The id of the address that it was sent to last.
    pub address: u64,
    /// The upstream's own, 0 until it has answered.
    pub status: u16,
}

#[derive(Debug)]
pub enum UpstreamError {
    /// No connection, or no address; one that takes too long is `TimedOut`.
    Connect(std::io::Error),
    /// The connection broke before an answer.
    Reset,
    /// It has been refused unread, by all who were asked.
    Refused,
    /// No first byte in time.
    Timeout,
    QueueFull,
    QueueTimeout,
    /// Every address is, by the operator's word.
    Drained,
    Killed(Killed),
    /// The reason, for the log.
    BadResponse(&'static str),
    /// The request's own body could not be had in whole.
    Upload(BodyError),
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Timeout,
    Memory,
}

impl UpstreamError {
    /// A connection was not refused, but did not come in time (nginx: `timeout` of proxy_next_upstream is that, too).
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == std::io::ErrorKind::TimedOut)
    }

    /// For metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Drained => "drained",
            Self::Killed(Killed::Timeout) => "killed_timeout",
            Self::Killed(Killed::Memory) => "killed_memory",
            Self::BadResponse(_) => "bad_response",
            Self::Upload(_) => "client_gone",
            Self::Disk => "disk",
        }
    }
}

impl Shared {
    /// `before`: the upstreams of the configuration that it follows upon.
    pub fn new(named: &Named, spool: Arc<Spool>, before: &Memory) -> Arc<Self> {
        Self::with_resolver(named, spool, Arc::new(dns::System::default()), before)
    }

    /// With another resolver than the system's.
    pub fn with_resolver(named: &Named, spool: Arc<Spool>, resolver: Arc<dyn Resolve>, before: &Memory) -> Arc<Self> {
        let Named { name, upstream, timeouts } = named;
        let settings = Settings {
            name: name.clone(),
            servers: upstream.servers.clone(),
            transport: upstream.transport.clone(),
            balancing: upstream.balancing.clone(),
            health: upstream.health.clone(),
            fail_on: Arc::new(upstream.health.fail_on.clone()),
            sticky_key: upstream.balancing.sticky.as_ref().map(sticky::key),
            check: upstream.check.clone(),
            max_connections: u32::try_from(upstream.max_connections).unwrap_or(u32::MAX),
            connect: timeouts.connect,
            idle: timeouts.idle,
            first_byte: timeouts.first_byte,
            queue: timeouts.queue,
        };
        let live = live::Live::of(named, before);
        let transport = connect::Transport::new(&upstream.transport);
        let shared = Arc::new(Self { live, settings, transport, spool, resolver });
        shared.take_over(before);
        shared
    }

    /// Control thread: resolving and health checks until `drain` closes or a reload replaces this upstream or ends it (the
    /// task is aborted then).
    pub async fn manage(self: Arc<Self>, mut drain: Drain) {
        tokio::select! {
            () = self.keep_watch() => {}
            () = drain.reached(crate::drain::Phase::Closing) => {}
        }
    }

    /// The name that routes and metrics know it by.
    pub fn name(&self) -> &str {
        &self.settings.name
    }
}

/// Whether TLS can be spoken as it is configured; the setting that is wrong, and why.
pub fn check_tls(settings: &config::UpstreamTls, http2: bool) -> Result<(), (&'static str, String)> {
    tls::Tls::new(settings, http2).map(drop)
}

/// Ids of addresses are never used again, so that a pool cannot take an old one's connections for a new one's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Upstream {
    pub fn new(shared: Arc<Shared>, drain: Drain) -> Self {
        Self(pool::Pool::new(shared, drain))
    }

    /// After a reload: the idle connections of this thread's half of what the upstream was before.
    pub fn take_over(&self, before: &Self) {
        if self.0.shared.is_one_with(&before.0.shared) {
            self.0.take_over(&before.0);
        }
    }

    /// The answer comes back as soon as its head is there (its body behind the buffer), or at once when it is small.
    pub async fn send(
        &self,
        parts: &mut Parts,
        body: Outgoing,
        meta: &Meta,
    ) -> Result<http::Response<Body>, UpstreamError> {
        let Some(sticky) = &self.0.shared.settings.balancing.sticky else {
            return exchange::send(&self.0, parts, body, meta).await;
        };
        let came = cookie::of(&parts.headers, &sticky.cookie).map(<[u8]>::to_vec);
        let mut response = exchange::send(&self.0, parts, body, meta).await?;
        self.stick(sticky, came.as_deref(), meta, response.headers_mut());
        Ok(response)
    }

    /// Tells the client where it belongs, unless it knows.
    fn stick(&self, sticky: &config::Sticky, came: Option<&[u8]>, meta: &Meta, headers: &mut http::HeaderMap) {
        let list = self.0.shared.live.queue.list.load();
        let served = list.all.iter().find(|address| address.id == meta.timing.get().address);
        let Some(token) = served.and_then(|address| address.role.token.as_ref()) else { return };
        if came != Some(token.as_slice())
            && let Some(value) = sticky::set_cookie(&sticky.cookie, token, meta.secure)
        {
            headers.append(http::header::SET_COOKIE, value);
        }
    }

    /// The name that routes and metrics know it by.
    pub fn name(&self) -> &str {
        self.0.shared.name()
    }

    /// An address by its id, while it is one of the upstream's.
    pub fn label(&self, address: u64) -> Option<Rc<str>> {
        let list = self.0.shared.live.queue.list.load();
        list.all.iter().find(|known| known.id == address).map(|known| known.label.as_str().into())
    }

    /// Whether what we say may go to it as lines: nobody reads it from the fields before.
    pub fn takes_lines(&self) -> bool {
        let shared = &self.0.shared;
        !shared.transport.http2 && !matches!(shared.settings.balancing.hash, Some(HashBy::Header(_)))
    }

    /// Whether anything was configured to be sent to.
    pub fn has_addresses(&self) -> bool {
        !self.0.shared.settings.servers.is_empty()
    }

    /// Idle connections of this thread.
    pub fn idle(&self) -> usize {
        self.0.idle_count()
    }
}
