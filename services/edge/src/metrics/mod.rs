//! Counters live in per-thread shards and are added up at a scrape: no lock, no line of cache written by two cores.

mod cell;
mod render;

pub use cell::{Cell64, Histogram, Table};
pub use render::{Process, render};

use crate::compress::Coding;
use http::Method;
use std::time::Duration;

/// Label `site`: 0 is `_other`, or the only one where no domains are set; then the configured domains in their order.
pub type Site = u16;

/// More configured names than this count as `_other`: the number of series stays bounded.
pub const MAX_SITES: usize = 32;

/// The same for routes, where 0 is all that have no index of their own.
pub type Route = u16;
pub const MAX_ROUTES: usize = 64;

/// One thread's counters. Only that thread writes. All are made at once, so that without the alignment the end of one would stand in a
/// line of cache with the beginning of the next.
#[repr(align(64))]
pub struct Shard {
    pub requests: Table<1024>,
    pub errors: Table<512>,
    pub statics: Table<64>,
    pub sites: Box<[PerSite]>,
    pub routes: Box<[PerRoute]>,
    pub connections: Connections,
    pub handshakes: Table<32>,
    /// By [`TLS_FAILURES`].
    pub handshake_failures: [Cell64; TLS_FAILURES.len()],
    pub handshake_seconds: Histogram,
    pub static_cache_bytes: Cell64,
    /// Names of request headers that an application could take for others.
    pub headers_folded: Cell64,
    pub compression: Compression,
    /// By the directive and whether it was enforced.
    pub csp_reports: Table<64>,
    /// By [`CSP_REJECTED`].
    pub csp_rejected: [Cell64; 4],
}

/// What is kept for each site. Aligned for the same reason: each thread's stand beside another's.
#[derive(Default)]
#[repr(align(64))]
pub struct PerSite {
    pub in_flight: Cell64,
    pub bytes_in: Cell64,
    pub bytes_out: Cell64,
    /// By class of the status: 1xx to 5xx.
    pub seconds: [Histogram; 5],
}

/// What is kept for each route.
#[derive(Default)]
#[repr(align(64))]
pub struct PerRoute {
    pub classes: [Cell64; 5],
    pub seconds: Histogram,
}

#[derive(Default)]
pub struct Connections {
    pub accepted_http: Cell64,
    pub accepted_https: Cell64,
    /// Of these, from a default gateway's address.
    pub from_gateway: Cell64,
    pub refused_limit: Cell64,
    /// One client's own number of connections, or of handshakes, was reached.
    pub refused_client: Cell64,
    pub refused_client_handshake: Cell64,
    pub refused_handshake: Cell64,
    /// For the PROXY header that did not come, or was malformed.
    pub refused_introduction: Cell64,
    /// HTTP/2: frames that did nothing, connections ended for too many of them or for an error, answers given up because nobody read them.
    pub h2_glitches: Cell64,
    pub h2_calmed: Cell64,
    pub h2_errors: Cell64,
    pub stalled: Cell64,
    /// Open ones, by protocol; of them those with a request in hand.
    pub open: [Cell64; 2],
    pub active: [Cell64; 2],
}

/// By [`Coding`].
#[derive(Default)]
pub struct Compression {
    pub answers: [Cell64; 3],
    pub bytes_in: [Cell64; 3],
    pub bytes_out: [Cell64; 3],
}

impl Compression {
    pub fn begun(&self, coding: Coding) {
        add(&self.answers, coding, 1);
    }

    /// By the coder.
    pub fn taken(&self, coding: Coding, bytes: usize) {
        add(&self.bytes_in, coding, bytes);
    }

    pub fn given(&self, coding: Coding, bytes: usize) {
        add(&self.bytes_out, coding, bytes);
    }
}

fn add(cells: &[Cell64; 3], coding: Coding, more: usize) {
    if let Some(cell) = cells.get(coding as usize) {
        cell.add(more as u64);
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            requests: Table::default(),
            errors: Table::default(),
            statics: Table::default(),
            sites: (0..=MAX_SITES).map(|_| PerSite::default()).collect(),
            routes: (0..=MAX_ROUTES).map(|_| PerRoute::default()).collect(),
            connections: Connections::default(),
            handshakes: Table::default(),
            handshake_failures: Default::default(),
            handshake_seconds: Histogram::default(),
            static_cache_bytes: Cell64::default(),
            headers_folded: Cell64::default(),
            compression: Compression::default(),
            csp_reports: Table::default(),
            csp_rejected: Default::default(),
        }
    }
}

impl Shard {
    pub fn site(&self, site: Site) -> Option<&PerSite> {
        self.sites.get(usize::from(site)).or_else(|| self.sites.first())
    }

    pub fn request(&self, site: Site, method: &Method, status: u16, protocol: u8) {
        let key =
            u64::from(site) << 32 | (method_index(method) as u64) << 24 | u64::from(protocol) << 16 | u64::from(status);
        self.requests.add(key, 1);
    }

    /// A request that a route took has ended.
    pub fn route(&self, route: Route, status: u16, took: Duration) {
        let Some(route) = self.routes.get(usize::from(route)).or_else(|| self.routes.first()) else { return };
        if let Some(class) = route.classes.get(usize::from(status / 100).saturating_sub(1)) {
            class.add(1);
        }
        route.seconds.observe(took);
    }

    pub fn error(&self, site: Site, reason: Reason) {
        self.errors.add(u64::from(site) << 8 | reason as u64, 1);
    }
}

/// Methods that are labels; anything else is `_OTHER`.
pub const METHODS: [&str; 10] =
    ["_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(0)
}

/// Label `protocol` of requests.
pub const PROTOCOLS: [&str; 3] = ["http/1.0", "http/1.1", "h2"];

macro_rules! reasons {
    ($($reason:ident $word:literal,)*) => {
        /// Why a request failed, in bounded words; the access log has the exact one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reason {
            $($reason,)*
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The label.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$reason => $word,)*
                }
            }
        }
    };
}

reasons! {
    BadRequest "bad_request",
    TooLarge "too_large",
    TimeoutHeader "timeout_header",
    TimeoutBody "timeout_body",
    ClientClosed "client_closed",
    NoSite "no_site",
    Method "method",
    QueueFull "queue_full",
    QueueTimeout "queue_timeout",
    UpstreamDrained "upstream_drained",
    UpstreamConnect "upstream_connect",
    UpstreamReset "upstream_reset",
    UpstreamTimeout "upstream_timeout",
    UpstreamKilled "upstream_killed",
    UpstreamBad "upstream_bad_response",
    Disk "disk",
    Unauthorized "unauthorized",
    Closed "closed",
    Denied "denied",
    DeniedPath "denied_path",
    Scanner "scanner",
    AuthService "auth_service",
    AuthBusy "auth_busy",
    RateLimited "rate_limited",
    AtATime "too_many_at_a_time",
    TimeoutRequest "timeout_request",
    Maintenance "maintenance",
}

/// Label `result` of static answers.
pub const STATIC_RESULTS: [&str; 5] = ["full", "not_modified", "partial", "refused", "not_found"];
/// Label `code_class`.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Label `kind` of TLS handshakes.
pub const KINDS: [&str; 3] = ["none", "full", "resumed"];
/// Label `reason` of those that failed.
pub const TLS_FAILURES: [&str; 6] =
    ["other", "timeout", "closed", "not_tls", "nothing_in_common", "certificate_refused"];
/// Label `reason` of reports on policies that are not taken.
pub const CSP_REJECTED: [&str; 4] = ["rate", "size", "media_type", "malformed"];
/// Label `result` of TLS handshakes.
pub const HANDSHAKES: [&str; 3] = ["ok", "failed", "timeout"];
/// Label `version` of TLS handshakes.
pub const TLS_VERSIONS: [&str; 3] = ["none", "TLSv1.2", "TLSv1.3"];

#[cfg(test)]
mod tests;
