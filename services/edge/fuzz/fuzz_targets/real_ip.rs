//! Whose request it is, and what the application is told of that: any fields, of a stranger and of a trusted proxy. The first byte says
//! which field is believed and whose connection it is, each line is a field.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use monodon_edge::access::{Networks, RealIp};
use monodon_edge::config::{Cidr, Config};
use monodon_edge::connection::{ConnInfo, Protocol};
use monodon_edge::headers::forward::{origin, prepare};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::UNIX_EPOCH;

const NAMES: [&str; 12] = [
    "x-forwarded-for", "forwarded", "x-real-ip", "connection", "x_forwarded_for", "x-forwarded-proto", "x-forwarded-host", "host",
    "x-request-id", "traceparent", "x-accel-redirect", "x.real.ip",
];
const TRUSTED: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];

fn trusted(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// An address as it stands in a list: perhaps with a port, perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, behind) = rest.split_once(']')?;
        let zone = |zone: &str| zone.bytes().all(|byte| byte.is_ascii_digit()) && zone.parse::<u32>().is_ok();
        let inside = match inside.split_once('%') {
            Some((inside, number)) if !behind.is_empty() && zone(number) => inside,
            _ => inside,
        };
        let good = behind.is_empty() || behind.strip_prefix(':').is_some_and(port);
        return inside.parse::<Ipv6Addr>().ok().filter(|_| good).map(|address| IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (before, behind) = text.rsplit_once(':')?;
    before.parse().ok().filter(|_| port(behind)).map(IpAddr::V4)
}

/// The rightmost that is not trusted; what cannot be read ends it. Where quotes are, this knows no better.
fn model(lines: &[&[u8]], forwarded: bool) -> Option<IpAddr> {
    let mut client = None;
    for entry in lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).rev() {
        let text = std::str::from_utf8(entry).ok();
        let found = if forwarded {
            let pairs: Option<Vec<(&str, &str)>> = text.and_then(|text| text.split(';').map(|pair| pair.trim().split_once('=')).collect());
            let whose: Vec<&str> =
                pairs.iter().flatten().filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| *value).collect();
            if let [one] = whose[..] { address(one) } else { None }
        } else {
            text.and_then(|text| address(text.trim()))
        };
        let Some(found) = found else { return client };
        client = Some(found);
        if !trusted(found) {
            return client;
        }
    }
    client
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let real_ip = if kind & 1 == 0 { RealIp::default() } else { RealIp::Forwarded };
    let networks = Networks::of(&TRUSTED.map(|text| Cidr::parse(text).expect("a network")));
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((&name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(name) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(name, value);
        }
    }

    let lines: Vec<&[u8]> = fields.get_all(real_ip.field()).iter().map(HeaderValue::as_bytes).collect();
    let client = real_ip.client(&fields, &networks);
    if !lines.iter().any(|line| line.contains(&b'"') || line.contains(&b'\\')) {
        assert_eq!(client, model(&lines, real_ip == RealIp::Forwarded));
    }
    // What a proxy adds on the right counts, whatever stands before it, on its line and on others.
    let before = lines.last().copied().unwrap_or_default();
    for (own, address) in [("192.0.2.43", Some("192.0.2.43")), ("10.9.9.9", None), ("\"[2001:db8::9]:80\"", Some("2001:db8::9"))] {
        let own = match real_ip {
            RealIp::Forwarded => format!("for={own};proto=https"),
            RealIp::List(_) => own.trim_matches('"').to_owned(),
        };
        let address = address.map(|text| text.parse::<IpAddr>().expect("an address"));
        let mut own_line = fields.clone();
        own_line.append(real_ip.field(), HeaderValue::from_str(&own).expect("a value"));
        let mut same_line = fields.clone();
        if !lines.is_empty() {
            same_line.remove(real_ip.field());
            for line in &lines[..lines.len() - 1] {
                same_line.append(real_ip.field(), HeaderValue::from_bytes(line).expect("it was one"));
            }
        }
        let joined = [before, b", ", own.as_bytes()].concat();
        same_line.append(real_ip.field(), HeaderValue::from_bytes(&joined).expect("both were values"));
        let through = client.or_else(|| "10.9.9.9".parse().ok());
        for headers in [own_line, same_line] {
            assert_eq!(real_ip.client(&headers, &networks), address.or(through), "{headers:?}");
        }
    }

    let config = Config {
        proxies: monodon_edge::config::proxies::Proxies { trusted: networks, real_ip: real_ip.clone(), introduced: None },
        ..Config::default()
    };
    let peer: IpAddr = if kind & 2 == 0 { [192, 0, 2, 1].into() } else { [10, 0, 0, 1].into() };
    let conn = ConnInfo::new((peer, 5000).into(), SocketAddr::from(([127, 0, 0, 1], 80)), None, Protocol::Http1);
    let origin = origin(&config, &conn, &fields);
    let wanted = if kind & 2 == 0 { peer } else { client.unwrap_or(peer) };
    assert_eq!((origin.trusted, origin.client_ip), (kind & 2 != 0, wanted));
    let (mut parts, ()) = Request::builder().uri("http://a.example/").body(()).expect("a request").into_parts();
    parts.headers = fields;
    let told = prepare(&mut parts, &config, &conn, &origin, UNIX_EPOCH);
    // As lines behind the other fields, it stands in none of those.
    let mut lines = Vec::new();
    told.write(&mut lines, &parts.headers);
    for line in String::from_utf8_lossy(&lines).split("\r\n").filter(|line| !line.is_empty()) {
        let name = line.split_once(": ").map_or(line, |(name, _)| name);
        assert!(!parts.headers.contains_key(name), "{line} and {:?}", parts.headers);
    }
    told.insert(&mut parts.headers);
    let one = |name: &str| {
        let mut values = parts.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(values.next(), None, "{name} twice");
        value.as_bytes()
    };
    assert_eq!(one("x-real-ip"), wanted.to_string().as_bytes());
    assert_eq!(one("host"), b"a.example");
    assert!(one("x-forwarded-for").ends_with(peer.to_string().as_bytes()));
    assert!(!one("x-request-id").is_empty() && !one("traceparent").is_empty());
    if !origin.trusted {
        assert_eq!(one("x-forwarded-for"), peer.to_string().as_bytes());
        assert_eq!((one("x-forwarded-proto"), one("x-forwarded-host")), (&b"http"[..], &b"a.example"[..]));
        assert!(!parts.headers.contains_key("forwarded"));
    }
    for name in ["connection", "x-accel-redirect", "x_forwarded_for", "x.real.ip"] {
        assert!(!parts.headers.contains_key(name), "{name}");
    }
});
