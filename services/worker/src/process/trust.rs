//! Whose forwarded headers are believed, and what they say.

use std::net::{IpAddr, SocketAddr};

/// The peers (and the hops before them) that may speak for their clients.
pub struct Trust {
    all: bool,
    /// Whoever comes through a Unix socket.
    unix: bool,
    networks: Vec<(IpAddr, u8)>,
}

impl Trust {
    /// From `forwarded_allow_ips`: addresses and networks; `unix` is any peer on a Unix socket, `*` is everybody, and an
    /// empty list nobody.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let mut trust = Self { all: false, unix: false, networks: Vec::new() };
        for word in words.iter().flat_map(|word| word.as_ref().split(',')).map(str::trim).filter(|w| !w.is_empty()) {
            match word {
                "*" => trust.all = true,
                "unix" => trust.unix = true,
                _ => trust.networks.push(network(word).ok_or_else(|| {
                    format!("expected an address, a network such as 10.0.0.0/8, \"unix\" or \"*\", got {word:?}")
                })?),
            }
        }
        Ok(trust)
    }

    pub fn unix(&self) -> bool {
        self.all || self.unix
    }

    pub fn peer(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.all || self.networks.iter().any(|(base, bits)| matches(address, *base, *bits))
    }

    /// The client that the chain of `X-Forwarded-For` values names: from the right, the first hop that is not one of
    /// ours. If all are, the leftmost. Whatever does not look like an address ends the search, for nothing left of it
    /// can be believed.
    pub fn client<'v>(&self, values: impl DoubleEndedIterator<Item = &'v [u8]>) -> Option<IpAddr> {
        let mut client = None;
        for value in values.rev() {
            for hop in value.rsplit(|byte| *byte == b',') {
                let Some(address) = hop_address(hop.trim_ascii()) else { return client };
                client = Some(address);
                if !self.peer(address) {
                    return client;
                }
            }
        }
        client
    }
}

fn network(word: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u8>().ok()?)),
        None => (word.parse::<IpAddr>().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn matches(address: IpAddr, base: IpAddr, bits: u8) -> bool {
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [&str; 6] = ["127.0.0.0/8", "::1", "10.0.0.0/8, 172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "unix"];

    fn client(trust: &Trust, values: &[&str]) -> Option<String> {
        trust.client(values.iter().map(|value| value.as_bytes())).map(|address| address.to_string())
    }

    #[test]
    fn loopback_and_private_networks() {
        let trust = Trust::parse(&LOCAL).unwrap();
        for word in ["127.0.0.1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(trust.peer(word.parse().unwrap()), "{word}");
        }
        for word in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!trust.peer(word.parse().unwrap()), "{word}");
        }
        assert!(trust.unix());
    }

    #[test]
    fn networks_and_star() {
        let trust = Trust::parse(&["192.0.2.0/24, 2001:db8::/32"]).unwrap();
        assert!(trust.peer("192.0.2.9".parse().unwrap()));
        assert!(trust.peer("2001:db8::9".parse().unwrap()));
        assert!(!trust.peer("192.0.3.9".parse().unwrap()));
        assert!(!trust.unix());
        assert!(Trust::parse(&["*"]).unwrap().peer("8.8.8.8".parse().unwrap()));
        assert!(Trust::parse(&["0.0.0.0/0"]).unwrap().peer("8.8.8.8".parse().unwrap()));
        assert!(Trust::parse(&["nonsense"]).is_err());
        assert!(Trust::parse(&["10.0.0.0/33"]).is_err());
    }

    #[test]
    fn the_client_is_the_first_foreign_hop_from_the_right() {
        let trust = Trust::parse(&LOCAL).unwrap();
        assert_eq!(client(&trust, &["6.6.6.6, 203.0.113.7, 10.0.0.2"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(client(&trust, &["6.6.6.6", "203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(client(&trust, &["10.0.0.9, 10.0.0.2"]).as_deref(), Some("10.0.0.9"));
        assert_eq!(client(&trust, &["203.0.113.7:4711"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(client(&trust, &["[2001:db8::7]:1"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(client(&trust, &["203.0.113.7, garbage"]), None);
        assert_eq!(client(&trust, &[]), None);
    }
}
