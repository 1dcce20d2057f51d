//! Clients that mean no good, or know no better: what they cost is bounded, and others notice nothing.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Connection, Edge, Setup, Upstream, get, until};
use std::path::Path;
use std::process::Command;
use tokio_rustls::client::TlsStream;

async fn connect(edge: &Edge, ca: &Path) -> TlsStream<tokio::net::TcpStream> {
    let connector = tokio_rustls::TlsConnector::from(common::client::client_config(ca, &["h2"]));
    let stream = tokio::net::TcpStream::connect(edge.https).await.unwrap();
    connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

fn request(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

/// CVE-2023-44487: streams opened and reset as fast as the wire takes them.
#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).start();
    let (client, connection) = h2::client::handshake(connect(&edge, &edge.ca()).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client;
    for _ in 0..20_000 {
        match client.clone().ready().await {
            Ok(ready) => client = ready,
            Err(_) => break,
        }
        match client.send_request(request("/"), true) {
            Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            Err(_) => break,
        }
    }
    let ended = tokio::time::timeout(common::PATIENCE, connection).await.expect("the edge goes on").unwrap();
    // The reason may be lost with what the client still had under way.
    let error = ended.unwrap_err();
    assert!(error.is_io() || error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM), "{error:?}");
    let mut connection = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

/// A window that never opens holds an answer only as long as `send_timeout`, also one that was small enough for the
/// send buffer.
#[tokio::test]
async fn a_window_that_never_opens() {
    let sizes = |path: &str| if path == "/large" { 1_000_000 } else { 5 };
    let upstream =
        Upstream::start(move |seen, stream| common::upstream::reply(stream, 200, &[], vec![0; sizes(seen.path())]));
    let timeouts = ["--send-timeout", "1s", "--idle-timeout", "1s"];
    let edge = Setup::default().args(upstream.flag()).args(timeouts).start();
    for path in ["/large", "/small"] {
        let stream = connect(&edge, &edge.ca()).await;
        let (client, connection) =
            h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let (response, _) = client.send_request(request(path), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        assert!(tokio::time::timeout(common::PATIENCE, connection).await.is_ok(), "{path}: the edge waits for ever");
    }
    until("the requests have ended", || edge.metric(r#"monodon_edge_http_requests_in_flight{site="_default"}"#) == 0.0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).args(["--idle-timeout", "1s"]).start();
    let (client, connection) = h2::client::handshake(connect(&edge, &edge.ca()).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request("/"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let ended = tokio::time::timeout(common::PATIENCE, connection).await.expect("the edge waits for ever");
    // A client that says good-bye in its turn may find the door closed already.
    assert!(ended.unwrap().map_or_else(|error| error.is_io(), |()| true));
}

#[test]
fn a_handshake_that_never_comes() {
    let edge = Setup::default().args(["--head-timeout", "1s"]).start();
    let mut silent = Connection::plain(edge.https).unwrap();
    assert!(silent.is_closed());
    let mut nonsense = Connection::plain(edge.https).unwrap();
    nonsense.send("GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = nonsense.read_to_end();
    let failed = r#"monodon_edge_tls_handshakes_total{result="failed",kind="none",version="none"}"#;
    let late = r#"monodon_edge_tls_handshakes_total{result="timeout",kind="none",version="none"}"#;
    until("both are counted", || edge.metric(failed) == 1.0 && edge.metric(late) == 1.0);
}

#[test]
fn more_connections_than_allowed() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().args(upstream.flag()).args(["--connections-limit", "3"]).start();
    let mut held: Vec<Connection> = (0..3).map(|_| Connection::plain(edge.http).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
    assert!(Connection::plain(edge.http).unwrap().is_closed());
    assert_eq!(edge.metric(r#"monodon_edge_connections_rejected_total{reason="limit"}"#), 1.0);
    assert_eq!(held.pop().unwrap().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    until("there is room again", || {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
            && connection.answer().is_ok_and(|answer| answer.status == 200)
    });
}

/// Out of descriptors the edge waits, and goes on when there are some again.
#[test]
fn out_of_descriptors() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", edge.pid())).unwrap().count();
    let limit = format!("--nofile={}", open + 3);
    let Ok(status) = Command::new("prlimit").args(["--pid", &edge.pid().to_string(), &limit]).status() else {
        return eprintln!("prlimit is not installed; left out");
    };
    assert!(status.success());
    let held: Vec<Connection> = (0..30).map(|_| Connection::plain(edge.http).unwrap()).collect();
    until("it runs out", || edge.lines().iter().any(|line| line.contains("could not be accepted")));
    drop(held);
    until("it serves again", || {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is_ok()
            && connection.answer().is_ok_and(|answer| answer.status == 200)
    });
}

/// Hosts, paths and methods that clients make up are not series.
#[test]
fn made_up_words_are_no_series() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().args(upstream.flag()).args(["--threads", "2"]).start();
    let count = || edge.admin("/metrics").text().lines().filter(|line| !line.starts_with('#')).count();
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for index in 0..300 {
        connection.ask(format!("MADE{index} /{index} HTTP/1.1\r\nHost: h{index}.example\r\nContent-Length: 0\r\n\r\n"));
    }
    assert!(count() < 1000, "{}", count());
    let others = r#"monodon_edge_http_requests_total{site="_default",method="_OTHER",code="200",protocol="http/1.1"}"#;
    until("they are counted", || edge.metric(others) == 300.0);
}
