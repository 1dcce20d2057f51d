//! What is sent on: bodies that are not read, upgrades, Expect, and HTTP/2 turned into HTTP/1.1.

use crate::common::frames::{self, Frames, GET, POST, block, frame, with};
use crate::common::{Connection, Setup, until};
use crate::upstream::{Hostile, Then};

fn polite(head: &str) -> (Vec<u8>, Then) {
    let early = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno").into_bytes();
    match head.split(' ').nth(1) {
        Some("/early") => (early("401 Unauthorized\r\nConnection: close"), Then::Close),
        Some("/early-kept") => (early("413 Too Large"), Then::Keep),
        Some("/early-held") => (early("413 Too Large"), Then::Hold),
        _ => (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), Then::Keep),
    }
}

fn flag(upstream: &Hostile) -> [String; 2] {
    ["--upstream".into(), upstream.address.to_string()]
}

/// An answer before the body was read reaches the client as what it is, and the rest of the body is nobody's request: not where the
/// application closes, nor where it keeps the connection and reads the body to its end, or nothing more.
#[test]
fn early_answers() {
    let upstream = Hostile::start(polite);
    let edge = Setup::default().plain().args(flag(&upstream)).start();
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (path, status) in [("/early", 401), ("/early-kept", 413), ("/early-held", 413)] {
        for size in [hidden.len(), 100_000, 8_000_000] {
            if path == "/early-held" && size < 8_000_000 {
                continue; // All of it fits into the sockets: such a body has been sent.
            }
            let body = hidden.repeat(size / hidden.len());
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut client = Connection::plain(edge.http).unwrap();
            client.send([head.as_bytes(), body.as_bytes()].concat()).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (status, "no"), "{path} {size}");
            let mut other = Connection::plain(edge.http).unwrap();
            assert_eq!(other.ask("GET /good HTTP/1.1\r\nHost: a\r\n\r\n").text(), "ok", "{path} {size}");
        }
    }
    for targets in upstream.targets() {
        if let Some(at) = targets.iter().position(|target| target == "/early" || target == "/early-held") {
            assert!(!targets[at..].contains(&"/good".to_owned()), "a connection with an unread body was used again");
        }
    }
}

/// Until the upstream's 101 there is no tunnel: what the client sends ahead is a request like others, or nothing.
#[test]
fn no_tunnel_before_its_101() {
    let upstream = Hostile::start(polite);
    let edge = Setup::default().plain().args(flag(&upstream)).start();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = Connection::plain(edge.http).unwrap();
    client.send([upgrade, "GET /ahead HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"].concat()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.answer().unwrap().status, 200);
    let seen = upstream.connections().concat();
    assert!(seen.contains("GET /ahead HTTP/1.1\r\n") && !seen.contains("6.6.6.6"), "{seen}");
    let mut client = Connection::plain(edge.http).unwrap();
    client.send([upgrade.as_bytes(), b"\x81\x05hello"].concat()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.answer().unwrap().status, 400, "a frame is no request");
    assert!(!upstream.connections().concat().contains("hello"));
}

#[test]
fn expect_is_not_passed_on() {
    let upstream = Hostile::start(polite);
    let edge = Setup::default().plain().args(flag(&upstream)).start();
    let mut client = Connection::plain(edge.http).unwrap();
    let answer = client.ask("GET /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(answer.status, 200);
    let answer = client.ask("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 200);
    let mut client = Connection::plain(edge.http).unwrap();
    assert_eq!(
        client.ask("POST /x HTTP/1.1\r\nHost: a\r\nExpect: x 100-continue\r\nContent-Length: 2\r\n\r\nhi").status,
        417
    );
    let seen = upstream.connections().concat().to_ascii_lowercase();
    assert!(!seen.contains("expect"), "{seen}");
}

/// Whatever HTTP/2 says, the application gets one request with one length.
#[test]
fn http2_to_http1() {
    let upstream = Hostile::start(polite);
    let edge = Setup::default().args(flag(&upstream)).start();
    let ca = edge.ca();
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = Frames::open(&edge, &ca);
    // Bodies with and without a length, on methods that seldom have one.
    let mut stream = 1;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        for length in [Vec::new(), vec![("content-length", hidden.len().to_string())]] {
            let mut fields: Vec<(&str, &str)> = POST.to_vec();
            fields[0].1 = method;
            fields.extend(length.iter().map(|(name, value)| (*name, value.as_str())));
            client.write(frames::HEADERS, frames::END_HEADERS, stream, &block(&fields));
            client.write(frames::DATA, 0, stream, &hidden.as_bytes()[..10]);
            client.write(frames::DATA, frames::END_STREAM, stream, &hidden.as_bytes()[10..]);
            let head = client.until(|frame| frame.kind == frames::HEADERS && frame.stream == stream).unwrap();
            assert_eq!(head.status(), 200, "{method}");
            stream += 2;
        }
    }
    let seen = upstream.connections().concat();
    assert_eq!(seen.matches(&format!("content-length: {}\r\n", hidden.len())).count(), 10, "{seen}");
    assert!(!seen.contains("transfer-encoding"), "{seen}");
    let before = seen.len();
    for (name, fields) in [
        ("a method with a line in it", block(&[(":method", "GET / HTTP/1.1\r\nX: y"), GET[1], GET[2], GET[3]])),
        ("a method with a space", block(&[(":method", "GET /"), GET[1], GET[2], GET[3]])),
        ("an empty method", block(&[(":method", ""), GET[1], GET[2], GET[3]])),
        ("a path with a line in it", block(&[GET[0], GET[1], GET[2], (":path", "/ HTTP/1.1\r\nX: y\r\n\r\n")])),
        ("a host with a line in it", block(&[GET[0], GET[1], (":authority", "localhost\r\nX: y"), GET[3]])),
        ("a scheme with an address", block(&[GET[0], (":scheme", "https://evil/?"), GET[2], GET[3]])),
        ("a name with a line in it", with(&GET, &[("x: y\r\nz", "1")])),
        ("a value with a request in it", with(&GET, &[("x", "y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a")])),
        ("a name that begins with a colon", with(&GET, &[(":host", "evil")])),
        ("an encoding", with(&GET, &[("transfer-encoding", "chunked")])),
        ("an encoding in capitals", with(&GET, &[("Transfer-Encoding", "chunked")])),
    ] {
        let mut client = Frames::open(&edge, &ca);
        let _ = client.send(&frame(frames::HEADERS, frames::WHOLE, 1, &fields));
        let found = client.until(|frame| [frames::HEADERS, frames::RST_STREAM, frames::GOAWAY].contains(&frame.kind));
        let refused = match &found {
            Some(frame) if frame.kind == frames::HEADERS => frame.status() == 400,
            Some(frame) => frame.code() != frames::NO_ERROR,
            None => true,
        };
        assert!(refused, "{name}: {found:?}");
    }
    assert_eq!(upstream.connections().concat().len(), before, "nothing of it was sent on");
}

/// Names that some servers take for others, and what a client says of its connection.
#[test]
fn names_that_mean_two_things() {
    let upstream = Hostile::start(polite);
    let edge = Setup::default().plain().args(flag(&upstream)).start();
    let mut client = Connection::plain(edge.http).unwrap();
    let answer = client.ask(
        "GET /x HTTP/1.1\r\nHost: a\r\nContent_Length: 50\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 6.6.6.6\r\n\
         Connection: X-Forwarded-For, X-Real-IP, Host, Content-Length\r\nKeep-Alive: 1\r\nProxy: evil\r\nTE: gzip\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    until("it is written down", || !upstream.connections().is_empty());
    let seen = upstream.connections().concat().to_ascii_lowercase();
    for gone in ["_", "6.6.6.6", "keep-alive: 1", "proxy:", "te:", "evil"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    for stays in ["\r\nhost: a\r\n", "\r\nx-forwarded-for: 127.0.0.1\r\n", "\r\nx-real-ip: 127.0.0.1\r\n"] {
        assert!(seen.contains(stays), "{stays} not in {seen}");
    }
}
