//! Networks, prepared so that an address is looked up in the time of a binary search, however many there are.
//!
//! Networks either lie within one another or apart, so they make a line of stretches, each with the verdict of the
//! smallest network that holds it.

use crate::config::Cidr;
use std::net::IpAddr;

/// Who is let in: the smallest network that holds an address decides; of two alike, `deny`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    v4: Line<u32>,
    v6: Line<u128>,
}

impl Networks {
    /// An address that is in none of them has the verdict `otherwise`.
    pub fn new(allow: &[Cidr], deny: &[Cidr], otherwise: bool) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        // Later ones win among equals.
        for (networks, verdict) in [(allow, true), (deny, false)] {
            for network in networks {
                let bits = u32::from(network.bits);
                match network.address {
                    IpAddr::V4(address) => {
                        let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
                        v4.push((address.to_bits() & !rest, address.to_bits() | rest, verdict));
                    }
                    IpAddr::V6(address) => {
                        let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
                        v6.push((address.to_bits() & !rest, address.to_bits() | rest, verdict));
                    }
                }
            }
        }
        let next4 = |end: u32| end.checked_add(1);
        let next6 = |end: u128| end.checked_add(1);
        Self { v4: Line::new(v4, otherwise, next4), v6: Line::new(v6, otherwise, next6) }
    }

    /// Those of `networks` and nobody else.
    pub fn of(networks: &[Cidr]) -> Self {
        Self::new(networks, &[], false)
    }

    /// The verdict; an IPv4 address that is mapped into IPv6 is an IPv4 address.
    pub fn allows(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.verdict(&address.to_bits()),
            IpAddr::V6(address) => self.v6.verdict(&address.to_bits()),
        }
    }

    /// Nobody is let in.
    pub fn is_empty(&self) -> bool {
        let nobody = |verdict: bool| !verdict;
        self.v4.stretches.iter().all(|(_, verdict)| nobody(*verdict))
            && self.v6.stretches.iter().all(|(_, verdict)| nobody(*verdict))
            && nobody(self.v4.before)
            && nobody(self.v6.before)
    }
}

/// Where the verdict changes, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Line<T> {
    before: bool,
    stretches: Box<[(T, bool)]>,
}

impl<T: Ord + Copy> Line<T> {
    /// `networks`: first and last address and verdict.
    fn new(mut networks: Vec<(T, T, bool)>, otherwise: bool, next: impl Fn(T) -> Option<T>) -> Self {
        // The outer before the inner; the sort keeps the order of equals.
        networks.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut stretches: Vec<(T, bool)> = Vec::new();
        // Those that are open, the innermost last.
        let mut open: Vec<(T, bool)> = Vec::new();
        let close = |open: &mut Vec<(T, bool)>, stretches: &mut Vec<(T, bool)>, before: Option<T>| {
            while let Some((end, _)) = open.last().copied().filter(|(end, _)| before.is_none_or(|before| *end < before))
            {
                open.pop();
                let verdict = open.last().map_or(otherwise, |(_, verdict)| *verdict);
                if let Some(after) = next(end) {
                    change(stretches, after, verdict);
                }
            }
        };
        for (first, last, verdict) in networks {
            close(&mut open, &mut stretches, Some(first));
            change(&mut stretches, first, verdict);
            open.push((last, verdict));
        }
        close(&mut open, &mut stretches, None);
        // What changes nothing is left out.
        let mut previous = otherwise;
        stretches.retain(|(_, verdict)| std::mem::replace(&mut previous, *verdict) != *verdict);
        Self { before: otherwise, stretches: stretches.into() }
    }

    fn verdict(&self, address: &T) -> bool {
        let after = self.stretches.partition_point(|(start, _)| start <= address);
        after.checked_sub(1).and_then(|place| self.stretches.get(place)).map_or(self.before, |(_, verdict)| *verdict)
    }
}

/// From `start` on; the later word on the same start counts.
fn change<T: Ord>(stretches: &mut Vec<(T, bool)>, start: T, verdict: bool) {
    match stretches.last_mut() {
        Some(last) if last.0 == start => last.1 = verdict,
        _ => stretches.push((start, verdict)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| Cidr::parse(text).unwrap()).collect()
    }

    #[test]
    fn the_smallest_network_decides() {
        let networks = Networks::new(
            &cidrs(&["10.0.0.0/8", "10.1.2.3", "fd00::/8", "255.255.255.255"]),
            &cidrs(&["10.1.0.0/16", "fd00:1::/32", "192.0.2.0/24", "10.255.255.255"]),
            false,
        );
        for (address, allowed) in [
            ("10.0.0.0", true),
            ("10.0.255.255", true),
            ("10.1.0.0", false),
            ("10.1.2.2", false),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.1.2.4", false),
            ("10.1.255.255", false),
            ("10.2.0.0", true),
            ("10.255.255.254", true),
            ("10.255.255.255", false),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("255.255.255.255", true),
            ("fd00::1", true),
            ("fd00:1::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(networks.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn of_two_alike_deny_wins_and_everything_is_a_network() {
        let same = cidrs(&["10.0.0.0/8"]);
        assert!(!Networks::new(&same, &same, true).allows("10.0.0.1".parse().unwrap()));
        let all = cidrs(&["0.0.0.0/0", "::/0"]);
        let networks = Networks::new(&all, &cidrs(&["10.0.0.1"]), false);
        assert!(networks.allows("255.255.255.255".parse().unwrap()) && networks.allows("::1".parse().unwrap()));
        assert!(!networks.allows("10.0.0.1".parse().unwrap()) && networks.allows("10.0.0.2".parse().unwrap()));
        assert!(Networks::of(&[]).is_empty() && !networks.is_empty() && !Networks::of(&same).is_empty());
    }

    /// Against the plain way, on a small world.
    #[test]
    fn as_a_look_at_each_would_say() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..300 {
            let mut some = |count| -> Vec<Cidr> {
                (0..rng.usize(..count))
                    .map(|_| Cidr::parse(&format!("0.0.0.{}/{}", rng.u8(..), rng.u8(24..=32))).unwrap())
                    .collect()
            };
            let (allow, deny) = (some(6), some(6));
            let otherwise = rng.bool();
            let networks = Networks::new(&allow, &deny, otherwise);
            for last in 0..=255 {
                let address = IpAddr::from([0, 0, 0, last]);
                let smallest = |list: &[Cidr]| {
                    list.iter().filter(|network| network.contains(address)).map(|network| network.bits).max()
                };
                let expected = match (smallest(&allow), smallest(&deny)) {
                    (None, None) => otherwise,
                    (allow, deny) => allow > deny,
                };
                assert_eq!(networks.allows(address), expected, "{address} {allow:?} {deny:?} {otherwise}");
            }
        }
    }

    #[test]
    fn many_networks_are_few_steps() {
        let many: Vec<Cidr> = (0..50_000u32)
            .map(|place| Cidr { address: std::net::Ipv4Addr::from(place << 12).into(), bits: 24 })
            .collect();
        let networks = Networks::of(&many);
        assert!(networks.allows("0.0.16.9".parse().unwrap()) && !networks.allows("0.0.17.9".parse().unwrap()));
        assert_eq!(networks.v4.stretches.len(), 100_000);
    }
}
