//! The TLS side over raw sockets: the names of the internal certificate, and handshakes that no good client begins.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, until};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn local_names_are_in_the_internal_certificate() {
    let upstream = Upstream::saying("hello");
    let edge =
        Setup::default().only_https().args(upstream.flag()).args(["--local-names", "shop.lan,192.168.7.7"]).start();
    let ca = edge.ca();
    for name in ["shop.lan", "192.168.7.7", "localhost", "deep.localhost", "127.0.0.1"] {
        let mut client =
            Connection::tls(edge.https, &ca, name, &["http/1.1"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(client.ask(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).text(), "hello", "{name}");
    }
    assert!(Connection::tls(edge.https, &ca, "other.lan", &["http/1.1"]).is_err());
}

fn raw(edge: &Edge) -> TcpStream {
    let stream = TcpStream::connect(edge.https).unwrap();
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    stream
}

/// A ClientHello of this version with these suites, in one record. RFC 5246, section 7.4.1.2.
fn hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend((suites.len() as u16 * 2).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut all = vec![22, 3, 1];
    all.extend((body.len() as u16 + 4).to_be_bytes());
    all.extend([1, 0]);
    all.extend((body.len() as u16).to_be_bytes());
    all.extend(body);
    all
}

#[test]
fn old_versions_and_suites_are_refused() {
    let edge = Setup::default().only_https().start();
    // AES in CBC with SHA-1, RSA key exchange, RC4, 3DES.
    let old = [0xc013, 0x002f, 0x0005, 0x000a];
    for version in [[3, 0], [3, 1], [3, 2], [3, 3]] {
        let mut stream = raw(&edge);
        stream.write_all(&hello(version, &old)).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        // An alert that is fatal: protocol_version, handshake_failure or missing_extension; and the end.
        let [21, _, _, 0, 2, 2, 70 | 40 | 109 | 47] = said[..] else { panic!("{version:?}: {said:?}") };
    }
}

/// A first message of 16 MB, of which nobody waits for the end.
#[test]
fn a_hello_without_end() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().only_https().args(upstream.flag()).start();
    let mut stream = raw(&edge);
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.extend([0; 0x4000]);
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let mut sent = stream.write_all(&first).is_ok();
    for _ in 0..1000 {
        sent = sent && stream.write_all(&record).is_ok();
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!sent || said.first() == Some(&21), "{said:?}");
    let failed = r#"monodon_edge_tls_handshakes_total{result="failed",kind="none",version="none"}"#;
    until("it is counted", || edge.metric(failed) == 1.0);
    let mut client = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
}
