//! Upstreams: the one of the flat settings, and `[upstreams.NAME]` beside it.

mod address;
pub mod balance;
pub mod health;
mod scheme;
mod servers;

pub use address::{UpstreamAddress, UpstreamCheck};
pub use balance::{Balance, Balancing, HashBy, Sticky, StickyKey};
pub use health::{Check, FailOn, Health};
pub use scheme::Scheme;
pub use servers::Server;

use super::load::Reader;
use super::options::auth;
use super::sites::setting;
use super::{Timeouts, Transport, transport};
use monodon_settings::{Kind, Setting, Values};
use std::path::Path;

pub(super) const UPSTREAM: &[Setting] = &[
    Setting {
        aliases: &["server"],
        ..setting(
            "servers",
            Kind::List(&Kind::Text),
            "Where it is: `node:3000`, `[2001:db8::1]:80`, `unix:/run/node.sock`; names are resolved again and again, all their addresses \
             are used. Before all of them may stand `http://` (port 80 where none is said), `https://` (TLS, 443), `grpc://` or `h2c://` \
             (HTTP/2, 80) and `grpcs://` (both, 443), without a path. Behind the address may stand, as in nginx: `weight=3`, `backup` (only where no other can be used), `max_conns=20` (requests at \
             once), `max_fails=5`, `fail_timeout=10s`, `slow_start=30s`, `down`, `drain` (only clients whose `sticky` cookie leads there).",
        )
    },
    setting(
        "check",
        Kind::Text,
        "What is asked at each address every second: `:9102/readyz`, `/healthz`; empty tries to connect only.",
    ),
    setting("queue_per_slot", Kind::Int { min: 0, max: 100_000 }, "How many requests may wait for each slot."),
    setting(
        "max_connections",
        Kind::Int { min: 1, max: 1_000_000 },
        "Connections where it does not say how many slots it has.",
    ),
    setting("queue_timeout", Kind::Duration, "How long a request waits for a slot."),
    setting("connect_timeout", Kind::Duration, "For a connection."),
    setting("first_byte_timeout", Kind::Duration, "For the first byte of an answer."),
];

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

/// An upstream with a name, and the waits of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: String,
    pub upstream: Upstream,
    pub timeouts: Timeouts,
}

/// The name under which routes find the upstream of the flat settings.
pub const DEFAULT: &str = "default";

impl Reader<'_> {
    /// Those that `forward_auth` names by a URL, under host and port.
    pub(super) fn with_auth_services(&mut self, mut all: Vec<Named>) -> Vec<Named> {
        let sites: Vec<&Values> = self.values.blocks("site").map(|block| &block.values).collect();
        let routes = sites.iter().flat_map(|site| site.blocks("route").map(|block| &block.values));
        let texts = [self.values].into_iter().chain(sites.iter().copied()).chain(routes);
        let texts: Vec<&str> = texts.map(|values| values.text("forward_auth")).collect();
        for (name, ..) in
            texts.iter().filter(|text| text.starts_with("http://")).filter_map(|text| auth::address(text).ok())
        {
            let Some(first) = all.first().filter(|_| !all.iter().any(|known| known.name == name)) else { continue };
            let (host, port) = match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) => (host, port),
                _ => (name, 80),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let servers = vec![UpstreamAddress::Tcp { host, port }.into()];
            let upstream = Upstream { servers, ..Upstream::default() };
            all.push(Named { name: name.to_owned(), upstream, timeouts: first.timeouts.clone() });
        }
        all
    }

    pub(super) fn sticky_key(&self, state: &Path) -> StickyKey {
        match self.values.text("sticky_key") {
            "" => StickyKey::File(state.join("sticky.key")),
            key => StickyKey::Given(key.to_owned()),
        }
    }

    pub(super) fn balancing(&mut self, levels: &[&Values], name: &str, key: &StickyKey) -> (Balancing, Health) {
        let mut levels = self.levels(levels);
        (Balancing::read(&mut levels, name, key), Health::read(&mut levels))
    }

    pub(super) fn servers(&mut self, values: &Values, key: &str) -> Vec<Server> {
        let mut servers = Vec::new();
        for text in values.list(key) {
            match Server::parse(text) {
                Ok(server) => servers.push(server),
                Err(wrong) => self.problems.push(values.problem(key, wrong)),
            }
        }
        if let Err(wrong) = Scheme::agreed(&servers) {
            self.problems.push(values.problem(key, wrong));
        }
        servers
    }

    pub(super) fn upstream(&mut self, key: &StickyKey) -> Upstream {
        let servers = self.servers(self.values, "upstream");
        let check = Self::check(self.values.text("upstream_check"));
        let check = check.unwrap_or_else(|wrong| {
            self.wrong("upstream_check", wrong);
            None
        });
        let (balancing, health) = self.balancing(&[self.values], DEFAULT, key);
        let transport = transport::read(self, self.values, "upstream_", &servers);
        Upstream {
            servers,
            check,
            queue_per_slot: usize::try_from(self.values.int("queue_per_slot")).unwrap_or(0),
            max_connections: usize::try_from(self.values.int("max_connections")).unwrap_or(1),
            balancing,
            health,
            transport,
        }
    }

    pub(super) fn upstreams(&mut self, default: &Upstream, timeouts: &Timeouts, key: &StickyKey) -> Vec<Named> {
        let mut all = vec![Named { name: DEFAULT.into(), upstream: default.clone(), timeouts: timeouts.clone() }];
        let blocks: Vec<_> = self.values.blocks("upstreams").collect();
        for block in blocks {
            let values = &block.values;
            if block.name == DEFAULT {
                self.problems.push(
                    values.problem_here("`default` is the upstream of the setting `upstream`; take another name"),
                );
                continue;
            }
            let servers = self.servers(values, "servers");
            let (balancing, health) = self.balancing(&[values, self.values], &block.name, key);
            let mut upstream = Upstream { servers, check: None, balancing, health, ..default.clone() };
            if upstream.servers.is_empty() && values.list("servers").is_empty() {
                self.problems
                    .push(values.problem("servers", "an upstream needs at least one, such as [\"node:3000\"]"));
            }
            match Self::check(values.text("check")) {
                Ok(check) => upstream.check = check,
                Err(wrong) => self.problems.push(values.problem("check", wrong)),
            }
            upstream.transport = transport::read(self, values, "", &upstream.servers);
            let int = |key: &str| values.is_set(key).then(|| usize::try_from(values.int(key)).unwrap_or(0));
            let wait = |key: &str| values.is_set(key).then(|| values.duration(key));
            upstream.queue_per_slot = int("queue_per_slot").unwrap_or(upstream.queue_per_slot);
            upstream.max_connections = int("max_connections").unwrap_or(upstream.max_connections);
            let timeouts = Timeouts {
                queue: wait("queue_timeout").unwrap_or(timeouts.queue),
                connect: wait("connect_timeout").unwrap_or(timeouts.connect),
                first_byte: wait("first_byte_timeout").unwrap_or(timeouts.first_byte),
                ..timeouts.clone()
            };
            for (key, time) in [("connect_timeout", timeouts.connect), ("first_byte_timeout", timeouts.first_byte)] {
                if time.is_zero() {
                    self.problems.push(values.problem(key, "expected more than 0"));
                }
            }
            all.push(Named { name: block.name.clone(), upstream, timeouts });
        }
        all
    }
}
