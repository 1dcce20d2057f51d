//! How much one client, or one key, may ask for: zones of `[limits]`, requests and connections at a time.
//!
//! [`table`] keeps rates, [`counts`] numbers at a time; both are shared by all threads without a lock. [`requests`] asks them for a request,
//! [`connections`] for a connection; [`delay`] has those wait that come before their turn. What has been counted outlives a reload that leaves its limit as it is.

pub mod connections;
mod counted;
mod counts;
mod delay;
pub mod refuse;
mod render;
mod requests;
mod table;

pub use counted::Counted;
pub use delay::wait;
pub use render::render;
pub use requests::{Held, Quota, Verdict, admit, keep, release, tell};

use crate::config::limits::Zone as Rule;
use crate::config::options::limits::Limits as Options;
use crate::config::{Cidr, Config};
use crate::gateway;
use crate::service::trace::Trace;
use counts::Counts;
use http::HeaderValue;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use table::Table;

/// Clients cannot know which of their keys meet.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Of one configuration.
pub struct Limits {
    /// In the order of `config.zones`.
    zones: Vec<Arc<Zone>>,
    clients: Clients,
    exempt: Vec<Cidr>,
    v6_prefix: u8,
}

/// One `[limits.NAME]` with what it has counted.
struct Zone {
    rule: Rule,
    table: Option<Table>,
    counts: Option<Counts>,
    /// What RateLimit-Policy says of it.
    policy: Option<HeaderValue>,
    refused: AtomicU64,
    /// Would have been, but for `dry_run`.
    spared: AtomicU64,
    delayed: AtomicU64,
    /// Now.
    waiting: AtomicU64,
}

/// What is counted by address whether a zone says so or not. Those that are off have no room.
struct Clients {
    connections: Arc<Counts>,
    handshakes: Arc<Counts>,
    handshake_rate: Arc<Table>,
    requests: Arc<Counts>,
    sizes: [usize; 4],
}

impl Limits {
    pub fn build(config: &Config, previous: Option<&Self>) -> Self {
        let zones = config.zones.iter().map(|rule| {
            let known = previous.and_then(|old| old.zones.iter().find(|zone| zone.rule == *rule));
            known.cloned().unwrap_or_else(|| Arc::new(Zone::new(rule)))
        });
        let all = config.sites.iter().flat_map(|site| site.routes.iter().map(|route| &route.options));
        let mut all = all.chain(config.sites.iter().map(|site| &site.options)).chain([&config.options]);
        let on = |on: bool, keys: usize| if on { keys } else { 1 };
        let clients = &config.clients;
        // Twice as many places as can be needed: a set fills up long before the table does.
        let many = config.limits.connections.saturating_mul(2);
        let sizes = [
            on(clients.connections > 0, many),
            on(clients.handshakes > 0, many),
            on(clients.handshake_rate.is_some(), many.max(65_536)),
            on(all.any(|options| options.limits.requests_per_client > 0), many.max(65_536)),
        ];
        Self {
            zones: zones.collect(),
            clients: Clients::new(sizes, previous.map(|old| &old.clients)),
            exempt: clients.exempt.clone(),
            v6_prefix: clients.v6_prefix,
        }
    }

    /// No limit by client holds for it: it said so in the configuration, or it hides many clients.
    fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address)) || gateway::is_one(address)
    }

    /// The names of these zones.
    fn names(&self, places: &[usize]) -> String {
        let names = places.iter().filter_map(|place| self.zones.get(*place)).map(|zone| zone.rule.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// What a client is counted by.
    fn client(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V6(address) => {
                let bits = 128 - u32::from(self.v6_prefix.min(128));
                Ipv6Addr::from_bits(address.to_bits().checked_shr(bits).unwrap_or(0).checked_shl(bits).unwrap_or(0))
                    .into()
            }
            v4 @ IpAddr::V4(_) => v4,
        }
    }

    fn client_key(&self, address: IpAddr) -> u64 {
        HASHER.hash_one(self.client(address))
    }
}

/// What a request is counted by, for `monodon-edge explain`.
pub fn explain(limits: &Limits, options: &Options, trace: &Trace) {
    if options.requests_per_client > 0 {
        trace.filter("requests_per_client", format!("counts it; {} at a time may pass", options.requests_per_client));
    }
    if !options.zones.is_empty() {
        trace.filter("limit", format!("counts it by {}", limits.names(&options.zones)));
    }
}

impl Zone {
    fn new(rule: &Rule) -> Self {
        // Draft "RateLimit header fields for HTTP": so many in so long, which for a rate with a burst is all of it.
        let policy = rule.rate.and_then(|rate| {
            let quota = u64::from(rate.burst) + 1;
            let window = (rate.interval.as_secs_f64() * quota as f64).ceil().max(1.0);
            HeaderValue::try_from(format!("\"{}\";q={quota};w={window}", rule.name)).ok()
        });
        Self {
            rule: rule.clone(),
            table: rule.rate.map(|_| Table::new(rule.keys)),
            counts: (rule.at_a_time > 0).then(|| Counts::new(rule.keys)),
            policy,
            refused: AtomicU64::new(0),
            spared: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }
}

impl Clients {
    fn new(sizes: [usize; 4], previous: Option<&Self>) -> Self {
        let [connections, handshakes, handshake_rate, requests] = sizes;
        let counts = |at: usize, size, of: fn(&Self) -> &Arc<Counts>| {
            let old = previous.filter(|old| old.sizes.get(at) == Some(&size));
            old.map_or_else(|| Arc::new(Counts::new(size)), |old| of(old).clone())
        };
        let rates = previous.filter(|old| old.sizes.get(2) == Some(&handshake_rate));
        Self {
            connections: counts(0, connections, |old| &old.connections),
            handshakes: counts(1, handshakes, |old| &old.handshakes),
            handshake_rate: rates
                .map_or_else(|| Arc::new(Table::new(handshake_rate)), |old| old.handshake_rate.clone()),
            requests: counts(3, requests, |old| &old.requests),
            sizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_client() {
        let mut config = Config::default();
        config.clients.v6_prefix = 64;
        let limits = Limits::build(&config, None);
        let client = |text: &str| limits.client(text.parse().unwrap()).to_string();
        assert_eq!(client("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(client("192.0.2.7"), "192.0.2.7");
        config.clients.v6_prefix = 128;
        let whole = Limits::build(&config, None);
        assert_eq!(whole.client("2001:db8::6".parse().unwrap()).to_string(), "2001:db8::6");
    }

    #[test]
    fn what_is_unchanged_is_kept() {
        let zone = |name: &str, burst| Rule {
            name: name.into(),
            rate: Some(crate::config::limits::Rate::nodelay(std::time::Duration::from_secs(1), burst)),
            at_a_time: 0,
            key: vec![crate::config::limits::Key::Client],
            keys: 64,
            dry_run: false,
        };
        let mut config = Config { zones: vec![zone("a", 1), zone("b", 1)], ..Config::default() };
        let old = Limits::build(&config, None);
        config.zones = vec![zone("b", 1), zone("a", 2)];
        let new = Limits::build(&config, Some(&old));
        assert!(Arc::ptr_eq(&old.zones[1], &new.zones[0]), "another place, the same limit");
        assert!(!Arc::ptr_eq(&old.zones[0], &new.zones[1]));
        assert!(Arc::ptr_eq(&old.clients.connections, &new.clients.connections));
        assert_eq!(new.zones[1].policy.as_ref().unwrap(), "\"a\";q=3;w=3");
    }
}
