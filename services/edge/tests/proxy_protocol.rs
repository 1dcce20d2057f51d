//! The PROXY protocol before HTTP and TLS: whose connection it is, and who may say so.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn text(upstream: &Upstream, from: &str) -> String {
    format!("upstream = ['{}']\nproxy_protocol = 'on'\nproxy_protocol_from = ['{from}']\n", upstream.address)
}

fn plain(upstream: &Upstream, from: &str) -> Edge {
    Setup::default().plain().file(&text(upstream, from)).start()
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What comes back to this, until the edge closes.
fn answer(address: SocketAddr, parts: &[&[u8]]) -> String {
    let mut connection = Connection::plain(address).unwrap();
    for part in parts {
        let _ = connection.send(part);
    }
    String::from_utf8_lossy(&connection.read_to_end()).into_owned()
}

/// Version 2, PROXY, TCP over IPv6.
fn binary(source: &str, port: u16, values: &[u8]) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    let length = u16::try_from(36 + values.len()).unwrap().to_be_bytes();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21".to_vec();
    header.extend_from_slice(&length);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
    header.extend_from_slice(&[port.to_be_bytes(), 443u16.to_be_bytes()].concat());
    header.extend_from_slice(values);
    header
}

#[test]
fn the_address_becomes_the_clients() {
    let upstream = Upstream::saying("hello");
    let edge = plain(&upstream, "127.0.0.1");
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n";
    // A stranger's words about itself are dropped as ever: the proxy only passes bytes on.
    let spoofed = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
    for (parts, client) in [
        (vec![&line[..], spoofed.as_bytes()], "203.0.113.9"),
        (vec![b"PRO", b"XY TCP4 203.0.113.9 192.0.2.1 5", b"1234 443\r", b"\n", spoofed.as_bytes()], "203.0.113.9"),
        (vec![&binary("2001:db8::7", 1, b""), spoofed.as_bytes()], "2001:db8::7"),
        (vec![&binary("::ffff:203.0.113.9", 1, b"\x02\0\x03abc"), spoofed.as_bytes()], "203.0.113.9"),
        (vec![b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", spoofed.as_bytes()], "127.0.0.1"),
        (vec![b"PROXY UNKNOWN\r\n", spoofed.as_bytes()], "127.0.0.1"),
    ] {
        let answer = answer(edge.http, &parts);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{parts:?}: {answer}");
        let seen = upstream.last();
        assert_eq!(seen.header("x-forwarded-for"), Some(client));
        assert_eq!(seen.header("x-real-ip"), Some(client));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        edge.access_line(|line| line["client"] == client && line["status"] == 200);
    }
    assert_eq!(upstream.seen()[0].header("x-forwarded-port"), Some("443"));
}

#[test]
fn several_requests_on_one_connection() {
    let upstream = Upstream::saying("hello");
    let edge = plain(&upstream, "127.0.0.0/8");
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n").unwrap();
    for _ in 0..3 {
        assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
        assert_eq!(upstream.last().header("x-real-ip"), Some("203.0.113.9"));
    }
    // Once a connection, not once a request.
    assert_eq!(connection.ask("PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n\r\n").status, 400);
}

#[test]
fn what_is_not_a_good_header_closes() {
    let upstream = Upstream::saying("hello");
    let edge = plain(&upstream, "127.0.0.1");
    let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; 9000]].concat();
    let bad: &[&[u8]] = &[
        REQUEST.as_bytes(),
        b"PROXY TCP4 203.0.113.9 x 1 2\r\n",
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c000000000000",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01x",
        &long,
        b"\x16\x03\x01",
    ];
    for bytes in bad {
        let answer = answer(edge.http, &[bytes, REQUEST.as_bytes()]);
        assert_eq!(answer, "", "{}", bytes.escape_ascii());
    }
    let refused = "monodon_edge_connections_rejected_total{reason=\"proxy_protocol\"}";
    edge.counts(refused, bad.len() as f64);
    assert_eq!(upstream.seen().len(), 0);
}

/// When a head would be late, a header is, too.
#[test]
fn what_does_not_come_closes() {
    let upstream = Upstream::saying("hello");
    let file = format!("{}head_timeout = '1s'\n", text(&upstream, "127.0.0.1"));
    let edge = Setup::default().plain().file(&file).start();
    let mut silent = Connection::plain(edge.http).unwrap();
    let mut begun = Connection::plain(edge.http).unwrap();
    begun.send("PROXY TCP4").unwrap();
    assert!(silent.is_closed() && begun.is_closed());
    edge.counts("monodon_edge_connections_rejected_total{reason=\"proxy_protocol\"}", 2.0);
    assert_eq!(upstream.seen().len(), 0);
}

/// Proxies add what they know of the client's certificate: that may be much, but not without end.
#[test]
fn the_longest_header() {
    let upstream = Upstream::saying("hello");
    let edge = plain(&upstream, "127.0.0.1");
    for (longest, answered) in [(8 << 10, true), ((8 << 10) + 1, false)] {
        // One additional value, which means nothing.
        let length = u16::try_from(longest - 52 - 3).unwrap();
        let value = [&[4], &length.to_be_bytes()[..], &vec![0; usize::from(length)]].concat();
        let header = binary("2001:db8::9", 51234, &value);
        assert_eq!(header.len(), longest);
        let answer = answer(edge.http, &[&header, REQUEST.as_bytes()]);
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), answered, "{longest}: {answer}");
    }
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(upstream.last().header("x-real-ip"), Some("2001:db8::9"));
}

#[test]
fn nobody_else_may_send_one() {
    let upstream = Upstream::saying("hello");
    let edge = plain(&upstream, "10.0.0.0/8");
    let answer1 = answer(edge.http, &[REQUEST.as_bytes()]);
    assert!(answer1.starts_with("HTTP/1.1 200 "), "{answer1}");
    assert_eq!(upstream.last().header("x-real-ip"), Some("127.0.0.1"));
    let answer2 = answer(edge.http, &[b"PROXY TCP4 203.0.113.9 192.0.2.1 51234 443\r\n", REQUEST.as_bytes()]);
    assert!(answer2.starts_with("HTTP/1.1 400 "), "{answer2}");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn before_tls_and_for_access_rules() {
    let upstream = Upstream::saying("hello");
    let file = format!("{}deny = ['203.0.113.66']\n", text(&upstream, "all"));
    let edge = Setup::default().file(&file).start();
    let ca = edge.ca();
    for (client, status) in [("203.0.113.9", 200), ("203.0.113.66", 403)] {
        let mut raw = TcpStream::connect(edge.https).unwrap();
        raw.set_read_timeout(Some(common::PATIENCE)).unwrap();
        raw.write_all(format!("PROXY TCP4 {client} 192.0.2.1 51234 443\r\n").as_bytes()).unwrap();
        let config = common::client::client_config(&ca, &["http/1.1"]);
        let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, raw);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{client}: {answer}");
    }
    let seen = upstream.last();
    assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-proto")), (Some("203.0.113.9"), Some("https")));
}
