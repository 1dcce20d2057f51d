//! The client's own address in what a trusted proxy says: of the list, the rightmost entry that is not a trusted proxy's.
//!
//! Only the right end of a list was written by somebody we trust, so it is read from there, and what cannot be read ends
//! what is believed; it never makes the rest count for more.

use super::Networks;
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIp {
    /// RFC 7239.
    Forwarded,
    /// A list of addresses, or one.
    List(HeaderName),
}

impl Default for RealIp {
    fn default() -> Self {
        Self::List(X_FORWARDED_FOR)
    }
}

impl RealIp {
    pub fn field(&self) -> &HeaderName {
        match self {
            Self::Forwarded => &FORWARDED,
            Self::List(name) => name,
        }
    }

    /// The client of a request that a trusted proxy has sent.
    pub fn client(&self, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
        let mut client = None;
        // Lines further down were added later.
        let lines: Vec<&[u8]> = headers.get_all(self.field()).iter().map(|value| value.as_bytes()).collect();
        for mut rest in lines.into_iter().rev() {
            loop {
                let last = match self {
                    Self::Forwarded => last_element(rest),
                    Self::List(_) => Some(last_entry(rest)),
                };
                let Some((before, entry)) = last else { return client };
                let address = match self {
                    Self::Forwarded => element(entry),
                    Self::List(_) => std::str::from_utf8(entry).ok().and_then(|text| address(text.trim())),
                };
                let Some(address) = address else { return client };
                client = Some(address);
                if !trusted.allows(address) {
                    return client;
                }
                let Some(before) = before else { break };
                rest = before;
            }
        }
        client
    }
}

/// What stands before the last comma, and after it.
fn last_entry(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match memchr::memrchr(b',', list) {
        Some(comma) => (list.get(..comma), list.get(comma + 1..).unwrap_or_default()),
        None => (None, list),
    }
}

/// The same where commas may stand in quotes. From the right: an open quote on the left, which a stranger wrote, cannot
/// swallow what the proxy added. No address needs a backslash; `None` where there is one.
fn last_element(list: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut quoted = false;
    for (place, byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => return None,
            b',' if !quoted => return Some((list.get(..place), list.get(place + 1..)?)),
            _ => {}
        }
    }
    (!quoted).then_some((None, list))
}

/// `for=192.0.2.60;proto=https;by=203.0.113.43`, where `for` stands once. Obfuscated nodes and `unknown` are no address.
fn element(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut found = None;
    let mut quoted = false;
    for pair in text.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    }) {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?,
                None => value,
            };
            if found.replace(address(value)?).is_some() {
                return None;
            }
        }
    }
    found
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]:567`.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    let address = address
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cidr;

    fn trusted() -> Networks {
        Networks::of(&[Cidr::parse("10.0.0.0/8").unwrap(), Cidr::parse("fd00::/8").unwrap()])
    }

    fn client(real_ip: &RealIp, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(real_ip.field(), line.parse().unwrap());
        }
        real_ip.client(&headers, &trusted()).map(|address| address.to_string())
    }

    #[test]
    fn addresses_in_lists() {
        for (text, wanted) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.4:567", Some("1.2.3.4")),
            ("[2001:db8::1]:567", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[1.2.3.4]", None),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("unknown", None),
            ("_hidden", None),
            ("1.2.3.4:99999", None),
            ("", None),
        ] {
            assert_eq!(address(text), wanted.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_rightmost_that_is_not_trusted() {
        for (lines, wanted) in [
            (&["6.6.6.6, 198.51.100.7, 10.2.2.2"][..], Some("198.51.100.7")),
            (&["6.6.6.6", "198.51.100.7,10.2.2.2"], Some("198.51.100.7")),
            (&["6.6.6.6, nonsense, 10.2.2.2"], Some("10.2.2.2")),
            (&["10.1.1.1, 10.2.2.2"], Some("10.1.1.1")),
            (&["6.6.6.6,"], None),
            (&["6.6.6.6, "], None),
            (&[], None),
            (&["fd00::1, 6.6.6.6 , fd00::2"], Some("6.6.6.6")),
        ] {
            assert_eq!(client(&RealIp::default(), lines).as_deref(), wanted, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_elements() {
        for (lines, wanted) in [
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"][..], Some("192.0.2.60")),
            (&["For=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
            (&["for=6.6.6.6, for=192.0.2.43, for=10.0.0.1"], Some("192.0.2.43")),
            (&["for=6.6.6.6", "for=192.0.2.43"], Some("192.0.2.43")),
            (&["for=_hidden, for=10.0.0.1"], Some("10.0.0.1")),
            (&["for=unknown"], None),
            (&["for=6.6.6.6;by=\"x"], None),
            (&["for=\"_gazonk\""], None),
            (&["for=\"6.6.6.6, for=192.0.2.43"], Some("192.0.2.43")),
            (&["for=\"6.6.6.6\\\", for=192.0.2.43"], Some("192.0.2.43")),
            (&["by=192.0.2.43"], None),
            (&["for=192.0.2.43;for=6.6.6.6"], None),
            (&["for=\"192.0.2.43"], None),
            (&["for=192.0.2.43;"], None),
            (&["host=\"a;for=6.6.6.6\";for=192.0.2.43"], Some("192.0.2.43")),
            (&["host=\"a,for=6.6.6.6\";for=192.0.2.43"], Some("192.0.2.43")),
            (&[""], None),
        ] {
            assert_eq!(client(&RealIp::Forwarded, lines).as_deref(), wanted, "{lines:?}");
        }
    }

    /// Whatever a stranger writes on the left, the address that the proxy added counts, or none at all; and nothing panics.
    #[test]
    fn random_left_sides() {
        let mut rng = fastrand::Rng::with_seed(6);
        let alphabet = b"for=,;\"\\ 0123.:[]_%\xff";
        for _ in 0..30_000 {
            let mut line: Vec<u8> = (0..rng.usize(..24)).map(|_| *rng.choice(alphabet).unwrap()).collect();
            let own = [&b", for=192.0.2.43"[..], b", 192.0.2.43"][rng.usize(..2)];
            let real_ip = if own.len() > 13 { RealIp::Forwarded } else { RealIp::default() };
            line.extend_from_slice(own);
            let headers = [(real_ip.field().clone(), line.as_slice().try_into().unwrap())].into_iter().collect();
            let client = real_ip.client(&headers, &trusted());
            assert_eq!(client, Some("192.0.2.43".parse().unwrap()), "{}", line.escape_ascii());
        }
    }
}
