//! Where the edge listens.

use super::load::Reader;
use monodon_settings::Address;
use std::net::{Ipv6Addr, SocketAddr};

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

impl Reader<'_> {
    pub(super) fn listen(&mut self) -> Listen {
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

    fn sockets(&self, key: &str) -> Vec<SocketAddr> {
        let mut sockets = Vec::new();
        for address in self.values.addresses(key) {
            sockets.extend(address.socket());
            // `:8080` is every address of the machine, of both families.
            if let Address::Port(port) = address {
                sockets.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
            }
        }
        sockets
    }
}

fn default_threads() -> usize {
    // Knows the cgroup's quota.
    std::thread::available_parallelism().map_or(1, usize::from).min(2)
}
