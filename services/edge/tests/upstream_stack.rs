//! The way to the upstream through the whole edge, as clients meet it.
#![allow(clippy::unwrap_used)]

mod common;
#[allow(dead_code)]
#[path = "upstream/fake.rs"]
mod fake;

use common::{Connection, Edge, get, ports, until};
use fake::{Fake, pattern};
use futures_util::{SinkExt, StreamExt};
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use tokio_tungstenite::tungstenite::Message;

fn edge(fake: &Fake, more: &[&str]) -> Edge {
    let address = fake.address.to_string();
    let mut args = vec!["--upstream", &address];
    args.extend_from_slice(more);
    Edge::plain(args)
}

fn ask(edge: &Edge, path: &str) -> Connection {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).unwrap();
    connection
}

/// An application that speaks WebSocket after its 101.
async fn websocket_server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
                let (mut sink, mut source) = socket.split();
                while let Some(Ok(message)) = source.next().await {
                    if (message.is_text() || message.is_binary()) && sink.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_echoes_through_the_edge() {
    let address = websocket_server().await;
    let edge = tokio::task::spawn_blocking(move || Edge::plain(["--upstream", &address.to_string()])).await.unwrap();
    let url = format!("ws://localhost:{}/echo", edge.http.port());
    let stream = tokio::net::TcpStream::connect(edge.http).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(response.status(), 101);
    for size in [1, 1000, 200_000] {
        let text = "x".repeat(size);
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
}

/// Nor to anything else that the client has not asked for.
#[test]
fn a_101_to_another_protocol_opens_no_tunnel() {
    let upstream = common::Upstream::start(|_, stream| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).is_ok()
    });
    let edge = Edge::plain(upstream.flag());
    let mut client = Connection::plain(edge.http).unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).status, 502);
}

#[test]
fn clients_that_leave_keep_slots_and_fast_ones_are_served() {
    let fake = Fake::slotted(2, 1);
    let edge = edge(&fake, &[]);
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    // Twenty requests of a fifth of a second, all of which are left at once.
    let left: Vec<_> = (0..20).map(|_| ask(&edge, "/sleep/200")).collect();
    until("two are worked on", || fake.seen("/sleep/200").len() >= 2);
    drop(left);
    for _ in 0..20 {
        assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    }
    assert_eq!(fake.state.most.load(Ordering::SeqCst), 2);
    assert!(fake.seen("/sleep/200").len() < 20, "who left while waiting left the queue");
}

#[test]
fn fifty_event_streams_stream_at_once_on_two_slots() {
    let fake = Fake::slotted(2, 1);
    let edge = edge(&fake, &[]);
    let mut streams: Vec<_> = (0..50).map(|at| ask(&edge, &format!("/events/{at}"))).collect();
    for stream in &mut streams {
        assert!(stream.head().unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
}

#[test]
fn two_slow_readers_do_not_stop_a_site_of_two_processes() {
    let fake = Fake::slotted(2, 1);
    let edge = edge(&fake, &[]);
    let size = 20_000_000;
    let path = format!("/big/{size}");
    let mut slow = [ask(&edge, &path), ask(&edge, &path)];
    until("both are read from the upstream", || edge.metric("monodon_edge_body_spool_files") == 2.0);
    for _ in 0..5 {
        assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    }
    for reader in &mut slow {
        assert!(reader.head().unwrap().contains("content-length: 20000000"));
        assert_eq!(reader.bytes(size).unwrap(), pattern(size));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let fake = Fake::slotted(1, 1);
    let edge = edge(&fake, &["--body-limit", "1000"]);
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n").unwrap();
    assert_eq!(connection.answer_to(false).unwrap().status, 413);
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    connection.send(format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001))).unwrap();
    assert_eq!(connection.answer_to(false).unwrap().status, 413);
    assert!(fake.seen("/upload").is_empty());
}

#[test]
fn an_upload_of_any_size_arrives_and_an_early_refusal_comes_back() {
    let fake = Fake::slotted(1, 1);
    let edge = edge(&fake, &[]);
    let data = pattern(3_000_000);
    let mut connection = Connection::plain(edge.http).unwrap();
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", data.len());
    connection.send([head("/upload").as_bytes(), &data].concat()).unwrap();
    assert_eq!(connection.answer_to(false).unwrap().status, 200);
    assert_eq!(fake.seen("/upload")[0].body, data);
    connection.send([head("/early").as_bytes(), &data].concat()).unwrap();
    let answer = connection.answer_to(false).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (401, "no!\n"));
}

#[test]
fn what_the_upstream_does_wrong_has_its_status() {
    let fake = Fake::slotted(1, 1);
    let edge = edge(&fake, &[]);
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    assert_eq!(get(edge.http, "/garbage", &[]).status, 502);
    assert_eq!(get(edge.http, "/switch", &[]).status, 502);
    assert_eq!(get(edge.http, "/die", &[]).status, 502);
    assert_eq!(get(edge.http, "/killed", &[]).status, 504);
    drop(fake);
    assert_eq!(get(edge.http, "/hello", &[]).status, 502);
}

#[test]
fn an_upstream_that_is_late_and_one_that_has_no_time() {
    let fake = Fake::slotted(1, 1);
    let hasty = edge(&fake, &["--first-byte-timeout", "300ms"]);
    assert_eq!(get(hasty.http, "/gate", &[]).status, 504);
    until("it is worked on", || fake.seen("/gate").len() == 1);
    fake.state.gate.add_permits(1);
    let edge = edge(&fake, &["--queue-timeout", "500ms", "--queue-per-slot", "1"]);
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    let mut held = ask(&edge, "/gate");
    until("it works", || fake.seen("/gate").len() == 2);
    let late = get(edge.http, "/hello", &[]);
    assert_eq!(late.status, 503);
    assert!(late.header("retry-after").is_some());
    fake.state.gate.add_permits(1);
    assert_eq!(held.answer_to(false).unwrap().status, 200);
}

#[test]
fn a_get_whose_process_dies_is_served_by_another() {
    let fake = Fake::slotted(2, 1);
    let edge = edge(&fake, &[]);
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    assert_eq!(get(edge.http, "/die-once", &[]).status, 200);
    assert_eq!(fake.seen("/die-once").len(), 2);
    assert_eq!(edge.metric("monodon_edge_upstream_retries_total{upstream=\"default\",reason=\"reset\"}"), 1.0);
    // A connection that breaks in mid-answer breaks for the client too.
    let mut cut = ask(&edge, "/cut");
    assert!(cut.head().unwrap().contains("content-length: 1000000"));
    fake.state.gate.add_permits(1);
    assert!(cut.bytes(1_000_000).is_err());
}

#[test]
fn two_edge_threads_share_the_slots_under_a_mixed_crowd() {
    let fake = Fake::slotted(2, 1);
    let edge = edge(&fake, &["--threads", "2"]);
    assert_eq!(get(edge.http, "/hello", &[]).status, 200);
    std::thread::scope(|scope| {
        for client in 0..12 {
            let edge = &edge;
            scope.spawn(move || {
                for round in 0..30 {
                    match (client + round) % 4 {
                        0 => drop(ask(edge, "/sleep/5")),
                        1 => {
                            let mut connection = ask(edge, "/chunked/100000");
                            assert_eq!(connection.answer_to(false).unwrap().body, pattern(100_000));
                        }
                        _ => {
                            let mut connection = ask(edge, "/hello");
                            assert_eq!(connection.answer_to(false).unwrap().status, 200);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(fake.state.most.load(Ordering::SeqCst), 2);
    let address = fake.address;
    edge.counts(
        &format!("monodon_edge_upstream_requests_in_flight{{upstream=\"default\",address=\"{address}\"}}"),
        0.0,
    );
    edge.counts("monodon_edge_queue_depth{upstream=\"default\"}", 0.0);
    edge.counts("monodon_edge_body_spool_files", 0.0);
}

/// The worker keeps idle connections longer than we do: whoever raises or lowers `idle_timeout` means these too.
#[test]
fn idle_connections_are_let_go_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let closed = std::thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 4096];
            // The edge also tries whether a connection can be made.
            if stream.read(&mut seen).unwrap_or(0) > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
                return stream.read(&mut seen).is_ok_and(|read| read == 0);
            }
        }
    });
    let edge = Edge::plain(["--upstream", &address, "--idle-timeout", "1s"]);
    assert_eq!(get(edge.http, "/", &[]).text(), "ok");
    assert!(closed.join().unwrap());
}
