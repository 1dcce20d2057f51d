//! Networks such as `10.0.0.0/8`.

use super::load::Reader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub bits: u8,
}

impl Cidr {
    /// Every address.
    pub const ALL: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), bits: 0 },
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

impl Reader<'_> {
    pub(super) fn networks(&mut self, key: &str) -> Vec<Cidr> {
        let mut networks = Vec::new();
        for text in self.values.list(key) {
            match Cidr::parse(text) {
                Some(network) => networks.push(network),
                None => self.wrong(key, format!("expected a network such as 10.0.0.0/8, got {text:?}")),
            }
        }
        networks
    }
}
