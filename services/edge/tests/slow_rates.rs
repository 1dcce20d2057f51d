//! `min_rate` and `min_send_rate`: whoever trickles is cut off after ten seconds, whoever is slow but fast enough is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, until};
use std::time::Duration;

const BIG: usize = 64 << 20;

fn start() -> (Upstream, Edge) {
    let upstream = Upstream::start(|seen, stream| {
        let size = if seen.path().starts_with("/big") { BIG } else { 5 };
        common::upstream::reply(stream, 200, &[], vec![b'x'; size])
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nmin_rate = '1KB'\nmin_send_rate = '1MB'\n[[site]]\n\
             [[site.route]]\npath = '/'\nupstream = 'default'\n\
             [[site.route]]\npath = '/lenient'\nupstream = 'default'\nmin_rate = 1\n\
             [[site.route]]\npath = '/big/lenient'\nupstream = 'default'\nmin_send_rate = 0\n",
            upstream.address
        ))
        .start();
    (upstream, edge)
}

/// Bodies of a hundred pieces, five in a second, of this size each: what became of them.
fn upload(edge: &Edge, path: &str, piece: usize) -> u16 {
    let mut connection = Connection::plain(edge.http).unwrap();
    let length = 100 * piece;
    connection.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).unwrap();
    for _ in 0..70 {
        if connection.send(vec![b'x'; piece]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let _ = connection.send(vec![b'x'; 30 * piece]);
    connection.answer().unwrap().status
}

#[test]
fn of_a_body() {
    let (_upstream, edge) = start();
    let edge = &edge;
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| upload(edge, "/slow", 20));
        let enough = scope.spawn(|| upload(edge, "/enough", 2000));
        let lenient = scope.spawn(|| upload(edge, "/lenient", 20));
        assert_eq!(enough.join().unwrap(), 200);
        assert_eq!(lenient.join().unwrap(), 200);
        assert_eq!(slow.join().unwrap(), 408);
    });
    assert_eq!(edge.access_line(|line| line["path"] == "/slow")["reason"], "timeout_body");
}

/// Takes this much ten times a second, and the rest at once after twelve seconds; how much there was of it.
fn download(edge: &Edge, path: &str, piece: usize) -> usize {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).unwrap();
    assert!(connection.head().unwrap().starts_with("HTTP/1.1 200"));
    let mut taken = 0;
    for _ in 0..120 {
        match connection.bytes(piece) {
            Ok(bytes) => taken += bytes.len(),
            Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    taken + connection.read_to_end().len()
}

#[test]
fn of_a_reader() {
    let (_upstream, edge) = start();
    let edge = &edge;
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| download(edge, "/big/slow", 1000));
        let enough = scope.spawn(|| download(edge, "/big/enough", 400_000));
        let lenient = scope.spawn(|| download(edge, "/big/lenient", 1000));
        assert_eq!(enough.join().unwrap(), BIG);
        assert_eq!(lenient.join().unwrap(), BIG);
        assert!(slow.join().unwrap() < BIG, "cut off");
    });
    until("it is counted", || edge.metric("monodon_edge_answers_stalled_total") == 1.0);
}
