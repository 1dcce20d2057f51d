//! Upstreams that speak TLS or HTTP/2, and those that are told whose connection it is.
#![allow(clippy::unwrap_used)]

mod addresses;
mod application;
#[path = "../common/mod.rs"]
mod common;
mod frames;
mod grpc;

use application::{Application, Pki};
use common::{Connection, Edge, Setup, get, until};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Everything goes to this upstream.
fn at(upstream: &str) -> String {
    format!("[upstreams.app]\n{upstream}\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'app'\n")
}

fn edge(upstream: &str) -> Edge {
    Setup::default().plain().file(&at(upstream)).start()
}

fn post(edge: &Edge, path: &str, body: &str) -> common::client::Answer {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection
        .ask(format!("POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

#[test]
fn tls_with_a_ca_of_ones_own() {
    let pki = Pki::new("app.internal", false, &["http/1.1"]);
    let app = Application::start(Some(pki.server.clone()), false);
    let ca = pki.path("ca.pem");
    let tls = format!("servers = ['{}']\ntls = true\ntls_ca = '{ca}'\n", app.address);
    let named = edge(&format!("{tls}tls_server_name = 'app.internal'\n"));
    for _ in 0..3 {
        let answer = post(&named, "/a?b", "hello");
        assert_eq!((answer.status, answer.text().as_str()), (200, "5 bytes"));
    }
    assert_eq!(app.seen.connections.load(Ordering::SeqCst), 1, "connections are kept");
    let (uri, headers) = app.seen.last();
    assert_eq!((uri.as_str(), headers["host"].as_bytes()), ("/a?b", &b"shop.example"[..]));
    // A certificate for another name, or of a CA that nobody knows, is no upstream's.
    assert_eq!(get(edge(&tls).http, "/", &[]).status, 502);
    let unknown = format!("servers = ['{}']\ntls = true\ntls_server_name = 'app.internal'\n", app.address);
    assert_eq!(get(edge(&unknown).http, "/", &[]).status, 502);
    assert_eq!(get(edge(&format!("{unknown}tls_verify = false\n")).http, "/", &[]).status, 200);
}

#[test]
fn a_certificate_of_our_own_is_shown() {
    let pki = Pki::new("127.0.0.1", true, &[]);
    let app = Application::start(Some(pki.server.clone()), false);
    let tls = format!("servers = ['{}']\ntls = true\ntls_ca = '{}'\n", app.address, pki.path("ca.pem"));
    assert_eq!(get(edge(&tls).http, "/", &[]).status, 502);
    let own = format!("tls_certificate = '{}'\ntls_key = '{}'\n", pki.path("client.pem"), pki.path("client.key"));
    // The server's own address is the name where none is given.
    assert_eq!(get(edge(&format!("{tls}{own}")).http, "/", &[]).status, 200);
}

#[test]
fn http2_in_the_clear_and_over_tls() {
    let pki = Pki::new("127.0.0.1", false, &["h2"]);
    for tls in [false, true] {
        let app = Application::start(tls.then(|| pki.server.clone()), true);
        let mut settings = format!("servers = ['{}']\nprotocol = 'h2'\n", app.address);
        if tls {
            settings += &format!("tls = true\ntls_ca = '{}'\n", pki.path("ca.pem"));
        }
        let edge = edge(&settings);
        for size in [0, 5, 100_000, 1_000_000] {
            let answer = post(&edge, "/a?b", &"x".repeat(size));
            assert_eq!((answer.status, answer.text()), (200, format!("{size} bytes")));
        }
        assert_eq!(app.seen.connections.load(Ordering::SeqCst), 1, "all are streams of one connection");
        assert_eq!(edge.metric("monodon_edge_upstream_connections{upstream=\"app\"}"), 1.0);
        assert_eq!(edge.metric("monodon_edge_upstream_connections_opened_total{upstream=\"app\"}"), 1.0);
        let (uri, headers) = app.seen.last();
        assert_eq!(uri, format!("{}://shop.example/a?b", if tls { "https" } else { "http" }));
        assert_eq!(headers["te"], "trailers");
        assert!(headers.contains_key("x-forwarded-for") && !headers.contains_key("connection"));
    }
    // One that knows only HTTP/1 is not spoken to in HTTP/2.
    let old = Pki::new("127.0.0.1", false, &["http/1.1"]);
    let app = Application::start(Some(old.server.clone()), false);
    let settings =
        format!("servers = ['{}']\nprotocol = 'h2'\ntls = true\ntls_ca = '{}'\n", app.address, old.path("ca.pem"));
    assert_eq!(get(edge(&settings).http, "/", &[]).status, 502);
}

/// An application on HTTP/2 that says nothing hears that its client has left, after its upload and in the middle of it; and that the
/// upload stalls.
#[test]
fn a_silent_stream_over_http2_ends_with_its_client() {
    let app = Application::start(None, true);
    let settings = format!("servers = ['{}']\nprotocol = 'h2'\n", app.address);
    let text = format!(
        "[upstreams.app]\n{settings}[[site]]\nrequest_buffering = false\n[[site.route]]\npath = '/'\nupstream = 'app'\nbody_timeout = '3s'\n"
    );
    let edge = Setup::default().plain().file(&text).start();
    let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
    let begin = || {
        let mut client = Connection::plain(edge.http).unwrap();
        client.send("POST /silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
        client
    };
    let mut client = begin();
    client.send("0\r\n\r\n").unwrap();
    until("the upload is over", || count(&app.seen.ended) == 1);
    drop(client);
    until("the application hears of it after the upload", || count(&app.seen.left) == 1);
    drop(begin());
    until("the application hears of it in the middle", || count(&app.seen.left) == 2);
    let mut client = begin();
    assert_eq!(client.read_to_end(), b"", "no last chunk");
    until("the application is let go", || count(&app.seen.left) == 3);
}

#[test]
fn checks_ask_as_requests_do() {
    for (alpn, http2) in [("http/1.1", false), ("h2", true)] {
        let pki = Pki::new("127.0.0.1", false, &[alpn]);
        let app = Application::start(Some(pki.server.clone()), http2);
        let protocol = if http2 { "h2" } else { "http1" };
        let settings =
            format!("servers = ['{}']\ntls = true\nprotocol = '{protocol}'\ncheck = '/healthz'\n", app.address);
        let good = edge(&format!("{settings}tls_ca = '{}'\n", pki.path("ca.pem")));
        until("it was asked", || app.seen.requests.lock().unwrap().iter().any(|(uri, _)| uri.ends_with("/healthz")));
        let series = format!("monodon_edge_upstream_up{{upstream=\"app\",address=\"{}\"}}", app.address);
        until("it is up", || good.metric(&series) == 1.0);
        // A certificate that does not hold is said where people look.
        let bad = edge(&settings);
        until("it is down", || bad.metric(&series) == 0.0);
        assert!(bad.admin("/readyz").text().contains("certificate"), "{}", bad.admin("/readyz").text());
    }
}

/// A server that tells the first bytes of each connection that says something.
fn listening() -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let told = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            std::thread::spawn(move || converse(stream, &told));
        }
    });
    (address, seen)
}

fn converse(mut stream: std::net::TcpStream, told: &Mutex<Vec<Vec<u8>>>) {
    let mut place = None;
    loop {
        let mut bytes = [0; 8192];
        let read = stream.read(&mut bytes).unwrap_or(0);
        if read == 0 {
            return;
        }
        let mut told = told.lock().unwrap();
        let at = *place.get_or_insert_with(|| {
            told.push(Vec::new());
            told.len() - 1
        });
        told[at].extend_from_slice(&bytes[..read]);
        if told[at].ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    }
}

#[test]
fn the_client_s_address_by_proxy_protocol() {
    use monodon_proxy_protocol::{Connection as Told, Read as Header, Versions, read};
    for (version, versions) in [("v1", Versions::V1), ("v2", Versions::V2)] {
        let (address, seen) = listening();
        let edge = edge(&format!("servers = ['{address}']\nproxy_protocol = '{version}'\n"));
        let mut client = Connection::plain(edge.http).unwrap();
        for _ in 0..2 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "ok");
        }
        let mut other = Connection::plain(edge.http).unwrap();
        assert_eq!(other.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "ok");
        // A check has a connection of its own, and says that it is nobody's.
        let seen: Vec<_> = seen.lock().unwrap().iter().filter(|bytes| bytes.ends_with(b"\r\n\r\n")).cloned().collect();
        assert_eq!(seen.len(), 2, "a connection for each client's");
        let mut sources = Vec::new();
        for bytes in seen.iter() {
            let Ok(Header::Complete(header)) = read(bytes, versions) else { panic!("{}", bytes.escape_ascii()) };
            let Told::Tcp { source, destination } = header.connection else { panic!("{header:?}") };
            assert_eq!((source.ip(), destination), ([127, 0, 0, 1].into(), edge.http));
            assert!(bytes[header.length..].starts_with(b"GET / HTTP/1.1\r\n"));
            sources.push(source.port());
        }
        assert_ne!(sources[0], sources[1]);
        let asked: Vec<_> = seen.iter().map(|bytes| bytes.windows(4).filter(|part| *part == b"GET ").count()).collect();
        assert_eq!(asked, [2, 1], "a client's own connection is used again");
    }
}

#[test]
fn what_cannot_be_is_said_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let junk = dir.path().join("junk.pem");
    std::fs::write(&junk, "junk").unwrap();
    let junk = junk.display();
    for (settings, words) in [
        (format!("tls = true\ntls_ca = '{junk}'"), "tls_ca"),
        ("tls = true\ntls_ca = '/nowhere.pem'".to_owned(), "/nowhere.pem"),
        (format!("tls = true\ntls_certificate = '{junk}'"), "tls_key"),
        (format!("tls = true\ntls_certificate = '{junk}'\ntls_key = '{junk}'"), "tls_certificate"),
        ("tls = true\ntls_server_name = 'not a name'".to_owned(), "tls_server_name"),
        ("tls_verify = false".to_owned(), "without `tls = true`"),
        ("protocol = 'h3'".to_owned(), "expected one of http1, h2"),
        ("protocol = 'h2'\nproxy_protocol = 'v1'".to_owned(), "proxy_protocol"),
        ("proxy_protocol = 'v3'".to_owned(), "expected one of off, v1, v2"),
    ] {
        let said = common::problems(&format!("[upstreams.app]\nservers = ['127.0.0.1:1']\n{settings}\n"));
        assert!(said.contains(words) && said.contains("edge.toml"), "{settings}: {said}");
    }
}
