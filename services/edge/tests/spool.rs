//! The spool's disk is bounded: what does not fit is refused or goes at the client's speed, and what was there is given back.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Connection, Edge, Setup, Upstream, until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex};

fn post(edge: &Edge, path: &str, said: usize, sent: usize) -> Connection {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {said}\r\n\r\n")).unwrap();
    // Who is refused may find that nobody reads any more.
    let _ = connection.send(vec![b'x'; sent]);
    connection
}

fn refused(edge: &Edge, mut connection: Connection, path: &str) -> (Answer, String) {
    let answer = connection.answer().unwrap();
    let line = edge.access_line(|line| line["path"] == path);
    (answer, line["reason"].as_str().unwrap().to_owned())
}

fn used(edge: &Edge) -> f64 {
    edge.metric("monodon_edge_body_spool_used_bytes")
}

#[test]
fn bodies_share_the_spool_and_give_it_back() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let shared = gate.clone();
    let upstream = Upstream::start(move |seen, stream| {
        if seen.path() == "/held" {
            let open = shared.0.lock().unwrap();
            drop(shared.1.wait_while(open, |open| !*open).unwrap());
        }
        common::upstream::reply(stream, 200, &[], seen.body.len().to_string())
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nmax_connections = 8\nbuffer_memory = '4KB'\nspool_limit = '1MB'\nbody_limit = '4MB'\n",
            upstream.address
        ))
        .start();
    // Alone it is too much, and more than any body may have is told from its length.
    let (answer, reason) = refused(&edge, post(&edge, "/much", 3 << 20, 2 << 20), "/much");
    assert_eq!((answer.status, reason.as_str()), (503, "spool"));
    assert!(answer.header("retry-after").is_some());
    let (answer, reason) = refused(&edge, post(&edge, "/more", 5 << 20, 0), "/more");
    assert_eq!((answer.status, reason.as_str()), (413, "body_too_large"));
    until("nothing is left of it", || used(&edge) == 0.0);
    // Beside another.
    let mut held = post(&edge, "/held", 900_000, 900_000);
    until("it is at the application", || upstream.seen().len() == 1);
    assert!(used(&edge) >= 900_000.0);
    let (answer, reason) = refused(&edge, post(&edge, "/second", 500_000, 500_000), "/second");
    assert_eq!((answer.status, reason.as_str()), (503, "spool"));
    assert_eq!(post(&edge, "/small", 4000, 4000).answer().unwrap().text(), "4000", "what needs no disk goes on");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert_eq!(held.answer().unwrap().text(), "900000");
    until("it is given back", || used(&edge) == 0.0 && edge.metric("monodon_edge_body_spool_files") == 0.0);
    assert_eq!(post(&edge, "/again", 500_000, 500_000).answer().unwrap().text(), "500000");
    // Who leaves midway leaves nothing there.
    let leaving = post(&edge, "/leaving", 900_000, 400_000);
    until("some of it is there", || used(&edge) > 0.0);
    drop(leaving);
    until("nothing is left of it", || used(&edge) == 0.0);
}

/// A client that reads nothing before it has sent everything, an application that answers as it reads, and no room for the answer
/// between them: the upload goes on all the same, whether the answer would be buffered or passed on.
#[test]
fn an_answer_that_finds_no_room_does_not_hold_its_upload_up() {
    for buffering in [true, false] {
        answered_while_it_is_sent(buffering);
    }
}

fn answered_while_it_is_sent(buffering: bool) {
    // More than all the kernel's buffers on the way take.
    const SIZE: usize = 192 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut part = vec![0; 64 << 10];
                if !stream.read(&mut part).is_ok_and(|size| size > 0) {
                    return;
                }
                let mut answering = stream.try_clone().unwrap();
                let answer = std::thread::spawn(move || {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
                    answering.write_all(head.as_bytes()).is_ok() && answering.write_all(&vec![b'y'; SIZE]).is_ok()
                });
                while stream.read(&mut part).is_ok_and(|size| size > 0) {}
                let _ = answer.join();
            });
        }
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{address}']\nrequest_buffering = false\nbuffering = {buffering}\nbody_limit = '1GB'\nspool_limit = 0\n\
             buffer_memory = '64KB'\n"
        ))
        .start();
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).unwrap();
    connection.send(vec![b'x'; SIZE]).expect("all of it is taken");
    assert!(connection.head().unwrap().starts_with("HTTP/1.1 200"));
    let mut left = SIZE;
    while left > 0 {
        left -= connection.bytes(left.min(1 << 20)).unwrap().len();
    }
}
