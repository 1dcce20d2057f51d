//! What reaches the application of what clients and proxies say.

use super::*;
use crate::access::Networks;
use crate::config::Options;
use crate::config::{Cidr, Config};
use crate::connection::{ConnInfo, Protocol};
use http::Request;
use http::request::Parts;
use std::time::SystemTime;

fn forwarded(peer: &str, fields: &[(&'static str, &str)]) -> Parts {
    let mut config = Config::default();
    config.proxies.trusted = Networks::of(&[Cidr::parse("10.0.0.0/8").unwrap()]);
    let conn = ConnInfo::new(peer.parse().unwrap(), "192.0.2.1:8080".parse().unwrap(), None, Protocol::Http1);
    let mut request = Request::get("/").header("host", "shop.example:8080");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let origin = forward::origin(&config, &conn, &parts.headers);
    let told = forward::prepare(&mut parts, &config, &conn, &origin, SystemTime::now());
    let mut lines = Vec::new();
    told.write(&mut lines, &parts.headers);
    let before = parts.headers.clone();
    told.insert(&mut parts.headers);
    // What is written is what is inserted, and no name stands in both places.
    let written: Vec<(&str, &str)> =
        std::str::from_utf8(&lines).unwrap().lines().map(|line| line.split_once(": ").unwrap()).collect();
    for (name, value) in &written {
        assert_eq!(parts.headers.get_all(*name).iter().collect::<Vec<_>>(), [value], "{name}");
        assert!(!before.contains_key(*name), "{name}");
    }
    assert_eq!(parts.headers.len(), before.len() + written.len());
    parts
}

fn get<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn the_clients_address_in_both_forms() {
    let mut config = Config::default();
    config.proxies.trusted = Networks::of(&[Cidr::parse("10.0.0.0/8").unwrap()]);
    for (peer, forwarded, client) in [
        ("203.0.113.9:1", "6.6.6.6", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:1", "6.6.6.6", "203.0.113.9"),
        ("10.1.1.1:1", "6.6.6.6, 198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("10.1.1.1:1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.1.1.1:1", "nonsense", "10.1.1.1"),
    ] {
        let conn = ConnInfo::new(peer.parse().unwrap(), "192.0.2.1:80".parse().unwrap(), None, Protocol::Http1);
        let headers = [("x-forwarded-for".parse().unwrap(), forwarded.parse().unwrap())].into_iter().collect();
        let origin = forward::origin(&config, &conn, &headers);
        assert_eq!(
            (origin.client_ip, origin.client.unwrap_or(conn.address).to_str().unwrap()),
            (client.parse().unwrap(), client)
        );
    }
}

const SPOOFED: &[(&str, &str)] = &[
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/evil"),
    ("x-real-ip", "6.6.6.6"),
    ("x-request-id", "mine"),
    ("x-request-start", "t=1"),
    ("traceparent", "00-00000000000000000000000000000001-0000000000000001-01"),
    ("forwarded", "for=6.6.6.6"),
];

#[test]
fn a_stranger_is_not_believed() {
    let parts = forwarded("203.0.113.9:1", SPOOFED);
    assert_eq!(get(&parts, "x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(get(&parts, "x-forwarded-proto"), Some("http"));
    assert_eq!(get(&parts, "x-forwarded-host"), Some("shop.example:8080"));
    assert_eq!(get(&parts, "x-forwarded-port"), Some("8080"));
    assert_eq!(get(&parts, "x-real-ip"), Some("203.0.113.9"));
    assert_eq!(get(&parts, "x-forwarded-prefix"), None);
    assert_eq!(get(&parts, "forwarded"), None);
    let id = get(&parts, "x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(get(&parts, "traceparent").unwrap().starts_with(&format!("00-{id}-")));
    assert!(get(&parts, "x-request-start").unwrap().len() > 10);
}

#[test]
fn a_trusted_proxy_is() {
    let parts = forwarded("10.1.1.1:1", SPOOFED);
    assert_eq!(get(&parts, "x-forwarded-for"), Some("6.6.6.6, 10.1.1.1"));
    assert_eq!(get(&parts, "x-forwarded-proto"), Some("https"));
    assert_eq!(get(&parts, "x-forwarded-host"), Some("evil.example"));
    assert_eq!(get(&parts, "x-real-ip"), Some("6.6.6.6"));
    assert_eq!(get(&parts, "x-request-id"), Some("mine"));
    let chain = forwarded("10.1.1.1:1", &[("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.2.2.2")]);
    assert_eq!(get(&chain, "x-real-ip"), Some("198.51.100.7"), "the rightmost that is not trusted");
    let odd = forwarded("10.1.1.1:1", &[("x-request-id", "a b\"c"), ("traceparent", "nonsense")]);
    assert_eq!(get(&odd, "x-request-id").unwrap().len(), 32);
}

#[test]
fn connection_cannot_name_what_we_set() {
    let parts = forwarded(
        "203.0.113.9:1",
        &[("connection", "close, x-forwarded-for, x-real-ip, host, x-hop"), ("x-hop", "1"), ("keep-alive", "5")],
    );
    assert_eq!(get(&parts, "x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(get(&parts, "x-real-ip"), Some("203.0.113.9"));
    assert_eq!(get(&parts, "host"), Some("shop.example:8080"));
    for gone in ["x-hop", "keep-alive", "connection", "upgrade"] {
        assert_eq!(get(&parts, gone), None, "{gone}");
    }
}

#[test]
fn names_that_fold_to_others_are_dropped() {
    let parts = forwarded("10.1.1.1:1", &[("x_forwarded_for", "6.6.6.6"), ("x-monodon-retry", "1"), ("proxy", "evil")]);
    for gone in ["x_forwarded_for", "x-monodon-retry", "proxy"] {
        assert_eq!(get(&parts, gone), None, "{gone}");
    }
}

#[test]
fn the_applications_own_headers_win() {
    let mut headers = HeaderMap::new();
    headers.insert("x-frame-options", "SAMEORIGIN".parse().unwrap());
    headers.insert("x-monodon-process", "0/1/1".parse().unwrap());
    headers.insert("x-accel-buffering", "no".parse().unwrap());
    let id = HeaderValue::from_static("id");
    finish(&mut headers, &id, false, &Options::default());
    assert_eq!(headers["x-frame-options"], "SAMEORIGIN");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(!headers.contains_key("strict-transport-security"), "not with the internal CA's certificate");
    assert!(!headers.contains_key("x-monodon-process") && !headers.contains_key("x-accel-buffering"));
    finish(&mut headers, &id, true, &Options::default());
    assert_eq!(headers["strict-transport-security"], "max-age=31536000");
}

#[test]
fn what_is_written_behind_an_answer_is_what_would_be_among_its_fields() {
    let (id, options) = (HeaderValue::from_static("id"), Options::default());
    for public in [false, true] {
        let (mut fields, mut lines) = (HeaderMap::new(), Vec::new());
        finish(&mut fields, &id, public, &options);
        write(&mut lines, &id, public, &options);
        let written: Vec<(&str, &str)> =
            std::str::from_utf8(&lines).unwrap().lines().map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(written.len(), fields.len());
        for (name, value) in written {
            assert_eq!(fields[name], value);
            let own = [(name.parse().unwrap(), HeaderValue::from_static("own"))].into_iter().collect();
            assert!(says_some(&own, &options), "{name}: the application's own would stand beside ours");
        }
    }
    let other = [(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))].into_iter().collect();
    assert!(!says_some(&other, &options));
}
