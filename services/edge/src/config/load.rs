//! From the settings' values to a [`Config`]: everything that is wrong is told at once, each with its place.

use super::options::access::Interned;
use super::{
    Cidr, Clients, Config, Headers, Limits, Listen, Log, Spool, StatusPage, Timeouts, Tls, Upstream, UpstreamAddress,
    UpstreamCheck, table::SCHEMA,
};
use crate::access_log::{Escape, Format, Line};
use crate::watched::Files;
use monodon_settings::{Address, Problem, Problems, Values};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looked for where neither `--config` nor `MONODON_EDGE_CONFIG` names a file.
pub const DEFAULT_FILE: &str = "edge.toml";

/// Reads flags, environment and file.
pub fn load(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Config, Problems> {
    Ok(loaded(args, env)?.config)
}

/// The same with what was written. It need not be one that serves.
pub fn loaded(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Loaded, Problems> {
    let (loaded, problems) = read(args, env)?;
    problems.or(loaded)
}

/// A configuration, and what was written that made it so.
pub struct Loaded {
    pub config: Config,
    pub values: Values,
}

/// What serves.
pub fn serving(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Loaded, Problems> {
    let (loaded, problems) = examine(args, env)?;
    problems.or(loaded)
}

/// Everything that can be wrong before anything starts, with defaults in the place of what is. `Err`: nothing can be said of
/// the rest.
pub fn examine(
    args: &[OsString],
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Loaded, Problems), Problems> {
    let (loaded, mut problems) = read(args, env)?;
    let Loaded { config, values } = &loaded;
    if config.listen.http.is_empty() && config.listen.https.is_empty() {
        let words = "nothing to listen on: set http (--http :8080), https (--https :8443) or both";
        problems.push(values.problem_here(words));
    }
    if problems.is_empty()
        && let Err(wrong) = crate::acme::check(&config.tls)
    {
        problems.push(Problem::new("", wrong));
    }
    Ok((loaded, problems))
}

/// The configuration with defaults in the place of what is wrong, and all that is wrong.
fn read(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<(Loaded, Problems), Problems> {
    let (values, problems) = SCHEMA.load_all(args, env, Some(Path::new(DEFAULT_FILE)))?;
    let mut reader = Reader {
        values: &values,
        problems,
        interned: Interned::default(),
        zone_names: Vec::new(),
        upstream_names: Vec::new(),
        watched: Files::default(),
    };
    let config = reader.config();
    let problems = reader.problems;
    Ok((Loaded { config, values }, problems))
}

pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    pub(super) problems: Problems,
    pub(super) interned: Interned,
    /// Of `[limits]`, for the options that name them.
    pub(super) zone_names: Vec<String>,
    /// In the order of the configuration's, for the options that name them.
    pub(super) upstream_names: Vec<String>,
    /// Files that the settings name.
    pub(super) watched: Files,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.values.problem(key, message));
    }

    fn config(&mut self) -> Config {
        if let Some(extra) = self.values.positionals().first() {
            self.problems.push(Problem::new("", format!("unexpected argument {extra:?}; every setting is a flag")));
        }
        let listen = self.listen();
        let state = self.values.path("state").unwrap_or_else(default_state);
        let mut limits = self.limits();
        let timeouts = self.timeouts();
        let upstreams = {
            let key = self.sticky_key(&state);
            let default = self.upstream(&key);
            self.upstreams(&default, &timeouts, &key)
        };
        let upstreams = self.with_auth_services(upstreams);
        self.upstream_names = upstreams.iter().map(|named| named.name.clone()).collect();
        let zones = self.zones();
        self.zone_names = zones.iter().map(|zone| zone.name.clone()).collect();
        let mut tls = self.tls(state.clone(), !listen.http.is_empty());
        let mut files = self.files();
        let sites = self.sites(&tls.domains, &upstreams, &mut files);
        for host in sites.iter().flat_map(|site| &site.hosts) {
            match host {
                super::Host::Exact(name) if is_domain(name) && !tls.domains.contains(name) => {
                    tls.domains.push(name.clone());
                }
                _ => {}
            }
        }
        let options = self.options(&[self.values]);
        let all = sites.iter().flat_map(|site| site.routes.iter().map(|route| &route.options).chain([&site.options]));
        let mut reserved: Vec<http::HeaderName> = Vec::new();
        for name in all.chain([&options]).flat_map(|options| options.auth.reserved()) {
            if !reserved.contains(name) {
                reserved.push(name.clone());
            }
        }
        let own = options;
        let options =
            sites.iter().flat_map(|site| site.routes.iter().map(|route| &route.options).chain([&site.options]));
        limits.body = options.clone().map(|options| options.requests.body_limit).max().unwrap_or(limits.body);
        let mut headers = self.headers();
        // Nothing is taken where nothing is asked for.
        if options.into_iter().any(|options| options.headers.reporting.is_some()) {
            headers.csp_report_path = self.csp_report_path();
        }
        Config {
            limits,
            timeouts,
            upstreams,
            zones,
            clients: self.clients(),
            sites,
            options: own,
            reserved,
            spool: Spool {
                dir: self.values.path("spool").unwrap_or_else(|| state.join("spool")),
                limit: self.values.size("spool_limit"),
                memory: self.values.size("buffer_memory_total"),
            },
            tls,
            files,
            proxies: self.proxies(),
            headers,
            log: Log {
                access: self.values.text("access_log").to_owned(),
                line: self.access_line(),
                query: self.values.bool("access_log_query"),
                level: self.values.text("log_level").to_owned(),
                format: self.values.text("log_format").to_owned(),
            },
            status_page: self.status_page(),
            reload_on_change: self.values.bool("reload_on_change"),
            listen,
        }
    }

    fn listen(&mut self) -> Listen {
        let http = self.sockets("http");
        let https = self.sockets("https");
        let admin = match self.values.address("admin").and_then(|address| address.socket()) {
            Some(address) => address,
            None => {
                self.wrong("admin", "expected an address to listen on such as 127.0.0.1:9101");
                Listen::default().admin
            }
        };
        let threads = match self.values.text("threads") {
            "auto" => default_threads(),
            number => number.parse().ok().filter(|count| (1..=256).contains(count)).unwrap_or_else(|| {
                self.wrong("threads", format!("expected auto or a number from 1 to 256, got {number:?}"));
                1
            }),
        };
        let port = |key| u16::try_from(self.values.int(key)).ok().filter(|port| *port != 0);
        Listen {
            http,
            https,
            admin,
            admin_token: self.admin_token(),
            threads,
            public_http_port: port("public_http_port"),
            public_https_port: port("public_https_port"),
        }
    }

    /// One that no header could bring would lock everybody out.
    fn admin_token(&mut self) -> String {
        let token = self.values.text("admin_token");
        if token.trim() != token || !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.wrong("admin_token", "expected letters, digits and signs of ASCII, without spaces around");
        }
        token.to_owned()
    }

    fn sockets(&mut self, key: &str) -> Vec<SocketAddr> {
        let mut sockets = Vec::new();
        for address in self.values.addresses(key) {
            match (&address, address.socket()) {
                // `:8080` is every address of the machine, of both families.
                (Address::Port(port), Some(socket)) => {
                    sockets.extend([socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port))]);
                }
                (_, Some(socket)) => sockets.push(socket),
                (_, None) => {
                    self.wrong(key, format!("expected an address to listen on such as :8080, got \"{address}\""));
                }
            }
        }
        sockets
    }

    fn limits(&mut self) -> Limits {
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

    fn clients(&mut self) -> Clients {
        let int = |key| u32::try_from(self.values.int(key)).unwrap_or(0);
        let rate = self.values.text("handshake_rate");
        let handshake_rate = super::limits::interval(rate);
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

    fn networks(&mut self, key: &str) -> Vec<Cidr> {
        let mut networks = Vec::new();
        for text in self.values.list(key) {
            match Cidr::parse(text) {
                Some(network) => networks.push(network),
                None => self.wrong(key, format!("expected a network such as 10.0.0.0/8, got {text:?}")),
            }
        }
        networks
    }

    fn timeouts(&mut self) -> Timeouts {
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

    fn upstream_address(&mut self, key: &str, address: Address) -> Option<UpstreamAddress> {
        Self::address(address).map_err(|wrong| self.wrong(key, wrong)).ok()
    }

    pub(super) fn address(address: Address) -> Result<UpstreamAddress, String> {
        match address {
            Address::Socket(socket) => Ok(UpstreamAddress::Tcp { host: socket.ip().to_string(), port: socket.port() }),
            Address::Host(host, port) => Ok(UpstreamAddress::Tcp { host, port }),
            Address::Unix(path) => Ok(UpstreamAddress::Unix(path)),
            Address::Port(_) => Err(format!("expected a host and a port such as worker:8000, got \"{address}\"")),
        }
    }

    pub(super) fn check(text: &str) -> Result<Option<UpstreamCheck>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        parse_check(text).map(Some).ok_or_else(|| format!("expected :PORT/PATH or /PATH, got {text:?}"))
    }

    fn upstream(&mut self, key: &super::StickyKey) -> Upstream {
        let servers = self.servers(self.values, "upstream");
        let check = Self::check(self.values.text("upstream_check"));
        let check = check.unwrap_or_else(|wrong| {
            self.wrong("upstream_check", wrong);
            None
        });
        let (balancing, health) = self.balancing(&[self.values], key);
        Upstream {
            servers,
            check,
            queue_per_slot: usize::try_from(self.values.int("queue_per_slot")).unwrap_or(0),
            max_connections: usize::try_from(self.values.int("max_connections")).unwrap_or(1),
            balancing,
            health,
            transport: super::Transport::default(),
        }
    }

    fn tls(&mut self, state: PathBuf, http_listener: bool) -> Tls {
        let mut domains: Vec<String> = Vec::new();
        for name in self.values.list("domains") {
            match name.trim_end_matches('.').to_ascii_lowercase() {
                name if is_domain(&name) && !domains.contains(&name) => domains.push(name),
                name if domains.contains(&name) => {}
                _ => self.wrong("domains", format!("expected a name such as shop.example.org, got {name:?}")),
            }
        }
        let email = self.values.text("acme_email").trim();
        if !email.is_empty() && !email.contains('@') {
            self.wrong("acme_email", format!("expected an e-mail address, got {email:?}"));
        }
        let directory = self.values.text("acme_directory");
        if !directory.starts_with("https://") {
            self.wrong("acme_directory", format!("expected an https:// address, got {directory:?}"));
        }
        Tls {
            state,
            domains,
            acme_email: (!email.is_empty()).then(|| email.to_owned()),
            acme_directory: directory.to_owned(),
            acme_ca: self.values.path("acme_ca"),
            local_names: self.values.list("local_names").iter().map(|name| name.to_ascii_lowercase()).collect(),
            http_listener,
        }
    }

    fn headers(&mut self) -> Headers {
        let path = self.values.text("csp_report_path");
        if !matches!(path, "" | "off") && self.csp_report_path().is_none() {
            self.wrong("csp_report_path", format!("expected off or a plain path such as /csp-report, got {path:?}"));
        }
        Headers { csp_report_path: None }
    }

    /// Where reports on violated policies are taken.
    pub(super) fn csp_report_path(&self) -> Option<String> {
        let path = self.values.text("csp_report_path");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let fits =
            path.len() > 1 && path.bytes().all(plain) && crate::path::normalise(path).is_ok_and(|same| same == path);
        fits.then(|| path.to_owned())
    }

    fn access_line(&mut self) -> Line {
        let escape = if self.values.text("access_log_escape") == "json" { Escape::Json } else { Escape::Default };
        match self.values.text("access_log_format") {
            "json" => Line::Json,
            text => match Format::parse(text, escape) {
                Ok(format) => Line::Format(Arc::new(format)),
                Err(wrong) => {
                    self.wrong("access_log_format", wrong);
                    Line::Json
                }
            },
        }
    }

    fn status_page(&mut self) -> Option<StatusPage> {
        let prefix = self.values.text("status_page");
        if prefix.is_empty() {
            return None;
        }
        let prefix = if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
        if prefix == "/" || crate::path::normalise(&prefix).ok().as_deref() != Some(prefix.as_str()) {
            self.wrong("status_page", format!("expected a path below the root such as /status/, got {prefix:?}"));
        }
        let password = self.values.text("status_password").to_owned();
        if password.is_empty() {
            self.wrong("status_page", "needs a status_password: the page tells much of the site");
        }
        let upstream = match self.values.address("status_upstream") {
            Some(address) => self.upstream_address("status_upstream", address),
            None => {
                self.wrong("status_page", "needs status_upstream, the sidecar's address, such as sidecar:9100");
                None
            }
        };
        Some(StatusPage { prefix, upstream: upstream?, password })
    }
}

fn parse_check(text: &str) -> Option<UpstreamCheck> {
    let (port, path) = match text.strip_prefix(':') {
        Some(rest) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let (port, path) = rest.split_at(slash);
            (Some(port.parse().ok().filter(|port| *port != 0)?), path)
        }
        None => (None, text),
    };
    let path = if path.is_empty() { "/" } else { path };
    path.parse::<http::uri::PathAndQuery>().ok().filter(|_| path.starts_with('/'))?;
    Some(UpstreamCheck { port, path: path.to_owned() })
}

/// A DNS name of at least one label, no wildcard, no address.
pub(super) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

impl Cidr {
    /// Every address.
    pub const ALL: [Self; 2] = [
        Self { address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), bits: 0 },
        Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), bits: 0 },
    ];

    /// `10.0.0.0/8`, `192.0.2.7`, `fd00::/8`. What is mapped into IPv6 is IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= all)?,
        };
        match address.to_canonical() {
            mapped @ IpAddr::V4(_) if address.is_ipv6() => Some(Self { address: mapped, bits: bits.checked_sub(96)? }),
            address => Some(Self { address, bits }),
        }
    }

    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same_prefix(a.to_bits().into(), b.to_bits().into(), 32, self.bits),
            (IpAddr::V6(a), IpAddr::V6(b)) => same_prefix(a.to_bits(), b.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, all: u8, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (all - bits.min(all)) == 0
}

fn default_state() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("monodon/edge")
}

fn default_threads() -> usize {
    // Knows the cgroup's quota.
    std::thread::available_parallelism().map_or(1, usize::from).min(2)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "access_tests.rs"]
mod access_tests;
#[cfg(test)]
#[path = "compress_tests.rs"]
mod compress_tests;
#[cfg(test)]
#[path = "headers_tests.rs"]
mod headers_tests;

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod upstreams_tests;
